"""DICOM files made here, with identifiers in every field that could hold them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

SECRETS = {
    "PatientName": "Zebulon^Quartermain", "PatientID": "MRN7319084", "PatientBirthDate": "19310417",
    "AccessionNumber": "ACC5550192", "InstitutionName": "Hollowbrook Infirmary", "ReferringPhysicianName": "Oyelaran^T",
    "StudyInstanceUID": "1.2.826.0.1.77340001", "SeriesInstanceUID": "1.2.826.0.1.77340002", "StudyID": "ST884213",
    "SOPInstanceUID": "1.2.826.0.1.77340003", "StudyDate": "20170223", "OperatorsName": "Wexcombe^J",
    "OtherPatientIDs": "NHS4455661", "PatientAddress": "9 Larkspur Lane", "ImageComments": "seen with Mrs Quartermain",
    "StudyDescription": "follow-up of Z. Quartermain", "StationName": "ROOMHOLLOW", "DeviceSerialNumber": "SN0090817",
}  # fmt: skip
WORDS = tuple(
    part.encode() for value in SECRETS.values() for part in value.replace("^", " ").split(" ") if len(part) > 6
)


def values(rows: int = 40, columns: int = 32, bits: int = 12, *, signed: bool = False) -> np.ndarray:
    """A ramp with a bump over the whole range of the bits."""
    y, x = np.mgrid[0:rows, 0:columns]
    wave = (y / rows + np.sin(x * 0.4) * 0.3 + 0.3) / 1.6
    low = -(1 << (bits - 1)) if signed else 0
    made = np.rint(wave * ((1 << bits) - 1)).astype(np.int64) + low
    return made.astype(f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")


def make(
    pixels: np.ndarray | None = None, *, bits: int = 12, syntax: str = ExplicitVRLittleEndian, **fields: Any
) -> Dataset:
    """A CR file of the pixels; ``fields`` are set last, None takes a field away."""
    pixels = values(bits=bits) if pixels is None else pixels
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = SECRETS["SOPInstanceUID"]
    for tag, value in SECRETS.items():
        setattr(dataset, tag, value)
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.Modality, dataset.ViewPosition, dataset.BodyPartExamined = "CR", "PA", "CHEST"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8 * pixels.itemsize, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelSpacing = [0.143, 0.143]
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    dataset["PixelData"].VR = "OW" if pixels.itemsize == 2 else "OB"
    for tag, value in fields.items():
        if value is None:
            delattr(dataset, tag)
        else:
            setattr(dataset, tag, value)
    return dataset


def encode(dataset: Dataset) -> bytes:
    """The bytes of the file."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def dicom(pixels: np.ndarray | None = None, **options: Any) -> bytes:
    return encode(make(pixels, **options))


def through_gdcm(data: bytes, syntax: str, folder: Any) -> bytes:
    """The file in a compressed transfer syntax, by GDCM's encoders."""
    import gdcm

    before, after = str(folder / "before.dcm"), str(folder / "after.dcm")
    (folder / "before.dcm").write_bytes(data)
    reader = gdcm.ImageReader()
    reader.SetFileName(before)
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change(), syntax
    writer = gdcm.ImageWriter()
    writer.SetFileName(after)
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    made = (folder / "after.dcm").read_bytes()
    assert pydicom.dcmread(io.BytesIO(made)).file_meta.TransferSyntaxUID == syntax
    return made
