"""The base of every transform and tokenizer: raw value -> tensors of one sample -> collated tensors of a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from torch import Tensor


class Transform(ABC):
    """Built as ``Transform(**config)``; ``to_config`` gives the keyword arguments that rebuild it.

    Attributes:
        deterministic: ``training`` makes no difference (no augmentation), so results may be kept in tables.
    """

    deterministic: bool = False

    @abstractmethod
    def __call__(self, raw: Any, *, training: bool = False) -> dict[str, Tensor]:
        """One raw value (what the modality's loader gives) -> tensors without a batch dimension.

        Raises:
            InputError: the value cannot be used; the message says why.
        """

    @abstractmethod
    def collate(self, items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Tensors of S samples -> one tensor each with S in front, padded; ``valid_*`` masks where lengths differ."""

    @abstractmethod
    def to_config(self, folder: Path | None = None) -> dict[str, Any]:
        """JSON keyword arguments. Files that it needs (a vocabulary) are written into ``folder`` and named by file name
        only; they come back as a path below the folder that is loaded."""

    def loader_options(self) -> dict[str, Any]:
        """Keyword arguments for the modality's loader that this transform needs no more than (the size at which to
        decode, say). Settings that the user gives the loader win."""
        return {}
