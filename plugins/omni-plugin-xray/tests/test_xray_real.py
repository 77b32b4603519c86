"""A real radiograph of a chest, of the package pydicom-data, beside what its header and pydicom say."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch

from omni_plugin_xray.io import load
from omni_plugin_xray.transform import XrayBasic

pytestmark = pytest.mark.slow
PACKAGE = "pydicom-data==1.0.0"
SHA256 = "622ac97265f1d91f76b5120b5bd6eb0f57737c392ef863b72c71779c91e33637"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("pydicom_data")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(place), PACKAGE]
    subprocess.run(command, check=True, timeout=300)
    wheel = next(place.glob("*.whl"))
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() == SHA256
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if Path(name).name.startswith(("RG1_", "RG3_")):
                (place / Path(name).name).write_bytes(archive.read(name))
    return place


def test_a_chest_is_read_to_its_known_values(folder: Path) -> None:
    path = folder / "RG1_UNCR.dcm"
    picture = load(path)
    assert picture.levels_HW.shape == (1955, 1841) and picture.levels_HW.dtype == np.uint16
    meta = picture.meta
    assert (meta["modality"], meta["view_position"], meta["body_part"]) == ("CR", "PA", "CHEST")
    assert meta["photometric"] == "MONOCHROME1" and meta["inverted"] and meta["bits_stored"] == 15
    assert meta["window"] == {"center": 15000.0, "width": 30000.0, "function": "LINEAR"}
    assert meta["window_source"] == "file" and meta["patient_orientation"] == ("L", "F")
    assert pydicom.dcmread(path).PixelSpacing == [0, 0] and meta["spacing_mm"] is None  # the file does not know it
    assert meta["spacing_problem"] == "PixelSpacing is 0 x 0, not within 0.005 to 5 mm" and picture.pixel_aspect == 1.0
    assert load(folder / "RG3_UNCR.dcm").meta["spacing_problem"] == "the file does not say it"
    stored = pydicom.dcmread(path).pixel_array.astype(np.float64)
    assert (stored.min(), stored.max()) == (874, 26479)
    shown = 1 - np.clip((stored - 14999.5) / 29999 + 0.5, 0, 1)
    assert np.abs(picture.levels_HW - shown * 65535).max() <= 0.5 + 1e-6


def test_lungs_are_dark_the_spine_is_bright_and_the_heart_is_on_the_patients_left(folder: Path) -> None:
    shown = (XrayBasic(size=512)(load(folder / "RG1_UNCR.dcm"))["pixels_CHW"][0] * 0.25 + 0.5).numpy()
    spine, right_lung, left_lung = shown[200:300, 246:266], shown[130:200, 120:180], shown[130:200, 330:390]
    assert spine.mean() > right_lung.mean() + 0.1 and spine.mean() > left_lung.mean() + 0.1
    beside_the_spine = shown[290:360, 200:230].mean(), shown[290:360, 290:320].mean()
    assert beside_the_spine[1] > beside_the_spine[0]


def test_compressed_copies_hold_the_same_picture(folder: Path) -> None:
    for name, bound in (("RG1", 0.02), ("RG3", 0.02)):
        plain, lossless, lossy = (load(folder / f"{name}_{kind}.dcm") for kind in ("UNCR", "J2KR", "J2KI"))
        assert np.array_equal(plain.levels_HW, lossless.levels_HW)
        difference = np.abs(plain.levels_HW.astype(int) - lossy.levels_HW) / 65535
        assert 0 < difference.mean() < bound


def test_no_identifier_of_the_real_file_leaves_it(folder: Path) -> None:
    picture = load(folder / "RG1_UNCR.dcm")
    header = pydicom.dcmread(folder / "RG1_UNCR.dcm", stop_before_pixels=True)
    words = [str(header[tag].value) for tag in ("PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID",
                                                "InstitutionName", "StationName")]  # fmt: skip
    assert all(words) and not [word for word in words if word in repr(picture) + repr(vars(picture))]
    assert torch.isfinite(XrayBasic(size=1024)(picture)["pixels_CHW"]).all()
