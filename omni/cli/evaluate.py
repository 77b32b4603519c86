"""``omni eval``: retrieval, zero-shot classification, probes and geometry of a model; tables, JSON, a page."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omni.cli.options import MODEL
from omni.cli.sources import MANIFESTS
from omni.errors import ConfigError, InputError

if TYPE_CHECKING:
    from omni.evaluation.report import Report
    from omni.evaluation.suite import ZeroShotSettings

SEARCH, CLASSIFY, OUTPUT = "Retrieval", "Classification", "Output"


def _option(*names: str, text: str, panel: str | None = None, **settings: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, **settings)


NAMED = {"metavar": "NAME=VALUE"}
Options = Annotated[list[str] | None, _option("--option", "-o", text="Of the data set, e.g. split=test.", **NAMED)]
TrainOptions = Annotated[list[str] | None, _option(text="Of it; default: split=train.", panel=CLASSIFY, **NAMED)]
Templates = Annotated[
    list[str] | None, _option(text="Prompt with {} for the name, or @FILE of them; repeat it.", panel=CLASSIFY)
]
Controls = Annotated[
    bool, _option("--controls/--no-controls", text="Also with each query slot shuffled.", panel=SEARCH)
]
Every = Annotated[bool, _option("--every-direction", text="All that the trained groups have.", panel=SEARCH)]
Page = Annotated[Path | None, _option("--html", metavar="FILE", text="Write a page with plots.", panel=OUTPUT)]


def evaluate(
    model: Annotated[str, MODEL],
    dataset: Annotated[str, _option(text="A data set's name, a manifest, or a training config.")],
    option: Options = None,
    label: Annotated[str, _option(text="Target that makes classes; 'none' = each sample its own.")] = "auto",
    retrieval: Annotated[bool, _option("--retrieval/--no-retrieval", text="Search at all.", panel=SEARCH)] = True,
    query: Annotated[str, _option(text="Slots that search; default: all but the target.", panel=SEARCH)] = "",
    target: Annotated[str, _option(text="Slot searched; default: the trained group's first.", panel=SEARCH)] = "",
    every_direction: Every = False,
    candidates: Annotated[str, _option(text="auto, items, or classes (their means).", panel=SEARCH)] = "auto",
    k: Annotated[str, _option("-k", text="Cut-offs, with commas.", panel=SEARCH)] = "1,5,10",
    controls: Controls = True,
    zero_shot: Annotated[str, _option(metavar="SLOTS", text="Classify these by prompts.", panel=CLASSIFY)] = "",
    prompts: Annotated[str, _option(metavar="SLOT", text="That takes them; default: of text.", panel=CLASSIFY)] = "",
    classes: Annotated[Path | None, _option(text="File of class names, one a line.", panel=CLASSIFY)] = None,
    template: Templates = None,
    linear: Annotated[str, _option(metavar="SLOTS", text="A linear probe of each.", panel=CLASSIFY)] = "",
    knn: Annotated[str, _option(metavar="SLOTS", text="Nearest neighbours of each.", panel=CLASSIFY)] = "",
    neighbours: Annotated[int, _option(min=1, text="Of --knn.", panel=CLASSIFY)] = 20,
    train_dataset: Annotated[str, _option(text="Of probes; default: --dataset's.", panel=CLASSIFY)] = "",
    train_option: TrainOptions = None,
    geometry: Annotated[bool, _option("--geometry", text="Uniformity, alignment, gap, effective rank.")] = False,
    bootstrap: Annotated[int, _option(min=0, text="Resamples for intervals; 0 = none.")] = 1000,
    confidence: Annotated[float, _option(text="Of the intervals.")] = 0.95,
    seed: Annotated[int, _option(text="Of every draw.")] = 0,
    batch_size: Annotated[int, _option(min=1, text="Values at a time through the model.")] = 64,
    device: Annotated[str | None, _option(text="cpu, cuda, ...", show_default=False)] = None,
    as_json: Annotated[bool, _option("--json", text="For programs.", panel=OUTPUT)] = False,
    html: Page = None,
    quiet: Annotated[bool, _option("--quiet", "-q", text="No progress bar.", panel=OUTPUT)] = False,
) -> None:
    """Measure a model on a data set: how well slots find each other, name classes, and fill the space."""
    from omni.evaluation.suite import Bootstrap, Plan, RetrievalSettings, run_plan
    from omni.inference import load

    draws = Bootstrap(resamples=bootstrap, confidence=confidence, seed=seed)
    chosen = None if label == "none" else label
    search = RetrievalSettings(
        label=chosen, candidates=candidates, ks=_cutoffs(k), controls=controls, bootstrap=draws
    )  # fmt: skip
    predictor = load(model, device=device)
    plan = Plan(
        query=_slots(query) or None, target=target or None, every_direction=every_direction, retrieval=retrieval,
        search=search, zero_shot=_zero_shot(zero_shot, prompts, classes, template, predictor.slots),
        linear=_slots(linear), knn=_slots(knn), neighbours=neighbours, geometry=geometry,
        class_label="class" if chosen in (None, "auto") else chosen, seed=seed,
    )  # fmt: skip
    opened = open_dataset(dataset, option or (), predictor.slots)
    train = open_training(dataset, train_dataset, option or (), train_option, predictor.slots) if plan.probes else None
    names = {"model_name": model, "dataset_name": dataset}
    progress = False if quiet else None
    report = run_plan(predictor, opened, plan, train=train, batch_size=batch_size, progress=progress, **names)
    if html is not None:
        report.save_html(html)
    if as_json:
        typer.echo(json.dumps(report_json(report), indent=1))
    else:
        report.print()


def report_json(report: Report) -> dict[str, Any]:
    """The report; the numbers of a single direction also at the top."""
    made = report.to_dict()
    first = made["retrieval"][0] if len(made["retrieval"]) == 1 else {}
    return {**first, **made}


def open_dataset(name: str, options: Iterable[str], slots: dict[str, str], *, train: bool = False) -> Any:
    """A data set from its name in the catalog, a manifest's path, or the validation part of a training config.

    Args:
        options: NAME=VALUE.
        slots: of the model, which manifests need.
        train: the training part instead.
    """
    settings = dict(read_option(text) for text in options)
    if Path(name).suffix.lower() in MANIFESTS:
        if not settings:
            from omni.cli.embed import open_manifest

            return open_manifest(Path(name), slots)
        return _build("manifest", {"path": name, **settings})
    if name.endswith(".py"):
        from omni.config import load

        config = load(name)
        parts = ("train_dataloader",) if train else ("test_dataloader", "val_dataloader")
        part = next((config[key] for key in parts if config.get(key)), None)
        if not part:
            raise ConfigError(f"{name} has no {parts[-1]} to evaluate on.")
        settings = {**part["dataset"], **settings}
        return _build(settings.pop("type"), settings)
    return _build(name, settings, split="train" if train else "test")


def open_training(
    dataset: str, train_dataset: str, options: Iterable[str], train_options: list[str] | None, slots: dict[str, str]
) -> Any:
    """What probes are fitted on: the data set of its own, or the training split of the one to test on."""
    if train_dataset:
        return open_dataset(train_dataset, train_options or (), slots, train=True)
    if Path(dataset).suffix.lower() in MANIFESTS:
        raise ConfigError(
            f"A probe is fitted on other data than it is tested on: beside {dataset}, name a manifest to fit on with "
            "--train-dataset."
        )
    kept = [text for text in options if read_option(text)[0] != "split"]
    return open_dataset(dataset, [*kept, *(train_options or ())], slots, train=True)


def _build(name: str, settings: dict[str, Any], **defaults: Any) -> Any:
    """A data set of the catalog; of ``defaults`` it gets those that it takes."""
    import inspect

    from omni.registry import DATASETS, check_arguments

    kind = DATASETS.get(name)
    known = inspect.signature(kind).parameters
    settings = {**{key: value for key, value in defaults.items() if key in known}, **settings}
    check_arguments(kind, settings, what=f"The data set {name!r}")
    return kind(**settings)


def read_option(text: str) -> tuple[str, Any]:
    """ "w=2" -> ("w", 2); a value that is no JSON is a string."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"--option {text!r}: write it as name=value.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _zero_shot(
    slots: str, prompts: str, classes: Path | None, templates: list[str] | None, known: dict[str, str]
) -> ZeroShotSettings | None:
    from omni.evaluation.suite import ZeroShotSettings

    if not slots:
        if prompts or classes or templates:
            raise ConfigError("--prompts, --classes and --template belong to --zero-shot, which is not given.")
        return None
    if not prompts:
        able = [slot for slot, modality in known.items() if modality == "text"]
        if len(able) != 1:
            raise ConfigError(f"--prompts: name the slot that takes the prompts, one of {', '.join(known)}.")
        prompts = able[0]
    lines: list[str] = []
    for text in templates or ():
        lines += _lines(Path(text[1:])) if text.startswith("@") else [text]
    names = tuple(_lines(classes)) if classes is not None else ()
    made = ZeroShotSettings(slots=_slots(slots), prompts=prompts, classes=names)
    return made if not lines else ZeroShotSettings(**{**vars(made), "templates": tuple(lines)})


def _lines(path: Path) -> list[str]:
    """Lines of a UTF-8 file, without empty ones."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as lines of UTF-8: {error}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _slots(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _cutoffs(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"-k {text!r}: give whole numbers with commas between them, as in 1,5,10.") from error
