"""``omni eval``: retrieval of a model on a data set, with shuffled controls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from omni.errors import ConfigError

MANIFESTS = (".jsonl", ".ndjson", ".json_lines", ".parquet", ".pq", ".csv", ".tsv")


def evaluate(
    model: Annotated[str, typer.Argument(help="A zoo name or a model folder.")],
    dataset: Annotated[str, typer.Option(help="A data set's name, a manifest, or a training config.")],
    option: Annotated[
        list[str] | None, typer.Option("--option", "-o", metavar="NAME=VALUE", help="Of the data set, e.g. split=test.")
    ] = None,
    query: Annotated[str, typer.Option(help="Slots that search, with commas; default: all but the target.")] = "",
    target: Annotated[str, typer.Option(help="Slot that is searched; default: the trained group's first.")] = "",
    label: Annotated[str, typer.Option(help="Target that makes classes; 'none' = each sample its own.")] = "auto",
    k: Annotated[str, typer.Option("-k", help="Cut-offs, with commas.")] = "1,5,10",
    controls: Annotated[
        bool, typer.Option("--controls/--no-controls", help="Also with each query slot shuffled.")
    ] = True,
    batch_size: Annotated[int, typer.Option(min=1)] = 64,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Measure how well some slots find another: recall at k, median rank."""
    from omni.evaluation import evaluate as run
    from omni.inference import load

    try:
        cutoffs = [int(part) for part in k.split(",")]
    except ValueError as error:
        raise ConfigError(f"-k {k!r}: give whole numbers with commas between them, as in 1,5,10.") from error
    predictor = load(model, device=device)
    result = run(
        predictor,
        open_dataset(dataset, option or (), predictor.slots),
        query=query.split(",") if query else None,
        target=target or None,
        label=None if label == "none" else label,
        ks=cutoffs,
        controls=controls,
        batch_size=batch_size,
        progress=False if quiet else None,
    )
    if as_json:
        typer.echo(json.dumps(result.to_dict(), indent=1))
    else:
        _print(result)


def open_dataset(name: str, options: Any, slots: dict[str, str]) -> Any:
    """A data set from its name in the catalog, a manifest's path, or the validation part of a training config."""
    settings = dict(read_option(text) for text in options)
    if Path(name).suffix.lower() in MANIFESTS:
        if not settings:
            from omni.cli.embed import open_manifest

            return open_manifest(Path(name), slots)
        return _build("manifest", {"path": name, **settings})
    if name.endswith(".py"):
        from omni.config import load

        config = load(name)
        part = config.get("test_dataloader") or config.get("val_dataloader")
        if not part:
            raise ConfigError(f"{name} has no val_dataloader to evaluate on.")
        settings = {**part["dataset"], **settings}
        return _build(settings.pop("type"), settings)
    return _build(name, settings, split="test")


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


def _print(result) -> None:  # noqa: ANN001 - omni.evaluation.Evaluation, which loads torch
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(f"{' + '.join(result.query)} -> {result.target}, {result.score} score")
    table = Table("", *(f"R@{k}" for k in result.numbers.recall), "median rank", "queries", "candidates")
    rows = [("", result.numbers), *((f"{slot} shuffled", numbers) for slot, numbers in result.controls.items())]
    for name, numbers in rows:
        recalls = [f"{value:.3f}" for value in numbers.recall.values()]
        recalls[0] += f" +- {numbers.standard_error:.3f}"
        table.add_row(name, *recalls, f"{numbers.median_rank:g}", str(numbers.queries), str(numbers.candidates))
    console.print(table)
    if result.left_out:
        console.print(f"{result.left_out} samples lack one of the slots and were left out.")
