"""Bad and odd files: the right value or an OmniError that names the file; no crash, no hang."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import uid
from xray_files import dicom, through_gdcm, values

from omni.data.loaders import SlotLoader
from omni.errors import InputError, OmniError
from omni_plugin_xray import guarded
from omni_plugin_xray.io import load, read_metadata


def png(pixels: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("by_slot", [False, True])
def test_what_is_no_file_is_refused_by_name(tmp_path: Path, by_slot: bool) -> None:
    (tmp_path / "empty.dcm").write_bytes(b"")
    (tmp_path / "words.dcm").write_bytes(b"no radiograph at all")
    (tmp_path / "magic.dcm").write_bytes(b"\0" * 128 + b"DICX" + dicom()[132:])
    (tmp_path / "only.dcm").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "loop.dcm").symlink_to(tmp_path / "loop.dcm")
    (tmp_path / "folder.dcm").mkdir()
    os.mkfifo(tmp_path / "pipe.dcm")
    read = SlotLoader("xray", modality="xray") if by_slot else load
    for name in ("none", "empty", "words", "magic", "only", "loop", "folder", "pipe"):
        with pytest.raises(InputError, match=rf"{name}\.dcm"):
            read(tmp_path / f"{name}.dcm")


@pytest.mark.parametrize("name", ["locked.dcm", "locked.png"])
def test_no_permission(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(dicom() if name.endswith("dcm") else png(values(20, 20, 8)))
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        for folder in (tmp_path, *tmp_path.parents[:3]):
            folder.chmod(0o755)
        os.seteuid(65534)  # root may read everything
    try:
        with pytest.raises(InputError, match=rf"{name}.*Permission denied"):
            load(path)
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.92", "1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.69"])
def test_a_codec_that_is_not_there(tmp_path: Path, syntax: str) -> None:
    """JPEG 2000 of several components, pixels that lie at an address, and a transfer syntax that nobody knows."""
    data = through_gdcm(dicom(values(64, 64, 8), bits=8), uid.JPEGLosslessSV1, tmp_path)
    assert data.count(uid.JPEGLosslessSV1.encode()) == 1 and len(uid.JPEGLosslessSV1) == len(syntax)
    path = tmp_path / "film.dcm"
    path.write_bytes(data.replace(uid.JPEGLosslessSV1.encode(), syntax.encode()))
    with pytest.raises(OmniError, match=r"film\.dcm.*(transfer syntax|compress|decode)"):
        load(path)


WRONG = {
    "slope 0": (dict(RescaleSlope=0, RescaleIntercept=0), "slope"),
    "slope NaN": (dict(RescaleSlope=float("nan"), RescaleIntercept=0), "slope|damaged"),
    "window NaN": (dict(WindowCenter=float("nan"), WindowWidth=9), "window|damaged"),
    "window of width 0": (dict(WindowCenter=3, WindowWidth=0), "width 0"),
    "window of another unit": (dict(WindowCenter=-600, WindowWidth=100), "window does not fit"),
    "half a window": (dict(WindowCenter=30), "window"),
    "no rows": (dict(Rows=None), "rows and columns"),
    "too few pixels": (dict(Rows=400), "cut off"),
    "colour": (dict(PhotometricInterpretation="RGB", SamplesPerPixel=3), "colour"),
    "palette": (dict(PhotometricInterpretation="PALETTE COLOR"), "colour"),
    "no polarity": (dict(PhotometricInterpretation=None), "grey levels"),
    "a CT slice": (dict(Modality="CT"), "no radiograph.*CT"),
    "an ECG": (dict(Modality="ECG"), "no radiograph"),
    "burned in": (dict(BurnedInAnnotation="YES"), "burned"),
    "high bit": (dict(HighBit=15), "bits"),
    "32 bits": (dict(BitsAllocated=32), "bits"),
    "more bits than there are": (dict(BitsStored=17, HighBit=16), "bits"),
    "no sign": (dict(PixelRepresentation=None), "sign"),
    "no pixels": (dict(PixelData=None), "no pixel data"),
    "no frames": (dict(NumberOfFrames=0), "0 frames"),
    "too large": (dict(Rows=65000, Columns=65000), "max_pixels"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", WRONG)
def test_fields_that_cannot_be_meant_are_refused_by_name(tmp_path: Path, case: str) -> None:
    fields, words = WRONG[case]
    path = tmp_path / "thorax.dcm"
    path.write_bytes(dicom(**fields))
    with pytest.raises(InputError, match=rf"(?s)thorax\.dcm.*({words})|({words}).*thorax\.dcm"):
        load(path)


def test_options_take_what_is_refused_by_default() -> None:
    assert load(dicom(Modality="CT"), any_modality=True).meta["modality"] == "OTHER"
    assert load(dicom(BurnedInAnnotation="YES"), allow_burned_in=True).meta["burned_in"] is True
    assert load(dicom(Modality=None)).meta["modality"] is None
    assert load(dicom(WindowCenter=3, WindowWidth=0), window="minmax").levels_HW.max() == 65535


def test_blank_pictures_are_refused() -> None:
    flat = np.full((20, 20), 700, np.uint16)
    for value in (dicom(flat), dicom(flat, WindowCenter=600, WindowWidth=900), png(flat), flat):
        with pytest.raises(InputError, match="blank"):
            load(value)


@pytest.mark.parametrize("syntax", [None, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless,
                                    uid.RLELossless, uid.JPEGBaseline8Bit])  # fmt: skip
def test_files_cut_off_anywhere_are_refused(tmp_path: Path, syntax: str | None) -> None:
    data = dicom(values(64, 64, 8), bits=8)
    data = through_gdcm(data, syntax, tmp_path) if syntax else data
    whole = load(data).levels_HW
    path = tmp_path / "cut.dcm"
    for length in (*range(1, len(data), max(1, len(data) // 60)), len(data) - 20):
        path.write_bytes(data[:length])
        try:
            assert np.array_equal(load(path).levels_HW, whole)  # nothing but what follows the pixels was lost
            assert length > len(data) - 32
        except InputError as error:
            assert "cut.dcm" in str(error)


@pytest.mark.parametrize("syntax", [uid.JPEGLosslessSV1, uid.JPEG2000Lossless])
def test_a_compressed_picture_of_another_size_is_refused_before_it_is_decoded(tmp_path: Path, syntax: str) -> None:
    data = through_gdcm(dicom(values(64, 64, 12)), syntax, tmp_path)
    if syntax == uid.JPEG2000Lossless:
        at = data.index(b"\xff\x4f\xff\x51") + 8
        huge = data[:at] + struct.pack(">II", 60_000, 60_000) + data[at + 8 :]
    else:
        at = data.index(b"\xff\xc3") + 5
        huge = data[:at] + struct.pack(">HH", 60_000, 60_000) + data[at + 4 :]
    with pytest.raises(InputError, match="64 x 64 pixels, its compressed picture 60000 x 60000"):
        load(huge)


def test_a_deflated_bomb_is_refused() -> None:
    data = dicom(syntax=uid.DeflatedExplicitVRLittleEndian)
    start = 144 + struct.unpack("<I", data[140:144])[0]
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = b"".join([*(squeeze.compress(bytes(1 << 24)) for _ in range(33)), squeeze.flush()])
    assert len(bomb) < 1 << 20
    with pytest.raises(InputError, match="inflates to more"):
        load(data[:start] + bomb)
    with pytest.raises(InputError, match="damaged"):
        load(data[:start] + b"\xff" * 50)


def test_huge_and_endless_headers_are_refused() -> None:
    data = dicom()
    lie = data[:132] + struct.pack("<HH2sHI", 8, 8, b"UT", 0, 0xFFFFFFF0) + data[132:]
    nested = data[:-40] + (struct.pack("<HH2sHI", 0x28, 0x3010, b"SQ", 0, 0xFFFFFFFF) +
                           struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)) * 3000  # fmt: skip
    for value in (lie, nested):
        with pytest.raises(InputError):
            load(value)


def test_random_damage_never_gives_anything_but_a_picture_or_an_input_error(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for syntax in (None, uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.JPEGLosslessSV1):
        data = dicom(values(24, 24, 12), WindowCenter=2000, WindowWidth=4000)
        data = through_gdcm(data, syntax, tmp_path) if syntax else data
        for _ in range(60):
            broken = bytearray(data)
            for at in generator.integers(128, len(data), 3):
                broken[at] = generator.integers(256)
            for read in (load, read_metadata):
                try:
                    read(bytes(broken))
                except OmniError:
                    pass


def test_pictures_of_the_wrong_kind_are_refused(tmp_path: Path) -> None:
    ramp = values(20, 20, 8)
    colour = np.stack([ramp, ramp[::-1], ramp.T], -1)
    clear = np.stack([ramp, ramp, ramp, np.full_like(ramp, 3)], -1)
    huge = Image.new("1", (20_000, 20_000))
    buffer = io.BytesIO()
    huge.save(buffer, "PNG")
    cases = {
        "colour.png": (png(colour), "colour"), "clear.png": (png(clear), "transparent"),
        "cut.png": (png(ramp)[:100], "damaged|truncated"), "cut.jpg": (png(ramp, "JPEG")[:380], "damaged|truncated"),
        "bomb.png": (buffer.getvalue(), "pixels"), "film.gif": (png(ramp, "GIF"), "neither DICOM"),
    }  # fmt: skip
    for name, (data, words) in cases.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(InputError, match=rf"{name}.*({words})"):
            load(path)


def test_arrays_whose_meaning_is_not_certain_are_refused() -> None:
    for array, words in (
        (np.full((9, 9), np.nan), "NaN"), (np.full((9, 9), 2.0), "0..1"), (np.zeros((9, 9), np.int64), "int64"),
        (np.zeros((3, 9, 9), np.uint8), "height, width"), (np.zeros((0, 9), np.uint8), "height, width"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            load(array)
    for value in ("https://example.com/a.dcm", b"", 3):
        with pytest.raises(InputError):
            load(value)


def test_frames_that_end_the_decoders_process_are_refused_and_reading_goes_on(tmp_path: Path) -> None:
    """Random damage of JPEG-LS until GDCM has fallen once."""
    data = through_gdcm(dicom(values(64, 64, 8), bits=8), uid.JPEGLSLossless, tmp_path)
    whole, generator = load(data).levels_HW, np.random.default_rng(7)
    start, first = data.index(b"\xe0\x7f\x10\0") + 20, guarded._running().pid
    for _ in range(3000):
        broken = bytearray(data)
        for at in generator.integers(start, len(data), generator.integers(1, 5)):
            broken[at] = generator.integers(256)
        try:
            load(bytes(broken))
        except InputError as error:
            assert "radiograph of" in str(error)
        if guarded._running().pid != first:
            break
    else:
        pytest.fail("GDCM survived: it may be called directly again")
    assert np.array_equal(load(data).levels_HW, whole)
