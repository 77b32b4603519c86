"""Finding the radiograph among the frozen candidates of simclinic; probes of what each tower knows. Simulated data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from omni.evaluation import encode_samples
from omni.evaluation.encoded import EncodedSamples
from omni.inference import OmniPredictor
from omni.metrics.linear_probe import fit_linear_probe
from omni.scoring import query_vectors
from omni.types import Sample
from omni_plugin_clinic.simclinic import MEASURED, SimClinic

TARGET = "xray"
SHOWN = {"xray": ("c", "f", "s"), "ecg": ("c", "e"), "labs": ("f", "l")}  # what each kind of data shows


@dataclass(frozen=True, kw_only=True)
class Found:
    """Top-1 accuracy of one query, and of the best possible scores for the same candidates.

    Attributes:
        query: slots that were asked with.
        top1, standard_error: of the model.
        ceiling: of the best scores (SimClinic.query_table, "frozen").
    """

    query: tuple[str, ...]
    top1: float
    standard_error: float
    ceiling: float


def encode_cases(model: OmniPredictor, data: SimClinic) -> EncodedSamples:
    """All cases of a split, which must have all three slots."""
    return encode_samples(model, data, MEASURED, require=MEASURED)


def retrieve(model: OmniPredictor, data: SimClinic, encoded: EncodedSamples, query: Sequence[str]) -> Found:
    """Search each case's radiograph among its ten candidates.

    Args:
        model: trained on the slots, or with learnt missing embeddings for those that are not asked with.
        data: the split; encoded: its cases.
        query: "ecg", "labs", or both.

    Raises:
        OmniError: a score of these slots means nothing to the model.
    """
    score = model.score([*query, TARGET], target=TARGET)
    cases_N = torch.arange(len(encoded))
    found = query_vectors(score, {slot: encoded.of(slot, cases_N) for slot in query}, model.missing_embeddings())
    pictures_NE = encoded.of(TARGET, cases_N)
    ready_NE = F.normalize(pictures_NE, dim=-1) if found.unit else pictures_NE
    candidates_NKE = ready_NE[torch.from_numpy(data.candidates)]
    scores_NK = torch.einsum("ne,nke->nk", found.vectors_QE, candidates_NKE)
    top1 = data.top1(scores_NK.numpy())
    name = query[0] if len(query) == 1 else "both"
    return Found(
        query=tuple(query),
        top1=top1,
        standard_error=(top1 * (1 - top1) / len(data)) ** 0.5,
        ceiling=data.query_table()[name]["frozen"],
    )


def probe_towers(model: OmniPredictor, train: SimClinic, test: SimClinic, *, most: int = 1000) -> dict[str, float]:
    """ "slot state" -> accuracy on ``test`` of a linear probe of the slot's pooled state, fitted on ``train``.

    Args:
        most: training cases that are used.
    """
    first = [train[index] for index in range(min(most, len(train)))]
    second = [test[index] for index in range(len(test))]
    found = {}
    for slot, states in SHOWN.items():
        one, two = (pooled_states(model, samples, slot) for samples in (first, second))
        for state in states:
            labels, right = (torch.tensor([sample.targets[state] for sample in part]) for part in (first, second))
            probe = fit_linear_probe(one, labels, classes=1 + int(labels.max()), strength=1.0)
            found[f"{slot} {state}"] = float((probe.logits(two).argmax(1) == right).double().mean())
    return found


@torch.no_grad()
def pooled_states(model: OmniPredictor, samples: Sequence[Sample], slot: str, *, batch_size: int = 64) -> Tensor:
    """(N, D) float32 summary states of one slot, alone in the core; every sample must have it."""
    parts = []
    for start in range(0, len(samples), batch_size):
        values = [sample.values[slot] for sample in samples[start : start + batch_size]]
        inputs = model.processor.collate_slot(slot, [model.processor.process_value(slot, value) for value in values])
        parts.append(model.model.encode_slot(slot, inputs).pooled[slot].float())
    return torch.cat(parts)
