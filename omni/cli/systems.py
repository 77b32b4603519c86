"""omni systems list | show | run: the published systems, what they are built of, whether their claims hold here."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from omni.cli.options import AS_JSON

app = typer.Typer(help="Published systems, each with an experiment.", no_args_is_help=True, add_completion=False)


@app.command("list")
def list_systems(as_json: Annotated[bool, AS_JSON] = False) -> None:
    """Name every system that the installed plugins provide."""
    from omni.plugin.catalog import get_catalog

    entries = get_catalog().entries("system")
    if as_json:
        rows = [
            {"slug": e.spec.slug, "title": e.spec.title, "year": e.spec.year, "plugin": e.plugin, "claim": e.spec.claim}
            for e in entries
        ]
        typer.echo(json.dumps(rows, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("slug", "year", "title", "plugin", "experiment", "data")
    for entry in entries:
        spec = entry.spec
        table.add_row(spec.slug, str(spec.year), spec.title, entry.plugin, "yes" if spec.experiment else "-", spec.data)
    Console().print(table)


@app.command("show")
def show(slug: str, as_json: Annotated[bool, AS_JSON] = False) -> None:
    """Print what a system is built of, its claim and the rule by which its experiment judges."""
    from omni.plugin.catalog import get_catalog

    entry = get_catalog().get("system", slug)
    spec = entry.spec
    rule = ""
    if spec.experiment:
        from omni.systems.runner import load_experiment

        rule = load_experiment(slug).rule
    facts = {
        "slug": spec.slug,
        "title": spec.title,
        "year": spec.year,
        "plugin": entry.plugin,
        "claim": spec.claim,
        "rule": rule,
        "components": list(spec.components),
        "config": spec.config,
        "data": spec.data + (f" ({spec.data_note})" if spec.data_note else ""),
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    for name, value in facts.items():
        shown = "\n  ".join(["", *value]) if isinstance(value, list) else value
        typer.echo(f"{name:<11}{shown}")


@app.command("run")
def run(
    slug: str,
    seeds: Annotated[str, typer.Option(help="Comma-separated seeds; default the experiment's own.")] = "",
    full: Annotated[bool, typer.Option("--full", help="The longer form.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Measure again what was measured before.")] = False,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Run a system's experiment on the CPU; prints claim, measurements and verdict. Exit code 1 unless it holds."""
    from omni.errors import ConfigError
    from omni.systems.experiment import Verdict
    from omni.systems.runner import load_experiment, run_experiment

    try:
        chosen = [int(part) for part in seeds.split(",")] if seeds else None
    except ValueError as error:
        raise ConfigError(f"--seeds {seeds!r}: give whole numbers with commas between them, as in 0,1,2.") from error
    result = run_experiment(slug, seeds=chosen, full=full, force=force, log=lambda line: typer.echo(line, err=True))
    if as_json:
        typer.echo(json.dumps(result.to_dict(), indent=1))
    else:
        _print_result(load_experiment(slug), result)
    raise typer.Exit(0 if result.verdict is Verdict.HOLDS else 1)


def _print_result(experiment, result) -> None:  # noqa: ANN001 - typed in omni.systems, which loads torch's users lazily
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(f"[bold]claim[/]    {experiment.claim}\n[bold]rule[/]     {experiment.rule}")
    table = Table("measured", "mean", "sd", *(f"seed {run.seed}" for run in result.runs))
    for name, (mean, spread) in result.summary().items():
        table.add_row(name, f"{mean:.3f}", f"{spread:.3f}", *(f"{run.measured[name]:.3f}" for run in result.runs))
    console.print(table)
    for run in result.runs:
        for finding in run.findings:
            if not finding.holds:
                console.print(f"seed {run.seed}: {finding.name}: {finding.value:.3f} against {finding.bound:.3f}: no")
    console.print(f"[bold]verdict[/]  {result.verdict} (seeds {', '.join(str(run.seed) for run in result.runs)})")
