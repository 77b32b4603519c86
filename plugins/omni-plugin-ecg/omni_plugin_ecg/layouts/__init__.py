"""Published data sets of electrocardiograms, read from their folders as they are."""
