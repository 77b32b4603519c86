"""Question answering for omni."""
