"""Which promises a plugin's specs make; each becomes one Check. Imports no torch until a check runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from omni.plugin.catalog import get_catalog
from omni.plugin.status import PluginStatus

BASES = {
    "modality": "omni.core.adapter:ModalityAdapter",
    "head": "omni.heads.base:Head",
    "objective": "omni.objectives.base:Objective",
    "transform": "omni.data.transform:Transform",
    "metric": "omni.metrics.base:Metric",
}
ROLE = "augment"
AUGMENTATION = "omni.data.augment:Augmentation"
DISCOVERY = """
import sys
from omni.plugin.catalog import get_catalog
wanted = ({name!r}, {distribution!r})
status = next(item for item in get_catalog().plugins if (item.name, item.distribution) == wanted)
if not status.ok:
    sys.exit(f"in a fresh process it is {{status.state}}: {{status.reason}}")
loaded = [name for name in ("torch", "transformers", "torchvision", "torchaudio") if name in sys.modules]
sys.exit(f"discovery imports {{', '.join(loaded)}}" if loaded else 0)
"""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One promise: ``name`` for people and pytest ids; ``run`` raises (AssertionError, any error) if it is not kept."""

    name: str
    run: Callable[[], None]


def checks_of(status: PluginStatus) -> list[Check]:
    """Every check of one plugin; of a plugin that is not ok only that one."""
    checks = [Check(name="plugin_is_ok", run=partial(plugin_is_ok, status))]
    if not status.ok:
        return checks
    if status.source and not status.distribution.startswith(("file ", "registered")):
        checks.append(Check(name="discovery_imports_no_torch", run=partial(discovery_imports_no_torch, status)))
    for spec in status.specs:
        checks.extend(_spec_checks(spec))
    return checks


def _spec_checks(spec: Any) -> Iterator[Check]:
    label = f"{spec.kind}_{spec.name}"
    if spec.target_strings():
        yield Check(name=f"{label}:targets_resolve", run=partial(targets_resolve, spec))
    from omni.testing import augment, modality, objective, transform

    functions = {
        "modality": modality.CHECKS,
        "transform": transform.CHECKS if getattr(spec, "role", "") != ROLE else augment.CHECKS,
        "objective": objective.OBJECTIVE_CHECKS,
        "head": objective.HEAD_CHECKS,
    }
    for function in functions.get(spec.kind, ()):
        yield Check(name=f"{label}:{function.__name__}", run=partial(function, spec))


def plugin_is_ok(status: PluginStatus) -> None:
    """The host could load it and has nothing to note."""
    assert status.ok, f"{status.state}: {status.reason} {status.hint}\n{status.traceback}".strip()
    assert not status.notes, "; ".join(status.notes)


def discovery_imports_no_torch(status: PluginStatus) -> None:
    """A fresh Python that discovers this plugin has loaded none of the heavy packages."""
    code = DISCOVERY.format(name=status.name, distribution=status.distribution)
    environment = {**os.environ, "OMNI_PLUGINS": status.name}
    environment.pop("OMNI_STRICT_PLUGINS", None)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (done.stderr or done.stdout).strip()


def targets_resolve(spec: Any) -> None:
    """Every "module:Object" of the spec can be imported, and the main one is of the class it must be."""
    catalog = get_catalog()
    entry = catalog.get(spec.kind, spec.name)
    found = [catalog.resolve(target, needed_by=entry) for target in spec.target_strings()]
    base = AUGMENTATION if getattr(spec, "role", "") == ROLE else BASES.get(spec.kind)
    if base:
        wanted = catalog.resolve(base)
        right = isinstance(found[0], type) and issubclass(found[0], wanted)
        assert right, f"{spec.target} is {found[0]!r}; it must be a subclass of {base.replace(':', '.')}"
    for target, value in zip(spec.target_strings(), found, strict=True):
        assert callable(value) or base is None, f"{target} is {value!r}, which cannot be called"
