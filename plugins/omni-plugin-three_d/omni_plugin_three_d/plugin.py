"""What this plugin provides. Imports no torch: targets are strings, imported when they are first built."""

from __future__ import annotations

from omni.plugin import HeadSpec, PluginInfo, hookimpl


@hookimpl
def omni_plugin_info() -> PluginInfo:
    return PluginInfo(name="three_d", summary="Shapes out: occupancy, signed distance, point sets, meshes")


@hookimpl
def omni_heads() -> list[HeadSpec]:
    return [
        HeadSpec(
            name="shape_field",
            target="omni_plugin_three_d.heads.shape_field:ShapeField",
            task="reconstruction",
            inputs=("tokens",),
            summary="Occupancy or signed distance on three planes or a latent grid; meshes by marching cubes",
        ),
        HeadSpec(
            name="point_set",
            target="omni_plugin_three_d.heads.point_set:PointSet",
            task="reconstruction",
            inputs=("tokens",),
            summary="So many points of a surface, trained by their Chamfer distance",
        ),
    ]
