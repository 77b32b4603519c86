"""``omni classify``, ``caption`` and ``answer``: what a model's task heads say about files and texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omni.cli.options import AS_JSON, DEVICE, MODEL, QUERY, QUIET
from omni.cli.slots import ANY_SLOT, expand, read_slots, require_name
from omni.errors import InputError

if TYPE_CHECKING:
    from omni.inference import OmniPredictor
    from omni.types import Prediction

HEAD = typer.Option(help="Name of the head, where the model has several for this.", show_default=False)
BATCH = typer.Option(min=1, help="Samples at a time.")
SETTING = typer.Option("--option", metavar="NAME=VALUE", help="Of the head, e.g. do_sample=true; may be repeated.")

classify_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
caption_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
answer_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@classify_app.command(context_settings=ANY_SLOT)
def classify(
    ctx: typer.Context,
    model: Annotated[str, MODEL],
    k: Annotated[int, typer.Option("-k", min=1, help="Classes to tell.")] = 3,
    query: Annotated[list[str] | None, QUERY] = None,
    head: Annotated[str | None, HEAD] = None,
    batch_size: Annotated[int, BATCH] = 32,
    device: Annotated[str | None, DEVICE] = None,
    quiet: Annotated[bool, QUIET] = False,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """The class or the labels of --SLOT FILE|FOLDER|TEXT ...; several slots are lists of one length."""
    predictor, values = _open(ctx, model, query, device)
    found = predictor.predict(
        "classification", head=head, batch_size=batch_size, progress=_bar(quiet), options={"k": k}, **values
    )
    tell(values, found, as_json=as_json, columns={"scores": _scores})


@caption_app.command(context_settings=ANY_SLOT)
def caption(
    ctx: typer.Context,
    model: Annotated[str, MODEL],
    num_beams: Annotated[int, typer.Option(min=1)] = 3,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, show_default=False)] = None,
    option: Annotated[list[str] | None, SETTING] = None,
    query: Annotated[list[str] | None, QUERY] = None,
    head: Annotated[str | None, HEAD] = None,
    batch_size: Annotated[int, BATCH] = 32,
    device: Annotated[str | None, DEVICE] = None,
    quiet: Annotated[bool, QUIET] = False,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """A text about --SLOT FILE|FOLDER ...; several slots are lists of one length."""
    predictor, values = _open(ctx, model, query, device)
    options = {"num_beams": num_beams, "max_new_tokens": max_new_tokens, **read_settings(option or ())}
    found = predictor.predict(
        "captioning", head=head, batch_size=batch_size, progress=_bar(quiet), options=options, **values
    )
    tell(values, found, as_json=as_json)


@answer_app.command(context_settings=ANY_SLOT)
def answer(
    ctx: typer.Context,
    model: Annotated[str, MODEL],
    question: Annotated[str, typer.Argument(help="The question; the same for all inputs.")],
    always: Annotated[bool, typer.Option("--always", help="Answer also where the model is not sure.")] = False,
    choice: Annotated[list[str] | None, typer.Option(help="A possible answer; again for more.")] = None,
    option: Annotated[list[str] | None, SETTING] = None,
    query: Annotated[list[str] | None, QUERY] = None,
    head: Annotated[str | None, HEAD] = None,
    batch_size: Annotated[int, BATCH] = 32,
    device: Annotated[str | None, DEVICE] = None,
    quiet: Annotated[bool, QUIET] = False,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """The answer to a question about --SLOT FILE|FOLDER ...; several slots are lists of one length."""
    require_name(question, "question")
    predictor, values = _open(ctx, model, query, device)
    options: dict[str, Any] = {"abstain": False} if always else {}
    options |= read_settings(option or ())
    found = predictor.answer(
        question,
        choices=choice or None,
        head=head,
        batch_size=batch_size,
        progress=_bar(quiet),
        options=options,
        **values,
    )
    tell(values, found, as_json=as_json, columns={"scores": _scores})


def read_settings(given: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE strings; values are JSON where they can be read as such, else text.

    Raises:
        InputError: one without a name or "=".
    """
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InputError(f"--option {text!r}: write it as name=value.")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def tell(
    values: Mapping[str, Sequence[Any]],
    found: Sequence[Prediction],
    *,
    as_json: bool,
    columns: Mapping[str, Any] | None = None,
) -> None:
    """Predictions as a table, or as JSON: inputs, value, score and details of each."""
    inputs = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    if as_json:
        rows = [
            {"inputs": given, "value": item.value, "score": item.score, "details": item.details}
            for given, item in zip(inputs, found, strict=True)
        ]
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False, default=str))
        return
    from rich.console import Console
    from rich.table import Column, Table

    extra = dict(columns or {})
    table = Table(*(Column(slot, overflow="fold") for slot in values), "answer", "score", *extra)
    for given, item in zip(inputs, found, strict=True):
        value = ", ".join(map(str, item.value)) if isinstance(item.value, list) else item.value
        score = "" if item.score is None else f"{item.score:.3f}"
        shown = [show(item) for show in extra.values()]
        table.add_row(*map(str, given.values()), "not sure" if value is None else str(value), score, *shown)
    Console().print(table)


def _scores(item: Prediction) -> str:
    return ", ".join(f"{name} {score:.3f}" for name, score in item.details.get("scores", {}).items())


def _open(
    ctx: typer.Context, model: str, query: list[str] | None, device: str | None
) -> tuple[OmniPredictor, dict[str, list[Any]]]:
    from omni.inference import load

    require_name(model, "model")
    given = read_slots(ctx.args, query or ())
    if not given:
        raise InputError("Name an input: --SLOT VALUE, for one or several slots.")
    predictor = load(model, device=device)
    return predictor, expand(given, predictor.slots)


def _bar(quiet: bool) -> bool | None:
    return False if quiet else None
