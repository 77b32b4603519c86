"""Which model made an index? A few of its numbers tell it from another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from omni.errors import ConfigError

if TYPE_CHECKING:
    from omni.index.searching import Searches
    from omni.inference import OmniPredictor

PROBED, PROBE_TOLERANCE = 4, 0.02  # values of each shared parameter; wider than any rounding to half precision


def probe_weights(model: OmniPredictor) -> list[float]:
    """A few numbers of the parts that every slot uses, in the order of their names."""
    own = set(model.model.config.modalities)
    shared = [(n, p) for n, p in sorted(model.model.core.named_parameters()) if own.isdisjoint(n.split("."))]
    return [value for _, parameter in shared for value in parameter.detach().flatten()[:PROBED].float().tolist()]


def check_model(index: Searches, model: OmniPredictor) -> None:
    """Raise ConfigError for a model that did not make the index: its scores would be numbers without meaning."""
    config, probe = model.model.config, np.asarray(probe_weights(model))
    expected = np.asarray(index.probe)
    width = "" if config.embedding_width == index.width else f", its embeddings have width {config.embedding_width}"
    alike = probe.shape == expected.shape and np.allclose(probe, expected, rtol=PROBE_TOLERANCE, atol=1e-3)
    if width or (len(expected) and not alike):
        raise ConfigError(
            f"This model did not make the index of {', '.join(map(repr, index.slots))} (width {index.width}): its "
            f"weights differ{width}. Give the model that made it, or make the index again."
        )


def default_ids(values: Sequence[Any]) -> list[str]:
    """Paths and short strings as names where they differ; else positions."""
    names = [str(value) for value in values if isinstance(value, (str, Path))]
    return names if len(set(names)) == len(values) else [str(position) for position in range(len(values))]
