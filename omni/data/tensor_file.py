"""Rows of a large tensor in a .pt or .npy file, mapped into memory: nothing but the rows that are asked for is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from omni.errors import InputError


class TensorFile:
    """One tensor (N, ...) in a file of ``torch.save`` or ``numpy.save``; nothing in it is unpickled but the tensor.

    Each process maps the file by itself, so that the object may be sent to worker processes.

    Args:
        path: of the file.

    Attributes:
        shape, dtype: of the whole tensor.

    Raises:
        InputError: no such file, damaged, or something else than one tensor; names the file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._opened: Any = None
        self._process = 0
        opened = self._open()
        if not len(opened.shape):
            raise InputError(f"The file {str(self.path)!r} holds a single number, not rows.")
        self.shape: tuple[int, ...] = tuple(int(side) for side in opened.shape)
        self.dtype: torch.dtype = torch.as_tensor(opened[:0].copy() if isinstance(opened, np.ndarray) else opened).dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, row: int) -> Tensor:
        """A copy of one row."""
        return torch.from_numpy(np.array(self._rows()[row]))

    def all(self) -> Tensor:
        """A copy of the whole."""
        return torch.from_numpy(np.array(self._rows()))

    def _rows(self) -> np.ndarray:
        if self._opened is None or self._process != os.getpid():
            self._opened, self._process = self._open(), os.getpid()
        return self._opened if isinstance(self._opened, np.ndarray) else self._opened.numpy()

    def _open(self) -> np.ndarray | Tensor:
        if not self.path.is_file():
            raise InputError(f"There is no file {str(self.path)!r}.")
        try:
            if self.path.suffix == ".npy":
                found: Any = np.load(self.path, mmap_mode="r", allow_pickle=False)
            else:
                found = torch.load(self.path, map_location="cpu", weights_only=True, mmap=True)
        except Exception as error:  # torch raises RuntimeError, UnpicklingError, zip errors, OSError, ...
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise InputError(f"The file {str(self.path)!r} cannot be read as a tensor: {reason}") from error
        if not isinstance(found, (np.ndarray, Tensor)) or (isinstance(found, Tensor) and found.layout != torch.strided):
            raise InputError(f"The file {str(self.path)!r} holds a {type(found).__name__}, not one tensor.")
        if isinstance(found, np.ndarray) and found.dtype.kind not in "biuf":
            raise InputError(f"The file {str(self.path)!r} holds {found.dtype}, not numbers.")
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}
