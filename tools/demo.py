"""The demo: trains the tiny model on pictures, words and speech, once for each objective, and shows what it learnt.

Writes, into the output folder: results.json and the table, curves.png, gallery.html, model/ (what omni.load takes),
index/ (what `omni search` takes). A second run reuses every training that is complete. Exit code 1 if Symile is not
above the ceiling of pairwise objectives by three standard errors, on new speakers too where the edition has them.

    python tools/demo.py [--edition demo] [--output demo] [--seed 0]

The bench edition (200 classes) is the same at another size; the human edition has people's voices, and a test on other
people's beside the ordinary one. Both are built before:

    omni data build m3mini --edition bench
    omni data build m3mini --edition human --classes 50
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from omni.errors import OmniError  # noqa: E402

CONFIGS = "omni_plugin_m3mini:configs"
ROWS = {
    "pairwise InfoNCE": "pair_sum",
    "joint sum of pairs": "joint_pair_sum",
    "Symile": "symile",
}
STANDARD_ERRORS = 3
LIST_OBJECTIVES = (3, 4, 5)  # of demo_align.py: which class a list names in each language
NEW_SPEAKERS = "new_speakers"
CONTROLS = ("audio", "text")


@dataclass(frozen=True, kw_only=True)
class Edition:
    """Size of the experiment: widths, classes, steps of both stages, lists and triples that they draw.

    Attributes:
        languages: of the lists' heads, in the edition's order.
        speech: of both stages' clips; None = as the edition has them.
        tests: splits that are tested on.
        root: folder of the edition; None = where it was built.
    """

    name: str
    widths: tuple[int, ...]
    classes: int
    first_steps: int
    lists: int
    second_steps: int
    triples: int
    languages: tuple[str, ...] = ("en", "ru", "el")
    speech: str | None = None
    tests: tuple[str, ...] = ("test",)
    root: Path | None = None

    def dataset(self, w: int, split: str) -> Any:
        """A test split."""
        from omni_plugin_m3mini.dataset import M3Mini

        return M3Mini(self.name, w=w, split=split, root=self.root)

    def check(self) -> None:
        """Raise a ConfigError or InputError if what was built is not there, or not of this size."""
        from omni.errors import ConfigError

        for w in self.widths:
            found = self.dataset(w, self.tests[-1])
        if len(found.classes) != self.classes:
            raise ConfigError(
                f"The demo of m3mini's {self.name} edition is for {self.classes} classes; {found.store.folder} has "
                f"{len(found.classes)}. Build one beside it: omni data build m3mini --edition {self.name} "
                f"--classes {self.classes} --out FOLDER, and give --root FOLDER here."
            )

    def first_stage(self) -> tuple[str, ...]:
        """Settings over demo_align.py."""
        heads = [
            (f"objectives.{place}.labels=named_{language}", f"objectives.{place}.num_classes={self.classes}")
            for place, language in zip(LIST_OBJECTIVES, self.languages, strict=True)
        ]
        return (
            *self._data(),
            f"train_dataloader.dataset.lists={self.lists}",
            f"train_cfg.max_iters={self.first_steps}",
            *(setting for pair in heads for setting in pair),
        )

    def second_stage(self, w: int, objective: str) -> tuple[str, ...]:
        """Settings over demo_triples.py."""
        return (
            f"objectives.0.type={objective}",
            *self._data(),
            f"train_dataloader.dataset.w={w}",
            f"train_dataloader.dataset.rows={self.triples}",
            f"train_cfg.max_iters={self.second_steps}",
        )

    def _data(self) -> tuple[str, ...]:
        settings = {"edition": self.name, "speech": self.speech, "root": self.root}
        return tuple(f"train_dataloader.dataset.{key}={value}" for key, value in settings.items() if value is not None)


EDITIONS = {
    "demo": Edition(
        name="demo", widths=(2, 3), classes=50, first_steps=600, lists=60_000, second_steps=800, triples=40_000
    ),
    "bench": Edition(
        name="bench", widths=(3,), classes=200, first_steps=1500, lists=120_000, second_steps=2000, triples=100_000
    ),
    "human": Edition(
        name="human", widths=(2, 3), classes=50, first_steps=600, lists=60_000, second_steps=800, triples=40_000,
        languages=("fr", "ru", "el"), speech="mixed", tests=("test", NEW_SPEAKERS),
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training: where, from which config, with which settings, on how many threads."""

    name: str
    folder: Path
    config: str
    settings: tuple[str, ...]
    threads: int
    seed: int

    @property
    def stamp(self) -> Path:
        return self.folder / "complete.json"

    def key(self) -> str:
        """What decides the result; another key trains anew."""
        texts = [path.read_text() for path in sorted(config_folder().glob("demo_*.py"))]
        return json.dumps([self.config, self.settings, self.seed, texts])

    def complete(self) -> bool:
        return self.stamp.exists() and json.loads(self.stamp.read_text())["key"] == self.key()

    def train(self) -> None:
        """Train, unless the same training is complete."""
        if self.complete():
            print(f"  {self.name}: there already", flush=True)
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        command = [sys.executable, "-m", "omni", "train", self.config, "--work-dir", str(self.folder)]
        command += ["--seed", str(self.seed), *(part for setting in self.settings for part in ("-o", setting))]
        threads = {"OMP_NUM_THREADS": str(self.threads), "MKL_NUM_THREADS": str(self.threads)}
        with subprocess.Popen(
            command, env={**os.environ, **threads}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            lines = []
            for line in process.stdout or ():
                lines.append(line)
                print(f"  {self.name}: {line.rstrip()}", flush=True)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"Training {self.name!r} failed:\n{''.join(lines[-20:])}")
        self.stamp.write_text(json.dumps({"key": self.key(), "cpu_seconds": usage.ru_utime + usage.ru_stime}))

    def cpu_seconds(self) -> float:
        """Of all cores, when it was trained."""
        return json.loads(self.stamp.read_text())["cpu_seconds"]


def config_folder() -> Path:
    """Where the demo's configs lie: beside the package in a checkout, inside it in a wheel."""
    import omni_plugin_m3mini

    package = Path(omni_plugin_m3mini.__file__).parent
    return next(path for path in (package / "configs", package.parent / "configs") if path.is_dir())


def train_all(work: Path, edition: Edition, seed: int) -> tuple[Run, dict[tuple[int, str], Run], float | None]:
    """First the stage that all share, on all cores; then every row, one core each.

    Returns the first stage's run, the rows' runs, and the wall seconds of the training: now, or when it was done
    where all of it was there already (None where that is not known).
    """
    start = time.perf_counter()
    cores = max(1, min(2, len(os.sched_getaffinity(0))))
    align = Run(
        name="first stage", folder=work / "align", config=str(config_folder() / "demo_align.py"),
        settings=edition.first_stage(), threads=cores, seed=seed,
    )  # fmt: skip
    print("First stage, the same for every row: each tower learns its own job.", flush=True)
    align.train()
    runs = {
        (w, title): Run(
            name=f"w={w} {title}",
            folder=work / f"w{w}-{objective}",
            config=str(config_folder() / "demo_triples.py"),
            settings=(
                f"load_from={align.folder / 'model'}",
                f"feature_folder={work / 'features'}",
                *edition.second_stage(w, objective),
            ),
            threads=1,
            seed=seed,
        )
        for title, objective in ROWS.items()  # neighbours differ in width: each computes other features of the text
        for w in sorted(edition.widths, reverse=True)
    }
    print(f"Second stage: {len(runs)} rows, {cores} at a time.", flush=True)
    there = [run.complete() for run in runs.values()]
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(Run.train, runs.values()))
    record = work / "seconds.json"
    if not all(there):
        record.write_text(json.dumps(round(time.perf_counter() - start, 1)))
    return align, runs, json.loads(record.read_text()) if record.exists() else None


def evaluate_all(align: Run, runs: dict[tuple[int, str], Run], edition: Edition) -> list[dict]:
    """One row for each width and objective, with chance and the controls; ``new_speakers`` holds the same numbers of
    that test, where the edition has it."""
    import omni

    rows = []
    for w in edition.widths:
        tests = {split: edition.dataset(w, split) for split in edition.tests}
        fixed = {"w": w, "ceiling": 1 / w}
        chance = {"top1": 1 / edition.classes, "se": 0.0}
        rows.append({**fixed, "row": "chance", **chance, **{split: chance for split in edition.tests[1:]}})
        for title in ROWS:
            model = omni.load(str(runs[w, title].folder / "model"))
            found = {split: _numbers(model, dataset) for split, dataset in tests.items()}
            cpu_seconds = align.cpu_seconds() + runs[w, title].cpu_seconds()
            rows.append({**fixed, "row": title, **found.pop("test"), **found, "cpu_seconds": cpu_seconds})
    return rows


def _numbers(model: Any, dataset: Any) -> dict[str, float]:
    from omni.evaluation import evaluate

    found = evaluate(model, dataset, query=["text", "audio"], target="image", label="class")
    controls = {f"shuffled {slot}": found.controls[slot].recall[1] for slot in CONTROLS}
    numbers = found.numbers
    return {"top1": numbers.recall[1], "se": numbers.standard_error, "queries": numbers.queries, **controls}


def print_table(rows: list[dict]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    names = {"": "top-1", NEW_SPEAKERS: "new speakers"} if NEW_SPEAKERS in rows[0] else {"": "top-1"}
    controls = [f"shuffled {slot}" for slot in CONTROLS]
    wide = [Column(name, no_wrap=True) for name in ("objective", *names.values())]
    table = Table("w", *wide, *controls, "pairwise ceiling")
    for row in rows:
        found = [row[name] if name else row for name in names]
        table.add_row(
            str(row["w"]), row["row"], *(f"{one['top1']:.3f} +- {one['se']:.3f}" for one in found),
            *(f"{row[name]:.3f}" if name in row else "" for name in controls),
            f"{row['ceiling']:.3f}",
        )  # fmt: skip
    Console().print(table)


def above_ceiling(rows: list[dict]) -> bool:
    """Whether Symile beats 1/w by three standard errors at every width, on every test."""
    symile = [row for row in rows if row["row"] == "Symile"]
    found = [(row, one) for row in symile for one in (row, row.get(NEW_SPEAKERS, row))]
    return all(one["top1"] - row["ceiling"] > STANDARD_ERRORS * one["se"] for row, one in found)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edition", choices=EDITIONS, default="demo")
    parser.add_argument("--output", type=Path, default=Path("demo"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--root", type=Path, help="the built edition's folder (default: $OMNI_HOME/m3mini/EDITION)")
    return parser


def main() -> int:
    options = build_parser().parse_args()
    output = options.output.resolve()
    edition = replace(EDITIONS[options.edition], root=options.root and options.root.resolve())
    try:
        edition.check()
    except OmniError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    output.mkdir(parents=True, exist_ok=True)
    align, runs, seconds = train_all(output / "work", edition, options.seed)
    print("Testing on unseen word combinations, clips and voices.", flush=True)
    rows = evaluate_all(align, runs, edition)
    result = {
        "rows": rows,
        "train_seconds": seconds,
        "edition": edition.name,
        "seed": options.seed,
        "cores": os.cpu_count(),
    }
    (output / "results.json").write_text(json.dumps(result, indent=1))
    from tools.demo_pages import draw_curves, write_gallery, write_model_and_index

    draw_curves({run.name: run.folder for run in runs.values()}, output / "curves.png")
    widest = max(edition.widths)
    shown = edition.dataset(widest, edition.tests[-1])
    model, index = write_model_and_index(runs[widest, "Symile"].folder / "model", output, shown)
    write_gallery(model, index, output / "gallery.html", shown)
    print_table(rows)
    print("Training was done before." if seconds is None else f"Training took {seconds:.0f} s.")
    print(f"See {output}/gallery.html and curves.png; try:")
    print(f'  omni search {output}/index --text "..." --audio clip.ogg')
    if not above_ceiling(rows):
        print(f"Symile is not above the pairwise ceiling by {STANDARD_ERRORS} standard errors.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
