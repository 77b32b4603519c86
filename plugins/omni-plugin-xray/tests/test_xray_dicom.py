"""DICOM: transfer syntaxes, bits, tables, windows and polarity against closed forms and pydicom's own functions."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.pixels import get_decoder
from pydicom.pixels.processing import apply_windowing
from xray_files import dicom, encode, make, through_gdcm, values

from omni.errors import ConfigError, InputError, MissingDependencyError
from omni_plugin_xray.display import Window
from omni_plugin_xray.io import load, read_metadata


def exact(stored: np.ndarray) -> np.ndarray:
    """What minmax gives, in float64."""
    stored = stored.astype(np.float64)
    return np.rint((stored - stored.min()) / (stored.max() - stored.min()) * 65535)


@pytest.mark.parametrize(("bits", "signed"), [(8, False), (8, True), (10, False), (12, True), (15, False), (16, True)])
@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian,
                                    uid.DeflatedExplicitVRLittleEndian])  # fmt: skip
def test_native_syntaxes_keep_every_bit(bits: int, signed: bool, syntax: str) -> None:
    stored = values(41, 31, bits, signed=signed)
    big = stored.astype(stored.dtype.newbyteorder(">")) if syntax == uid.ExplicitVRBigEndian else stored
    dataset = make(big, bits=bits, syntax=syntax)
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    picture = load(buffer.getvalue())
    assert np.array_equal(picture.levels_HW, exact(stored)) and picture.levels_HW.dtype == np.uint16
    assert picture.meta["window_source"] == "minmax" and picture.meta["bits_stored"] == bits
    assert picture.meta["spacing_mm"] == (0.143, 0.143) and not picture.meta["inverted"]


@pytest.mark.parametrize("syntax", [uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless,
                                    uid.RLELossless])  # fmt: skip
@pytest.mark.parametrize(("bits", "signed"), [(8, False), (12, False), (16, False), (16, True)])
def test_lossless_compression_gives_the_native_pixels(tmp_path: Path, syntax: str, bits: int, signed: bool) -> None:
    stored = values(40, 32, bits, signed=signed)
    made = load(through_gdcm(dicom(stored, bits=bits), syntax, tmp_path))
    assert np.array_equal(made.levels_HW, exact(stored))


@pytest.mark.parametrize(("syntax", "bits"), [(uid.JPEGBaseline8Bit, 8), (uid.JPEGExtended12Bit, 8),
                                              (uid.JPEGLSNearLossless, 12), (uid.JPEG2000, 12)])  # fmt: skip
def test_lossy_compression_is_close(tmp_path: Path, syntax: str, bits: int) -> None:
    stored = values(64, 48, bits)
    window = dict(WindowCenter=2.0 ** (bits - 1), WindowWidth=2.0**bits)
    original, made = load(dicom(stored, bits=bits, **window)), load(through_gdcm(
        dicom(stored, bits=bits, **window), syntax, tmp_path))  # fmt: skip
    difference = np.abs(original.levels_HW.astype(int) - made.levels_HW) / 65535
    assert difference.max() < 0.06 and difference.mean() < 0.012


def test_monochrome1_is_inverted_after_the_window() -> None:
    stored = values(bits=12)
    window = dict(WindowCenter=1500, WindowWidth=1000)
    bright = load(dicom(stored, **window)).levels_HW.astype(int)
    dark = load(dicom(stored, PhotometricInterpretation="MONOCHROME1", **window))
    assert dark.meta["inverted"] and np.abs(dark.levels_HW + bright - 65535).max() <= 1
    assert np.array_equal(load(dicom(stored, **window), invert=True).levels_HW, dark.levels_HW)
    contradictory = dicom(stored, PresentationLUTShape="INVERSE", **window)
    with pytest.raises(InputError, match="contradicts itself"):
        load(contradictory)
    assert np.array_equal(load(contradictory, invert=False).levels_HW, bright)
    assert load(dicom(stored, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE")).meta["inverted"]


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (2.5, -1024.0)])
def test_windows_agree_with_pydicoms(function: str, slope: float, intercept: float) -> None:
    fields = dict(WindowCenter=900.5, WindowWidth=1300, VOILUTFunction=function, RescaleSlope=slope,
                  RescaleIntercept=intercept)  # fmt: skip
    stored = values(bits=12)
    picture = load(dicom(stored, **fields))
    dataset = make(stored, **fields)
    rescaled = stored * slope + intercept
    low, high = (end * slope + intercept for end in (0, 4095))
    theirs = (apply_windowing(rescaled, dataset) - low) / (high - low)
    assert np.abs(picture.levels_HW / 65535 - theirs).max() < 1e-5
    assert picture.meta["window"] == {"center": 900.5, "width": 1300.0, "function": function}
    assert picture.meta["window_source"] == "file"


def test_windows_by_hand() -> None:
    linear, exact_one = Window(center=10, width=5), Window(center=10, width=4, function="LINEAR_EXACT")
    assert linear([7, 7.5, 9.5, 11.5, 12]).tolist() == [0, 0, 0.5, 1, 1]
    assert exact_one([8, 9, 10, 12, 99]).tolist() == [0, 0.25, 0.5, 1, 1]
    assert Window(center=3, width=1)([2.5, 2.6]).tolist() == [0, 1]
    assert Window(center=0, width=4, function="SIGMOID")([0.0, -1e9])[0] == 0.5


def test_the_first_of_several_windows_and_those_of_the_caller() -> None:
    data = dicom(WindowCenter=[1000, 2000], WindowWidth=[500, 600])
    assert load(data).meta["window"]["center"] == 1000
    given = load(data, window=(2000, 600))
    assert given.meta["window_source"] == "given"
    assert np.array_equal(given.levels_HW, load(dicom(WindowCenter=2000, WindowWidth=600)).levels_HW)
    assert np.array_equal(load(data, window="minmax").levels_HW, exact(values()))
    low, high = np.percentile(values(), (0.5, 99.5))
    cut = np.rint(np.clip((values() - low) / (high - low), 0, 1) * 65535)
    assert np.abs(load(data, window="percentile").levels_HW - cut).max() <= 1
    for wrong in ("auto", (1, 0), (float("nan"), 5), 3):
        with pytest.raises(ConfigError, match="minmax"):
            load(data, window=wrong)


def table(first: int, entries: np.ndarray, bits: int) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries.tolist())
    return item


def test_modality_and_display_tables() -> None:
    stored = values(bits=8)
    squares = (np.arange(256, dtype=np.int64) ** 2).astype(np.uint16)
    assert np.array_equal(load(dicom(stored, bits=8, ModalityLUTSequence=[table(0, squares, 16)])).levels_HW,
                          exact(squares[stored]))  # fmt: skip
    roots = np.rint(np.sqrt(np.arange(256) / 255) * 4095).astype(np.uint16)
    shown = load(dicom(stored, bits=8, VOILUTSequence=[table(0, roots, 12)], WindowCenter=3, WindowWidth=2))
    assert np.array_equal(shown.levels_HW, np.rint(roots[stored] / 4095 * 65535)) and shown.meta["window"] is None
    assert shown.meta["window_source"] == "table"
    with pytest.raises(InputError, match="display table"):
        load(dicom(stored, bits=8, VOILUTSequence=[table(0, roots, 99)]))


def test_padding_is_black_and_does_not_stretch_the_window() -> None:
    stored = values(bits=12)
    stored[:5] = 60000
    for kind in ("MONOCHROME1", "MONOCHROME2"):
        made = load(dicom(stored, bits=16, PixelPaddingValue=60000, PhotometricInterpretation=kind)).levels_HW
        inside = exact(stored[5:])
        assert not made[:5].any()
        assert np.abs(made[5:] - (65535 - inside if kind == "MONOCHROME1" else inside)).max() <= 1
    signed = values(bits=12, signed=True)
    signed[:5] = -2048
    assert not load(dicom(signed, PixelPaddingValue=-2048)).levels_HW[:5].any()


def test_bits_above_the_stored_ones_are_cut_away() -> None:
    stored = values(bits=12)
    overlaid = stored | np.uint16(0x3000)
    assert np.array_equal(load(dicom(overlaid)).levels_HW, exact(stored))
    signed = values(bits=12, signed=True)
    assert np.array_equal(load(dicom((signed & 0x0FFF).astype(np.int16))).levels_HW, exact(signed))


def test_views_sides_and_spacing_are_told() -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "399173006", "SCT", "left lateral"
    data = dicom(ViewPosition=None, ViewCodeSequence=[code], ImageLaterality="L", PixelSpacing=None,
                 ImagerPixelSpacing=[0.2, 0.1], PatientOrientation=["P", "F"])  # fmt: skip
    facts = read_metadata(data)
    assert facts == {"view_position": "LL", "laterality": "L", "body_part": "CHEST", "patient_orientation": ("P", "F"),
                     "spacing_mm": (0.2, 0.1), "spacing_source": "ImagerPixelSpacing",
                     "spacing_problem": None}  # fmt: skip
    picture = load(data)
    assert facts.items() <= picture.meta.items() and picture.pixel_aspect == pytest.approx(2.0)
    for spacing, why in (
        ([0, 0], "PixelSpacing is 0 x 0"), ([143, 143], "PixelSpacing is 143 x 143"), ([0.2], "no pair"),
        ([0.000143, 0.000143], "0.000143"), ([-0.1, 0.1], "-0.1"), (None, "does not say"),
    ):  # fmt: skip
        unknown = read_metadata(dicom(PixelSpacing=spacing))
        assert unknown["spacing_mm"] is None and unknown["spacing_source"] is None
        assert why in unknown["spacing_problem"]
    second = read_metadata(dicom(PixelSpacing=[0, 0], ImagerPixelSpacing=[0.2, 0.2]))
    assert second["spacing_mm"] == (0.2, 0.2) and second["spacing_problem"] is None
    assert load(dicom(PixelSpacing=None, PixelAspectRatio=[3, 2])).pixel_aspect == 1.5


def test_frames_are_chosen() -> None:
    stack = np.stack([values(), values()[::-1]])
    data = dicom(stack, NumberOfFrames=2)
    with pytest.raises(InputError, match="2 frames.*frame=0 to 1"):
        load(data)
    assert np.array_equal(load(data, frame=1).levels_HW, exact(stack[1]))
    with pytest.raises(InputError, match="no frame 2"):
        load(data, frame=2)


def test_files_without_a_prefix_are_read() -> None:
    dataset = make(syntax=uid.ImplicitVRLittleEndian)
    bare = encode(dataset)
    start = 144 + int.from_bytes(bare[140:144], "little")
    assert np.array_equal(load(bare[start:]).levels_HW, exact(values()))


def test_twelve_bits_of_lossy_jpeg_are_read_or_explained(tmp_path: Path) -> None:
    data = through_gdcm(dicom(bits=12), uid.JPEGExtended12Bit, tmp_path)
    if "pylibjpeg" in get_decoder(uid.JPEGExtended12Bit).available_plugins:
        assert np.abs(load(data).levels_HW - exact(values())).mean() < 0.012 * 65535
    else:
        with pytest.raises(MissingDependencyError, match="jpeg12"):
            load(data)
