"""Which slot a DICOM file belongs to is said, not guessed: ECGs and radiographs have the same ending."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner
from xray_files import dicom

from omni.cli import app
from omni.data.loaders import SlotLoader
from omni.errors import ConfigError, InputError
from omni.registry import DATASETS

pytest.importorskip("omni_plugin_ecg")
from pydicom.data import get_testdata_file  # noqa: E402


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """``hearts`` with a real ECG, ``lungs`` with two radiographs."""
    (tmp_path / "hearts").mkdir()
    (tmp_path / "lungs").mkdir()
    (tmp_path / "hearts/one.dcm").write_bytes(Path(str(get_testdata_file("waveform_ecg.dcm"))).read_bytes())
    for name in ("two", "three"):
        (tmp_path / f"lungs/{name}.dcm").write_bytes(dicom())
    return tmp_path


@pytest.mark.parametrize("layout", ["classes", "pairs"])
def test_a_folder_of_dicom_files_has_to_be_named(folder: Path, layout: str) -> None:
    with pytest.raises(ConfigError, match=r"\.dcm may be ecg or xray.*slots="):
        DATASETS.build(dict(type="folder", root=str(folder), layout=layout))
    data = DATASETS.build(dict(type="folder", root=str(folder), layout=layout, slots=["xray"]))
    assert [list(sample.values) for sample in data] == [["xray"]] * 3


def test_a_file_in_the_wrong_slot_is_refused_by_what_it_is(folder: Path) -> None:
    read = {name: SlotLoader(name, modality=name) for name in ("ecg", "xray")}
    assert read["ecg"](folder / "hearts/one.dcm").sample_rate == 1000
    assert read["xray"](folder / "lungs/two.dcm").levels_HW.shape == (40, 32)
    with pytest.raises(InputError, match=r"'xray'.*one\.dcm.*no radiograph: its modality is .*not one of CR"):
        read["xray"](folder / "hearts/one.dcm")
    with pytest.raises(InputError, match=r"'ecg'.*two\.dcm.*no waveform \(its modality is CR\)"):
        read["ecg"](folder / "lungs/two.dcm")


def test_a_shard_has_to_be_named_too(folder: Path) -> None:
    with tarfile.open(folder / "a.tar", "w") as archive:
        archive.add(folder / "lungs/two.dcm", "1.dcm")
    shown = CliRunner().invoke(app, ["data", "check", str(folder / "a.tar")])
    assert shown.exit_code != 0 and ".dcm may be ecg or xray" in " ".join(f"{shown.output} {shown.exception}".split())
    named = CliRunner().invoke(app, ["data", "check", str(folder / "a.tar"), "--option", 'slots={"xray": "dcm"}'])
    assert named.exit_code == 0, named.output


def test_png_without_a_name_is_a_picture(folder: Path) -> None:
    import numpy as np
    from PIL import Image

    (folder / "png/a").mkdir(parents=True)
    Image.fromarray(np.eye(9, dtype=np.uint8) * 200).save(folder / "png/a/1.png")
    assert DATASETS.build(dict(type="folder", root=str(folder / "png"))).slots == ("image",)
    named = DATASETS.build(dict(type="folder", root=str(folder / "png"), slots=dict(xray="png")))
    assert SlotLoader("xray", modality="xray")(named[0].values["xray"]).levels_HW.shape == (9, 9)


def test_contact_sheets_show_the_radiograph_and_not_whose_it_is(folder: Path) -> None:
    import base64
    import io
    import re

    import numpy as np
    from PIL import Image

    from omni.data.contact_sheet import contact_sheet
    from omni.types import Sample
    from omni_plugin_xray.io import load

    path = folder / "named.dcm"
    path.write_bytes(dicom(PatientName="Doe^Jane", PatientID="4711-x"))
    page, bad = contact_sheet([Sample(id="1", values={"xray": path})], {"xray": "xray"}, title="films")
    assert not bad and "Doe" not in page and "4711-x" not in page
    (shown,) = re.findall(r'<img [^>]*src="data:image/png;base64,([^"]+)"', page)
    picture = Image.open(io.BytesIO(base64.b64decode(shown)))
    levels_HW = load(path).levels_HW
    assert picture.mode == "L" and picture.size == levels_HW.shape[::-1]
    assert np.array_equal(np.asarray(picture), levels_HW >> 8)
