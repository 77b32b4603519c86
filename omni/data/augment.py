"""The base of augmentations that plugins declare: changes of one slot's samples, in training only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from omni.data.transform import Transform
from omni.errors import ConfigError, OmniError
from omni.plugin.catalog import get_catalog
from omni.plugin.suggest import did_you_mean
from omni.registry import check_arguments

ROLE = "augment"


class Augmentation:
    """Built as ``Augmentation(**settings)``; declared as a TransformSpec with ``role="augment"``.

    A config names it in a slot's ``augmentations``, ``[dict(type=..., ...), ...]``; they are applied in this order, in
    training only. A subclass overrides one of ``raw`` and ``tensors``. Randomness comes from torch's global generator
    alone, which training seeds for each sample and view; what is given is never changed in place.
    """

    def bind(self, transform: Transform) -> None:
        """Called once with the slot's transform, for what has to be known of it (a sample rate, a mean).

        Raises:
            ConfigError: it cannot work on what this transform makes.
        """

    def raw(self, raw: Any) -> Any:
        """Change what the loader gave, before the transform."""
        return raw

    def tensors(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Change what the transform made of one sample: the same keys and types."""
        return tensors


def chance(value: Any, what: str) -> float:
    """A number from 0 to 1, or a ConfigError that names it."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ConfigError(f"{what} is {value!r}; it must lie between 0 and 1.")
    return float(value)


def amount(value: Any, what: str) -> float:
    """A finite number of at least 0, or a ConfigError that names it."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ConfigError(f"{what} is {value!r}; it must be a number of at least 0.")
    return float(value)


def augmentations_for(modality: str) -> list[str]:
    """Names of those that installed plugins declare for a modality."""
    return [item.spec.name for item in get_catalog().entries("transform") if _fits(item.spec, modality)]


def build_augmentation(slot: str, settings: Any, *, modality: str, transform: Transform | None) -> Augmentation:
    """One of a slot's ``augmentations``, bound to the slot's transform (None: only built).

    Raises:
        ConfigError: no type, one of another modality or role, or settings that it does not take.
        UnknownComponentError: no installed plugin provides it.
    """
    what = f"Slot {slot!r}: augmentations"
    if not isinstance(settings, Mapping) or not isinstance(settings.get("type"), str):
        raise ConfigError(f"{what}: {settings!r} must be a dictionary with a type.")
    options = dict(settings)
    name = options.pop("type")
    catalog = get_catalog()
    fitting = augmentations_for(modality)
    if not _fits(catalog.get("transform", name).spec, modality):
        raise ConfigError(
            f"{what}: {name!r} is no augmentation of {modality}. There are {', '.join(fitting) or 'none'}."
            f"{did_you_mean(name, fitting)}"
        )
    factory = catalog.component("transform", name)
    check_arguments(factory, options, what=f"{what}: {name!r}")
    try:
        made = factory(**options)
    except OmniError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{what}: {name!r} cannot be built: {error}") from error
    if transform is not None:
        made.bind(transform)
    return made


def _fits(spec: Any, modality: str) -> bool:
    return spec.role == ROLE and spec.modality == modality
