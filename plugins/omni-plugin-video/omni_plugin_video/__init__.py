"""Video for omni."""
