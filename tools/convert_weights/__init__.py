"""Converters from published weights."""
