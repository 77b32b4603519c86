"""``omni embed``: embeddings of files, strings or a manifest into one file."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Annotated, Any

import typer

from omni.cli.slots import ANY_SLOT, expand, read_slots, require_name
from omni.errors import InputError, OmniError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
ENDINGS = (".npz", ".safetensors")


@app.command(context_settings=ANY_SLOT)
def embed(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="A zoo name or a model folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="FILE.npz or FILE.safetensors.")],
    manifest: Annotated[Path | None, typer.Option(help="JSONL, Parquet or CSV, one column a slot.")] = None,
    query: Annotated[list[str] | None, typer.Option(metavar="SLOT=VALUE", help="Same as --SLOT VALUE.")] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...", show_default=False)] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bf16, fp16.", show_default=False)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Embed --SLOT FILE|FOLDER|TEXT ... (any slot of the model; @FILE reads one string a line).

    For each slot the output holds SLOT, (N, E) float32, and SLOT_ids; of a manifest one ids for all slots, where rows
    of missing values are NaN.
    """
    from omni.inference import load

    require_name(model, "model")
    if output.suffix.lower() not in ENDINGS:
        raise InputError(f"--output {str(output)!r}: the name must end with {' or '.join(ENDINGS)}.")
    given = read_slots(ctx.args, query or ())
    if bool(given) == (manifest is not None):
        raise InputError("Give either slots (--SLOT VALUE ...) or --manifest FILE.")
    progress = False if quiet else None
    predictor = load(model, device=device, dtype=dtype)
    if manifest is None:
        values = expand(given, predictor.slots)
        ids = {f"{slot}_ids": [str(item) for item in items] for slot, items in values.items()}
        embedded = predictor.encode(batch_size=batch_size, progress=progress, **values)
    else:
        values, names = _columns(manifest, predictor.slots)
        ids = {"ids": names}
        embedded = predictor.encode(batch_size=batch_size, progress=progress, allow_missing=True, **values)
    write_embeddings(output, embedded, ids)
    for slot, value in embedded.items():
        typer.echo(f"{slot}: {value.shape[0]} x {value.shape[1]}")
    typer.echo(f"Written: {output}")


def _columns(manifest: Path, slots: dict[str, str]) -> tuple[dict[str, list[Any]], list[str]]:
    """slot -> values (None where missing), and the rows' names."""
    samples = open_manifest(manifest, slots)
    rows = [samples[index] for index in range(len(samples))]
    return {slot: [row.values.get(slot) for row in rows] for slot in samples.slots}, [row.id for row in rows]


def open_manifest(path: Path, slots: dict[str, str]) -> Any:
    """The manifest with those of the model's slots for which it has a column."""
    from omni.data.datasets import ManifestDataset
    from omni.data.manifest import open_rows

    columns = open_rows(path).columns
    found = {slot: slot for slot in slots if slot in columns}
    if not found:
        raise InputError(
            f"{path} has no column called like a slot of the model ({', '.join(slots)}); its columns are "
            f"{', '.join(columns)}."
        )
    return ManifestDataset(path, slots=found, modalities={slot: slots[slot] for slot in found})


def write_embeddings(path: Path, embeddings: dict[str, Any], ids: dict[str, list[str]]) -> None:
    """Write tensors and names; the file appears when it is complete."""
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() == ".npz":
            import numpy as np

            arrays = {slot: value.numpy() for slot, value in embeddings.items()}
            np.savez(temporary, **arrays, **{name: np.asarray(names) for name, names in ids.items()})
        else:
            from safetensors.torch import save_file

            metadata = {name: json.dumps(names) for name, names in ids.items()}
            save_file({slot: value.contiguous() for slot, value in embeddings.items()}, temporary, metadata=metadata)
        os.replace(temporary, path)
    except OSError as error:
        raise OmniError(f"{path} cannot be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)
