"""Geometry of a model's embeddings on a data set: of each slot, and of each pair that was trained as one."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from omni.errors import OmniError
from omni.evaluation.encoded import EncodedSamples
from omni.inference import OmniPredictor
from omni.metrics.geometry import alignment, effective_rank, modality_gap, singular_values, uniformity
from omni.scoring import COSINE, PAIR_SUM

BINS = 50


@dataclass(frozen=True, kw_only=True)
class SlotGeometry:
    """Of one slot's V distinct embeddings of width E.

    Attributes:
        uniformity: 0 = all in one point, the lower the more evenly spread; None for fewer than two embeddings.
        effective_rank, effective_rank_centred: directions in use, of E; the second of what differs between values.
        spectrum: singular values as a share of their sum, descending.
    """

    slot: str
    values: int
    width: int
    uniformity: float | None
    effective_rank: float
    effective_rank_centred: float
    spectrum: list[float] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class PairGeometry:
    """Of two slots that samples have both of.

    Attributes:
        samples: how many have both.
        alignment: mean squared distance of a sample's two embeddings, 0 to 4, 0 is best.
        gap: distance between the centres of both slots.
        paired, unpaired: counts of cosines in 50 equal bins from -1 to 1, of one sample's two embeddings and of two
            samples'.
    """

    first: str
    second: str
    samples: int
    alignment: float
    gap: float
    paired: list[int] = field(repr=False)
    unpaired: list[int] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Slots and pairs; ``left_out`` names pairs whose cosine means nothing, since they were not trained as a pair."""

    slots: list[SlotGeometry]
    pairs: list[PairGeometry]
    left_out: list[str]

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


def measure_geometry(model: OmniPredictor, encoded: EncodedSamples) -> Geometry:
    """All slots of ``encoded`` that have values, and all their trained pairs."""
    there = [slot for slot, values in encoded.embeddings.items() if len(values)]
    pairs, left_out = [], []
    for first, second in combinations(there, 2):
        if not _is_pair(model, first, second):
            left_out.append(f"{first} + {second}")
            continue
        samples_M = encoded.having([first, second])
        if len(samples_M):
            pairs.append(_pair(first, second, encoded.of(first, samples_M), encoded.of(second, samples_M)))
    return Geometry(slots=[_slot(slot, encoded.embeddings[slot]) for slot in there], pairs=pairs, left_out=left_out)


def _slot(slot: str, values_VE: Tensor) -> SlotGeometry:
    spectrum = singular_values(values_VE)
    return SlotGeometry(
        slot=slot,
        values=len(values_VE),
        width=values_VE.shape[1],
        uniformity=uniformity(values_VE) if len(values_VE) > 1 else None,
        effective_rank=effective_rank(values_VE),
        effective_rank_centred=effective_rank(values_VE, centre=True),
        spectrum=(spectrum / spectrum.sum().clamp(min=1e-300)).tolist(),
    )


def _pair(first: str, second: str, x_NE: Tensor, y_NE: Tensor) -> PairGeometry:
    unit_x, unit_y = F.normalize(x_NE, dim=1), F.normalize(y_NE, dim=1)
    paired, unpaired = (
        torch.histc(torch.einsum("ne,ne->n", unit_x, other), bins=BINS, min=-1 - 1e-6, max=1 + 1e-6).long().tolist()
        for other in (unit_y, unit_y.roll(1, 0))
    )
    return PairGeometry(
        first=first,
        second=second,
        samples=len(x_NE),
        alignment=alignment(x_NE, y_NE),
        gap=modality_gap(x_NE, y_NE),
        paired=paired,
        unpaired=unpaired,
    )


def _is_pair(model: OmniPredictor, first: str, second: str) -> bool:
    try:
        score = model.score([first, second])
    except OmniError:
        return False
    return score.kind in (COSINE, PAIR_SUM) and not score.filled
