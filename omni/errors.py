"""Errors that users see. Each message names the thing, the cause and the fix."""

from __future__ import annotations


class OmniError(Exception):
    """Base of every error that omni raises on purpose."""


class UnknownComponentError(OmniError, KeyError):
    """A name that no installed plugin provides."""

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return str(self.args[0]) if self.args else ""


class PluginError(OmniError):
    """A plugin that is broken, incompatible, disabled or in conflict with another."""


class ConfigError(OmniError, ValueError):
    """A configuration that cannot be meant: unknown key, wrong type, values that do not fit together."""


class InputError(OmniError, ValueError):
    """An input that cannot be read as what its key says (names the file or field, the cause and the fix).

    Attributes:
        slot: whose value it is, where that is known.
    """

    slot: str | None = None


class MissingSlotError(InputError):
    """A value that is sound and holds nothing for its slot: a film without a sound track, where the slot wants sound.

    Loaders raise it. The slot is then missing from the sample, everywhere; nothing stands in for it, and it is no bad
    item. Where such a value is asked for by itself (``encode``), it is an error like any other InputError.
    """


class WeightsError(OmniError):
    """Weights that are missing, damaged, of another shape or without a part that was asked for."""


class TrainingError(OmniError, RuntimeError):
    """Training that cannot go on (no data, no trained parameter, loss not finite)."""


class MissingDependencyError(OmniError, ImportError):
    """An optional package that a part needs: names it and the pip command for it."""
