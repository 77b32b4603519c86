"""The table of verbs, one row each: name, where it is, one line. To add a verb, add a row; nothing is imported."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Verb:
    """A verb of the command line: target is "module:object", a typer.Typer or a function with typer annotations."""

    target: str
    summary: str


VERBS: dict[str, Verb] = {
    "train": Verb(target="omni.cli.train:train", summary="Train a model from a config."),
    "eval": Verb(
        target="omni.cli.evaluate:evaluate",
        summary="Measure a model on a data set: retrieval, classification, geometry.",
    ),
    "embed": Verb(target="omni.cli.embed:app", summary="Embed files, strings or a manifest into one file."),
    "index": Verb(target="omni.cli.index:app", summary="Make a searchable index of files."),
    "search": Verb(target="omni.cli.search:app", summary="Search an index with one or several slots."),
    "classify": Verb(target="omni.cli.tasks:classify_app", summary="Classes or labels of files, by a model's head."),
    "caption": Verb(target="omni.cli.tasks:caption_app", summary="Texts about files."),
    "answer": Verb(target="omni.cli.tasks:answer_app", summary="Answers to a question about files."),
    "gallery": Verb(target="omni.cli.gallery:app", summary="Look after an index: info, delete, compact, verify."),
    "data": Verb(target="omni.cli.data:app", summary="Data sets: list, show, build, check, write as shards."),
    "systems": Verb(target="omni.cli.systems:app", summary="Published systems and their experiments."),
    "zoo": Verb(target="omni.cli.zoo:app", summary="The models that are there."),
    "doctor": Verb(target="omni.cli.doctor:doctor", summary="What is installed here, and is it in order?"),
    "plugins": Verb(target="omni.cli.plugins:app", summary="List, check and write plugins."),
}
