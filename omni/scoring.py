"""Which scores between slots mean something, and how they are computed from embeddings.

A model records its trained groups: sets of slots and the score they were trained under. Every score is linear in the
embedding of the slot that is searched, so it is an inner product of a candidate with one vector made of the query's
slots: their product for "multilinear" (the multilinear inner product of Symile), their sum for "pair_sum".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional as F

from omni.errors import OmniError
from omni.plugin.suggest import did_you_mean
from omni.types import TrainedGroup

COSINE, PAIR_SUM, MULTILINEAR = "cosine", "pair_sum", "multilinear"
SUMS = {COSINE: "cosine_sum", PAIR_SUM: "dot_sum"}  # of trained pairs (query, target), by the pairs' score


@dataclass(frozen=True, kw_only=True)
class Score:
    """How to score some slots.

    Attributes:
        kind: "cosine", "pair_sum", "multilinear", or "cosine_sum", "dot_sum": a sum over trained pairs with the
            searched slot, of cosines or of dot products.
        slots: the slots that the user gives.
        filled: further slots of the group, whose learnt missing embeddings stand in.
    """

    kind: str
    slots: tuple[str, ...]
    filled: tuple[str, ...] = ()

    @property
    def unit(self) -> bool:
        """True if the embeddings are brought to unit length first."""
        return self.kind in (COSINE, "cosine_sum")


@dataclass(frozen=True, kw_only=True)
class QueryVectors:
    """score(query q, candidate c) = <vectors_QE[q], c> + constant_Q[q]; c of unit length if ``unit``."""

    vectors_QE: Tensor
    constant_Q: Tensor
    unit: bool


def find_score(
    slots: Iterable[str], *, groups: Sequence[TrainedGroup], missing: Iterable[str] = (), target: str | None = None
) -> Score:
    """The score under which these slots' embeddings mean something together.

    Args:
        slots: two or more slots.
        groups: the model's trained groups.
        missing: slots with a learnt missing embedding, which may stand in for a slot that is not given.
        target: the slot that is searched, if there is one; then a sum over trained (query, target) pairs is possible.

    Raises:
        OmniError: no trained group fits; the message names those that mean something.
    """
    wanted = tuple(dict.fromkeys(slots))
    if len(wanted) < 2:
        given = ", ".join(wanted) or "none"
        raise OmniError(f"A score needs two slots or more, not {given}. {describe_groups(groups)}")
    exact = [group for group in groups if set(group.slots) == set(wanted)]
    if exact:
        return Score(kind=exact[0].score, slots=wanted)
    if target is not None and len(wanted) > 2:
        for score, kind in SUMS.items():
            pairs = {frozenset(group.slots) for group in groups if group.score == score and len(group.slots) == 2}
            if all(frozenset((slot, target)) in pairs for slot in wanted if slot != target):
                return Score(kind=kind, slots=wanted)
    known = sorted({slot for group in groups for slot in group.slots})
    for slot in wanted:
        if known and slot not in known:
            raise OmniError(f"No trained slot {slot!r}.{did_you_mean(slot, known)} {describe_groups(groups)}")
    able = set(missing)
    wider = [group for group in groups if set(wanted) < set(group.slots) and set(group.slots) - set(wanted) <= able]
    if wider:
        best = min(wider, key=lambda group: len(group.slots))
        return Score(kind=best.score, slots=wanted, filled=tuple(s for s in best.slots if s not in wanted))
    raise OmniError(
        f"The embeddings of {' and '.join(wanted)} do not mean anything together: they were not trained together, and "
        f"no learnt missing embedding stands in for the slots that are not given. {describe_groups(groups)}"
    )


def describe_groups(groups: Sequence[TrainedGroup]) -> str:
    """The groups that mean something, as a sentence."""
    if not groups:
        return "This model records no trained groups, so no score between its slots means anything; train it first."
    listed = "; ".join(f"{' + '.join(group.slots)} ({group.score})" for group in groups)
    return f"Trained together: {listed}."


def query_vectors(score: Score, queries: Mapping[str, Tensor], missing: Mapping[str, Tensor]) -> QueryVectors:
    """One vector a query.

    Args:
        queries: slot -> (Q, E) float embeddings, all slots of the score but the searched one; Q may be 1 to broadcast.
        missing: slot -> (E,) learnt missing embedding, as the model normalises it.

    Returns:
        QueryVectors for Q queries, float32.
    """
    parts = [value.float() for value in queries.values()]
    parts += [missing[slot].float()[None] for slot in score.filled]
    size = max(len(part) for part in parts)
    parts = [part.expand(size, -1) for part in parts]
    constant_Q = parts[0].new_zeros(size)
    if score.kind == MULTILINEAR:
        return QueryVectors(vectors_QE=reduce(torch.mul, parts), constant_Q=constant_Q, unit=False)
    if score.unit:
        parts = [F.normalize(part, dim=-1) for part in parts]
    elif score.kind == PAIR_SUM:
        constant_Q = sum((torch.einsum("qe,qe->q", a, b) for a, b in combinations(parts, 2)), constant_Q)
    return QueryVectors(vectors_QE=torch.stack(parts).sum(0), constant_Q=constant_Q, unit=score.unit)


def score_all(score: Score, embeddings: Mapping[str, Tensor], missing: Mapping[str, Tensor]) -> Tensor:
    """Every combination of the slots' rows: (B1, ..., Bn) float32, in the order of ``embeddings``.

    Args:
        embeddings: slot -> (B_i, E).
        missing: slot -> (E,) learnt missing embedding.
    """
    names = list(embeddings)
    parts = [embeddings[name].float() for name in names]
    if score.unit:
        parts = [F.normalize(part, dim=-1) for part in parts]
    fillers = [missing[slot].float() for slot in score.filled]
    count = len(parts)
    if score.kind == MULTILINEAR:
        last = reduce(torch.mul, fillers, parts[-1])
        head = parts[0]
        for part in parts[1:-1]:
            head = head[..., None, :] * part
        return head @ last.T
    shape = [len(part) for part in parts]
    total = parts[0].new_zeros(shape)
    for i, j in combinations(range(count), 2):
        view = [1] * count
        view[i], view[j] = shape[i], shape[j]
        total = total + (parts[i] @ parts[j].T).view(view)
    for position, filler in enumerate(fillers):
        for i in range(count):
            view = [1] * count
            view[i] = shape[i]
            total = total + (parts[i] @ filler).view(view)
        for other in fillers[:position]:
            total = total + filler @ other
    return total
