"""Builds furniture3d from a Debian package."""
