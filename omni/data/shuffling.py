"""Orders as functions of a seed and a position: what comes next never depends on what was drawn before.

Random numbers are SplitMix64 (Steele, Lea and Flood, 2014) of a counter, in integers, the same on every machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
GAMMA = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio, odd
BLOCK = 1024


def mix(*parts: int | str) -> int:
    """A 63-bit seed that depends on every part and their order, the same on every machine and Python run."""
    text = "\x1f".join(str(part) for part in parts).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def draws(seed: int, start: int, count: int) -> np.ndarray:
    """(count,) uint64, the draws ``start`` to ``start + count`` of the endless sequence that belongs to ``seed``."""
    state = np.arange(start + 1, start + count + 1, dtype=np.uint64) * np.uint64(GAMMA) + np.uint64(seed)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def permutation(size: int, seed: int) -> np.ndarray:
    """(size,) int64, a random order of 0 to size - 1."""
    return np.argsort(draws(seed, 0, size), kind="stable")


def shuffle_buffer(items: Iterable[Item], size: int, seed: int) -> Iterator[Item]:
    """Every item once: each next one is drawn from a buffer of ``size`` items, whose place the next arrival takes.

    Args:
        items: in their order.
        size: of the buffer; 0 or 1 leaves the order as it is.
        seed: of the draws.
    """
    if size < 2:
        yield from items
        return
    buffer: list[Item] = []
    numbers = _numbers(seed)
    for item in items:
        if len(buffer) < size:
            buffer.append(item)
            continue
        at = next(numbers) % size
        chosen, buffer[at] = buffer[at], item
        yield chosen
    while buffer:
        at = next(numbers) % len(buffer)
        buffer[at], buffer[-1] = buffer[-1], buffer[at]
        yield buffer.pop()


def _numbers(seed: int) -> Iterator[int]:
    start = 0
    while True:
        yield from draws(seed, start, BLOCK).tolist()
        start += BLOCK


def weighted_choices(weights: np.ndarray, seed: int, start: int, count: int) -> np.ndarray:
    """Which of K sources the draws ``start`` to ``start + count`` come from: a golden-ratio (Weyl) sequence, so that
    every stretch of draws has the proportions of the weights to within a few draws.

    Args:
        weights: (K,) positive.
        seed: where the sequence starts.
        start, count: of the draws.

    Returns:
        (count,) int64 source numbers.
    """
    edges = np.cumsum(weights / weights.sum())[:-1]
    points = np.arange(start, start + count, dtype=np.uint64) * np.uint64(GAMMA) + draws(seed, 0, 1)
    return np.searchsorted(edges, (points >> np.uint64(11)) * 2.0**-53, side="right")
