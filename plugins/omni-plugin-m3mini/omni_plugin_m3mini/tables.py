"""How the triples of m3mini are drawn, and the index tables that hold them.

One row is (target class, language L, clip, one class for each language, the printed order of the languages). The word
of language L names the target, so text alone leaves w candidates and the clip, which is spoken in L, picks one.

Word combinations are split by their cyclic offsets: with n classes, (c_0, ..., c_{w-1}) belongs to the split of
((c_1 - c_0) mod n, ..., (c_{w-1} - c_0) mod n). Every split is then closed under adding a constant to all classes, so
the target is exactly uniform in each split and in each language, and no combination is in two splits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from omni.data.building.counter_rng import CounterRng, mix64, seed_of

SPLITS = ("train", "val", "test")
NEW_SPEAKERS = "new_speakers"  # test's word combinations, spoken by people and microphones that no other split has
ALL_SPLITS = (*SPLITS, NEW_SPEAKERS)
_SHARES = (0.8, 0.9)  # train below the first, val below the second, test above
_CHUNK = 4096


@dataclass(frozen=True, kw_only=True)
class TripleTable:
    """The drawn rows of one split.

    Attributes:
        language_N: int, index of the clip's language L.
        clip_N: int, row of the clip table.
        class_NW: int, the class that the word of each language names.
        order_NW: int, the languages in printed order.
    """

    language_N: np.ndarray
    clip_N: np.ndarray
    class_NW: np.ndarray
    order_NW: np.ndarray

    def __len__(self) -> int:
        return len(self.language_N)

    @property
    def w(self) -> int:
        """Number of languages."""
        return self.class_NW.shape[1]

    @cached_property
    def target_N(self) -> np.ndarray:
        """The class of the picture: the one that the word of language L names."""
        return self.class_NW[np.arange(len(self)), self.language_N]

    def to_array(self) -> np.ndarray:
        """uint16 (N, 2 + 2 w): language, clip, classes, order."""
        columns = [self.language_N[:, None], self.clip_N[:, None], self.class_NW, self.order_NW]
        table = np.concatenate(columns, axis=1)
        assert table.min() >= 0 and table.max() < 2**16
        return np.ascontiguousarray(table.astype("<u2"))

    @classmethod
    def from_array(cls, table: np.ndarray) -> TripleTable:
        """From the array of :meth:`to_array`."""
        w = (table.shape[1] - 2) // 2
        table = table.astype(np.int64)
        return cls(language_N=table[:, 0], clip_N=table[:, 1], class_NW=table[:, 2 : 2 + w], order_NW=table[:, 2 + w :])


@dataclass(frozen=True, kw_only=True)
class ListTable:
    """Lists of names without clip or picture.

    Attributes:
        class_NW: int, the class that the word of each language names; -1 where the list has none in it.
        order_NW: int, the languages in printed order.
    """

    class_NW: np.ndarray
    order_NW: np.ndarray


def combination_split(class_NW: np.ndarray, num_classes: int) -> np.ndarray:
    """int (N,): index in SPLITS of each row's word combination; -1 where two of its classes are equal."""
    offsets = (class_NW[:, 1:] - class_NW[:, :1]) % num_classes
    code = np.zeros(len(class_NW), dtype=np.uint64)
    for column in range(offsets.shape[1]):
        code = code * np.uint64(num_classes) + offsets[:, column].astype(np.uint64)
    salt = np.uint64(seed_of("m3mini", "combinations", num_classes, class_NW.shape[1]))
    share = mix64(mix64(code ^ salt)) / 2.0**64
    split = (share >= _SHARES[0]).astype(np.int64) + (share >= _SHARES[1])
    ordered = np.sort(class_NW, axis=1)
    return np.where((ordered[:, 1:] == ordered[:, :-1]).any(axis=1), -1, split)


def draw_combinations(rng: CounterRng, *, rows: int, num_classes: int, w: int, split: str) -> np.ndarray:
    """int (rows, w): uniform among the split's combinations of w distinct classes."""
    wanted, found, count = SPLITS.index(split), [], 0
    while count < rows:
        drawn = rng.integers(num_classes, (_CHUNK, w))
        drawn = drawn[combination_split(drawn, num_classes) == wanted]
        found.append(drawn)
        count += len(drawn)
    return np.concatenate(found)[:rows]


def draw_triples(
    seed: int, *, rows: int, num_classes: int, w: int, split: str, clips_by_language: list[np.ndarray]
) -> TripleTable:
    """Draw one split. Class, language, clip and order are independent and uniform.

    In val and test each text comes w times, once with a clip in each language, so that no function of the text alone
    can name more than exactly 1/w of the targets; ``rows`` is rounded up to a multiple of w there.
    """
    rng = CounterRng("m3mini", "triples", seed, split, num_classes, w)
    repeat = 1 if split == "train" else w
    texts = -(-rows // repeat)
    combinations = "test" if split == NEW_SPEAKERS else split
    class_NW = draw_combinations(rng, rows=texts, num_classes=num_classes, w=w, split=combinations)
    order_NW = rng.permutations(texts, w)
    if split == "train":
        language_N = rng.integers(w, (texts,))
    else:
        class_NW, order_NW = np.repeat(class_NW, w, axis=0), np.repeat(order_NW, w, axis=0)
        language_N = np.tile(np.arange(w), texts)
    clip_N = np.empty(len(class_NW), dtype=np.int64)
    for language in range(w):
        rows_of = np.flatnonzero(language_N == language)
        pool = np.asarray(clips_by_language[language])
        clip_N[rows_of] = pool[rng.integers(len(pool), (len(rows_of),))]
    mix = rng.permutations(1, len(class_NW))[0]
    return TripleTable(language_N=language_N[mix], clip_N=clip_N[mix], class_NW=class_NW[mix], order_NW=order_NW[mix])


def draw_lists(seed: int, *, rows: int, num_classes: int, widths: list[int], split: str) -> ListTable:
    """Draw lists of every width in turn; each is of the split in its own width and in all smaller ones.

    A list of three languages holds one of the first two, and what is a training list at three may be asked about at
    two: such lists are left out.
    """
    w = max(widths)
    class_NW = np.full((rows, w), -1, dtype=np.int64)
    for place, width in enumerate(widths):
        mine = class_NW[place :: len(widths)]
        rng = CounterRng("m3mini", "lists", seed, split, num_classes, width)
        count = 0
        while count < len(mine):
            drawn = draw_combinations(rng, rows=_CHUNK, num_classes=num_classes, w=width, split=split)
            for smaller in widths[:place]:
                drawn = drawn[combination_split(drawn[:, :smaller], num_classes) == SPLITS.index(split)]
            taken = drawn[: len(mine) - count]
            mine[count : count + len(taken), :width] = taken
            count += len(taken)
    order_NW = CounterRng("m3mini", "list order", seed, split, num_classes, w).permutations(rows, w)
    return ListTable(class_NW=class_NW, order_NW=order_NW)
