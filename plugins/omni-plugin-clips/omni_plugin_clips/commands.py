"""Verbs of the command line: omni clips-groups."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from omni.errors import OmniError


def groups(
    work_dir: Annotated[Path, typer.Argument(help="Folder of a training with grouping_alignment.")],
    split: Annotated[str, typer.Option(help="Of mix: val, test or unseen.")] = "test",
    root: Annotated[Path | None, typer.Option(help="The built data set; default: the cache.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the numbers as JSON.")] = None,
) -> None:
    """Text to clip on mix by every group of slots, beside chance, and with the sound missing."""
    try:
        from omni_plugin_clips.groups import load_trained, measure, table
        from omni_plugin_clips.mix import Mix

        rows = measure(*load_trained(work_dir), Mix(split, root=root))
        print(table(rows))
        if out is not None:
            made = {name: row.to_dict() for name, row in rows.items()}
            out.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    except OmniError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
