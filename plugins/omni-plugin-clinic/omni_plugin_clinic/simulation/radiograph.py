"""From projections to a radiograph: which findings, whose body, which exposure, which detector."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from omni.data.building.counter_rng import CounterRng
from omni_plugin_clinic.latents import SHADOWS
from omni_plugin_clinic.simulation.anatomy import FLUID_LEVELS, FLUID_SIDES, HEART_SCALES, Anatomy
from omni_plugin_clinic.simulation.projection import draw_pose, project

NATIVE = 192  # pixels of the detector, which pictures are made smaller from
VARIANTS = 3  # shadows of each kind a pose
_COARSE = 96
_DETAIL = 0.7  # how much of what is finer than a fourteenth of the picture is added
_HEARTS = 2
_FLUIDS = _HEARTS + len(HEART_SCALES)
_SHADOWS = _FLUIDS + 2 * len(FLUID_SIDES) * len(FLUID_LEVELS)
NUM_MAPS = _SHADOWS + (len(SHADOWS) - 1) * VARIANTS


@dataclass(frozen=True, kw_only=True)
class View:
    """How a radiograph was made.

    Attributes:
        pose: number of the pose. heart: size of the heart's outline over the real one's, about.
        fluid: side -> height of the fluid in parts of the lung. shadow: variant of the shadow, -1 for none.
    """

    pose: int
    heart: float
    fluid: dict[str, float]
    shadow: int

    def to_dict(self) -> dict[str, object]:
        """JSON form, rounded."""
        fluid = {side: round(level, 3) for side, level in self.fluid.items()}
        return {"pose": self.pose, "heart": round(self.heart, 3), "fluid": fluid, "shadow": self.shadow}


class Projector:
    """Projects one anatomy, with everything that can be found in it, in any pose."""

    def __init__(self, anatomy: Anatomy) -> None:
        self.anatomy = anatomy
        self._base = anatomy.base()
        self._findings = np.concatenate([anatomy.hearts(), anatomy.fluids()])

    def maps(self, *seed: object) -> np.ndarray:
        """(NUM_MAPS, NATIVE, NATIVE) float16: line sums of the body and of every finding, in one pose.

        Maps: soft tissue, bone, hearts by scale, fluids by heart, side and level, shadows by kind and variant.
        """
        rng = CounterRng("simclinic", "pose", *seed)
        pose = draw_pose(rng)
        body = project(self._base, self.anatomy.spacing, pose, side=NATIVE, step_mm=2.0)
        shadows = [self.anatomy.shadow(kind, rng) for kind in range(1, len(SHADOWS)) for _ in range(VARIANTS)]
        found = [
            project(volumes, self.anatomy.coarse_spacing, pose, side=_COARSE, step_mm=3.0)
            for volumes in (self._findings, np.stack(shadows))
        ]
        larger = [cv2.resize(layer, (NATIVE, NATIVE), interpolation=cv2.INTER_CUBIC) for layer in np.concatenate(found)]
        return np.concatenate([body, np.maximum(np.stack(larger), 0)]).astype(np.float16)


def draw_view(c: int, f: int, s: int, poses: int, rng: CounterRng) -> tuple[View, np.ndarray]:
    """What a radiograph that shows (c, f, s) is made of; the second is (NUM_MAPS,) weights of the maps."""
    weights = np.zeros(NUM_MAPS)
    weights[0] = rng.uniform((), 0.92, 1.1)
    weights[1] = rng.uniform((), 0.75, 1.25)
    share = float(rng.uniform())
    if c:
        weights[_HEARTS + 1 : _HEARTS + 3] = 1 - share, share
        heart = HEART_SCALES[1] * (1 - share) + HEART_SCALES[2] * share
    else:
        weights[_HEARTS] = 0.5 * share
        heart = 1 + 0.5 * share * (HEART_SCALES[0] - 1)
    fluid = {}
    which, levels = int(rng.integers(3, (1,))[0]), rng.uniform((2,), 0.0, len(FLUID_LEVELS) - 1)
    if f:
        for number, side in enumerate(FLUID_SIDES):
            if which in (number, 2):
                low = int(levels[number])
                part = float(levels[number]) - low
                first = _FLUIDS + (c * len(FLUID_SIDES) + number) * len(FLUID_LEVELS) + low
                weights[first], weights[first + 1] = 1 - part, part
                fluid[side] = FLUID_LEVELS[low] * (1 - part) + FLUID_LEVELS[low + 1] * part
    variant = int(rng.integers(VARIANTS, (1,))[0])
    if s:
        weights[_SHADOWS + (s - 1) * VARIANTS + variant] = rng.uniform((), 0.9, 1.3)
    pose = int(rng.integers(poses, (1,))[0])
    return View(pose=pose, heart=heart, fluid=fluid, shadow=variant if s else -1), weights


def expose(maps: np.ndarray, weights: np.ndarray, rng: CounterRng, *, side: int) -> np.ndarray:
    """(side, side) uint8, white where little comes through.

    Args:
        maps: of project_pose.
        weights: of draw_view.
        rng: of the body's proportions, the exposure and the noise.
        side: in pixels, at most NATIVE.
    """
    used = np.flatnonzero(weights)
    sums = np.tensordot(weights[used].astype(np.float32), maps[used].astype(np.float32), 1)
    sums = _reshaped(sums, rng)
    through = np.exp(-sums)
    scatter = cv2.GaussianBlur(through, (0, 0), NATIVE / 9)
    through = through + float(rng.uniform((), 0.08, 0.25)) * scatter
    photons = float(rng.uniform((), 1.5e5, 5e5))
    noise = rng.normal(through.shape).astype(np.float32) * np.sqrt(through / photons)
    through = cv2.GaussianBlur(np.maximum(through + noise, 1e-6), (0, 0), float(rng.uniform((), 0.5, 0.8)))
    seen = -np.log(cv2.resize(through, (side, side), interpolation=cv2.INTER_AREA))
    return _shown(seen, rng)


def _reshaped(sums: np.ndarray, rng: CounterRng) -> np.ndarray:
    """Another patient's proportions: wider or taller, turned and shifted a little, smoothly bent."""
    size = sums.shape[0]
    scale = rng.uniform((2,), 0.94, 1.07)
    angle, shift = np.deg2rad(rng.uniform((), -2.5, 2.5)), rng.uniform((2,), -0.03, 0.03)
    row, column = np.meshgrid(*(np.linspace(-1, 1, size, dtype=np.float32),) * 2, indexing="ij")
    coarse = rng.normal((2, 5, 5)).astype(np.float32)
    bends = [cv2.resize(layer, (size, size), interpolation=cv2.INTER_CUBIC) for layer in coarse]
    across = (column * np.cos(angle) - row * np.sin(angle)) / scale[0] + shift[0] + 0.012 * bends[0]
    down = (column * np.sin(angle) + row * np.cos(angle)) / scale[1] + shift[1] + 0.012 * bends[1]
    to_pixels = [((axis + 1) * (size - 1) / 2).astype(np.float32) for axis in (across, down)]
    return cv2.remap(sums, *to_pixels, interpolation=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _shown(seen: np.ndarray, rng: CounterRng) -> np.ndarray:
    """Detail lifted, the display's window and curve: as a radiograph is developed."""
    side = seen.shape[0]
    seen = seen + _DETAIL * (seen - cv2.GaussianBlur(seen, (0, 0), side / 14))
    middle = seen[side // 8 : -side // 8, side // 8 : -side // 8]
    low, high = np.percentile(middle, (2.0, 99.0))
    low, high = low - float(rng.uniform((), 0.02, 0.15)), high + float(rng.uniform((), -0.05, 0.15))
    level = np.clip((seen - low) / (high - low), 0, 1) ** float(rng.uniform((), 1.0, 1.35))
    return np.rint(255 * (0.03 + 0.94 * level)).astype(np.uint8)


def to_png(pixels: np.ndarray) -> bytes:
    """A grey PNG of 8 bits."""
    done, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert done
    return data.tobytes()


