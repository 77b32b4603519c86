"""What a made scene is: its labels, where the thing is in every frame, how loud its sound is in each ear, its text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from omni.data.building.counter_rng import CounterRng

SIDE, FPS, SECONDS = 96, 8, 3
FRAMES = FPS * SECONDS
MOTIONS = ("right", "left", "up", "down", "nearer", "away")
WHENS = ("beginning", "middle", "end", "all")
GROUNDS = ("cartoon", "street")
_NEAR, _FAR, _PLAIN = 84.0, 28.0, 50.0  # longer side of the thing, pixels
_EDGE = 0.14  # where its middle begins and ends to move, of the picture's side; there the thing is partly outside
_PLACES = {"cartoon": ("in a cartoon", "in a drawn film"), "street": ("over a street", "above people in a street")}
_MOVES = {
    "right": ("moves from left to right", "goes to the right"),
    "left": ("moves from right to left", "goes to the left"),
    "up": ("rises from the bottom to the top", "goes up"),
    "down": ("sinks from the top to the bottom", "goes down"),
    "nearer": ("comes nearer", "grows as it approaches"),
    "away": ("goes away", "shrinks into the distance"),
}
_HEARD = {
    "beginning": ("heard at the beginning", "sounding first and then quiet"),
    "middle": ("heard in the middle", "sounding for a second in the middle"),
    "end": ("heard at the end", "quiet first and sounding at last"),
    "all": ("heard all the time", "sounding all along"),
}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The labels of one scene.

    Attributes:
        thing: number of the thing. motion: of MOTIONS. when: of WHENS, or None: the file has no sound track.
        ground: of GROUNDS. start: first frame of the ground's film, at FPS. shift: 0..1, which part of its width.
        across: 0..1, where the thing is on the axis along which it does not move. words: which wordings are used.
    """

    thing: int
    motion: str
    when: str | None
    ground: str
    start: int
    shift: float
    across: float
    words: tuple[int, int, int]

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {**vars(self), "words": list(self.words)}

    def seconds(self) -> tuple[float, float] | None:
        """From when to when it sounds; None without a sound track."""
        if self.when is None:
            return None
        if self.when == "all":
            return (0.0, float(SECONDS))
        return (float(WHENS.index(self.when)), WHENS.index(self.when) + 1.0)

    def text(self, name: str) -> str:
        """One English line about the thing called ``name``."""
        words = f"{name} {_MOVES[self.motion][self.words[0]]} {_PLACES[self.ground][self.words[1]]}"
        heard = f", {_HEARD[self.when][self.words[2]]}" if self.when else ""
        return words[0].upper() + words[1:] + heard + "."

    def boxes(self, height: int, width: int) -> np.ndarray:
        """(FRAMES, 4) float64 x0, y0, x1, y1 in pixels: the box of the thing in each frame; it may reach outside.

        Args:
            height, width: of the thing's picture, for its aspect.
        """
        progress = (np.arange(FRAMES) + 0.5) / FRAMES
        size = np.full(FRAMES, _PLAIN)
        if self.motion in ("nearer", "away"):
            size = _FAR * (_NEAR / _FAR) ** (progress if self.motion == "nearer" else 1 - progress)
        high, wide = size * height / max(height, width), size * width / max(height, width)
        moving = _EDGE + (1 - 2 * _EDGE) * (progress if self.motion in ("right", "down") else 1 - progress)
        steady = np.full(FRAMES, 0.3 + 0.4 * self.across)
        x, y = (moving, steady) if self.motion in ("right", "left") else (steady, moving)
        if self.motion in ("nearer", "away"):
            x, y = steady, np.full(FRAMES, 0.5)
        return np.stack([SIDE * x - wide / 2, SIDE * y - high / 2, SIDE * x + wide / 2, SIDE * y + high / 2], 1)


def draw_scenes(
    name: str, count: int, *, things: list[int], groups: list[int], starts: dict[str, np.ndarray], silent: float,
    distinct: bool,
) -> list[Scene]:  # fmt: skip
    """Draw scenes; the same on every machine.

    Args:
        name: of the split, part of the seed.
        things: numbers to draw from. groups: of every thing; things of one group are called alike.
        starts: ground -> frames at which a piece of FRAMES frames may begin.
        silent: share without a sound track.
        distinct: no two scenes of which the text tells the same.
    """
    rng = CounterRng("mix", "scenes", name)
    scenes: list[Scene] = []
    seen = set()
    for _ in range(20 * count):
        numbers = rng.bits(9)
        ground = GROUNDS[int(numbers[0] % 2)]
        fraction = (numbers >> np.uint64(40)).astype(np.float64) / 2**24
        scene = Scene(
            thing=things[int(numbers[1] % len(things))], motion=MOTIONS[int(numbers[2] % len(MOTIONS))],
            when=None if fraction[3] < silent else WHENS[int(numbers[4] % len(WHENS))], ground=ground,
            start=int(starts[ground][int(numbers[5] % len(starts[ground]))]), shift=float(fraction[6]),
            across=float(fraction[7]), words=tuple(int(numbers[8] >> np.uint64(bit)) % 2 for bit in (3, 5, 7)),
        )  # fmt: skip
        told = (groups[scene.thing], scene.motion, scene.when, scene.ground)
        if distinct and told in seen:
            continue
        seen.add(told)
        scenes.append(scene)
        if len(scenes) == count:
            break
    return scenes


def render(scene: Scene, picture_HWC: np.ndarray, ground_TWHC: np.ndarray) -> np.ndarray:
    """(FRAMES, SIDE, SIDE, 3) uint8: the thing over the ground.

    Args:
        picture_HWC: uint8 RGBA.
        ground_TWHC: (all frames, SIDE, W >= SIDE, 3) uint8 of the ground's film.
    """
    from PIL import Image

    spare = ground_TWHC.shape[2] - SIDE
    left = round(scene.shift * spare)
    frames = ground_TWHC[scene.start : scene.start + FRAMES, :, left : left + SIDE].copy()
    picture = Image.fromarray(picture_HWC)
    boxes = scene.boxes(*picture_HWC.shape[:2])
    resized: dict[tuple[int, int], Image.Image] = {}
    for number, (x0, y0, x1, y1) in enumerate(boxes):
        size = (max(1, round(x1 - x0)), max(1, round(y1 - y0)))
        if size not in resized:
            resized[size] = picture.resize(size, Image.Resampling.LANCZOS)
        made = Image.fromarray(frames[number])
        made.paste(resized[size], (round(x0), round(y0)), resized[size])
        frames[number] = np.asarray(made)
    return frames


def ears(scene: Scene, wave_T: np.ndarray, rate: int) -> np.ndarray | None:
    """(2, SECONDS * rate) float32: the sound in the left and the right ear, or None without a sound track.

    The sound fills its seconds (repeated if shorter, cut if longer), fades 20 ms in and out, is panned with equal power
    by the middle of the thing's box, and is as loud as the box is large (amplitude ~ 1 / distance).
    """
    span = scene.seconds()
    if span is None:
        return None
    total, begin = SECONDS * rate, round(span[0] * rate)
    length = round((span[1] - span[0]) * rate)
    piece = np.tile(wave_T, -(-length // len(wave_T)))[:length].astype(np.float64)
    fade = np.minimum(1.0, np.arange(length) / (0.02 * rate))
    boxes = scene.boxes(1, 1)
    times = (np.arange(FRAMES) + 0.5) / FPS * rate
    moment = begin + np.arange(length)
    pan = np.interp(moment, times, (boxes[:, 0] + boxes[:, 2]) / 2 / SIDE)
    gain = np.interp(moment, times, boxes[:, 2] - boxes[:, 0]) / _NEAR
    piece *= fade * fade[::-1] * gain
    sound_CT = np.zeros((2, total))
    sound_CT[0, begin : begin + length] = piece * np.cos(pan * np.pi / 2)
    sound_CT[1, begin : begin + length] = piece * np.sin(pan * np.pi / 2)
    return (sound_CT / np.sqrt(2)).astype(np.float32)
