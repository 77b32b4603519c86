"""Tokenizers as transforms: a string to ids, and ids of a batch to padded tensors."""

from __future__ import annotations

import shutil
from abc import abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from omni.builtin.text.vocabulary import BPE_FILE, PAD_ID
from omni.data.transform import Transform
from omni.errors import InputError, MissingDependencyError


class _Tokenizer(Transform):
    """What both tokenizers share: length, emptiness, padding.

    One text becomes {"ids_L": (L,) int64, "groups_L": (L,) int64}; the groups number the words, -1 at special tokens,
    so that masked prediction can hide whole words.
    """

    deterministic = True

    def __init__(self, *, max_length: int, truncate: bool, pad_id: int) -> None:
        if max_length < 2:
            raise InputError(f"max_length {max_length} leaves no room for a word; use at least 2.")
        self.max_length = max_length
        self.truncate = truncate
        self.pad_id = pad_id

    @abstractmethod
    def _encode(self, text: str) -> tuple[list[int], list[int | None], list[int]]:
        """Ids of the words, each id's word number (or None), and the ids that close every text."""

    def __call__(self, raw: Any, *, training: bool = False) -> dict[str, Tensor]:
        """Tokenize one text.

        Raises:
            InputError: not a string, empty, or longer than max_length while truncate is off.
        """
        if not isinstance(raw, str):
            raise InputError(f"Text must be a str, not {type(raw).__name__}.")
        if not raw.strip():
            raise InputError("The text is empty; leave the slot out of the sample if there is no text.")
        ids, words, closing = self._encode(raw)
        if not ids:
            raise InputError(f"The text {raw[:40]!r} has no token in this vocabulary.")
        room = self.max_length - len(closing)
        if len(ids) > room:
            if not self.truncate:
                raise InputError(
                    f"The text {raw[:40]!r}... has {len(ids) + len(closing)} tokens, more than max_length "
                    f"{self.max_length}; shorten it, raise max_length or set truncate=True."
                )
            ids, words = ids[:room], words[:room]
        groups = [-1 if word is None else word for word in words] + [-1] * len(closing)
        return {"ids_L": torch.tensor(ids + closing), "groups_L": torch.tensor(groups)}

    def collate(self, items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """{"ids_BL", "valid_BL", "groups_BL"}, padded to the longest text."""
        lengths = torch.tensor([len(item["ids_L"]) for item in items])
        pad = torch.nn.utils.rnn.pad_sequence
        ids = pad([item["ids_L"] for item in items], batch_first=True, padding_value=self.pad_id)
        groups = pad([item["groups_L"] for item in items], batch_first=True, padding_value=-1)
        valid = torch.arange(ids.shape[1])[None] < lengths[:, None]
        return {"ids_BL": ids, "valid_BL": valid, "groups_BL": groups}


class BpeTokenizer(_Tokenizer):
    """Byte-level BPE through ``tokenizers``: any string has an encoding, no id is ever unknown.

    Args:
        max_length: tokens, the end token included. The default of 512 fits the text adapter's 514 places.
        truncate: cut longer texts instead of refusing them.
        vocab: a tokenizer.json; None = the shipped one (lower-cased, 16,384 tokens).
    """

    def __init__(self, *, max_length: int = 512, truncate: bool = False, vocab: str | None = None) -> None:
        from tokenizers import Tokenizer

        path = BPE_FILE if vocab is None else Path(vocab)
        if not path.is_file():
            raise InputError(f"The tokenizer file {path} does not exist; give vocab the path of a tokenizer.json.")
        self.vocab = vocab
        self.tokenizer = Tokenizer.from_file(str(path))
        self.tokenizer.encode_special_tokens = True  # a text that spells out a special token is text
        pad_id = self.tokenizer.token_to_id("<pad>")
        super().__init__(max_length=max_length, truncate=truncate, pad_id=PAD_ID if pad_id is None else pad_id)
        end_id = self.tokenizer.token_to_id("</s>")
        self._closing = [] if end_id is None else [end_id]

    def _encode(self, text: str) -> tuple[list[int], list[int | None], list[int]]:
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.word_ids, self._closing

    def decode(self, ids: list[int]) -> str:
        """The text of ids, special tokens left out."""
        return self.tokenizer.decode(ids).strip()

    def to_config(self, folder: Path | None = None) -> dict[str, Any]:
        """Keyword arguments; the vocabulary is copied to ``folder``/bpe.json."""
        config: dict[str, Any] = {"max_length": self.max_length, "truncate": self.truncate, "vocab": self.vocab}
        if folder is not None:
            shutil.copyfile(BPE_FILE if self.vocab is None else self.vocab, Path(folder) / "bpe.json")
            config["vocab"] = "bpe.json"
        return config


class HfTokenizer(_Tokenizer):
    """A tokenizer that ``transformers.AutoTokenizer`` reads from a local folder.

    Args:
        path: the folder.
        max_length: tokens, special ones included; None = what the tokenizer says, at most 512.
        truncate: cut longer texts instead of refusing them.

    Raises:
        MissingDependencyError: transformers is not installed.
        InputError: the folder holds no tokenizer.
    """

    def __init__(self, *, path: str, max_length: int | None = None, truncate: bool = False) -> None:
        try:
            from transformers import AutoTokenizer
        except ImportError as error:
            raise MissingDependencyError("hf_tokenizer needs transformers: pip install 'omni-core[hf]'.") from error
        if not Path(path).is_dir():
            raise InputError(f"The tokenizer folder {path} does not exist; download it first and give its path.")
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        except (OSError, ValueError) as error:
            raise InputError(f"No tokenizer can be read from {path}: {error}") from error
        self.path = path
        pad_id = self.tokenizer.pad_token_id
        longest = min(int(self.tokenizer.model_max_length), 512) if max_length is None else max_length
        super().__init__(max_length=longest, truncate=truncate, pad_id=0 if pad_id is None else pad_id)

    def _encode(self, text: str) -> tuple[list[int], list[int | None], list[int]]:
        encoding = self.tokenizer(text, add_special_tokens=True, truncation=False)
        ids = list(encoding["input_ids"])
        special = set(self.tokenizer.all_special_ids)
        if self.tokenizer.is_fast:
            words = encoding.word_ids()
        else:
            words = [None if number in special else place for place, number in enumerate(ids)]
        closing = 0
        while closing < len(ids) and ids[len(ids) - 1 - closing] in special:
            closing += 1
        last = len(ids) - closing
        return ids[:last], words[:last], ids[last:]

    def to_config(self, folder: Path | None = None) -> dict[str, Any]:
        """Keyword arguments; the tokenizer is saved to ``folder``/tokenizer."""
        config = {"path": self.path, "max_length": self.max_length, "truncate": self.truncate}
        if folder is not None:
            self.tokenizer.save_pretrained(str(Path(folder) / "tokenizer"))
            config["path"] = "tokenizer"
        return config
