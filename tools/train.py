"""For those who know mmengine projects: the same as ``omni train``, also under torchrun."""

from __future__ import annotations

import sys

from omni.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
