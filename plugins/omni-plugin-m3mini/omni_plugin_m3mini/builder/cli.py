"""The command line of the builder (tools/build_m3mini.py)."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from omni.errors import OmniError
from omni_plugin_m3mini.builder.edition import WIDTHS, build_edition
from omni_plugin_m3mini.builder.human import build_human
from omni_plugin_m3mini.builder.licences import ARTS
from omni_plugin_m3mini.builder.manifest import write_manifest
from omni_plugin_m3mini.builder.progress import show
from omni_plugin_m3mini.store import EDITIONS, EditionStore, cache_folder, edition_folder


def main(argv: list[str] | None = None) -> int:
    """Build an edition, or with --manifest export one; returns the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.manifest is not None:
            folder = edition_folder(arguments.edition, arguments.out)
            path = write_manifest(folder, arguments.manifest, w=arguments.w, view=arguments.view)
            print(f"wrote {path}")
            return 0
        out = arguments.out or cache_folder() / arguments.edition
        arts = tuple(arguments.arts or (("noto", "twemoji") if arguments.edition == "demo" else tuple(ARTS)))
        common = dict(
            w=arguments.w, cache=cache_folder() / "packages", given=arguments.given, arts=arts,
            workers=arguments.workers, progress=show,
        )  # fmt: skip
        if arguments.edition == "human":
            build_human(out, classes=arguments.classes, **common)
        else:
            build_edition(arguments.edition, out, **common)
        size = sum(path.stat().st_size for path in out.iterdir())
        print(f"{out}: {len(EditionStore(out).clips)} clips, {size / 1e6:.1f} MB")
    except OmniError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="build_m3mini.py", description="Build an edition of m3mini.")
    parser.add_argument("--edition", choices=EDITIONS, default="bench")
    parser.add_argument("--w", type=int, choices=WIDTHS, default=3, help="up to this many languages (default 3)")
    parser.add_argument("--classes", type=int, default=200, help="of the human edition (default 200, or all there are)")
    parser.add_argument("--out", type=Path, help="edition folder (default: the cache, $OMNI_HOME/m3mini/EDITION)")
    parser.add_argument(
        "--from", dest="given", type=Path, action="append", default=[], metavar="FILE|FOLDER",
        help="where packages already lie; repeatable (default: npm pack, apt-get download)",
    )  # fmt: skip
    parser.add_argument("--arts", nargs="+", choices=tuple(ARTS), help="default: all; demo: noto twemoji")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--manifest", type=Path, metavar="FOLDER", help="export a built edition as files and JSONL")
    parser.add_argument("--view", choices=("triples", "aligned", "names"), default="triples", help="for --manifest")
    return parser
