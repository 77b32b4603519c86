"""Loading: a slot's value (path, bytes, in-memory object) -> the raw value that its modality's transforms take.

Which modality a value is of is said by its slot, never guessed from its type, rank or ending.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from omni.errors import ConfigError, InputError, MissingSlotError, OmniError
from omni.plugin.catalog import get_catalog
from omni.plugin.specs import ModalitySpec
from omni.plugin.suggest import did_you_mean

SHOWN_CHARACTERS = 80
TRACK = "track"  # the option that names another modality's track


class SlotLoader:
    """Loads the values of one slot through the loader of its modality.

    Args:
        slot: the slot's name, for messages.
        modality: a modality of the catalog.
        options: keyword arguments of the modality's loader. ``track`` is for values that are files of another modality
            which hold something for this one (``ModalitySpec.tracks``): "modality.track", or a dictionary with that
            as its ``type`` and the track's own options. Paths and bytes go through it first, other values do not.

    Raises:
        UnknownComponentError: no installed plugin provides the modality.
        ConfigError: the modality has no such track.
    """

    def __init__(self, slot: str, *, modality: str, options: Mapping[str, Any] | None = None) -> None:
        catalog = get_catalog()
        entry = catalog.get("modality", modality)
        self.slot = slot
        self.spec: ModalitySpec = entry.spec
        self.options = dict(options or {})
        self.hints: dict[str, Any] = {}  # what the slot's transform asks of the loader; the options win
        self._load: Callable[..., Any] = catalog.resolve(self.spec.loader, needed_by=entry)
        self._own_options = {key: value for key, value in self.options.items() if key != TRACK}
        self._track = _find_track(slot, self.options.get(TRACK))

    def __call__(self, value: Any) -> Any:
        """The raw value.

        Args:
            value: a path (``Path``, or a string where the modality is read from files), bytes of such a file, or an
                in-memory object that the modality's loader knows.

        Raises:
            InputError: the file is missing or cannot be read, or the value is of no type that the loader takes; the
                message names the slot and the file.
            MissingSlotError: the file is sound and holds nothing for this slot.
        """
        if value is None:
            raise InputError(f"Slot {self.slot!r} has no value (None). Leave a missing slot out of the sample.")
        if is_path(value, self.spec):
            value = Path(value)
            if not value.is_file():
                raise InputError(f"Slot {self.slot!r}: {_why_no_file(value)}")
        try:
            if self._track is not None and isinstance(value, (Path, bytes, bytearray, memoryview)):
                value_or_track = self._track(value)
            else:
                value_or_track = value
            return self._load(value_or_track, **self.hints | self._own_options)
        except InputError as error:
            raise retold(error, f"Slot {self.slot!r}: {_with_name(str(error), value)}") from error
        except OmniError:
            raise
        except (OSError, ValueError, TypeError, EOFError, SyntaxError) as error:
            raise InputError(
                f"Slot {self.slot!r}: {describe(value)} cannot be read as {self.spec.name}: "
                f"{type(error).__name__}: {error}"
            ) from error


def _find_track(slot: str, settings: Any) -> Callable[[Any], Any] | None:
    """The function of ``track``: path or bytes -> what the slot's own loader takes."""
    if settings is None:
        return None
    options = dict(settings) if isinstance(settings, Mapping) else {"type": settings}
    name = options.pop("type", None)
    if not isinstance(name, str) or name.count(".") != 1:
        raise ConfigError(f"Slot {slot!r}: the loader's track is {settings!r}; it must name one, as 'modality.track'.")
    modality, _, wanted = name.partition(".")
    catalog = get_catalog()
    entry = catalog.get("modality", modality)
    tracks = dict(entry.spec.tracks)
    if wanted not in tracks:
        raise ConfigError(
            f"Slot {slot!r}: the modality {modality!r} has no track {wanted!r}.{did_you_mean(wanted, tracks)} "
            f"Tracks: {', '.join(tracks) or 'none'}."
        )
    function = catalog.resolve(tracks[wanted], needed_by=entry)
    return lambda value: function(value, **options)


def retold(error: InputError, message: str) -> InputError:
    """The error with another message; one that says that the slot is missing still says so."""
    return (MissingSlotError if isinstance(error, MissingSlotError) else InputError)(message)


def is_path(value: Any, spec: ModalitySpec) -> bool:
    """True for a ``Path``, and for a string of a modality that is read from files; strings of the others are the values
    themselves."""
    return isinstance(value, Path) or (isinstance(value, str) and strings_are_paths(spec))


def strings_are_paths(spec: ModalitySpec) -> bool:
    """True if the modality names file endings and does not take strings literally."""
    return bool(spec.extensions) and not spec.literal_strings


def describe(value: Any) -> str:
    """A value in a few words, for messages."""
    if isinstance(value, Path):
        return f"the file {str(value)!r}"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"{len(value)} bytes"
    if isinstance(value, str):
        shown = value if len(value) <= SHOWN_CHARACTERS else value[: SHOWN_CHARACTERS - 3] + "..."
        return repr(shown)
    shape = getattr(value, "shape", None)
    return type(value).__name__ + (f" of shape {tuple(shape)}" if shape is not None else "")


def _why_no_file(path: Path) -> str:
    if path.is_dir():
        return f"{str(path)!r} is a folder; give the files in it."
    nearest = next((parent for parent in path.parents if parent.is_dir()), None)
    if nearest is not None and nearest != path.parent and str(nearest) != ".":
        return f"no file {str(path)!r} (there is a folder {str(nearest)!r}, and nothing of the rest)."
    relative = "" if path.is_absolute() else f"; it is relative to {Path.cwd()}"
    return f"no file {str(path)!r}. Check the name{relative}."


def _with_name(message: str, value: Any) -> str:
    """The loader's message, with the file's name if it forgot it."""
    if isinstance(value, Path) and str(value) not in message and value.name not in message:
        return f"{describe(value)}: {message}"
    return message
