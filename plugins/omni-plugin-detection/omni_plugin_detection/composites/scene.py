"""What a composite is: which cut-outs, where, how large; drawing it; its boxes, masks and relations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from omni.data.building.counter_rng import CounterRng, seed_of

SOLID = 128  # alpha from which a pixel belongs to a thing
SMALLEST, LARGEST = 0.22, 0.56  # longer side of a thing, of the picture's side
MOST_OVERLAP = 0.2  # intersection over the smaller box of two things
BESIDE = 0.12  # difference of the centres, of the picture's side, from which a thing is left of another
HELD_SHARE = 10  # one pair of things in so many is kept out of every split but "pairs"
_TRIES = 40


@dataclass(frozen=True, kw_only=True)
class Placed:
    """One thing in a picture: its number, the box of its cut-out (x0, y0, width, height; whole pixels), mirrored."""

    thing: int
    box: tuple[int, int, int, int]
    mirrored: bool


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A layout: the ground's number, the part of it that is shown (0..1 of the spare width), the things from back to
    front."""

    ground: int
    shift: float
    things: tuple[Placed, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """A picture and its truth.

    Attributes:
        pixels_HWC: uint8 RGB.
        masks_NHW: bool, the visible pixels of each thing (alpha at least 128, not below a later thing's).
        boxes_N4: float32 x0, y0, x1, y1 in pixels, the smallest box around each mask; x1 and y1 are exclusive.
    """

    pixels_HWC: np.ndarray
    masks_NHW: np.ndarray
    boxes_N4: np.ndarray


def is_held(first: int, second: int) -> bool:
    """Whether a pair of groups of things, in any order, is kept for the split "pairs"."""
    low, high = sorted((first, second))
    return seed_of("composites", "held", low, high) % HELD_SHARE == 0


def draw_scene(
    rng: CounterRng, *, side: int, things: Sequence[int], groups: Sequence[int], aspects: Sequence[float],
    grounds: Sequence[int], most: int, held: bool = False,
) -> Scene:  # fmt: skip
    """A random layout; a pure function of the generator's state.

    Args:
        side: of the square picture, pixels.
        things: numbers to draw from. groups: of every thing; one group is at most once in a picture.
        aspects: width / height of every thing's cut-out.
        grounds: numbers to draw from.
        most: 1 to so many things. held: exactly two things of a held pair, one left of the other; else no two things
            of a picture are a held pair.
    """
    while True:
        ground = grounds[int(rng.integers(len(grounds), (1,))[0])]
        wanted = 2 if held else 1 + int(rng.integers(most, (1,))[0])
        placed: list[Placed] = []
        shift = float(rng.uniform((1,))[0])
        for _ in range(_TRIES):
            number = things[int(rng.integers(len(things), (1,))[0])]
            numbers = rng.uniform((4,))
            new = _place(number, aspects[number], side, numbers)
            if all(_fits(new, old, groups, side, held) for old in placed):
                placed.append(new)
            if len(placed) == wanted:
                return Scene(ground=ground, shift=shift, things=tuple(placed))


def _place(number: int, aspect: float, side: int, numbers: np.ndarray) -> Placed:
    longer = side * SMALLEST * (LARGEST / SMALLEST) ** float(numbers[0])
    width, height = longer * min(1.0, aspect), longer / max(1.0, aspect)
    wide, high = max(4, round(width)), max(4, round(height))
    left, top = int(numbers[1] * (side - wide + 1)), int(numbers[2] * (side - high + 1))
    return Placed(thing=number, box=(left, top, wide, high), mirrored=bool(numbers[3] < 0.5))


def _fits(new: Placed, old: Placed, groups: Sequence[int], side: int, held: bool) -> bool:
    first, second = groups[new.thing], groups[old.thing]
    if first == second or is_held(first, second) != held:
        return False
    (x, y, w, h), (u, v, s, t) = new.box, old.box
    if held and abs(x + w / 2 - u - s / 2) < BESIDE * side:
        return False
    wide, high = min(x + w, u + s) - max(x, u), min(y + h, v + t) - max(y, v)
    return max(0, wide) * max(0, high) <= MOST_OVERLAP * min(w * h, s * t)


def render(scene: Scene, ground_HWC: np.ndarray, cut_out: Callable[[int], np.ndarray], side: int) -> Drawn:
    """Draw a layout.

    Args:
        ground_HWC: uint8 RGB, height ``side``, at least as wide.
        cut_out: number of a thing -> uint8 RGBA.
    """
    from PIL import Image

    left = round(scene.shift * (ground_HWC.shape[1] - side))
    picture = Image.fromarray(np.ascontiguousarray(ground_HWC[:side, left : left + side]))
    masks_NHW = np.zeros((len(scene.things), side, side), bool)
    for row, item in enumerate(scene.things):
        x, y, wide, high = item.box
        thing = Image.fromarray(cut_out(item.thing)).resize((wide, high), Image.Resampling.LANCZOS)
        if item.mirrored:
            thing = thing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        picture.paste(thing, (x, y), thing)
        solid = np.asarray(thing)[..., 3] >= SOLID
        masks_NHW[:row, y : y + high, x : x + wide] &= ~solid
        masks_NHW[row, y : y + high, x : x + wide] = solid
    return Drawn(pixels_HWC=np.array(picture), masks_NHW=masks_NHW, boxes_N4=boxes_of(masks_NHW))


def boxes_of(masks_NHW: np.ndarray) -> np.ndarray:
    """(N, 4) float32: the smallest box x0, y0, x1, y1 around each mask's pixels; zeros where a mask is empty."""
    boxes = np.zeros((len(masks_NHW), 4), np.float32)
    for row, mask_HW in enumerate(masks_NHW):
        across, down = np.flatnonzero(mask_HW.any(0)), np.flatnonzero(mask_HW.any(1))
        if len(across):
            boxes[row] = across[0], down[0], across[-1] + 1, down[-1] + 1
    return boxes


def left_of(boxes_N4: np.ndarray, side: float) -> list[tuple[int, int]]:
    """(i, j) for each pair of things of which i's middle lies left of j's by more than 12 % of the side."""
    middle = (boxes_N4[:, 0] + boxes_N4[:, 2]) / 2
    count = range(len(boxes_N4))
    return [(i, j) for i in count for j in count if middle[j] - middle[i] > BESIDE * side]
