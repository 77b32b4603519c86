"""A check that cannot be tried on this component."""

from __future__ import annotations


class CheckSkipped(Exception):
    """Says why: usually the component needs settings that the tests cannot guess; its plugin's own tests must do it."""
