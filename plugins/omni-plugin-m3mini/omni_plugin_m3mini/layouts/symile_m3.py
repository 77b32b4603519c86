"""Symile-M3: features of a picture and of spoken words, and a text in several languages, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from omni.data.layouts import PublishedLayout
from omni.data.tensor_file import TensorFile
from omni.errors import ConfigError, MissingDependencyError
from omni.types import Sample

LANGUAGES = {
    2: ("en", "el"),
    5: ("el", "en", "hi", "ja", "uk"),
    10: ("ar", "el", "en", "hi", "ja", "ko", "te", "th", "uk", "zh-CN"),
}
MISSINGNESS = (0.5, 0.6, 0.65, 0.7, 0.75)
TEXTS = ("table", "tokenizer", "ids")
SLOTS = ("text", "image", "audio")
CLASSES = 1000
_SUFFIXES = ("", "_full")  # merged splits are also found as image_train_full.pt


class SymileM3(PublishedLayout):
    """Slots ``image`` (modality image_vectors: one vector of CLIP ViT-L/14), ``audio`` (audio_vectors: one of
    Whisper-large-v3) and ``text``.

    Targets: "class" (the ImageNet class of the picture, 0 to 999) and "language" (a place in ``languages``). The
    published protocol searches all pictures of the split and counts a hit where the first has the right class.

    Args:
        root: the folder with ``train``, ``val`` and ``test``.
        split: one of them.
        missing: of PublishedLayout.
        languages: 2, 5 or 10: which of the three subsets it is.
        missingness: the published experiment with missing slots: 0.5, 0.6, 0.65, 0.7 or 0.75; then what the tensors
            ``image_missingness_prob65_train`` ... mark with **1 is missing** (Symile-MIMIC's flags are the other way
            round) and has no value. Training and validation only. None = all is there.
        text: where texts come from: "table" (the column ``text`` of ``train.csv`` ..., in the order of the tensors),
            "tokenizer" (decoded from the token numbers), or "ids" (no slot ``text``; the numbers are in
            ``meta["text_input_ids"]``).
        tokenizer: folder of the tokenizer, XLM-RoBERTa's as published, for ``text="tokenizer"``.

    Raises:
        InputError: a tensor or table is missing, damaged, of another shape, or contradicts another.
        ConfigError: an option that cannot be meant, or missing slots in the test split.
        MissingDependencyError: a tokenizer without transformers.
    """

    name = "symile_m3"

    def __init__(
        self,
        root: str | Path,
        *,
        split: str = "train",
        missing: str = "raise",
        languages: int = 10,
        missingness: float | None = None,
        text: str = "table",
        tokenizer: str | Path | None = None,
    ) -> None:
        super().__init__(root, split=split, missing=missing)
        self.languages = LANGUAGES[self.choice("languages", languages, tuple(LANGUAGES))]
        self.text = self.choice("text", text, TEXTS)
        if (tokenizer is None) == (text == "tokenizer"):
            raise ConfigError(f"{self.name}: text='tokenizer' and tokenizer=FOLDER belong together.")
        self._image = self._tensor("image", dims=2)
        count = len(self._image)
        self._audio = self._tensor("audio", dims=2, rows=count)
        self._ids = self._tensor("text_input_ids", dims=2, rows=count)
        self._valid = self._tensor("text_attention_mask", dims=2, rows=count)
        self._class = self._numbers("cls_id", rows=count)
        if count and not 0 <= self._class.min() <= self._class.max() < CLASSES:
            raise self.wrong(f"classes of {split!r} run from {self._class.min()} to {self._class.max()}, not 0 to 999.")
        self._language = self._languages(count)
        self._hidden = {} if missingness is None else self._missing_rows(missingness, count)
        self._texts = self._table(count) if text == "table" else None
        self._tokenizer = _tokenizer(tokenizer) if tokenizer is not None else None
        self.keep((f"{split}-{number}", row) for row, number in enumerate(self._numbers("idx", rows=count).tolist()))

    def sample(self, name: str, record: int) -> Sample:
        values: dict[str, Any] = {}
        meta: dict[str, Any] = {"lang": self.languages[self._language[record]]}
        if self._there("image", record):
            values["image"] = self._image[record].float().numpy()[None]
        if self._there("audio", record):
            values["audio"] = self._audio[record].float().numpy()[None]
        if self._there("text", record):
            ids = self._ids[record][self._valid[record] > 0].tolist()
            if self._texts is not None:
                values["text"] = self._texts[record]
            elif self._tokenizer is not None:
                values["text"] = self._tokenizer.decode(ids, skip_special_tokens=True).strip()
            else:
                meta["text_input_ids"] = ids
        return Sample(
            id=name,
            values=values,
            meta=meta,
            keys={slot: f"symile_m3/{self.split}/{slot}/{name}" for slot in values},
            targets={"class": int(self._class[record]), "language": int(self._language[record])},
        )

    def _there(self, slot: str, row: int) -> bool:
        return slot not in self._hidden or not self._hidden[slot][row]

    def _file(self, stem: str, ending: str = "pt", *, suffixes: Sequence[str] = _SUFFIXES) -> Path:
        names = [f"{self.split}/{stem}_{self.split}{suffix}.{ending}" for suffix in suffixes]
        return self.find_file(*names, what="of the published tensors")

    def _tensor(self, stem: str, *, dims: int, rows: int | None = None) -> TensorFile:
        file = TensorFile(self._file(stem))
        if len(file.shape) != dims or (rows is not None and len(file) != rows):
            shown = ", ".join(["n" if rows is None else str(rows), *["width"] * (dims - 1)])
            raise self.wrong(f"{str(file.path)!r} has the shape {file.shape}; ({shown}) is published.")
        return file

    def _numbers(self, stem: str, *, rows: int) -> np.ndarray:
        """(N,) int64; published as whole numbers or as floats."""
        file = self._tensor(stem, dims=1, rows=rows)
        found = file.all().numpy()
        whole = found.astype(np.int64)
        if not np.array_equal(whole, found):
            raise self.wrong(f"{str(file.path)!r} holds numbers that are not whole.")
        return whole

    def _languages(self, count: int) -> np.ndarray:
        """(N,) place of each sample's language: a line each, or all codes run together in one line."""
        path = self._file("lang", "txt")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise self.wrong(f"{str(path)!r} cannot be read: {error}.") from error
        codes = text.split()
        if len(codes) == 1 and count > 1:
            codes = _cut(codes[0], self.languages)
        if len(codes) != count:
            raise self.wrong(f"{str(path)!r} names {len(codes)} languages for {count} samples.")
        unknown = sorted(set(codes) - set(self.languages))
        if unknown:
            raise self.wrong(
                f"{str(path)!r} has the language {unknown[0]!r}, which is not of Symile-M3-{len(self.languages)} "
                f"({', '.join(self.languages)}). Set languages=2, 5 or 10."
            )
        place = {code: number for number, code in enumerate(self.languages)}
        return np.array([place[code] for code in codes], dtype=np.int64)

    def _missing_rows(self, missingness: float, count: int) -> dict[str, np.ndarray]:
        self.choice("missingness", missingness, MISSINGNESS)
        if self.split == "test":
            raise ConfigError(f"{self.name}: the published test split is complete; set missingness=None for it.")
        found = {}
        for slot in SLOTS:
            file = TensorFile(self._file(f"{slot}_missingness_prob{round(100 * missingness)}"))
            flags = file.all().numpy()
            if flags.shape != (count,) or not np.isin(flags, (0, 1)).all():
                raise self.wrong(f"{str(file.path)!r} must hold {count} flags 0 or 1, and holds {flags.shape}.")
            share = float(flags.mean())
            if count >= 100 and abs(share - missingness) > abs(1 - share - missingness):
                raise self.wrong(
                    f"{str(file.path)!r} marks {share:.0%} with 1 (missing); {missingness:.0%} were to be missing. Are "
                    "its flags the other way round?"
                )
            found[slot] = flags == 1
        return found

    def _table(self, count: int) -> list[str]:
        path = self.find_file(
            f"{self.split}.csv", f"{self.split}/{self.split}.csv",
            what="the texts; without it give text='tokenizer' with tokenizer=FOLDER, or text='ids'",
        )  # fmt: skip
        rows = list(self.table(path, columns=("text", "lang", "cls_id")))
        if len(rows) != count:
            raise self.wrong(f"{str(path)!r} has {len(rows)} rows, the tensors {count}.")
        for line, row in enumerate(rows):
            same_class = self.number(row["cls_id"], float, where=f"{path}, row {line + 1}") == self._class[line]
            if not same_class or row["lang"] != self.languages[self._language[line]]:
                raise self.wrong(f"row {line + 1} of {str(path)!r} is of another class or language than the tensors.")
        return [row["text"] or "" for row in rows]


def _cut(text: str, languages: Sequence[str]) -> list[str]:
    """Codes that were run together; [] where they cannot be told apart."""
    found: list[str] = []
    place = 0
    while place < len(text):
        code = next((code for code in languages if text.startswith(code, place)), None)
        if code is None:
            return []
        found.append(code)
        place += len(code)
    return found


def _tokenizer(folder: str | Path) -> Any:
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise MissingDependencyError("symile_m3: a tokenizer needs transformers: pip install transformers") from error
    try:
        return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # whatever the library raises for a folder that is none
        reason = (str(error).splitlines() or [""])[0][:200]
        raise ConfigError(f"symile_m3: no tokenizer can be read from {str(folder)!r}: {reason}") from error
