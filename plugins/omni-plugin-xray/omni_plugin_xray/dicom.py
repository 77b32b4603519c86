"""DICOM: header -> checks -> stored values -> rescale -> window -> polarity (PS3.3 C.7.6.3, C.11.1, C.11.2)."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi

from omni.errors import InputError
from omni_plugin_xray import metadata as md
from omni_plugin_xray.display import FUNCTIONS, Window, range_window, to_levels
from omni_plugin_xray.frames import check_deflated, stored_values
from omni_plugin_xray.image import XrayImage
from omni_plugin_xray.quiet import quiet

MODALITIES = ("CR", "DX", "DR", "RG", "RF", "MG", "IO", "PX", "OT")  # OT: film that was scanned
GREY = ("MONOCHROME1", "MONOCHROME2")
GREY_SHAPES = {"MONOCHROME1": "INVERSE", "MONOCHROME2": "IDENTITY"}
PREFIX_AT = 128
BARE_STARTS = tuple(bytes((group, 0, element, 0)) for group in (2, 8) for element in (0, 1, 5, 8, 0x16))
PERCENT = 0.5  # at either end, of window="percentile"


@dataclass(frozen=True, kw_only=True)
class DicomOptions:
    """How a DICOM file is read; see omni_plugin_xray.io.load."""

    window: str | tuple[float, float]
    invert: bool | None
    frame: int | None
    max_pixels: int
    identifiers: bool
    allow_burned_in: bool
    any_modality: bool


def is_dicom(data: bytes) -> bool:
    """The prefix is there, or the file starts with an element of the first groups, as some old files do."""
    return data[PREFIX_AT : PREFIX_AT + 4] == b"DICM" or data[:4] in BARE_STARTS


def read_header(data: bytes, name: str, *, identifiers: bool = False, pixels: bool = True) -> Dataset:
    """The fields that are needed and no others.

    Raises:
        InputError: cut off, damaged or no DICOM; the text says nothing of what the file holds.
    """
    tags = [*md.PIXEL_TAGS, *md.FACT_TAGS, *(md.IDENTIFIER_TAGS if identifiers else ())]
    check_deflated(data, name)
    problem = ""
    dataset = Dataset()
    try:
        with quiet():
            force = data[PREFIX_AT : PREFIX_AT + 4] != b"DICM"
            dataset = dcmread(io.BytesIO(data), specific_tags=tags, force=force, stop_before_pixels=not pixels)
            for element in dataset:  # converts every value now, so that what is wrong with one shows here
                element.value  # noqa: B018
    except Exception as error:  # the parser raises many types; their texts can hold values of the file
        problem = type(error).__name__
    if problem:
        raise InputError(f"The {name} is a damaged or cut off DICOM file ({problem}). Copy or export it again.")
    return dataset


def read_dicom(data: bytes, name: str, options: DicomOptions) -> XrayImage:
    """One radiograph of the bytes of a file.

    Raises:
        InputError: see omni_plugin_xray.io.load.
    """
    dataset = read_header(data, name, identifiers=options.identifiers)
    _check_kind(dataset, name, options)
    stored = stored_values(dataset, name, frame=options.frame, max_pixels=options.max_pixels)
    padding = _padding(dataset, stored)
    rescaled = _rescaled(dataset, stored, name)
    shown, window = _windowed(dataset, rescaled, padding, name, options)
    inverted = _is_inverted(dataset, name) if options.invert is None else options.invert
    levels = to_levels(shown, invert=inverted, padding=padding, name=name)
    meta = md.facts(dataset)
    return XrayImage(
        levels_HW=levels,
        meta=meta | _pixel_facts(dataset, levels, inverted) | window,
        pixel_aspect=md.pixel_aspect(dataset, meta["spacing_mm"]),
        source=name,
        identifiers=md.identifiers(dataset) if options.identifiers else None,
    )


def _pixel_facts(dataset: Dataset, levels: np.ndarray, inverted: bool) -> dict[str, Any]:
    modality = md.word(dataset, "Modality")
    return {
        "format": "DICOM",
        "modality": modality if modality in MODALITIES else None if not modality else "OTHER",
        "rows": levels.shape[0],
        "columns": levels.shape[1],
        "bits_stored": int(dataset.BitsStored),
        "photometric": md.word(dataset, "PhotometricInterpretation"),
        "inverted": inverted,
        "burned_in": {"YES": True, "NO": False}.get(md.word(dataset, "BurnedInAnnotation")),
    }


def _check_kind(dataset: Dataset, name: str, options: DicomOptions) -> None:
    """A radiograph of one channel, whose pixels do not show who it is of."""
    modality = md.word(dataset, "Modality")
    if modality and modality not in MODALITIES and not options.any_modality:
        known = modality if len(modality) == 2 and modality.isalpha() else "something else"
        raise InputError(
            f"The {name} is no radiograph: its modality is {known}, not one of {', '.join(MODALITIES)}. "
            "Leave it out, or give the loader any_modality=True if the field is wrong."
        )
    if md.word(dataset, "BurnedInAnnotation") == "YES" and not options.allow_burned_in:
        raise InputError(
            f"The {name} says that text about the patient is burned into its pixels. Blank it out, or give the loader "
            "allow_burned_in=True."
        )
    photometric = md.word(dataset, "PhotometricInterpretation")
    if photometric not in GREY:
        cause = "is in colour" if photometric else "does not say how grey levels are stored"
        raise InputError(
            f"The {name} {cause}; only MONOCHROME1 and MONOCHROME2 are read. Export it again as a grey DICOM file."
        )


def _is_inverted(dataset: Dataset, name: str) -> bool:
    photometric, shape = md.word(dataset, "PhotometricInterpretation"), md.word(dataset, "PresentationLUTShape")
    if shape in GREY_SHAPES.values() and shape != GREY_SHAPES[photometric]:
        raise InputError(
            f"The {name} contradicts itself: {photometric} with the presentation {shape}. Look at it, and give the "
            "loader invert=True if bone is dark in its stored values, else invert=False."
        )
    return photometric == "MONOCHROME1"


def _padding(dataset: Dataset, stored: np.ndarray) -> np.ndarray | None:
    """Pixels outside the picture, by PixelPaddingValue and its range."""
    first = md.number(dataset.get("PixelPaddingValue"))
    if first is None:
        return None
    if md.number(dataset.get("PixelRepresentation")) == 1 and first >= 1 << (8 * stored.itemsize - 1):
        first -= 1 << (8 * stored.itemsize)  # written as if unsigned
    limit = md.number(dataset.get("PixelPaddingRangeLimit"))
    low, high = sorted((first, first if limit is None else limit))
    mask = (stored >= low) & (stored <= high)
    return mask if mask.any() and not mask.all() else None


def _rescaled(dataset: Dataset, stored: np.ndarray, name: str) -> np.ndarray:
    """Modality LUT or slope and intercept, in float64; the stored values where there is neither."""
    if md.values(dataset, "ModalityLUTSequence"):
        return _by_library(apply_modality_lut, stored, dataset, name, "modality table")
    slopes, intercepts = md.values(dataset, "RescaleSlope"), md.values(dataset, "RescaleIntercept")
    if not slopes and not intercepts:
        return stored.astype(np.float64)
    slope = md.number(slopes[0]) if slopes else 1.0
    intercept = md.number(intercepts[0]) if intercepts else 0.0
    if slope is None or intercept is None or slope == 0:
        raise InputError(f"The {name} has a rescale slope or intercept that is no number, or 0. Export it again.")
    return stored.astype(np.float64) * slope + intercept


def _by_library(function: Any, values: np.ndarray, dataset: Dataset, name: str, what: str) -> np.ndarray:
    made = None
    try:
        with quiet():
            made = function(values, dataset)
    except Exception:  # tables that are cut off or contradict their descriptors
        made = None
    if made is None or made.shape != values.shape or not np.isfinite(made).all():
        raise InputError(f'The {name} has a damaged {what}; export it again, or give the loader window="minmax".')
    return np.asarray(made)


def _windowed(
    dataset: Dataset, values: np.ndarray, padding: np.ndarray | None, name: str, options: DicomOptions
) -> tuple[np.ndarray, dict[str, Any]]:
    """Values -> 0..1, and which window did it."""
    if options.window == "file" and md.values(dataset, "VOILUTSequence"):
        bits = _table_bits(dataset, name)
        stored = values.astype(np.int64) if np.array_equal(values, np.rint(values)) else values
        shown = _by_library(apply_voi, stored, dataset, name, "display table") / (2**bits - 1)
        return np.clip(shown, 0, 1), {"window": None, "window_source": "table"}
    window, source = _window_of(dataset, name) if options.window == "file" else (None, "given")
    if isinstance(options.window, tuple):
        window = Window(center=options.window[0], width=options.window[1])
    if window is None:
        inside = values if padding is None else values[~padding]
        percent = PERCENT if options.window == "percentile" else 0.0
        window, source = range_window(inside, percent, name), "percentile" if percent else "minmax"
    facts = {"center": window.center, "width": window.width, "function": window.function}
    return window(values), {"window": facts, "window_source": source}


def _window_of(dataset: Dataset, name: str) -> tuple[Window | None, str]:
    """The first window of the file, None if it has none."""
    centers, widths = md.values(dataset, "WindowCenter"), md.values(dataset, "WindowWidth")
    if not centers and not widths:
        return None, ""
    center, width = (md.number(found[0]) if found else None for found in (centers, widths))
    if center is None or width is None:
        raise InputError(f'The {name} has a window that is no number; give the loader window="minmax" or numbers.')
    function = md.word(dataset, "VOILUTFunction") or "LINEAR"
    if function not in FUNCTIONS:
        raise InputError(f'The {name} has a window of an unknown kind; give the loader window="minmax" or numbers.')
    window = Window(center=center, width=width, function=function)  # type: ignore[arg-type]
    if window.problem():
        raise InputError(f'The window of {name} {window.problem()}; give the loader window="minmax" or numbers.')
    return window, "file"


def _table_bits(dataset: Dataset, name: str) -> int:
    descriptor = md.values(dataset.VOILUTSequence[0], "LUTDescriptor")
    bits = md.number(descriptor[2]) if len(descriptor) == 3 else None
    if bits is None or not 8 <= bits <= 16:
        raise InputError(f'The {name} has a damaged display table; give the loader window="minmax".')
    return int(bits)
