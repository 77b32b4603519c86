"""Search: an index of embeddings with names and metadata, in memory or on disk. ``Index`` is the way in."""

from __future__ import annotations

from omni.index.index import Index
from omni.index.model_probe import default_ids, probe_weights
from omni.index.result import IndexResult

__all__ = ["Index", "IndexResult", "default_ids", "probe_weights"]
