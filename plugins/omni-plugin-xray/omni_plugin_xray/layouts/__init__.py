"""Published data sets of radiographs, read from their folders as they are."""
