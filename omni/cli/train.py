"""``omni train``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def train(
    config: Annotated[str, typer.Argument(help="A config file, or package:path/in/package.py.")],
    work_dir: Annotated[Path | None, typer.Option(help="Where everything goes.", show_default=False)] = None,
    override: Annotated[
        list[str] | None, typer.Option("--override", "-o", metavar="a.b=c", help="Change a setting; may be repeated.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest readable checkpoint.")] = False,
    grad_cache: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Gradient caching, N samples a chunk.", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the config's.", show_default=False)] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ...", show_default=False)] = None,
    on_bad: Annotated[
        str | None,
        typer.Option(
            metavar="raise|skip",
            help="Samples that cannot be read, instead of the config's: stop, or leave "
            "out, count and list in WORK_DIR/bad_items.jsonl.",
            show_default=False,
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Write files only.")] = False,
) -> None:
    """Train a model from a config and write WORK_DIR/model. With torchrun, on many processes."""
    from omni.engine import train as run

    result = run(
        config,
        work_dir=work_dir,
        overrides=override or (),
        resume=resume,
        grad_cache=grad_cache,
        seed=seed,
        device=device,
        on_bad=on_bad,
        quiet=quiet,
    )
    if not quiet and os.environ.get("RANK", "0") == "0":  # torchrun's name of the process
        for name, value in result.metrics.items():
            typer.echo(f"{name} {value:.4f}")
        typer.echo(f"Model: {result.model_folder}")
