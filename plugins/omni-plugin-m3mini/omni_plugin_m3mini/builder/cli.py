"""The command line of the builder (tools/build_m3mini.py)."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from omni.data.building.frame import builder_parser, run_builder
from omni.errors import OmniError
from omni_plugin_m3mini.builder.edition import WIDTHS, build_edition
from omni_plugin_m3mini.builder.human import build_human
from omni_plugin_m3mini.builder.licences import ARTS
from omni_plugin_m3mini.builder.manifest import write_manifest
from omni_plugin_m3mini.store import EDITIONS, cache_folder, edition_folder


def main(argv: list[str] | None = None) -> int:
    """Build an edition, or with --manifest export one; returns the exit status."""
    arguments = _parser().parse_args(argv)
    if arguments.manifest is not None:
        return _export(arguments)
    out = arguments.out or cache_folder() / arguments.edition
    arts = tuple(arguments.arts or (("noto", "twemoji") if arguments.edition == "demo" else tuple(ARTS)))
    if arguments.edition == "human":
        return run_builder(build_human, out, arguments, w=arguments.w, arts=arts, classes=arguments.classes)
    return run_builder(partial(build_edition, arguments.edition), out, arguments, w=arguments.w, arts=arts)


def _export(arguments: argparse.Namespace) -> int:
    try:
        folder = edition_folder(arguments.edition, arguments.out)
        path = write_manifest(folder, arguments.manifest, w=arguments.w, view=arguments.view)
    except OmniError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"wrote {path}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = builder_parser(
        "build_m3mini.py", "Build an edition of m3mini.", folder="m3mini/EDITION",
        packages="npm pack, apt-get download",
    )  # fmt: skip
    parser.add_argument("--edition", choices=EDITIONS, default="bench")
    parser.add_argument("--w", type=int, choices=WIDTHS, default=3, help="up to this many languages (default 3)")
    parser.add_argument("--classes", type=int, default=200, help="of the human edition (default 200, or all there are)")
    parser.add_argument("--arts", nargs="+", choices=tuple(ARTS), help="default: all; demo: noto twemoji")
    parser.add_argument("--manifest", type=Path, metavar="FOLDER", help="export a built edition as files and JSONL")
    parser.add_argument("--view", choices=("triples", "aligned", "names"), default="triples", help="for --manifest")
    return parser
