"""``omni embed``: embeddings of files, strings or a data set into one file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from omni.cli.options import DATASET, DEVICE, MODEL, ON_BAD, OPTION, PART_SIZE, QUERY, QUIET, RESTART
from omni.cli.slots import ANY_SLOT, expand, read_slots, require_name
from omni.errors import InputError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(context_settings=ANY_SLOT)
def embed(
    ctx: typer.Context,
    model: Annotated[str, MODEL],
    output: Annotated[Path, typer.Option("--output", "-o", help="FILE.npz or FILE.safetensors.")],
    manifest: Annotated[Path | None, typer.Option(help="JSONL, Parquet or CSV, one column a slot.")] = None,
    dataset: Annotated[str, DATASET] = "",
    option: Annotated[list[str] | None, OPTION] = None,
    query: Annotated[list[str] | None, QUERY] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    part_size: Annotated[int | None, PART_SIZE] = None,
    on_bad: Annotated[str, ON_BAD] = "raise",
    restart: Annotated[bool, RESTART] = False,
    device: Annotated[str | None, DEVICE] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bf16, fp16.", show_default=False)] = None,
    quiet: Annotated[bool, QUIET] = False,
) -> None:
    """Embed --SLOT FILE|FOLDER|TEXT ... (any slot of the model; @FILE reads one string a line), or a data set.

    For each slot the output holds SLOT, (N, E) float32, and SLOT_ids; of a data set one ids for all slots, where rows
    of missing values are NaN. A job that was stopped goes on where it was; with torchrun, processes share it.
    """
    from omni.embedding_file import check_ending
    from omni.embedding_job import embed as run
    from omni.inference import load
    from omni.processes import joined_processes, own_device

    require_name(model, "model")
    check_ending(output)
    given = read_slots(ctx.args, query or ())
    if bool(given) + (manifest is not None) + bool(dataset) != 1:
        raise InputError("Give either slots (--SLOT VALUE ...), --manifest FILE or --dataset NAME.")
    with joined_processes() as processes:
        predictor = load(model, device=own_device(device), dtype=dtype)
        groups, about, declared = groups_to_embed(predictor, given, str(manifest or dataset), option or ())
        written = run(
            predictor, groups, output, about=about, restart=restart, progress=False if quiet else None,
            drop_empty=not declared, processes=processes, batch_size=batch_size, part_items=part_size, on_bad=on_bad,
        )  # fmt: skip
    if written is not None:
        for slot, (count, width) in written.shapes.items():
            missing = count - written.present[slot]
            typer.echo(f"{slot}: {count} x {width}" + (f", {missing} of them NaN" if missing else ""))
        if written.bad.count:
            typer.echo(written.bad.summary())
        went_on = " (went on with the parts of a stopped job)" if written.went_on else ""
        typer.echo(f"Written: {output}{went_on}")


def groups_to_embed(
    predictor: Any,
    given: dict[str, list[str]],
    source: str,
    options: Any,
    *,
    only: Sequence[str] = (),
    unique: bool = False,
) -> tuple[Any, Any, bool]:
    """(groups, facts about the data, whether its slots are declared) of values, or of a data set.

    Args:
        given: slot -> values of the command line; empty = the data set ``source`` with ``options``.
        only: the slots that are wanted; empty = all that the model has too.
        unique: of values that repeat, the positions are the names.
    """
    from omni.cli.sources import open_source
    from omni.data.groups import group_of, groups_of_lists
    from omni.embedding_job import shared_slots

    if given:
        values = expand(given, predictor.slots)
        for slot in values:
            predictor.processor.require(slot, what="This model")
        return groups_of_lists(values, unique=unique), {"values": digest(values)}, True
    wanted = {slot: predictor.slots[slot] for slot in only or predictor.slots}
    opened = open_source(source, options, modalities=wanted)
    for slot in only:
        if opened.slots is not None and slot not in opened.slots:
            raise InputError(f"{opened.name} has no slot {slot!r}; its slots are {', '.join(opened.slots)}.")
    slots = list(only) or shared_slots(predictor, None if opened.slots is None else list(opened.slots))
    return [group_of(opened.dataset, slots)], opened.about, opened.slots is not None


def digest(values: Any) -> str:
    """Of the strings of a command line."""
    return hashlib.blake2b(json.dumps(values, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()


def open_manifest(path: Path, slots: dict[str, str]) -> Any:
    """The manifest with those of the model's slots for which it has a column."""
    from omni.cli.sources import open_source

    return open_source(str(path), modalities=slots).dataset
