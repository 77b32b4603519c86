"""Options that several verbs share, so that they are called and explained alike."""

from __future__ import annotations

import typer

MODEL = typer.Argument(help="A zoo name or a model folder.")
INDEX = typer.Argument(help="A folder that omni index wrote.")
DATASET = typer.Option(help="A data set's name, a manifest, or WebDataset shards.")
OPTION = typer.Option("--option", metavar="NAME=VALUE", help="Of the data set, e.g. split=test; may be repeated.")
QUERY = typer.Option(metavar="SLOT=VALUE", help="Same as --SLOT VALUE.")
KIND = typer.Option(help="flat, hnsw, ivfpq, or auto: by size.", show_default=False)
PART_SIZE = typer.Option(min=1, help="Items kept at a time; default: about 1024.", show_default=False)
ON_BAD = typer.Option(metavar="raise|skip", help="What cannot be read: stop, or leave out, count and list.")
RESTART = typer.Option("--restart", help="Throw a stopped job's parts away.")
DEVICE = typer.Option(help="cpu, cuda, ...", show_default=False)
QUIET = typer.Option("--quiet", "-q", help="No progress bar.")
AS_JSON = typer.Option("--json", help="For programs.")
