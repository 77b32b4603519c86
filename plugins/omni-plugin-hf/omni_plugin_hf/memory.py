"""Features of items that were seen before, for encoders that do not train: kept in memory, found by content."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from torch import Tensor

Features = tuple[Tensor | None, ...]


class FeatureMemory:
    """Features of single items, up to a size; what comes after is computed each time.

    Nothing is thrown out to make room: data are read in rounds, and the oldest item is the next one needed.

    Args:
        megabytes: of tensors that are kept.
    """

    def __init__(self, megabytes: float) -> None:
        self.room = int(megabytes * 1e6)
        self._stamp: Hashable = None
        self._kept: dict[Hashable, Features] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def __deepcopy__(self, memo: dict[int, Any]) -> FeatureMemory:
        return FeatureMemory(self.room / 1e6)

    def __reduce__(self) -> tuple[Any, ...]:
        return FeatureMemory, (self.room / 1e6,)

    def check(self, stamp: Hashable) -> None:
        """Forget everything if the stamp (of the weights) is another one than before."""
        if stamp != self._stamp:
            self._stamp = stamp
            self._kept.clear()
            self._left = self.room

    def get(self, key: Hashable) -> Features | None:
        """The features of an item, or None."""
        return self._kept.get(key)

    def put(self, key: Hashable, features: Features) -> None:
        """Keep an item's features if there is room."""
        size = sum(value.nbytes for value in features if value is not None)
        if key not in self._kept and size <= self._left:
            self._kept[key] = tuple(None if value is None else value.detach().cpu().clone() for value in features)
            self._left -= size
