"""Scores of different kinds made comparable: how many standard deviations above the average of the whole index?

Every score between slots is linear in the embedding of the slot that is searched: s(q, c) = <v, c> + b, where v and b
are made of the query. So its mean and variance over all N items of the index have a closed form in the mean m and the
covariance C of the items' embeddings, and need no sample of queries:

    mean(q) = <v, m> + b        variance(q) = v' C v        z(q, c) = (s(q, c) - mean(q)) / sqrt(variance(q))

z has mean 0 and variance 1 over the index for every query of every slot. A filter does not change it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CHUNK = 16_384
FLAT = 1e-6  # a query whose scores differ by less than this part of |v| |m| does not tell items apart


@dataclass(frozen=True, kw_only=True)
class Background:
    """mean_Q and std_Q (float64) of each query's score over the index; std 0 = it does not tell items apart."""

    mean_Q: np.ndarray
    std_Q: np.ndarray

    def scale(self) -> np.ndarray:
        """(Q,) 1 / std, and 0 where std is 0."""
        return np.divide(1.0, self.std_Q, out=np.zeros_like(self.std_Q), where=self.std_Q > 0)


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Sums over embeddings: they add up over segments, and what is deleted is subtracted.

    Attributes:
        count: N.
        sum_E: sum of c, float64.
        outer_EE: sum of c c', float64.
    """

    count: int
    sum_E: np.ndarray
    outer_EE: np.ndarray

    @classmethod
    def zero(cls, width: int) -> Moments:
        """Of nothing."""
        return cls(count=0, sum_E=np.zeros(width), outer_EE=np.zeros((width, width)))

    @classmethod
    def of(cls, vectors_NE: np.ndarray, *, unit: bool = False) -> Moments:
        """Of (N, E) float32 rows, each brought to unit length first if ``unit``."""
        total, outer = np.zeros(vectors_NE.shape[1]), np.zeros((vectors_NE.shape[1],) * 2)
        for start in range(0, len(vectors_NE), CHUNK):
            part = vectors_NE[start : start + CHUNK].astype(np.float64)
            if unit:
                part /= np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12)
            total += part.sum(0)
            outer += part.T @ part
        return cls(count=len(vectors_NE), sum_E=total, outer_EE=outer)

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            count=self.count + other.count, sum_E=self.sum_E + other.sum_E, outer_EE=self.outer_EE + other.outer_EE
        )

    def __sub__(self, other: Moments) -> Moments:
        return Moments(
            count=self.count - other.count, sum_E=self.sum_E - other.sum_E, outer_EE=self.outer_EE - other.outer_EE
        )

    def background(self, vectors_QE: np.ndarray, constant_Q: np.ndarray) -> Background:
        """Mean and standard deviation of <v, c> + b over the items, per query."""
        vectors = vectors_QE.astype(np.float64)
        mean = self.sum_E / max(self.count, 1)
        covariance = self.outer_EE / max(self.count, 1) - np.outer(mean, mean)
        variance = np.einsum("qe,ef,qf->q", vectors, covariance, vectors, optimize=True)
        least = FLAT * np.linalg.norm(vectors, axis=1) * (np.sqrt(np.trace(self.outer_EE) / max(self.count, 1)) + 1e-30)
        std = np.sqrt(np.maximum(variance, 0.0))
        std[std <= least] = 0.0
        return Background(mean_Q=vectors @ mean + constant_Q, std_Q=std)
