"""Pictures for omni."""
