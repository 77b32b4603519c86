"""Can each hidden state be told from its own slot? Small networks, trained on one split and asked on another.

They read what the processor of a model reads, so what they find is there for a model to find.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni.progress import Progress, show_progress
from omni_plugin_clinic.simclinic import SimClinic
from omni_plugin_ecg.transform import EcgBasic
from omni_plugin_tabular.transform import TabularBasic
from omni_plugin_xray.transform import XrayBasic

STATES = {"xray": ("c", "f", "s"), "ecg": ("c", "e"), "labs": ("f", "l")}
KINDS = {"c": 2, "f": 2, "s": 5, "e": 5, "l": 5}
_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class ProbeRow:
    """How often a state is named rightly from a slot.

    Attributes:
        slot, state: which from which. accuracy: on the split that was asked. chance: of guessing.
    """

    slot: str
    state: str
    accuracy: float
    chance: float


def probe(
    train: SimClinic, test: SimClinic, *, slots: Sequence[str] = tuple(STATES), steps: int = 600, seed: int = 0,
    progress: Progress = None,
) -> list[ProbeRow]:  # fmt: skip
    """Train a probe a slot on ``train`` and ask it on ``test``.

    Args:
        steps: of AdamW in batches of 64. seed: of weights and batches.
        progress: see omni.progress.
    """
    rows = []
    for slot in slots:
        states = STATES[slot]
        with show_progress(f"reading {slot}", len(train) + len(test), progress) as advance:
            known = _inputs(train, slot, advance)
            asked = _inputs(test, slot, advance)
        middle, spread = known.mean(), known.std()
        known, asked = (known - middle) / spread, (asked - middle) / spread
        labels = _labels(train, states)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = _network(slot, known, sum(KINDS[state] for state in states))
            with show_progress(f"probe of {slot}", steps, progress) as advance:
                _fit(network, known, labels, states, steps, advance)
        network.eval()
        with torch.inference_mode():
            outputs = torch.cat([network(part) for part in asked.split(256)])
        for column, (state, part) in enumerate(zip(states, _parts(outputs, states), strict=True)):
            right = (part.argmax(1) == _labels(test, states)[:, column]).float().mean()
            rows.append(ProbeRow(slot=slot, state=state, accuracy=float(right), chance=1 / KINDS[state]))
    return rows


def _inputs(data: SimClinic, slot: str, advance) -> Tensor:
    """(N, ...) float32 as a model's processor would give them."""
    if slot == "xray":
        transform, name = XrayBasic(size=data.store.info["side"], multiple=8), "pixels_CHW"
    elif slot == "ecg":
        transform, name = EcgBasic(sample_rate=100.0), "signal_CT"
    else:
        transform, name = TabularBasic(schema=data.store.folder / "labs.json"), "percentiles_C"
    found = []
    for index in range(len(data)):
        made = transform(data[index].values[slot])
        values = made[name]
        found.append(torch.cat([values, made["valid_C"].float()]) if slot == "labs" else values)
        advance(1)
    return torch.stack(found)


def _labels(data: SimClinic, states: Sequence[str]) -> Tensor:
    """(N, states) int64."""
    latents = data.latents
    columns = {"c": latents.c_N, "f": latents.f_N, "s": latents.s_N, "e": latents.e_N, "l": latents.l_N}
    return torch.stack([torch.from_numpy(columns[state].copy()) for state in states], 1)


def _network(slot: str, inputs: Tensor, outputs: int) -> nn.Module:
    if slot == "labs":
        return nn.Sequential(nn.Linear(inputs.shape[1], 64), nn.ReLU(), nn.Linear(64, outputs))
    layers: list[nn.Module] = []
    width = inputs.shape[1]
    for wider in (16, 32, 64, 96):
        if slot == "xray":
            layers += [nn.Conv2d(width, wider, 3, stride=2, padding=1), nn.BatchNorm2d(wider), nn.ReLU()]
        else:
            layers += [nn.Conv1d(width, wider, 7, stride=2, padding=3), nn.BatchNorm1d(wider), nn.ReLU()]
        width = wider
    if slot == "xray":
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(9 * width, outputs))
    return nn.Sequential(*layers, _MeanAndSpread(), nn.Linear(2 * width, outputs))


class _MeanAndSpread(nn.Module):
    """(B, C, T) -> (B, 2 C): a rhythm shows in how far it strays too."""

    def forward(self, hidden_BCT: Tensor) -> Tensor:
        return torch.cat([hidden_BCT.mean(2), hidden_BCT.std(2)], 1)


def _fit(network: nn.Module, inputs: Tensor, labels: Tensor, states: Sequence[str], steps: int, advance) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(steps):
        rows = torch.randint(len(inputs), (_BATCH,))
        parts = _parts(network(inputs[rows]), states)
        loss = sum(F.cross_entropy(part, labels[rows, column]) for column, part in enumerate(parts))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        advance(1)


def _parts(outputs: Tensor, states: Sequence[str]) -> tuple[Tensor, ...]:
    return outputs.split([KINDS[state] for state in states], 1)
