"""Runs experiments seed by seed and keeps results as JSON keyed by code, config and seed: a rerun resumes."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omni.plugin.catalog import get_catalog
from omni.systems.experiment import Experiment, ExperimentResult, Log, SeedRun
from omni.zoo import omni_home


def results_folder() -> Path:
    """Where results lie: $OMNI_HOME/systems, by default ~/.cache/omni/systems."""
    return omni_home() / "systems"


def load_experiment(slug: str) -> Experiment:
    """The experiment object of a system.

    Raises:
        UnknownComponentError: no such system, or one without an experiment.
    """
    from omni.errors import UnknownComponentError

    catalog = get_catalog()
    spec = catalog.get("system", slug).spec
    if not spec.experiment:
        raise UnknownComponentError(f"System {slug!r} has no experiment yet.")
    return catalog.resolve(spec.experiment)()


def run_experiment(
    slug: str,
    *,
    seeds: Sequence[int] | None = None,
    full: bool = False,
    force: bool = False,
    log: Log = print,
    folder: Path | None = None,
) -> ExperimentResult:
    """Run what is not there yet and give all seeds' results.

    Args:
        slug: the system.
        seeds: default the experiment's own.
        full: the longer form.
        force: measure again even what is there.
        log: receives one line a step.
        folder: where results are kept.
    """
    experiment = load_experiment(slug)
    config = experiment.config(full=full)
    folder = (folder or results_folder()) / slug
    folder.mkdir(parents=True, exist_ok=True)
    runs, reused = [], 0
    for seed in seeds if seeds is not None else experiment.default_seeds:
        path = folder / f"{result_key(experiment, config, seed)}.json"
        if path.exists() and not force:
            measured, seconds = _read(path)
            reused += 1
            log(f"seed {seed}: reused {path.name}")
        else:
            start = time.perf_counter()
            measured = experiment.measure(seed, config, log)
            seconds = time.perf_counter() - start
            _write(path, {"seed": seed, "config": config, "measured": measured, "seconds": seconds})
            log(f"seed {seed}: measured in {seconds:.1f} s")
        findings = tuple(experiment.judge(measured, config))
        runs.append(SeedRun(seed=seed, measured=measured, findings=findings, seconds=seconds))
    return ExperimentResult(slug=slug, full=full, runs=tuple(runs), reused=reused)


def result_key(experiment: Experiment, config: dict[str, Any], seed: int) -> str:
    """Hash of the experiment's source, of the modules and packages it depends on, of its config and the seed."""
    digest = hashlib.sha256()
    for name in (type(experiment).__module__, *experiment.depends_on):
        for path in _sources(name):
            digest.update(path.read_bytes())
    digest.update(json.dumps(config, sort_keys=True).encode())
    digest.update(str(seed).encode())
    return digest.hexdigest()[:24]


def _sources(name: str) -> list[Path]:
    """The source file of a module, or all those of a package."""
    module = importlib.import_module(name)
    file = Path(inspect.getfile(module))
    return sorted(file.parent.rglob("*.py")) if hasattr(module, "__path__") else [file]


def _read(path: Path) -> tuple[dict[str, float], float]:
    value = json.loads(path.read_text())
    return value["measured"], value["seconds"]


def _write(path: Path, value: dict[str, Any]) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    with os.fdopen(handle, "w") as file:
        json.dump(value, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(name, path)
