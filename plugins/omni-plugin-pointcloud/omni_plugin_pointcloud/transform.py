"""From a cloud to what the adapter reads: so many points in the unit sphere, with a mask."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from omni.data.building.counter_rng import CounterRng
from omni.data.transform import Transform
from omni.errors import ConfigError
from omni_plugin_pointcloud.arrays import EXTRA
from omni_plugin_pointcloud.augment import PointcloudAugment, make_augment
from omni_plugin_pointcloud.cloud import Cloud
from omni_plugin_pointcloud.io import MESH_POINTS, MOST_MESH_POINTS, load

NORMALIZE = ("sphere", "none")
SUBSETS = ("random", "fixed")
FLAG_WIDTH = 4  # three numbers and whether they are known


class PointcloudBasic(Transform):
    """Chooses points, moves them into the unit sphere, and appends what else is known of them.

    Without training the result does not depend on the order of the points: they are sorted by their coordinates first,
    and which ones are chosen follows from them.

    Args:
        points: at most so many; smaller clouds stay as they are, no point is repeated.
        normalize: "sphere": the centroid goes to the origin and the farthest point to distance 1; "none".
        features: "color", "normal" or both: three numbers each and a flag, 0 where a cloud has none.
        subset: which points training takes: "random", others each time; "fixed", those of evaluation, so that all
            clouds can be made into tensors once (the adapter's own ``augment`` can still thin them out).
        up: "x", "y" or "z", the axis that points up, for turning.
        augment: keyword arguments of PointcloudAugment, for training; None = none.

    Raises:
        ConfigError: a setting that cannot be meant.
    """

    def __init__(
        self,
        *,
        points: int = 1024,
        normalize: str = "sphere",
        features: Sequence[str] = (),
        subset: str = "random",
        up: str = "z",
        augment: dict[str, Any] | None = None,
    ) -> None:
        if points < 2:
            raise ConfigError(f"pointcloud_basic: points is {points}; a shape needs two or more.")
        for what, value, known in (("normalize", normalize, NORMALIZE), ("subset", subset, SUBSETS)):
            if value not in known:
                raise ConfigError(f"pointcloud_basic: {what} is one of {', '.join(known)}, not {value!r}.")
        self.features = check_features(features, "pointcloud_basic")
        self.points, self.normalize, self.subset, self.up = int(points), normalize, subset, up
        self.augment = make_augment(augment, up=up, who="pointcloud_basic")
        self.deterministic = subset == "fixed" and self.augment == PointcloudAugment()

    def __call__(self, raw: Any, *, training: bool = False) -> dict[str, Tensor]:
        """``raw``: a Cloud, or anything that the loader reads.

        Returns:
            points_N3 float32; features_NC float32, C = 4 a feature, where there are features.

        Raises:
            InputError: it cannot be read.
        """
        cloud = raw if isinstance(raw, Cloud) else load(raw, **self.loader_options())
        order_N = sorted_order(cloud.columns())
        chosen_N = order_N[self._chosen(cloud.columns()[order_N], training)]
        place_N3, size = self._frame(cloud.points_N3[order_N])
        points_N3 = torch.from_numpy(((cloud.points_N3[chosen_N] - place_N3) / size).astype(np.float32))
        colors_N3, normals_N3 = (None if x is None else torch.from_numpy(x[chosen_N]) for x in _extras(cloud))
        stay_N = torch.ones(len(points_N3), dtype=torch.bool)
        if training and self.augment != PointcloudAugment():
            points_N3, normals_N3, stay_N = self.augment(points_N3, normals_N3, up=self.up)
        found = {"points_N3": points_N3[stay_N]}
        if self.features:
            known = {"color": colors_N3, "normal": normals_N3}
            columns = [_flagged(known[name], len(points_N3)) for name in self.features]
            found["features_NC"] = torch.cat(columns, 1)[stay_N]
        return found

    def collate(self, items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """points_BN3, valid_BN (True = a point), and features_BNC."""
        most = max(len(item["points_N3"]) for item in items)
        valid_BN = torch.zeros(len(items), most, dtype=torch.bool)
        batch = {f"{key[:-3]}_B{key[-2:]}": item.new_zeros(len(items), most, item.shape[1])
                 for key, item in items[0].items()}  # fmt: skip
        for row, item in enumerate(items):
            count = len(item["points_N3"])
            valid_BN[row, :count] = True
            for key, value in item.items():
                batch[f"{key[:-3]}_B{key[-2:]}"][row, :count] = value
        return {**batch, "valid_BN": valid_BN}

    def to_config(self, folder: Path | None = None) -> dict[str, Any]:
        return {
            "points": self.points,
            "normalize": self.normalize,
            "features": list(self.features),
            "subset": self.subset,
            "up": self.up,
            "augment": None if self.augment == PointcloudAugment() else asdict(self.augment),
        }

    def loader_options(self) -> dict[str, Any]:
        """A mesh gives more points than are used, so that training sees others each time; colours only if used."""
        return {
            "mesh_points": min(MOST_MESH_POINTS, max(MESH_POINTS, 4 * self.points)),
            "color": "color" in self.features,
            "normals": "normal" in self.features,
        }

    def _chosen(self, sorted_NC: np.ndarray, training: bool) -> np.ndarray:
        """Places among the sorted points."""
        count = len(sorted_NC)
        if count <= self.points:
            return np.arange(count)
        if training and self.subset == "random":
            return np.sort(torch.randperm(count)[: self.points].numpy())
        rng = CounterRng("points", hashlib.sha256(np.ascontiguousarray(sorted_NC).tobytes()).hexdigest())
        return np.sort(np.argsort(rng.bits(count), kind="stable")[: self.points])

    def _frame(self, points_N3: np.ndarray) -> tuple[np.ndarray, float]:
        """Where the origin goes, and what becomes 1: of the whole cloud, so that choices of points fit each other."""
        if self.normalize == "none":
            return np.zeros(3), 1.0
        points = points_N3.astype(np.float64)
        center_3 = points.mean(0)
        return center_3, float(np.linalg.norm(points - center_3, axis=1).max())


def sorted_order(values_NC: np.ndarray) -> np.ndarray:
    """(N,) the order of the rows by their first column, then by the second, and so on."""
    return np.lexsort(values_NC.T[::-1])


def check_features(features: Sequence[str], who: str) -> tuple[str, ...]:
    """Different ones of "color" and "normal"; else ConfigError."""
    found = (features,) if isinstance(features, str) else tuple(features)
    if not set(found) <= set(EXTRA) or len(set(found)) < len(found):
        raise ConfigError(f"{who}: features are different ones of {', '.join(EXTRA)}, not {list(found)}.")
    return found


def _extras(cloud: Cloud) -> tuple[np.ndarray | None, np.ndarray | None]:
    return cloud.colors_N3, cloud.normals_N3


def _flagged(values_N3: Tensor | None, count: int) -> Tensor:
    """(N, 4): the numbers and 1; zeros where they are not known."""
    if values_N3 is None:
        return torch.zeros(count, FLAG_WIDTH)
    return torch.cat((values_N3, torch.ones(count, 1)), 1)
