"""Builders of the three data sets."""
