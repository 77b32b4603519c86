"""``omni data build simclinic``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from omni.errors import OmniError
from omni_plugin_clinic.simulation.plan import PLANS
from omni_plugin_clinic.store import cache_folder


def main(argv: list[str] | None = None) -> int:
    """Build an edition; returns the exit status."""
    arguments = _parser().parse_args(argv)
    name = arguments.edition + ("-open-i" if arguments.open_i else "")
    out = arguments.out or cache_folder() / name
    if arguments.open_i:
        print(
            "The reports are CC-BY-NC-ND-4.0, for research on this machine; neither they nor what is trained on them "
            "may be passed on.", file=sys.stderr,
        )  # fmt: skip
    try:
        from omni_plugin_clinic.simulation.builder import build_edition

        build_edition(
            arguments.edition, out, cache=cache_folder() / "packages", given=arguments.given, open_i=arguments.open_i,
            progress=False if arguments.quiet else None,
        )  # fmt: skip
    except OmniError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{out}: {sum(path.stat().st_size for path in out.iterdir()) / 1e6:.1f} MB, simulated, not for clinical use")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="omni data build simclinic", description="Build an edition of simclinic (simulated, not for clinical use)."
    )
    parser.add_argument("--edition", choices=tuple(PLANS), default="bench")
    parser.add_argument("--out", type=Path, help="folder (default: the cache, $OMNI_HOME/simclinic/EDITION)")
    parser.add_argument(
        "--from", dest="given", type=Path, action="append", default=[], metavar="FILE|FOLDER",
        help="where packages already lie; repeatable (default: pip download)",
    )  # fmt: skip
    parser.add_argument(
        "--open-i", action="store_true",
        help="texts from real reports (CC-BY-NC-ND-4.0) by MeSH label; the edition is marked and not to be published",
    )  # fmt: skip
    parser.add_argument("--quiet", "-q", action="store_true", help="no progress bars")
    return parser
