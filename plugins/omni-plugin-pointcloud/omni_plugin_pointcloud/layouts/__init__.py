"""Published data sets of shapes."""
