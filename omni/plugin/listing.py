"""``omni.list_models()`` and its sisters: names that the catalog knows, sorted."""

from __future__ import annotations

from omni.plugin.catalog import get_catalog


def list_models() -> list[str]:
    """Names of the model zoo entries of all working plugins."""
    return list(get_catalog().names("model"))


def list_modalities() -> list[str]:
    """Names of the modalities of all working plugins."""
    return list(get_catalog().names("modality"))


def list_systems() -> list[str]:
    """Slugs of the published systems of all working plugins."""
    return list(get_catalog().names("system"))
