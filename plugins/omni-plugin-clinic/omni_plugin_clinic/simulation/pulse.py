"""The published generator of 8-lead ECGs (Thambawita et al., 2021): a U-Net from noise to ten seconds.

Only its weights are taken, from the Python package deepfake-ecg (MIT); they were learnt from real recordings.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni.data.building.counter_rng import CounterRng
from omni.errors import InputError

MEMBER = "deepfakeecg/checkpoints/g_stat.pt"
LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
SAMPLE_RATE = 500
SAMPLES = 5000
MICROVOLTS = 6000.0  # of an output of 1
_KERNEL = 25
_DOWN = ((8, 10, 2), (10, 25, 5), (25, 50, 2), (50, 150, 5), (150, 250, 5), (250, 250, 5))  # in, out, stride
_UP = ((250, 250, 5), (500, 150, 5), (300, 50, 5), (100, 25, 2), (50, 10, 5), (10, 8, 2))  # in, out, upsampling
_UP_NAMES = (1, 2, 3, 5, 6, 7)  # the file has no fourth
_LAST = 5  # which stage has no skip connection, besides the first


class Pulse2Pulse(nn.Module):
    """Six strided convolutions down, six nearest-neighbour upsamplings with convolutions back, skips between."""

    def __init__(self) -> None:
        super().__init__()
        half = _KERNEL // 2
        self.down = nn.ModuleList(nn.Conv1d(a, b, _KERNEL, stride=step, padding=half) for a, b, step in _DOWN)
        self.up = nn.ModuleList(nn.Conv1d(a, b, _KERNEL, padding=half) for a, b, _ in _UP)

    def forward(self, noise_BCT: Tensor) -> Tensor:
        """(B, 8, 5000) uniform in -1..1 -> (B, 8, 5000) in -1..1, at 500 Hz, MICROVOLTS a unit."""
        states, hidden = [], noise_BCT
        for layer in self.down:
            hidden = F.leaky_relu(layer(hidden))
            states.append(hidden)
        for stage, (layer, (_, _, factor)) in enumerate(zip(self.up, _UP, strict=True)):
            if 0 < stage < _LAST:
                hidden = torch.cat((hidden, states[-1 - stage]), 1)
            hidden = layer(F.interpolate(hidden, scale_factor=factor, mode="nearest"))
            hidden = torch.tanh(hidden) if stage == _LAST else F.relu(hidden)
        return hidden


def load_generator(wheel: Path) -> Pulse2Pulse:
    """The network with the weights of the wheel of deepfake-ecg; nothing of it is unpickled but tensors.

    Raises:
        InputError: the wheel has no such weights.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            content = torch.load(io.BytesIO(archive.read(MEMBER)), map_location="cpu", weights_only=True)
        weights = content["stat_dict"]
        names = {f"down.{place}": f"conv_{place + 1}" for place in range(len(_DOWN))}
        names |= {f"up.{place}": f"deconv_{number}.conv1d" for place, number in enumerate(_UP_NAMES)}
        state = {f"{own}.{kind}": weights[f"{theirs}.{kind}"] for own, theirs in names.items() for kind in _KINDS}
        network = Pulse2Pulse()
        network.load_state_dict(state)
    except (zipfile.BadZipFile, KeyError, OSError, RuntimeError, TypeError) as error:
        raise InputError(f"{wheel.name}: {MEMBER} cannot be read ({error}); fetch the package again") from error
    return network.eval()


_KINDS = ("weight", "bias")


def generate(network: Pulse2Pulse, *seed: object) -> np.ndarray:
    """One recording of ten seconds, (8, 5000) float64 in microvolts, leads as in LEADS."""
    noise = CounterRng("simclinic", "pulse", *seed).uniform((1, len(LEADS), SAMPLES), -1.0, 1.0)
    with torch.inference_mode():
        made = network(torch.from_numpy(noise.astype(np.float32)))
    return made[0].double().numpy() * MICROVOLTS
