"""Retrieval among stamps in every direction, language by language, beside chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations
from math import comb

import torch
from torch import Tensor
from torch.nn import functional as F

from omni.errors import InputError
from omni.metrics.ranks import positive_ranks

KS = (1, 5)


@dataclass(frozen=True, kw_only=True)
class DirectionResult:
    """Retrieval in one direction, mean over queries of all languages.

    Attributes:
        query: slots of the query. target: slot of the candidates. queries: their number.
        candidates: mean size of the gallery (the objects of one language). recall, chance: k -> share in [0, 1].
        median_rank: of the first right candidate.
    """

    query: tuple[str, ...]
    target: str
    queries: int
    candidates: float
    recall: dict[int, float]
    chance: dict[int, float]
    median_rank: float

    @property
    def name(self) -> str:
        """As "text+audio > image"."""
        return f"{'+'.join(self.query)} > {self.target}"


def directions(slots: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every slot to every other, then all others together to each."""
    for query, target in permutations(slots, 2):
        yield (query,), target
    if len(slots) > 2:
        for target in slots:
            yield tuple(slot for slot in slots if slot != target), target


def chance_at(k: int, *, right: int, candidates: int) -> float:
    """Probability that k candidates drawn without replacement hold one of the ``right`` ones."""
    return 1 - comb(candidates - right, min(k, candidates)) / comb(candidates, min(k, candidates))


def retrieve(
    embeddings: Mapping[str, Tensor], group_N: Tensor, language_N: Tensor, *, ks: tuple[int, ...] = KS
) -> list[DirectionResult]:
    """Rank the objects of each language by the cosine (several query slots: by the mean of unit vectors).

    Args:
        embeddings: slot -> (N, E), one row a sample (object and language).
        group_N: int64, objects that are called the same have one number and are all right.
        language_N: int64; candidates of a query are the samples of its own language.
        ks: recall at these.

    Raises:
        InputError: no sample, or embeddings of another length.
    """
    if not len(group_N) or any(len(value) != len(group_N) for value in embeddings.values()):
        raise InputError(
            f"{len(group_N)} groups for embeddings of {[len(value) for value in embeddings.values()]} rows"
        )
    unit = {slot: F.normalize(value.float(), dim=-1) for slot, value in embeddings.items()}
    found = []
    for query, target in directions(tuple(embeddings)):
        ranks, chances, sizes = [], {k: [] for k in ks}, []
        for language in language_N.unique():
            mine = language_N == language
            groups = group_N[mine]
            together = sum((unit[slot][mine] for slot in query), torch.zeros(()))
            ranks.append(positive_ranks(together, unit[target][mine], groups, groups))
            right_M = (groups[:, None] == groups[None]).sum(1)
            sizes += [len(groups)] * len(groups)
            for k in ks:
                chances[k] += [chance_at(k, right=right, candidates=len(groups)) for right in right_M.tolist()]
        rank_Q = torch.cat(ranks)
        found.append(
            DirectionResult(
                query=query, target=target, queries=len(rank_Q), candidates=sum(sizes) / len(sizes),
                recall={k: float((rank_Q <= k).double().mean()) for k in ks},
                chance={k: sum(chances[k]) / len(chances[k]) for k in ks},
                median_rank=float(rank_Q.double().median()),
            )
        )  # fmt: skip
    return found
