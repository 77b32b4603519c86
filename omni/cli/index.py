"""``omni index``: a searchable index of one slot's values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from omni.cli.slots import ANY_SLOT, expand, read_slots, require_name
from omni.errors import InputError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(context_settings=ANY_SLOT)
def index(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="A zoo name or a model folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The index's folder.")],
    manifest: Annotated[Path | None, typer.Option(help="JSONL, Parquet or CSV; further columns are metadata.")] = None,
    slot: Annotated[str | None, typer.Option(help="The manifest's column to index.", show_default=False)] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...", show_default=False)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Index --SLOT FILE|FOLDER ... (one slot of the model), or a column of a manifest, for ``omni search``."""
    from omni.inference import load

    require_name(model, "model")
    given = read_slots(ctx.args)
    if bool(given) == (manifest is not None):
        raise InputError("Give either one slot (--SLOT FILE|FOLDER ...) or --manifest FILE --slot SLOT.")
    progress = False if quiet else None
    predictor = load(model, device=device)
    if manifest is None:
        values = expand(given, predictor.slots)
        made = predictor.index(batch_size=batch_size, progress=progress, **values)
    else:
        made = _index_manifest(predictor, manifest, slot, batch_size, progress)
    made.save(output)
    typer.echo(f"{len(made)} x {made.width} of {made.slot}: {output}")


def _index_manifest(predictor, manifest, slot, batch_size, progress):  # noqa: ANN001, ANN202 - torch's types stay unloaded
    from omni.cli.embed import open_manifest

    predictor.processor.require(slot or "", what="--slot")
    samples = open_manifest(manifest, {slot: predictor.slots[slot]})
    rows = [sample for sample in (samples[i] for i in range(len(samples))) if slot in sample.values]
    if not rows:
        raise InputError(f"No row of {manifest} has a value for {slot!r}.")
    return predictor.index(
        ids=[row.id for row in rows],
        metadata=[_metadata(row, slot) for row in rows],
        batch_size=batch_size,
        progress=progress,
        **{slot: [row.values[slot] for row in rows]},
    )


def _metadata(row, slot):  # noqa: ANN001, ANN202
    """The row's other columns, and its file or string."""
    value = row.values[slot]
    return {**row.meta, **({slot: str(value)} if isinstance(value, (str, Path)) else {})}
