"""Draws the picture of omni-plugin-ecg's README: the real 12-lead recording that pydicom brings, as it is read.

python tools/draw_ecg.py [--output FILE]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pydicom.data import get_testdata_file

from omni_plugin_ecg.drawing import draw
from omni_plugin_ecg.io import load

PICTURE = Path(__file__).resolve().parents[1] / "plugins" / "omni-plugin-ecg" / "ecg.png"


def main() -> None:
    """Read, draw, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=PICTURE, help="where to; its ending is the format")
    output = parser.parse_args().output
    path = get_testdata_file("waveform_ecg.dcm", download=False)
    draw(load(str(path)), output)
    print(f"{output}: {output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
