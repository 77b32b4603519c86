"""Verbs of the command line: omni m3mini-leak, omni stamps-table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from omni.errors import OmniError


def leak(
    edition: Annotated[str, typer.Option(help="Edition of m3mini.")] = "human",
    w: Annotated[int, typer.Option(help="Number of languages.")] = 3,
    root: Annotated[Path | None, typer.Option(help="Its folder; default: the cache.")] = None,
    speech: Annotated[str | None, typer.Option(help="Of the training clips: human, synthetic or mixed.")] = None,
    limit: Annotated[int, typer.Option(help="Clips a language and split.")] = 400,
) -> None:
    """Measure how well crude spectrum statistics name the language: by a nearest neighbour, on old and new speakers."""
    from omni.data.building.frame import show_step as show
    from omni_plugin_m3mini.channel import measure_channel

    def run() -> None:
        rows = measure_channel(edition, w=w, root=root, speech=speech, limit=limit, progress=show)
        print(f"{'statistics':12}{'split':14}{'clips':>6}{'accuracy':>10}{'chance':>8}   by language")
        for row in rows:
            shares = " ".join(f"{tag} {share:.2f}" for tag, share in row.by_language.items())
            print(f"{row.features:12}{row.split:14}{row.clips:6}{row.accuracy:10.3f}{row.chance:8.3f}   {shares}")

    _told(run)


def stamps_table(
    root: Annotated[Path | None, typer.Option(help="The built data set; default: the cache.")] = None,
    languages: Annotated[list[str] | None, typer.Option(help="Only these; default: all with recordings.")] = None,
    split: Annotated[str, typer.Option(help="val or test.")] = "test",
    model: Annotated[list[Path] | None, typer.Option(help="Folder of a trained model, for a row beside it.")] = None,
    frozen: Annotated[bool, typer.Option(help="A projector on frozen encoders.")] = True,
    steps: Annotated[int, typer.Option(help="Training steps of the projector.")] = 800,
    seed: Annotated[int, typer.Option(help="Of the projector.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write the numbers as JSON.")] = None,
) -> None:
    """Retrieval among stamps in every direction beside chance: frozen encoders with a projector, and trained models."""

    def run() -> None:
        from omni.data.building.frame import show_step as show
        from omni.errors import ConfigError
        from omni_plugin_m3mini import stamps_experiment as experiment
        from omni_plugin_m3mini.stamps import Stamps
        from omni_plugin_m3mini.store import cache_folder

        if not frozen and not model:
            raise ConfigError("with --no-frozen and without --model there is nothing to measure; leave one out")
        data = Stamps(split, languages=languages, root=root)
        rows = {}
        if frozen:
            cache = cache_folder("stamps-frozen")
            train = experiment.frozen_features(
                Stamps("train", languages=languages, root=root), cache=cache, progress=show
            )
            test = experiment.frozen_features(data, cache=cache, progress=show)
            settings = experiment.ProjectorSettings(steps=steps, seed=seed)
            projector = experiment.train_projector(
                train, settings, progress=lambda done, total: show("projector", done, total)
            )
            rows["frozen + projector"] = experiment.evaluate_projector(projector, test)
        for folder in model or ():
            rows[folder.name] = experiment.evaluate_model(folder, data)
        print(experiment.table(rows))
        if out is not None:
            out.write_text(experiment.to_json(rows) + "\n", encoding="utf-8")

    _told(run)


def _told(run) -> None:
    try:
        run()
    except OmniError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
