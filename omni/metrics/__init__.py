"""Metrics: the base and retrieval."""
