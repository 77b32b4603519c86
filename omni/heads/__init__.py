"""Task heads: the base and what the core itself needs."""
