"""Built-in plugins. They go through the same hooks as everyone else's; only their place in the load order differs.

To add one: write a module here with the hooks of omni.plugin.hookspecs and add its dotted name to the tuple. The last
part of the name is the plugin's name. Like every plugin module, it must not import torch.
"""

from __future__ import annotations

BUILTIN_PLUGINS: tuple[str, ...] = (
    "omni.builtin.text",
    "omni.builtin.data",
    "omni.builtin.retrieval",
    "omni.builtin.objectives",
    "omni.builtin.classification",
    "omni.builtin.systems",
)
