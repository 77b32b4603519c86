"""Captions for omni."""
