"""Draws plugins/omni-plugin-pointcloud/pointcloud.png: a stool made of boxes and cylinders, points of its surface, and
the groups that the adapter makes of them.

    python tools/draw_pointcloud.py [OUTPUT]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "plugins" / "omni-plugin-pointcloud" / "pointcloud.png"
GROUPS, NEIGHBOURS = 24, 24


def stool() -> Any:
    """A mesh: a round seat on four legs, a back of three bars."""
    import trimesh

    move = trimesh.transformations.translation_matrix
    parts = [trimesh.creation.cylinder(0.5, 0.08, transform=move((0, 0, 0.9)))]
    parts += [
        trimesh.creation.box((0.08, 0.08, 0.9), transform=move((x, y, 0.45)))
        for x in (-0.32, 0.32) for y in (-0.32, 0.32)
    ]  # fmt: skip
    parts += [trimesh.creation.box((0.06, 0.05, 0.8), transform=move((x, 0.44, 1.3))) for x in (-0.2, 0.0, 0.2)]
    parts.append(trimesh.creation.box((0.6, 0.06, 0.14), transform=move((0, 0.44, 1.74))))
    return trimesh.util.concatenate(parts)


def main() -> int:
    import matplotlib

    matplotlib.use("Agg")
    import torch
    from matplotlib import pyplot as plt
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    from omni_plugin_pointcloud.grouping import canonical_order, farthest_points, nearest
    from omni_plugin_pointcloud.io import load
    from omni_plugin_pointcloud.transform import PointcloudBasic

    mesh = stool()
    points = PointcloudBasic(points=1024)(load(mesh.export(file_type="off").encode()))["points_N3"][None]
    valid = torch.ones(points.shape[:2], dtype=torch.bool)
    points = points.gather(1, canonical_order(points, None, valid)[..., None].expand_as(points))
    center_BG, _, distance_BGN = farthest_points(points, valid, GROUPS)
    index_BGK, _ = nearest(distance_BGN, NEIGHBOURS)
    figure = plt.figure(figsize=(9, 3.4), dpi=90)
    axes = [figure.add_subplot(1, 3, place + 1, projection="3d") for place in range(3)]
    axes[0].add_collection3d(Poly3DCollection(mesh.triangles, facecolor="#c9a66b", edgecolor="#6b5230", linewidth=0.2))
    axes[0].auto_scale_xyz(*mesh.bounds.T)
    cloud = points[0].numpy()
    axes[1].scatter(*cloud.T, s=2, c=cloud[:, 2], cmap="viridis")
    colors = plt.get_cmap("tab20")(np.arange(GROUPS) % 20)
    for group, color in zip(index_BGK[0].numpy(), colors, strict=True):
        axes[2].scatter(*cloud[group].T, s=3, color=color)
    axes[2].scatter(*cloud[center_BG[0].numpy()].T, s=18, c="black", marker="x")
    for axis, title in zip(axes, ("a mesh", "1,024 points of it", f"{GROUPS} groups and their centres"), strict=True):
        axis.set_title(title, fontsize=10)
        axis.set_axis_off()
        axis.set_box_aspect((1, 1, 1.7))
        axis.view_init(18, -60)
    figure.tight_layout(pad=0.2)
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT
    figure.savefig(output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
