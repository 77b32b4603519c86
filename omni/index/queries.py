"""From the embeddings of a query to one vector for each slot that is searched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from omni.errors import InputError, OmniError
from omni.index.calibration import Background, Moments
from omni.scoring import COSINE, QueryVectors, Score, find_score, query_vectors

if TYPE_CHECKING:
    from omni.index.searching import Searches

Embeddings = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """score(query q, item c) = <vectors_QE[q], c> + constant_Q[q], c of ``slot``, of length 1 if ``unit``."""

    slot: str
    vectors_QE: np.ndarray
    constant_Q: np.ndarray
    unit: bool


def score_of(index: Searches, slots: Sequence[str], target: str) -> Score:
    """The score of a query of these slots against the items' slot ``target``.

    Raises:
        OmniError: it means nothing; names what does. InputError: no slot.
    """
    if not slots:
        raise InputError("A search needs a query: name at least one slot.")
    if target in slots:
        if len(slots) > 1:
            raise InputError(f"The index holds {target!r} itself; search it with other slots, or with it alone.")
        return Score(kind=COSINE, slots=(target,))  # neighbours of its own kind
    return find_score([*slots, target], groups=index.trained_groups, missing=index.missing, target=target)


def choose_targets(index: Searches, slots: Sequence[str], target: str | Sequence[str] | None) -> list[str]:
    """The slots of the items that a query is compared with.

    Args:
        target: as the user named them; None = all that have a meaning with the query, its own slots left out if others
            remain.

    Raises:
        OmniError: none means something.
    """
    if target is not None:
        named = [target] if isinstance(target, str) else list(target)
        for name in named:
            if name not in index.slots:
                raise InputError(f"The index has no slot {name!r}; it holds {', '.join(index.slots)}.")
            score_of(index, slots, name)
        if not named or len(set(named)) < len(named):
            raise InputError(f"target={target!r}: name each slot once, at least one.")
        return named
    others = [slot for slot in index.slots if slot not in slots] or list(index.slots)
    found, errors = [], []
    for name in others:
        try:
            score_of(index, slots, name)
            found.append(name)
        except OmniError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    return found


def plan_searches(
    index: Searches,
    queries: Embeddings,
    *,
    targets: Sequence[str],
    exclude: Sequence[Embeddings] = (),
    exclude_weight: float = 0.5,
    calibrated: bool = False,
    moments: Callable[[str, bool], Moments],
) -> list[Plan]:
    """One plan for each target. With ``exclude``, z of the query minus weight times z of each excluded query."""
    plans = []
    for target in targets:
        made = _vectors(index, queries, target)
        if not calibrated and not exclude:
            plans.append(_plan(target, made))
            continue
        vectors, constant = _calibrate(made, moments(target, made.unit and not index.unit))
        for one in exclude:
            other = _vectors(index, _complete(index, one, queries, target), target)
            if other.unit != made.unit and not index.unit:
                raise OmniError(
                    f"The query and what is excluded have scores of different kinds against {target!r} (cosine and "
                    "product); exclude by the slots of the query."
                )
            their_vectors, their_constant = _calibrate(other, moments(target, made.unit and not index.unit))
            vectors = vectors - exclude_weight * their_vectors
            constant = constant - exclude_weight * their_constant
        count = max(len(vectors), len(constant))
        vectors = np.broadcast_to(vectors, (count, vectors.shape[1]))
        plans.append(
            Plan(
                slot=target,
                vectors_QE=np.ascontiguousarray(vectors, np.float32),
                constant_Q=constant.astype(np.float32),
                unit=made.unit,
            )
        )
    return plans


def _vectors(index: Searches, queries: Embeddings, target: str) -> QueryVectors:
    made = query_vectors(score_of(index, list(queries), target), queries, index.missing)
    if not np.isfinite(made.vectors_QE.numpy(force=True)).all():
        raise InputError("A query's embedding is not finite: a missing value cannot be searched with.")
    return made


def _plan(target: str, made: QueryVectors) -> Plan:
    return Plan(
        slot=target,
        vectors_QE=np.ascontiguousarray(made.vectors_QE.numpy(force=True)),
        constant_Q=made.constant_Q.numpy(force=True),
        unit=made.unit,
    )


def _calibrate(made: QueryVectors, moments: Moments) -> tuple[np.ndarray, np.ndarray]:
    """Vectors and constants (float64) of the calibrated score."""
    vectors = made.vectors_QE.numpy(force=True).astype(np.float64)
    constant = made.constant_Q.numpy(force=True).astype(np.float64)
    background: Background = moments.background(vectors, constant)
    scale = background.scale()
    return vectors * scale[:, None], (constant - background.mean_Q) * scale


def _complete(index: Searches, excluded: Embeddings, queries: Embeddings, target: str) -> Embeddings:
    """The excluded query; where its slots alone mean nothing, with the query's other slots."""
    try:
        score_of(index, list(excluded), target)
        return excluded
    except OmniError:
        whole = {**queries, **excluded}
        if set(whole) == set(excluded):
            raise
        score_of(index, list(whole), target)
        return whole


def check_queries(queries: Embeddings, width: int) -> None:
    """Raise InputError unless all are (Q, E) or (1, E)."""
    lengths = {}
    for slot, value in queries.items():
        if value.ndim != 2 or value.shape[1] != width:
            raise InputError(f"Embeddings of {slot!r} have the shape {tuple(value.shape)}, not (Q, {width}).")
        lengths[slot] = len(value)
    if len(set(lengths.values()) - {1}) > 1:
        told = ", ".join(f"{slot} {count}" for slot, count in lengths.items())
        raise InputError(f"The queries' lists differ in length: {told}. Give one value each, or one for all.")
