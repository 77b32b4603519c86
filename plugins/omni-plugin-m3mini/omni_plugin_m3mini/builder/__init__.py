"""Builds editions of m3mini from public packages (the logic behind tools/build_m3mini.py)."""
