"""Augmentations of point clouds by name; normals are turned with their points."""

from __future__ import annotations

from torch import Tensor

from omni.data.augment import Augmentation, amount, chance
from omni.data.transform import Transform
from omni.errors import ConfigError
from omni_plugin_pointcloud.augment import PointcloudAugment
from omni_plugin_pointcloud.transform import FLAG_WIDTH, PointcloudBasic


class _Change(Augmentation):
    """What the named ones share.

    Args:
        change: the change and its strength.
    """

    def __init__(self, change: PointcloudAugment) -> None:
        if change.problems():
            raise ConfigError(f"Augmentation of point clouds: {change.problems()}.")
        self.change = change
        self.up, self.features = "z", ()

    def bind(self, transform: Transform) -> None:
        """Which axis points up, and where the normals are."""
        if not isinstance(transform, PointcloudBasic):
            raise ConfigError(f"The augmentation needs 'pointcloud_basic', not {type(transform).__name__}.")
        self.up, self.features = transform.up, transform.features

    def tensors(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """points_N3 and features_NC changed."""
        features = tensors.get("features_NC")
        start = FLAG_WIDTH * self.features.index("normal") if "normal" in self.features else None
        normals = None if features is None or start is None else features[:, start : start + 3]
        points, normals, stay_N = self.change(tensors["points_N3"], normals, up=self.up)
        found = {"points_N3": points[stay_N]}
        if features is not None:
            if normals is not None:
                features = features.clone()
                features[:, start : start + 3] = normals
            found["features_NC"] = features[stay_N]
        return found


class PointcloudRotate(_Change):
    """A turn about the axis that points up, by up to ``degrees`` either way."""

    def __init__(self, *, degrees: float = 180.0) -> None:
        super().__init__(PointcloudAugment(rotate=amount(degrees, "pointcloud_rotate: degrees")))


class PointcloudScale(_Change):
    """All axes times one factor from 1 - most to 1 + most."""

    def __init__(self, *, most: float = 0.2) -> None:
        super().__init__(PointcloudAugment(scale=chance(most, "pointcloud_scale: most")))


class PointcloudJitter(_Change):
    """Noise on every coordinate, of this deviation in units of the cloud's radius."""

    def __init__(self, *, deviation: float = 0.01) -> None:
        super().__init__(PointcloudAugment(jitter=amount(deviation, "pointcloud_jitter: deviation")))


class PointcloudDropout(_Change):
    """Leaves out up to this share of the points; one always stays."""

    def __init__(self, *, share: float = 0.5) -> None:
        super().__init__(PointcloudAugment(drop=chance(share, "pointcloud_dropout: share")))
