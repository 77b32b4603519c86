"""The stamps table: retrieval in every direction by a projector on frozen encoders, beside chance (and beside a model).

Run by ``omni stamps-table``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from omni.errors import InputError
from omni.heads.projection import Projection
from omni.objectives.functional import info_nce
from omni_plugin_m3mini import frozen
from omni_plugin_m3mini.stamps import Stamps
from omni_plugin_m3mini.stamps_retrieval import DirectionResult, retrieve

SLOTS = ("image", "text", "audio")
_ENCODERS = {"image": frozen.picture_features, "text": frozen.text_features, "audio": frozen.speech_features}
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Features:
    """Frozen features of one split; slot -> (values (U, D), row of each sample (N,)), and what is right."""

    values: dict[str, Tensor]
    rows: dict[str, Tensor]
    group_N: Tensor
    language_N: Tensor

    def of(self, slot: str, samples: Tensor | slice = slice(None)) -> Tensor:
        """(N, D) of the chosen samples."""
        return self.values[slot][self.rows[slot][samples]]


@dataclass(frozen=True, kw_only=True)
class ProjectorSettings:
    """How the projector is trained: MLP heads on standardised features, InfoNCE over the three pairs.

    Attributes:
        embedding_width, hidden: of the heads. dropout: of the features. steps, batch, lr, weight_decay: AdamW with a
        cosine. scale: the multiplier of the cosines. seed: of everything.
    """

    embedding_width: int = 256
    hidden: int = 512
    dropout: float = 0.3
    steps: int = 800
    batch: int = 256
    lr: float = 1e-3
    weight_decay: float = 0.1
    scale: float = 14.0
    seed: int = 0


def frozen_features(data: Stamps, *, cache: Path, progress: Progress | None = None) -> Features:
    """Encode every distinct picture, text and clip once; kept in ``cache``, by what was encoded."""
    samples = [data[index] for index in range(len(data))]
    values, rows = {}, {}
    for slot in SLOTS:
        raw = {sample.keys[slot]: sample.values[slot] for sample in samples}
        names = {key: number for number, key in enumerate(raw)}
        values[slot] = torch.from_numpy(_encoded(slot, list(raw.values()), cache, progress))
        rows[slot] = torch.tensor([names[sample.keys[slot]] for sample in samples])
    return Features(
        values=values,
        rows=rows,
        group_N=torch.tensor([sample.targets["group"] for sample in samples]),
        language_N=torch.tensor([sample.targets["language"] for sample in samples]),
    )


def _encoded(slot: str, raw: list, cache: Path, progress: Progress | None) -> np.ndarray:
    digest = hashlib.sha256(slot.encode())
    for value in raw:
        data = value.encode() if isinstance(value, str) else value
        digest.update(len(data).to_bytes(8, "big") + data)
    path = cache / f"{slot}-{digest.hexdigest()[:20]}.npy"
    if path.is_file():
        return np.load(path, allow_pickle=False)
    tell = progress or (lambda what, done, total: None)
    found = _ENCODERS[slot](raw, progress=lambda done, total: tell(f"frozen {slot}", done, total))
    cache.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    with open(part, "wb") as file:
        np.save(file, found)
    os.replace(part, path)
    return found


class Projector(nn.Module):
    """One MLP head a slot on features that are standardised by the training split's mean and deviation."""

    def __init__(self, train: Features, settings: ProjectorSettings) -> None:
        super().__init__()
        self.heads = nn.ModuleDict()
        self.dropout = nn.Dropout(settings.dropout)
        for slot in train.values:
            used_UD = train.values[slot][train.rows[slot].unique()]
            self.register_buffer(f"{slot}_mean", used_UD.mean(0))
            self.register_buffer(f"{slot}_std", used_UD.std(0) + 1e-3)
            kind = {"type": "mlp", "hidden": settings.hidden}
            self.heads[slot] = Projection(
                width=used_UD.shape[1], embedding_width=settings.embedding_width, kind=kind, norm="l2"
            )

    def forward(self, slot: str, values_BD: Tensor) -> Tensor:
        """(B, D) frozen features -> (B, E) of unit length."""
        standard_BD = (values_BD - getattr(self, f"{slot}_mean")) / getattr(self, f"{slot}_std")
        return self.heads[slot](self.dropout(standard_BD))


def train_projector(
    train: Features, settings: ProjectorSettings, *, progress: Callable[[int, int], None] | None = None
) -> Projector:
    """InfoNCE over all pairs of slots; samples of one group are not each other's negatives.

    Raises:
        InputError: fewer than two samples.
    """
    count = len(train.group_N)
    if count < 2:
        raise InputError(f"a projector needs at least two samples, there are {count}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = Projector(train, settings).train()
        optimiser = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
        slots = tuple(train.values)
        for step in range(settings.steps):
            chosen = torch.randperm(count)[: settings.batch]
            z = {slot: model(slot, train.of(slot, chosen)) for slot in slots}
            groups = train.group_N[chosen]
            valid = (groups[:, None] != groups[None]) | torch.eye(len(groups), dtype=torch.bool)
            pairs = [(a, b) for number, a in enumerate(slots) for b in slots[number + 1 :]]
            losses = [info_nce(z[a], z[b], settings.scale, valid_negatives_BB=valid) for a, b in pairs]
            optimiser.zero_grad()
            torch.stack(losses).mean().backward()
            optimiser.step()
            schedule.step()
            if progress and (step % 20 == 19 or step + 1 == settings.steps):
                progress(step + 1, settings.steps)
    return model.eval()


@torch.no_grad()
def evaluate_projector(model: Projector, features: Features) -> list[DirectionResult]:
    """Retrieval in every direction by a trained projector."""
    embeddings = {slot: model(slot, features.of(slot)) for slot in features.values}
    return retrieve(embeddings, features.group_N, features.language_N)


def evaluate_model(folder: str | Path, data: Stamps) -> list[DirectionResult]:
    """Retrieval in every direction by a trained omni model that has the slots image, text and audio."""
    import omni
    from omni.evaluation import encode_samples

    encoded = encode_samples(omni.load(str(folder)), data, SLOTS, require=SLOTS)
    samples_N = torch.arange(len(encoded))
    return retrieve(
        {slot: encoded.of(slot, samples_N) for slot in SLOTS},
        encoded.labels("group", samples_N),
        encoded.labels("language", samples_N),
    )


def table(rows: dict[str, list[DirectionResult]]) -> str:
    """Markdown: one line a direction, recall at 1 and 5 of every row beside chance."""
    first = next(iter(rows.values()))
    head = [
        "direction",
        "chance R@1",
        *[f"{name} R@1" for name in rows],
        "chance R@5",
        *[f"{name} R@5" for name in rows],
    ]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for place, item in enumerate(first):
        cells = [item.name]
        for k in (1, 5):
            cells += [f"{item.chance[k]:.3f}", *[f"{own[place].recall[k]:.3f}" for own in rows.values()]]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def to_json(rows: dict[str, list[DirectionResult]]) -> str:
    """The same as JSON: row -> direction -> numbers."""
    found = {
        name: {
            item.name: {
                "queries": item.queries, "candidates": item.candidates, "median_rank": item.median_rank,
                "recall": item.recall, "chance": item.chance,
            }
            for item in own
        }
        for name, own in rows.items()
    }  # fmt: skip
    return json.dumps(found, indent=1)
