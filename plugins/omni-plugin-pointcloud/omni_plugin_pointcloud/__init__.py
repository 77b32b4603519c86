"""Point clouds and meshes for omni."""
