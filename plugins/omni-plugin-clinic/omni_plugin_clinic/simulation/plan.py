"""How large the editions are, and what of a case is drawn from which seed."""

from __future__ import annotations

from dataclasses import dataclass

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Sizes of an edition.

    Attributes:
        rows: cases of each split. poses: different projections of each split. hearts: different beats of each split.
        side: of a radiograph in pixels.
    """

    rows: dict[str, int]
    poses: dict[str, int]
    hearts: dict[str, int]
    side: int


def _by_split(train: int, val: int, test: int) -> dict[str, int]:
    return dict(zip(SPLITS, (train, val, test), strict=True))


PLANS = {
    "mini": Plan(rows=_by_split(100, 20, 60), poses=_by_split(8, 2, 4), hearts=_by_split(40, 10, 30), side=96),
    "bench": Plan(
        rows=_by_split(4000, 500, 1000), poses=_by_split(48, 8, 16), hearts=_by_split(800, 100, 200), side=96
    ),
    "full": Plan(
        rows=_by_split(10_000, 1000, 1000), poses=_by_split(80, 10, 20), hearts=_by_split(2000, 200, 400), side=128
    ),
}  # fmt: skip
