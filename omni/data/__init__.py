"""From raw samples to batches: loaders, transforms, collation, data sets."""
