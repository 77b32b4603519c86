"""The shared core: layers, positions, the adapter base, the encoder, the model."""
