"""What layouts of films share: finding the files, and the sound of a film as the sample's second slot."""

from __future__ import annotations

import os
from pathlib import Path

from omni.data.layouts import PublishedLayout
from omni.types import Sample
from omni_plugin_video.sound import SoundTrack

ENDINGS = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".flv")  # downloads keep that of their source
VIDEO, AUDIO, TEXT = "video", "audio", "text"
CLASS = "class"


def listed(layout: PublishedLayout, folder: Path, *, deep: bool = False) -> dict[str, Path]:
    """Name without ending -> file, of the films in a folder.

    Args:
        layout: for messages.
        folder: looked through once.
        deep: also its folders (one level), as films sorted by class lie in.

    Raises:
        InputError: two files have one name but for their endings.
    """
    found: dict[str, Path] = {}
    with os.scandir(folder) as entries:
        inside = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in inside:
        if deep and entry.is_dir():
            more = listed(layout, Path(entry.path))
        else:
            stem, dot, ending = entry.name.rpartition(".")
            more = {stem: Path(entry.path)} if dot and f".{ending.lower()}" in ENDINGS else {}
        for stem, path in more.items():
            if stem in found:
                raise layout.wrong(f"{str(found[stem])!r} and {str(path)!r} would be one film. Remove one.")
            found[stem] = path
    return found


def with_sound(sample: Sample, *, silent: str) -> Sample:
    """The sample with the sound of its film as a second slot. The film is opened when the slot is read; without sound
    the slot is missing then.

    Args:
        sample: with a path in its slot "video".
        silent: of omni_plugin_video.sound.SoundTrack.
    """
    film = sample.values[VIDEO]
    text = sample.values.get(TEXT)
    sample.values = {VIDEO: film, AUDIO: SoundTrack(film, silent=silent), **({} if text is None else {TEXT: text})}
    sample.keys = {VIDEO: str(film), AUDIO: f"{film}#sound", **({} if text is None else {TEXT: text})}
    return sample


def class_numbers(layout: PublishedLayout, labels: set[str], classes: tuple[str, ...] | None) -> tuple[str, ...]:
    """Names of the classes by number: those that were given, or all labels, sorted.

    Raises:
        InputError: a label is not among those given.
    """
    if not classes:
        return tuple(sorted(labels))
    unknown = sorted(labels - set(classes))
    if unknown:
        raise layout.wrong(f"the label {unknown[0]!r} is not among the given `classes`.")
    return tuple(classes)
