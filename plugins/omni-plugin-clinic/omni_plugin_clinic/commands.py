"""Verbs of the command line: omni simclinic-ceilings, omni simclinic-probes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EDITION = typer.Option(help="mini, bench or full.")
ROOT = typer.Option(help="Its folder; default: the package (mini) or the cache.")
SPLIT = typer.Option(help="train, val or test.")


def ceilings(
    edition: Annotated[str, EDITION] = "mini",
    split: Annotated[str, SPLIT] = "test",
    root: Annotated[Path | None, ROOT] = None,
) -> None:
    """How often the best possible scores find the radiograph among ten, by query, from the table of hidden states."""
    from omni_plugin_clinic.simclinic import SimClinic

    data = SimClinic(edition, split=split, root=root)
    print(f"simclinic {edition}, {split}: {len(data)} queries. {data.store.info['notice']}")
    print(f"{'query':10}{'exact':>8}{'frozen':>8}")
    for query, row in data.query_table().items():
        print(f"{query:10}{row['exact']:8.4f}{row['frozen']:8.4f}")


def probes(
    edition: Annotated[str, EDITION] = "bench",
    split: Annotated[str, SPLIT] = "test",
    root: Annotated[Path | None, ROOT] = None,
    steps: Annotated[int, typer.Option(min=1, help="Training steps of a probe.")] = 600,
    seed: Annotated[int, typer.Option(help="Of its weights and batches.")] = 0,
) -> None:
    """Measure how well small networks name each hidden state from its own slot, trained on the training split."""
    from omni_plugin_clinic.probes import probe
    from omni_plugin_clinic.simclinic import SimClinic

    train = SimClinic(edition, split="train", root=root)
    print(f"simclinic {edition}, {split}. {train.store.info['notice']}")
    print(f"{'slot':8}{'state':8}{'accuracy':>9}{'chance':>8}")
    for row in probe(train, SimClinic(edition, split=split, root=root), steps=steps, seed=seed):
        print(f"{row.slot:8}{row.state:8}{row.accuracy:9.3f}{row.chance:8.2f}")
