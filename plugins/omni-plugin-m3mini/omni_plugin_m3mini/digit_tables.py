"""How the triples of digit3 are drawn: digit a in a picture, digit b spoken, the text of (a + b) mod 10."""

from __future__ import annotations

import numpy as np

from omni.data.building.counter_rng import CounterRng
from omni.errors import ConfigError

NUM_DIGITS = 10
CELLS = NUM_DIGITS * NUM_DIGITS


def draw_digits(
    seed: int, *, rows: int, split: str, pictures_by_digit: list[np.ndarray], clips_by_digit: list[np.ndarray]
) -> np.ndarray:
    """int64 (rows, 3): picture, clip, sum.

    Every (a, b) comes exactly rows / 100 times. The sum is a bijection of b for each a, and of a for each b, so each
    of the three pairs (a, b), (a, sum), (b, sum) is exactly uniform on its 100 cells: no pair tells anything, and any
    two tell the third. Pictures of a digit, and clips, are dealt evenly and independently of each other.

    Raises:
        ConfigError: ``rows`` is no positive multiple of 100.
    """
    if rows < CELLS or rows % CELLS:
        raise ConfigError(f"digit3: rows={rows} must be a positive multiple of {CELLS}, so that all pairs are uniform")
    rng = CounterRng("digit3", seed, split, rows)
    cell_N = np.repeat(np.arange(CELLS), rows // CELLS)
    first_N, second_N = cell_N // NUM_DIGITS, cell_N % NUM_DIGITS
    picture_N = _deal(rng, first_N, pictures_by_digit)
    clip_N = _deal(rng, second_N, clips_by_digit)
    table = np.stack([picture_N, clip_N, (first_N + second_N) % NUM_DIGITS], axis=1)
    return table[rng.permutations(1, rows)[0]]


def _deal(rng: CounterRng, digit_N: np.ndarray, pools: list[np.ndarray]) -> np.ndarray:
    dealt_N = np.empty(len(digit_N), dtype=np.int64)
    for digit, pool in enumerate(pools):
        mine = np.flatnonzero(digit_N == digit)
        decks = -(-len(mine) // len(pool))
        order = rng.permutations(decks, len(pool)).ravel()[: len(mine)]
        # the rows of a digit are sorted by the other digit: the deck must not be
        dealt_N[mine[rng.permutations(1, len(mine))[0]]] = np.asarray(pool)[order]
    return dealt_N


def mutual_information(first_N: np.ndarray, second_N: np.ndarray) -> float:
    """Of two columns of whole numbers >= 0, in nats, by their joint counts; 0 for a uniform product table."""
    width = int(second_N.max()) + 1
    cell_C, count_C = np.unique(first_N.astype(np.int64) * width + second_N, return_counts=True)
    joint_C = count_C / len(first_N)
    first, second = (np.bincount(column_N) / len(column_N) for column_N in (first_N, second_N))
    return float((joint_C * np.log(joint_C / (first[cell_C // width] * second[cell_C % width]))).sum())
