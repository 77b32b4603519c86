"""Points -> tokens: centres by farthest points, their neighbours through a small PointNet, positions by an MLP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni.core.adapter import ModalityAdapter, keep_tokens
from omni.errors import ConfigError, InputError
from omni.types import TokenSequence
from omni_plugin_pointcloud.augment import PointcloudAugment, augment_batch, make_augment
from omni_plugin_pointcloud.grouping import canonical_order, farthest_points, gather_points, nearest
from omni_plugin_pointcloud.transform import FLAG_WIDTH, check_features

NORM_EPS = 1e-5


class MiniPointNet(nn.Module):
    """A group of points -> one vector, whatever their order: an MLP, the group's maximum beside each point, an MLP, the
    maximum (Yu et al. 2022, Point-BERT, section 3.1). Layer norms where it has batch norms: a cloud must not depend on
    the others of its batch.

    Args:
        channels: of a point.
        hidden: of the first MLP; the second is twice as wide.
        width: D of the result.
    """

    def __init__(self, *, channels: int, hidden: int, width: int) -> None:
        super().__init__()
        self.enter = nn.Linear(channels, hidden)
        self.enter_norm = nn.LayerNorm(hidden, eps=NORM_EPS)
        self.first = nn.Linear(hidden, hidden)
        self.second = nn.Linear(2 * hidden, 2 * hidden)
        self.second_norm = nn.LayerNorm(2 * hidden, eps=NORM_EPS)
        self.leave = nn.Linear(2 * hidden, width)

    def forward(self, points_GKC: Tensor, valid_GK: Tensor) -> Tensor:
        """Embed groups.

        Args:
            points_GKC: G groups. valid_GK: bool, True = a point, at least one a group.

        Returns:
            (G, D).
        """
        hidden = self.first(F.gelu(self.enter_norm(self.enter(points_GKC))))
        whole = _largest(hidden, valid_GK)[:, None].expand_as(hidden)
        hidden = F.gelu(self.second_norm(self.second(torch.cat((whole, hidden), 2))))
        return _largest(self.leave(hidden), valid_GK)


def _largest(values_GKC: Tensor, valid_GK: Tensor) -> Tensor:
    lowest = torch.finfo(values_GKC.dtype).min
    return values_GKC.masked_fill(~valid_GK[..., None], lowest).amax(1)


class PointcloudAdapter(ModalityAdapter):
    """Tokens of a point cloud, exactly the same whatever the order of its points (Point-BERT, Yu et al. 2022; farthest
    points as in PointNet++, Qi et al. 2017).

    A cloud becomes a class token and one token a centre. A token holds the centre's nearest points relative to it, and
    where the centre is. Clouds with fewer places than centres have fewer valid tokens.

    Args:
        modality, width, num_heads, num_layers: as in ModalityAdapter.
        groups: centres of a cloud, at most.
        neighbours: points of a group, at most.
        features: what the transform appends to points: "color", "normal".
        hidden: width of the PointNet's first part.
        radius: neighbours' offsets are divided by it, so that a group fills about one unit.
        augment: keyword arguments of PointcloudAugment, applied in training mode, where the transform's would be in the
            way of making all clouds into tensors once; None = none.
        up: "x", "y" or "z", the axis that points up, for turning.

    Raises:
        ConfigError: sizes that are not positive, unknown features.
    """

    def __init__(
        self,
        *,
        modality: str = "pointcloud",
        width: int,
        num_heads: int,
        num_layers: int,
        groups: int = 64,
        neighbours: int = 32,
        features: Sequence[str] = (),
        hidden: int = 64,
        radius: float = 0.3,
        augment: Mapping[str, Any] | None = None,
        up: str = "z",
    ) -> None:
        super().__init__(modality=modality, width=width, num_heads=num_heads, num_layers=num_layers)
        if min(groups, neighbours, hidden) < 1 or radius <= 0:
            raise ConfigError("The point cloud adapter needs groups, neighbours, hidden and radius above 0.")
        self.groups, self.neighbours, self.radius = int(groups), int(neighbours), float(radius)
        self.features = check_features(features, "The point cloud adapter")
        self.augment, self.up = make_augment(augment, up=up, who="The point cloud adapter"), up
        self.channels = 3 + FLAG_WIDTH * len(self.features)
        self.net = MiniPointNet(channels=self.channels, hidden=hidden, width=width)
        self.place = nn.Sequential(nn.Linear(3, 128), nn.GELU(), nn.Linear(128, width))
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        nn.init.trunc_normal_(self.class_token, std=0.02)

    def forward(self, inputs: dict[str, Tensor], *, keep_BL: Tensor | None = None) -> TokenSequence:
        """Embed clouds.

        Args:
            inputs: ``points_BN3`` float, in the unit sphere; ``valid_BN`` bool, True = a point; ``features_BNC`` float,
                C = 4 a feature, where the adapter has features.
            keep_BL: (B, L) over class token and centres, in the order in which they were found; None = all.

        Returns:
            TokenSequence of a class token and the centres. positions_BLP are the centres' coordinates, zeros for the
            class token.

        Raises:
            InputError: tensors that are missing or do not fit, or a cloud without a point.
        """
        points_BN3, features_BNC, valid_BN = self._read(inputs)
        if self.training and self.augment != PointcloudAugment():
            points_BN3, features_BNC, valid_BN = self._changed(points_BN3, features_BNC, valid_BN)
        with torch.no_grad(), torch.autocast(points_BN3.device.type, enabled=False):
            order_BN = canonical_order(points_BN3, features_BNC, valid_BN)
            valid_BN = valid_BN.gather(1, order_BN)
            points_BN3 = points_BN3.gather(1, order_BN[..., None].expand_as(points_BN3)).masked_fill(
                ~valid_BN[..., None], 0.0
            )
            center_BG, valid_BG, distance_BGN = farthest_points(points_BN3, valid_BN, self.groups)
            index_BGK, near_BGK = nearest(distance_BGN, min(self.neighbours, points_BN3.shape[1]))
            center_BG3 = points_BN3.gather(1, center_BG[..., None].expand(-1, -1, 3))
            offsets_BGK3 = (gather_points(points_BN3, index_BGK) - center_BG3[:, :, None]) / self.radius
        read = [offsets_BGK3]
        if features_BNC is not None:
            features_BNC = features_BNC.gather(1, order_BN[..., None].expand_as(features_BNC))
            read.append(gather_points(features_BNC, index_BGK))
        dtype = self.class_token.dtype
        groups_GKC = torch.cat(read, 3).to(dtype).flatten(0, 1)
        tokens = self.net(groups_GKC, near_BGK.flatten(0, 1)).unflatten(0, center_BG.shape)
        tokens = self.norm(tokens + self.place(center_BG3.to(dtype)))
        first = self.class_token.to(tokens.dtype).expand(len(tokens), -1, -1)
        sequence = TokenSequence(
            tokens_BLD=torch.cat((first, tokens), 1),
            valid_BL=F.pad(valid_BG, (1, 0), value=True),
            modality=self.modality,
            positions_BLP=F.pad(center_BG3, (0, 0, 1, 0)),
        )
        return sequence if keep_BL is None else keep_tokens(sequence, keep_BL)

    @torch.no_grad()
    def _changed(
        self, points_BN3: Tensor, features_BNC: Tensor | None, valid_BN: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Augmented, normals with the points."""
        start = FLAG_WIDTH * self.features.index("normal") if "normal" in self.features else None
        normals = None if features_BNC is None or start is None else features_BNC[..., start : start + 3]
        points_BN3, normals, valid_BN = augment_batch(points_BN3, normals, valid_BN, self.augment, up=self.up)
        if features_BNC is not None and normals is not None:
            features_BNC = torch.cat((features_BNC[..., :start], normals, features_BNC[..., start + 3 :]), 2)
        return points_BN3, features_BNC, valid_BN

    def _read(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor | None, Tensor]:
        """Points and features in float32, zero where not valid."""
        wanted = {"points_BN3", "valid_BN"} | ({"features_BNC"} if self.features else set())
        if not wanted <= set(inputs):
            named = f" with features={list(self.features)}" if self.features else ""
            raise InputError(
                f"The point cloud adapter reads {', '.join(sorted(wanted))}; the batch has {', '.join(inputs)}. Use "
                f"the transform 'pointcloud_basic'{named} for its slot."
            )
        points, valid = inputs["points_BN3"], inputs["valid_BN"]
        if points.dim() != 3 or points.shape[2] != 3 or 0 in points.shape or valid.shape != points.shape[:2]:
            raise InputError(
                f"points_BN3 and valid_BN have the shapes {tuple(points.shape)} and {tuple(valid.shape)}, which do not "
                "fit together."
            )
        if not torch.compiler.is_compiling() and not bool(valid.any(1).all()):
            row = int((~valid.any(1)).nonzero()[0])
            raise InputError(f"Cloud {row} of the batch has no point; leave its slot out of the sample.")
        features = None
        if self.features:
            features = inputs["features_BNC"]
            if features.shape != (*valid.shape, self.channels - 3):
                raise InputError(
                    f"features_BNC has the shape {tuple(features.shape)}; {list(self.features)} need "
                    f"{(*valid.shape, self.channels - 3)}. Give transform and adapter the same features."
                )
            features = features.float().masked_fill(~valid[..., None], 0.0)
        return points.float().masked_fill(~valid[..., None], 0.0), features, valid
