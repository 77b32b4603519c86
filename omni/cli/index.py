"""``omni index``: a searchable index of one slot's values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from omni.cli.options import DATASET, DEVICE, MODEL, ON_BAD, OPTION, PART_SIZE, QUIET, RESTART
from omni.cli.slots import ANY_SLOT, read_slots, require_name
from omni.errors import InputError

SEGMENT_ITEMS = 65_536  # added to the index at a time
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(context_settings=ANY_SLOT)
def index(
    ctx: typer.Context,
    model: Annotated[str, MODEL],
    output: Annotated[Path, typer.Option("--output", "-o", help="The index's folder.")],
    manifest: Annotated[Path | None, typer.Option(help="JSONL, Parquet or CSV; further columns are metadata.")] = None,
    dataset: Annotated[str, DATASET] = "",
    option: Annotated[list[str] | None, OPTION] = None,
    slot: Annotated[
        list[str] | None,
        typer.Option(help="Of the data set's slots the one to index; several may be, for items of several."),
    ] = None,
    kind: Annotated[str, typer.Option(help="flat, hnsw, ivfpq, or auto: by size.")] = "auto",
    add: Annotated[
        bool, typer.Option("--add", help="Add to the index that is there; items of the same name are replaced.")
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    part_size: Annotated[int | None, PART_SIZE] = None,
    on_bad: Annotated[str, ON_BAD] = "raise",
    restart: Annotated[bool, RESTART] = False,
    device: Annotated[str | None, DEVICE] = None,
    quiet: Annotated[bool, QUIET] = False,
) -> None:
    """Index --SLOT FILE|FOLDER ... (one slot of the model), or a slot of a data set, for ``omni search``.

    A job that was stopped goes on where it was; with torchrun, processes share it.
    """
    from omni.embedding_job import EmbeddingJob, bad_list, parts_folder
    from omni.index.ann import check_kind
    from omni.inference import load
    from omni.processes import joined_processes, own_device

    require_name(model, "model")
    given = read_slots(ctx.args)
    if bool(given) + (manifest is not None) + bool(dataset) != 1 or bool(given) == bool(slot):
        raise InputError(
            "Give one slot (--SLOT FILE|FOLDER ...), or --manifest FILE (or --dataset NAME) and --slot SLOT."
        )
    check_kind(kind)
    with joined_processes() as processes:
        predictor = load(model, device=own_device(device))
        groups, about = groups_to_index(predictor, given, str(manifest or dataset), option or (), slot or ())
        job = EmbeddingJob(
            predictor, groups, parts_folder(output), about=about, batch_size=batch_size, part_items=part_size,
            on_bad=on_bad, keep_meta=True, processes=processes,
        )  # fmt: skip
        if add:
            check_addable(predictor, output, job.slots)
        job.run(restart=restart, progress=False if quiet else None)
        if processes.first:
            bad = job.list_bad(bad_list(output))
            typer.echo(write_index(predictor, job, output, kind=kind, add=add, progress=False if quiet else None))
            job.folder.remove()
            if bad.count:
                typer.echo(bad.summary())
        processes.wait()


def write_index(predictor: Any, job: Any, output: Path, *, kind: str, add: bool, progress: bool | None) -> str:
    """Write a finished job's index, or add to the one that is there; what it is now, in words."""
    made = index_parts(predictor, job, kind=kind, folder=output if add else None)
    if not add:
        made.save(output, progress=progress)
    return f"{len(made)} x {made.width} of {', '.join(made.slots)}: {output}\nkind: {made.choice()}"


def check_addable(predictor: Any, folder: Path, slots: Sequence[str]) -> None:
    """Refuse before the work what could not be added after it.

    Raises:
        InputError: no index there, or one without these slots. ConfigError: another model made it.
    """
    from omni.index import Index

    held = Index.open(folder, model=predictor).slots
    for slot in slots:
        if slot not in held:
            raise InputError(f"The index in {str(folder)!r} has no slot {slot!r}; it holds {', '.join(held)}.")


def groups_to_index(
    predictor: Any, given: dict[str, list[str]], source: str, options: Any, slots: Sequence[str]
) -> tuple[Any, dict[str, Any]]:
    """The one group to index, and facts about its data."""
    from omni.cli.embed import groups_to_embed

    if given and len(given) != 1:
        raise InputError(
            f"Values on the command line are items of one slot, not of {len(given)} ({', '.join(given)}); items of "
            "several slots come from a data set."
        )
    for slot in slots:
        predictor.processor.require(slot, what="--slot")
    groups, about, _ = groups_to_embed(predictor, given, source, options, only=slots, unique=True)
    return groups, about


def index_parts(predictor: Any, job: Any, *, kind: str = "auto", folder: Path | None = None) -> Any:
    """An index of a finished job's parts: items without an embedding are left out, names and metadata stay theirs.

    Args:
        folder: of an index that is there, to which they are added on disk; None = a new one in memory.

    Raises:
        InputError: nothing to index, or two items of one name.
    """
    from omni.index import Index

    if folder is None:
        made = Index.empty(predictor, slots=job.slots, kind=kind)
        _add_parts(made, job)
        return made
    with Index.open(folder, write=True, model=predictor) as made:
        _add_parts(made, job, replace=True)
    return made


def _add_parts(made: Any, job: Any, *, replace: bool = False) -> None:
    waiting: list[Any] = []
    for part in job.parts():
        waiting.append(part)
        if sum(len(kept.ids) for kept in waiting) >= SEGMENT_ITEMS:
            _add(made, waiting, replace)
            waiting = []
    _add(made, waiting, replace)
    if not len(made):
        raise InputError(f"No item has a value of {' or '.join(job.slots)} that can be indexed.")


def _add(index: Any, parts: Sequence[Any], replace: bool) -> None:
    """Add the items of some parts in one step; ``replace``: those of the same names are replaced."""
    import numpy as np

    if not parts:
        return
    rows = {slot: np.concatenate([part.rows[slot] for part in parts]) for slot in parts[0].rows}
    kept = np.flatnonzero(np.any([np.isfinite(values).all(1) for values in rows.values()], axis=0))
    ids = [name for part in parts for name in part.ids]
    meta = [facts for part in parts for facts in part.meta]
    if len(kept):
        index.add(
            {slot: values[kept] for slot, values in rows.items()},
            ids=[ids[row] for row in kept],
            metadata=[meta[row] for row in kept],
            replace=replace,
        )
