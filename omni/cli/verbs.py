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
    "doctor": Verb(target="omni.cli.doctor:doctor", summary="What is installed here, and is it in order?"),
    "plugins": Verb(target="omni.cli.plugins:app", summary="List, check and write plugins."),
}
