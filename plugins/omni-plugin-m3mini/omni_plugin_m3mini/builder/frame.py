"""Moved to omni.data.building.frame."""

from omni.data.building.frame import builder_parser, new_folder, run_builder, write_info

__all__ = ["builder_parser", "new_folder", "run_builder", "write_info"]
