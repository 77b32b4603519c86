"""No identifier of a file reaches samples, batches, embedding files, errors, logs or warnings, unless asked for."""

from __future__ import annotations

import io
import logging
import traceback
import warnings
from pathlib import Path

import pydicom
import pytest
import torch
from xray_files import SECRETS, WORDS, dicom, encode, make

from omni.core.model import ModelConfig, OmniModel
from omni.data.processor import Processor
from omni.errors import OmniError
from omni.inference import OmniPredictor
from omni.types import Sample, TrainedGroup
from omni_plugin_xray.io import load, read_metadata

NAME = "Quartermain^Zebulon"


def leaks(*texts: object) -> list[bytes]:
    whole = b"\n".join(text if isinstance(text, bytes) else repr(text).encode() + str(text).encode() for text in texts)
    return [word for word in (*WORDS, NAME.encode(), NAME.upper().encode()) if word in whole]


def test_the_files_do_hold_them() -> None:
    assert len(leaks(dicom())) == len(WORDS) > 15


def test_nothing_of_the_patient_is_in_the_raw_value_the_sample_or_the_batch(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(dicom())
    raw = load(path)
    assert raw.identifiers is None and not leaks(raw, raw.meta, vars(raw), read_metadata(path))
    processor = Processor({"xray": {"modality": "xray", "size": 32}})
    sample = Sample(id="1", values={"xray": path}, meta={"row": 1})
    batch = processor.collate([(sample, processor(sample))])
    assert sample.meta == {"row": 1} and batch.meta == [{"row": 1}]
    assert not leaks(sample, batch, batch.meta, processor.to_config())


def test_they_are_given_when_asked_for_and_shown_by_no_repr() -> None:
    raw = load(dicom(), identifiers=True)
    assert raw.identifiers is not None and not leaks(raw, raw.meta)
    for tag in ("PatientName", "PatientID", "AccessionNumber", "StudyInstanceUID", "SOPInstanceUID", "StudyDate"):
        assert raw.identifiers[tag] == SECRETS[tag]


def test_names_typed_into_other_fields_go_no_further() -> None:
    fields = dict(ViewPosition=NAME, BodyPartExamined=NAME, ImageLaterality=NAME, PatientOrientation=[NAME, "F"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = dicom(**fields)
    raw = load(data)
    assert raw.meta["view_position"] == raw.meta["body_part"] == raw.meta["laterality"] == "OTHER"
    assert raw.meta["patient_orientation"] is None and not leaks(raw, raw.meta)


BROKEN = (
    "Modality", "PhotometricInterpretation", "WindowCenter", "RescaleSlope", "VOILUTFunction", "PresentationLUTShape",
    "Rows", "PixelSpacing", "NumberOfFrames", "PixelPaddingValue", "BurnedInAnnotation", "SOPClassUID",
)  # fmt: skip


def with_text(field: str) -> bytes:
    """A file in which the name stands in a field of another kind."""
    dataset = make(WindowCenter="1000", WindowWidth="500", RescaleSlope="1", RescaleIntercept="0")
    tag = pydicom.datadict.tag_for_keyword(field)
    dataset.add_new(tag, "LO", NAME)
    return encode(dataset)


@pytest.mark.filterwarnings("ignore:Invalid value")  # of making the files, not of reading them
@pytest.mark.parametrize("field", BROKEN)
def test_errors_logs_and_warnings_hold_no_text_of_the_file(
    field: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    data = with_text(field)
    caplog.clear()
    assert NAME.encode() in data
    shown: list[object] = []
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for piece in (data, data[: len(data) // 2], data[:900]):
            try:
                shown.append(load(piece).meta)
            except OmniError as error:
                shown += [error, "".join(traceback.format_exception(error))]
    assert not caught and not leaks(*shown, caplog.text, *capfd.readouterr())


def test_the_libraries_still_log_and_warn_outside_the_reader(caplog: pytest.LogCaptureFixture) -> None:
    before = list(warnings.filters)
    load(dicom())
    assert warnings.filters == before
    logging.getLogger("pydicom").warning("of someone else")
    assert "of someone else" in caplog.text


def test_an_embedding_file_holds_none(tmp_path: Path) -> None:
    paths = []
    for index in range(3):
        paths.append(tmp_path / f"{index}.dcm")
        paths[-1].write_bytes(dicom(PatientComments=f"Quartermain {index}"))
    config = ModelConfig(
        width=32, num_layers=1, num_heads=4, ffn_width=48, slots={"xray": "xray"}, embedding_width=16,
        adapters={"xray": {"image_size": 32}},
    )  # fmt: skip
    torch.manual_seed(0)
    model = OmniModel(config)
    model.trained_groups = [TrainedGroup(slots=("xray",), score="cosine")]
    predictor = OmniPredictor(model, Processor({"xray": {"modality": "xray", "size": 32}}))
    predictor.index(xray=paths).save(tmp_path / "gallery")
    predictor.save(tmp_path / "model")
    written = [path for folder in ("gallery", "model") for path in (tmp_path / folder).rglob("*") if path.is_file()]
    assert len(written) >= 4
    assert not {path.name: found for path in written if (found := leaks(path.read_bytes()))}


def test_text_beside_the_pixels_of_a_png_is_not_read() -> None:
    from PIL import Image, PngImagePlugin
    from xray_files import values

    notes = PngImagePlugin.PngInfo()
    notes.add_text("Patient", NAME)
    buffer = io.BytesIO()
    Image.fromarray(values(bits=8)).save(buffer, "PNG", pnginfo=notes)
    raw = load(buffer.getvalue())
    assert NAME.encode() in buffer.getvalue() and not leaks(raw, raw.meta, vars(raw))
