"""Frozen encoders from Python packages as towers of omni."""
