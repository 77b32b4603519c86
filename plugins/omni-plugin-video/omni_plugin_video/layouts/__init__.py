"""Published data sets of films, read as they are."""
