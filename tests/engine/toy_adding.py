"""A plugin in one file for the tests of adding a modality: "pulse", a new one, and "beat", with a norm of batches."""

from __future__ import annotations

import numpy as np
from torch import nn
from toy_modalities import StripeAdapter
from toy_training import ToyTriples

from omni.plugin.hookspecs import hookimpl
from omni.plugin.specs import DatasetSpec, ModalitySpec, PluginInfo, TransformSpec


@hookimpl
def omni_plugin_info():
    return PluginInfo(name="toy_adding")


def _modality(name, target):
    return ModalitySpec(
        name=name, target=target, loader="toy_modalities:load_stripe", transform=f"{name}_frames",
        sample="toy_modalities:sample_stripe", extensions=(".npy",),
    )  # fmt: skip


@hookimpl
def omni_modalities():
    return [_modality("pulse", "toy_modalities:StripeAdapter"), _modality("beat", "toy_adding:NormedAdapter")]


@hookimpl
def omni_transforms():
    target = "toy_modalities:StripeFrames"
    return [TransformSpec(name=f"{name}_frames", target=target, modality=name) for name in ("pulse", "beat")]


@hookimpl
def omni_datasets():
    slots = (("beat", "beat"), ("word", "word"), ("pulse", "pulse"))
    return [DatasetSpec(name="toy_senses", target="toy_adding:Senses", modalities=slots)]


class NormedAdapter(StripeAdapter):
    """With a batch norm on its frames, affine or not."""

    def __init__(self, *, affine=True, **fixed):
        super().__init__(**fixed)
        self.norm = nn.BatchNorm1d(4, affine=affine)

    def forward(self, inputs, *, keep_BL=None):
        frames = self.norm(inputs["frames_BLC"].transpose(1, 2)).transpose(1, 2)
        return super().forward({**inputs, "frames_BLC": frames}, keep_BL=keep_BL)


class Senses(ToyTriples):
    """A beat, a word and a pulse that belong together."""

    def __init__(self, size=48, classes=6, seed=0, only=None):
        super().__init__(size=size, classes=classes, seed=seed)
        self.chosen = only

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        kind = sample.targets["class"]
        rng = np.random.default_rng((self.seed, index, 7))
        pulse = np.sign(np.sin(np.arange(16) * (kind + 2) / 3)) + 0.1 * rng.standard_normal(16)
        values = {"beat": sample.values["left"], "word": sample.values["word"], "pulse": pulse.astype(np.float32)}
        sample.values = {slot: value for slot, value in values.items() if self.chosen is None or slot in self.chosen}
        return sample
