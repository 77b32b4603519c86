"""``python -m omni`` is the same as ``omni``."""

from omni.cli import main

main()
