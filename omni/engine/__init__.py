"""Training on the mmengine Runner: the only place that knows mmengine's model, loop and hook classes."""
