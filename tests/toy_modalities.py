"""A plugin in one file for the tests: "stripe", number sequences read from .npy files, and "word", literal strings."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

from omni.core.adapter import ModalityAdapter, keep_tokens
from omni.data.transform import Transform
from omni.errors import InputError, MissingSlotError
from omni.plugin.hookspecs import hookimpl
from omni.plugin.specs import DatasetSpec, ModalitySpec, PluginInfo, TransformSpec
from omni.types import Sample, TokenSequence

HERE = "toy_modalities"
LETTERS = "abcdefghijklmnopqrstuvwxyz "


@hookimpl
def omni_plugin_info():
    return PluginInfo(name="toy_modalities")


@hookimpl
def omni_modalities():
    return [
        ModalitySpec(
            name="stripe",
            target=f"{HERE}:StripeAdapter",
            loader=f"{HERE}:load_stripe",
            transform="stripe_frames",
            sample=f"{HERE}:sample_stripe",
            extensions=(".npy", ".stripe"),
            tracks=(("tail", f"{HERE}:load_tail"),),
        ),
        ModalitySpec(
            name="word",
            target=f"{HERE}:WordAdapter",
            loader=f"{HERE}:load_word",
            transform="letters",
            sample=f"{HERE}:sample_word",
        ),
    ]


@hookimpl
def omni_transforms():
    return [
        TransformSpec(name="stripe_frames", target=f"{HERE}:StripeFrames", modality="stripe"),
        TransformSpec(name="letters", target=f"{HERE}:Letters", modality="word", role="tokenizer"),
    ]


@hookimpl
def omni_datasets():
    return [
        DatasetSpec(name="toy_pairs", target=f"{HERE}:ToyPairs", modalities=(("stripe", "stripe"), ("word", "word")))
    ]


def load_stripe(value, **options):
    if isinstance(value, Path):
        return np.load(value, allow_pickle=False)
    if isinstance(value, bytes):
        return np.load(io.BytesIO(value), allow_pickle=False)
    return np.asarray(value, dtype=np.float32)


def load_tail(value, *, first=8):
    """What follows the first numbers of a file of a stripe, for another slot of stripes."""
    tail = load_stripe(value)[first:]
    if not len(tail):
        raise MissingSlotError(f"the stripe has no more than {first} numbers")
    return tail


def load_word(value, **options):
    if not isinstance(value, str):
        raise InputError(f"a word must be a string, not {type(value).__name__}")
    return value


def sample_stripe(variant="typical"):
    return np.linspace(0, 1, {"typical": 12, "minimum": 4, "other": 20}[variant], dtype=np.float32)


def sample_word(variant="typical"):
    return {"typical": "cat", "minimum": "a", "other": "a longer word"}[variant]


class StripeFrames(Transform):
    """Frames of ``size`` numbers; training adds noise."""

    def __init__(self, size=4, noise=0.1):
        self.size, self.noise = size, noise

    def __call__(self, raw, *, training=False):
        if raw.ndim != 1 or len(raw) < self.size:
            raise InputError(f"a stripe needs one axis of at least {self.size} numbers, not the shape {raw.shape}")
        frames = torch.from_numpy(np.ascontiguousarray(raw, dtype=np.float32))[: len(raw) // self.size * self.size]
        frames = frames.view(-1, self.size)
        return {"frames_LC": frames + self.noise * torch.randn_like(frames) if training else frames}

    def collate(self, items):
        frames = [item["frames_LC"] for item in items]
        lengths = torch.tensor([len(item) for item in frames])
        return {
            "frames_BLC": nn.utils.rnn.pad_sequence(frames, batch_first=True),
            "valid_BL": torch.arange(int(lengths.max()))[None] < lengths[:, None],
        }

    def to_config(self, folder=None):
        return {"size": self.size, "noise": self.noise}


class Letters(Transform):
    """Letters as numbers by a vocabulary file, to have a transform with a file."""

    deterministic = True

    def __init__(self, vocabulary=None):
        self.letters = LETTERS if vocabulary is None else json.loads(Path(vocabulary).read_text())

    def __call__(self, raw, *, training=False):
        ids = [self.letters.index(letter) for letter in raw.lower() if letter in self.letters]
        if not ids:
            raise InputError(f"no letter in {raw!r}")
        return {"ids_L": torch.tensor(ids)}

    def collate(self, items):
        ids = [item["ids_L"] for item in items]
        lengths = torch.tensor([len(item) for item in ids])
        return {
            "ids_BL": nn.utils.rnn.pad_sequence(ids, batch_first=True),
            "valid_BL": torch.arange(int(lengths.max()))[None] < lengths[:, None],
        }

    def to_config(self, folder=None):
        if folder is None:
            return {}
        (folder / "letters.json").write_text(json.dumps(self.letters))
        return {"vocabulary": "letters.json"}


class _Adapter(ModalityAdapter):
    def __init__(self, *, modality, width, num_heads, num_layers):
        super().__init__(modality=modality, width=width, num_heads=num_heads, num_layers=num_layers)
        self.cls_D = nn.Parameter(torch.randn(width))

    def sequence(self, tokens_BLD, valid_BL, keep_BL):
        batch = tokens_BLD.shape[0]
        tokens = torch.cat([self.cls_D.to(tokens_BLD.dtype).expand(batch, 1, -1), tokens_BLD], 1)
        valid = torch.cat([valid_BL.new_ones(batch, 1), valid_BL], 1)
        made = TokenSequence(tokens_BLD=tokens, valid_BL=valid, modality=self.modality)
        return made if keep_BL is None else keep_tokens(made, keep_BL)


class StripeAdapter(_Adapter):
    def __init__(self, *, size=4, **fixed):
        super().__init__(**fixed)
        self.stem = nn.Linear(size, self.width)

    def forward(self, inputs, *, keep_BL=None):
        return self.sequence(self.stem(inputs["frames_BLC"]), inputs["valid_BL"], keep_BL)


class WordAdapter(_Adapter):
    def __init__(self, *, letters=27, **fixed):
        super().__init__(**fixed)
        self.table = nn.Embedding(letters, self.width)

    def forward(self, inputs, *, keep_BL=None):
        return self.sequence(self.table(inputs["ids_BL"]), inputs["valid_BL"], keep_BL)


class ToyPairs:
    """Eight stripes with a word each; the class is the target."""

    def __init__(self, split="test"):
        self.split = split

    def __len__(self):
        return 8

    def __getitem__(self, index):
        stripe = np.full(8, index / 8, np.float32)
        return Sample(
            id=f"{self.split}-{index}",
            values={"stripe": stripe, "word": LETTERS[index]},
            targets={"class": index % 4},
        )
