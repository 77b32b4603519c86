"""Random numbers as a pure function of a seed and a counter: the same on every machine and numpy version."""

from __future__ import annotations

import hashlib

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix64(values: np.ndarray) -> np.ndarray:
    """The splitmix64 finaliser (Steele, Lea and Flood, 2014) of each uint64 value."""
    mixed = values.astype(np.uint64)
    with np.errstate(over="ignore"):
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def seed_of(*parts: object) -> int:
    """A 64-bit seed from any printable parts."""
    return int.from_bytes(hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()[:8], "big")


class CounterRng:
    """A stream of uniform integers; each call goes on where the last one stopped."""

    def __init__(self, *seed: object) -> None:
        self._state = np.uint64(seed_of(*seed))
        self._counter = 0

    def bits(self, count: int) -> np.ndarray:
        """``count`` uint64 values, all bits uniform."""
        steps = np.arange(self._counter + 1, self._counter + count + 1, dtype=np.uint64)
        self._counter += count
        with np.errstate(over="ignore"):
            return mix64(self._state + steps * _GOLDEN)

    def integers(self, high: int, shape: tuple[int, ...]) -> np.ndarray:
        """int64 array of ``shape`` in [0, high); the modulo bias is below high / 2**64."""
        return (self.bits(int(np.prod(shape))) % np.uint64(high)).astype(np.int64).reshape(shape)

    def permutations(self, rows: int, width: int) -> np.ndarray:
        """int64 (rows, width): an independent uniform permutation of range(width) in each row."""
        return np.argsort(self.bits(rows * width).reshape(rows, width), axis=1, kind="stable")

    def shuffled(self, items: list) -> list:
        """The items in a uniform random order."""
        return [items[index] for index in self.permutations(1, len(items))[0]] if items else []

    def uniform(self, shape: tuple[int, ...] = (), low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """float64 of ``shape``, uniform in [low, high), with 53 random bits."""
        bits = self.bits(int(np.prod(shape))) >> np.uint64(11)
        return low + (high - low) * (bits.astype(np.float64) * 2.0**-53).reshape(shape)

    def normal(self, shape: tuple[int, ...] = ()) -> np.ndarray:
        """float64 of ``shape``, standard normal (Box and Muller, 1958)."""
        count = int(np.prod(shape))
        radius = np.sqrt(-2.0 * np.log1p(-self.uniform((count,))))
        return (radius * np.cos(2.0 * np.pi * self.uniform((count,)))).reshape(shape)
