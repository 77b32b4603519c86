"""Training objectives: pure functions in ``functional``, thin modules over them beside it."""
