"""Sound for omni."""
