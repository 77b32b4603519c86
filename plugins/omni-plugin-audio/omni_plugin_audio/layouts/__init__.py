"""Published audio data sets, read from their folders as they are."""
