"""Build or export an edition of m3mini: python tools/build_m3mini.py --edition bench --w 3 (see --help)."""

from __future__ import annotations

import sys

from omni_plugin_m3mini.builder.cli import main

if __name__ == "__main__":
    sys.exit(main())
