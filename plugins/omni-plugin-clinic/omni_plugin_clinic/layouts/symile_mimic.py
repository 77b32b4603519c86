"""Symile-MIMIC: radiograph, ECG and laboratory values of one admission, as tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from omni.data.layouts import PublishedLayout
from omni.data.tensor_file import TensorFile
from omni.types import Sample
from omni_plugin_clinic.layouts.symile_mimic_labs import LABS
from omni_plugin_ecg.recording import Ecg
from omni_plugin_tabular.row import Row
from omni_plugin_xray.image import XrayImage

RETRIEVAL = ("val_retrieval", "test")
SAMPLE_RATE = 500.0
LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")  # MIMIC-IV-ECG: aVF before aVL
IMAGENET_MEAN, IMAGENET_STD = 0.485, 0.229  # of the first channel; the three hold one grey picture
FINDINGS = ("Atelectasis", "Cardiomegaly", "Edema", "Lung Opacity", "No Finding", "Pleural Effusion", "Pneumonia")
SUFFIX = "_percentile"
MEAN_TOLERANCE = 1e-3


class SymileMimic(PublishedLayout):
    """Slots ``xray``, ``ecg`` and ``labs`` (modality tabular) of an admission; its hadm_id is the sample's id.

    The radiographs are 320 x 320, the crop of the publication; their normalisation is undone. The ECGs (10 s, 500 Hz)
    were scaled to -1..1 by each record's own least and greatest value, so that no true millivolts exist; ``ecg_mv``
    says for how many the value 1 is taken. The laboratory values are percentiles of the training rows, those that were
    measured: the published flags are 1 = measured, 0 = missing, in spite of their name ``labs_missingness``.

    In the splits "val_retrieval" and "test" each admission is a query and comes once; ``meta["candidates"]`` are the
    ids of its ten candidates as published, the right one first.

    Args:
        root: the folder of the release (with ``data_npy`` and ``labs_means.json``), or one that the published code
            wrote (``train/cxr_train.pt`` ...).
        split: "train", "val", "val_retrieval" or "test".
        missing: of PublishedLayout; the tensors are needed in any case.
        ecg_mv: millivolts that the value 1 of an ECG is taken for.

    Raises:
        InputError: a tensor or table is missing, damaged, of another shape, or contradicts another.
        ConfigError: an unknown split, or ``ecg_mv`` that is not positive.
    """

    name = "symile_mimic"
    barred = "PhysioNet lets models of credentialed data be passed on under the same agreement only"
    splits = ("train", "val", "val_retrieval", "test")

    def __init__(
        self, root: str | Path, *, split: str = "train", missing: str = "raise", ecg_mv: float = 1.0
    ) -> None:
        super().__init__(root, split=split, missing=missing)
        if not ecg_mv > 0:
            self.choice("ecg_mv", ecg_mv, ("a positive number",))
        self.ecg_mv = float(ecg_mv)
        path = self.find_file("labs_means.json", what="training means of the laboratory values")
        self.means = self._means(path)
        self._cxr = self._tensor("cxr", (3, None, None))
        self._ecg = self._tensor("ecg", (1, None, len(LEADS)), rows=len(self._cxr))
        self._percentiles = self._numbers("labs_percentiles", (len(self.means),))
        self._flags = self._numbers("labs_missingness", (len(self.means),))
        self._check_flags()
        self._hadm = [int(number) for number in self._numbers("hadm_id", ())]
        self._findings = self._read_findings()
        rows, self._candidates = self._queries() if split in RETRIEVAL else (range(len(self._hadm)), {})
        self.keep((str(self._hadm[row]), row) for row in rows)

    def sample(self, name: str, record: int) -> Sample:
        values: dict[str, Any] = {"xray": self._xray(record, name), "ecg": self._signal(record, name)}
        seen = self._flags[record] == 1
        numbers = {
            lab: float(value)
            for lab, value, there in zip(self.means, self._percentiles[record], seen, strict=True)
            if there
        }
        if numbers:
            values["labs"] = Row(numbers=numbers, names=tuple(self.means), source=f"laboratory values of {name}")
        meta: dict[str, Any] = {"hadm_id": int(name), "ecg_unit": "range of the record"}
        if self._findings:
            meta["findings"] = self._findings[record]
        if name in self._candidates:
            meta["candidates"] = self._candidates[name]
        keys = {slot: f"symile_mimic/{self.split}/{slot}/{name}" for slot in values}
        return Sample(id=name, values=values, meta=meta, keys=keys)

    def _xray(self, row: int, name: str) -> XrayImage:
        grey = (self._cxr[row][0].double() * IMAGENET_STD + IMAGENET_MEAN) * 255.0
        levels = grey.round().clamp(0, 255).to(torch.int32).numpy().astype(np.uint16) * np.uint16(257)
        source = f"radiograph of {name}"
        return XrayImage(levels_HW=np.ascontiguousarray(levels), meta={"bits_stored": 8}, source=source)

    def _signal(self, row: int, name: str) -> Ecg:
        signal_CT = self._ecg[row][0].float().T.contiguous() * self.ecg_mv
        if not bool(torch.isfinite(signal_CT).all()):
            raise self.wrong(f"the ECG of {name} in {str(self._ecg.path)!r} holds NaN or infinity.")
        valid_CT = torch.ones(signal_CT.shape, dtype=torch.bool)
        return Ecg(
            signal_CT=signal_CT, valid_CT=valid_CT, leads=LEADS, sample_rate=SAMPLE_RATE, source=f"ECG of {name}"
        )

    def _means(self, path: Path) -> dict[str, float]:
        """Name of the laboratory value -> mean percentile, in the order of the tensors' columns: sorted by key."""
        found = self.json(path)
        means = {}
        for key in sorted(found):
            item = key.removesuffix(SUFFIX)
            if item not in LABS:
                raise self.wrong(f"{str(path)!r} has {key!r}, which is none of the 50 published laboratory values.")
            means[LABS[item]] = self.number(found[key], float, where=f"{key!r} of {str(path)!r}")
        return means

    def _find_tensor(self, what: str) -> Path:
        name = f"{what}_{self.split}"
        places = (f"data_npy/{self.split}/{name}.npy", f"{self.split}/{name}.npy", f"{self.split}/{name}.pt")
        return self.find_file(*places, what="a tensor of the release")

    def _tensor(self, what: str, shape: tuple[int | None, ...], *, rows: int | None = None) -> TensorFile:
        file = TensorFile(self._find_tensor(what))
        wanted = (rows, *shape)
        fits = len(wanted) == len(file.shape) and all(
            want is None or want == side for want, side in zip(wanted, file.shape, strict=True)
        )
        if not fits:
            shown = ", ".join("n" if side is None else str(side) for side in wanted)
            raise self.wrong(f"{str(file.path)!r} has the shape {file.shape}; ({shown}) is published.")
        return file

    def _numbers(self, what: str, shape: tuple[int | None, ...]) -> np.ndarray:
        return self._tensor(what, shape, rows=len(self._cxr)).all().numpy()

    def _check_flags(self) -> None:
        """Flags are 0 and 1, percentiles lie in 0..1, and where a flag is 0 the training mean stands."""
        where = f"the laboratory values of {self.split!r} in {str(self.root)!r}"
        if not np.isin(self._flags, (0, 1)).all():
            raise self.wrong(f"{where} have flags that are neither 0 nor 1.")
        if not ((self._percentiles >= 0) & (self._percentiles <= 1)).all():
            raise self.wrong(f"{where} are not all percentiles from 0 to 1.")
        off = np.abs(self._percentiles - np.array(list(self.means.values()))) > MEAN_TOLERANCE
        if off[self._flags == 0].any():
            raise self.wrong(
                f"{where}: where the flag is 0 (missing) the training mean of labs_means.json must stand, and it does "
                "not. Are the flags the other way round (1 = missing), or is labs_means.json of another release?"
            )

    def _queries(self) -> tuple[list[int], dict[str, tuple[str, ...]]]:
        """Rows of the queries (label 1), and each query's candidates, the right one first."""
        asked = [int(number) for number in self._numbers("label_hadm_id", ())]
        label = [int(number) for number in self._numbers("label", ())]
        rows = [row for row, value in enumerate(label) if value == 1]
        found: dict[str, list[str]] = {str(self._hadm[row]): [str(self._hadm[row])] for row in rows}
        for row, value in enumerate(label):
            own, query = str(self._hadm[row]), str(asked[row])
            if value == 1 and own == query:
                continue
            if value != 0 or query not in found or own not in found or own == query:
                raise self.wrong(
                    f"row {row} of {self.split!r} (hadm_id {own}, label_hadm_id {query}, label {value}) is neither a "
                    "query nor a wrong candidate of one."
                )
            found[query].append(own)
        return rows, {query: tuple(candidates) for query, candidates in found.items()}

    def _read_findings(self) -> list[dict[str, float | None]]:
        """CheXpert labels of each row (1 there, 0 not, -1 uncertain, None not mentioned) from the split's table, if
        there is one."""
        path = self.root / f"{self.split}.csv"
        if not path.is_file():
            return []
        rows = list(self.table(path, columns=("hadm_id",)))
        listed = [self.number(row["hadm_id"], where=f"{path}, row {line}") for line, row in enumerate(rows, 1)]
        if listed != self._hadm:
            raise self.wrong(f"{str(path)!r} and the tensors of {self.split!r} list different admissions.")
        return [
            {
                finding: None if row[finding] is None else self.number(row[finding], float, where=f"{path}, {finding}")
                for finding in FINDINGS
                if finding in row
            }
            for row in rows
        ]
