"""An experiment that measures nothing but its seed, for the tests of the runner and the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omni.plugin import PluginInfo, SystemSpec, hookimpl
from omni.systems.experiment import Experiment, Finding, Log

MEASURED: list[int] = []


class SeedIsSmall(Experiment):
    """Holds for seeds below the config's bound."""

    claim = "Seeds are small."
    rule = "Seed below the bound."
    bound = 10

    def config(self, *, full: bool) -> dict[str, Any]:
        return {"bound": self.bound * (10 if full else 1)}

    def measure(self, seed: int, config: Mapping[str, Any], log: Log) -> dict[str, float]:
        MEASURED.append(seed)
        return {"seed": float(seed)}

    def judge(self, measured: Mapping[str, float], config: Mapping[str, Any]) -> Sequence[Finding]:
        value, bound = measured["seed"], config["bound"]
        return [Finding(name="seed below the bound", value=value, bound=bound, holds=value < bound)]


@hookimpl
def omni_plugin_info() -> PluginInfo:
    return PluginInfo(name="toy_systems")


@hookimpl
def omni_systems() -> list[SystemSpec]:
    here = f"{__name__}:SeedIsSmall"
    facts = {"title": "Small seeds", "year": 2020, "claim": "Seeds are small.", "data": "synthetic"}
    return [
        SystemSpec(slug="small_seeds", experiment=here, components=("objective:info_nce",), **facts),
        SystemSpec(slug="only_told", **facts),
    ]
