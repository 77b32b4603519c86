"""Linear probe: multinomial logistic regression on frozen embeddings, to its optimum, in float64 and in chunks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from omni.errors import ConfigError, InputError
from omni.metrics.classification import Predictions, predict

CHUNK = 8192
STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
HELD_OUT = 0.2  # of the training rows, to choose the strength


@dataclass(frozen=True, kw_only=True)
class LinearProbe:
    """A fitted probe: logits = x @ weight_EC + bias_C, both float64; ``strength`` C of the regularisation."""

    weight_EC: Tensor
    bias_C: Tensor
    strength: float

    def logits(self, embeddings_NE: Tensor) -> Tensor:
        """(N, C) float64."""
        return embeddings_NE.double() @ self.weight_EC + self.bias_C

    def predict(self, embeddings_NE: Tensor, labels_N: Tensor) -> Predictions:
        """Ranks of the right classes; ties count against them."""
        parts = [
            predict(self.logits(embeddings_NE[start : start + CHUNK]), labels_N[start : start + CHUNK])
            for start in range(0, len(embeddings_NE), CHUNK)
        ]
        empty = torch.zeros(0, dtype=torch.long)
        return Predictions(
            rank_N=torch.cat([part.rank_N for part in parts] or [empty]),
            given_N=torch.cat([part.given_N for part in parts] or [empty]),
        )


def fit_linear_probe(
    embeddings_NE: Tensor,
    labels_N: Tensor,
    *,
    classes: int,
    strength: float | Sequence[float] = STRENGTHS,
    seed: int = 0,
    max_iters: int = 1000,
    tolerance: float = 1e-6,
) -> LinearProbe:
    """The minimum of strength * sum of cross-entropies + |weight|^2 / 2, the bias free: scikit-learn's C.

    Several strengths: the one with the best accuracy on a seeded fifth of the rows, then a fit on all (Radford et al.,
    2021, appendix A.3, with a hold-out for the choice); equal accuracies take the stronger regularisation.

    Args:
        embeddings_NE: any float; labels_N: int64 in [0, classes).
        tolerance: largest entry of the gradient, by strength * N, at which the fit ends.

    Raises:
        InputError: fewer than two rows, or one class only.
        ConfigError: a strength of 0 or less.
    """
    if len(embeddings_NE) < 2 or len(torch.unique(labels_N)) < 2:
        raise InputError(f"A linear probe needs samples of two classes or more; there are {len(labels_N)} of one.")
    options = [float(strength)] if isinstance(strength, (int, float)) else [float(value) for value in strength]
    if not options or min(options) <= 0:
        raise ConfigError(f"strength={strength}: it must be above 0; the larger, the weaker the regularisation.")
    best = options[0]
    if len(options) > 1:
        best = _choose(embeddings_NE, labels_N, classes, sorted(options), seed, max_iters, tolerance)
    return _fit(embeddings_NE, labels_N, classes, best, max_iters, tolerance)


def _choose(
    embeddings_NE: Tensor, labels_N: Tensor, classes: int, options: list[float], seed: int, max_iters: int, tol: float
) -> float:
    order = torch.randperm(len(labels_N), generator=torch.Generator().manual_seed(seed))
    out, kept = order[: max(1, int(HELD_OUT * len(order)))], order[max(1, int(HELD_OUT * len(order))) :]
    if len(torch.unique(labels_N[kept])) < 2:
        return min(options, key=lambda value: abs(value - 1.0))
    scores = []
    for value in options:
        probe = _fit(embeddings_NE[kept], labels_N[kept], classes, value, max_iters, tol)
        scores.append(float((probe.predict(embeddings_NE[out], labels_N[out]).rank_N == 1).double().mean()))
    return options[scores.index(max(scores))]


def _fit(
    embeddings_NE: Tensor, labels_N: Tensor, classes: int, strength: float, max_iters: int, tolerance: float
) -> LinearProbe:
    """L-BFGS over the whole sum; the gradient is written out, so that nothing of a chunk stays in memory."""
    width, count = embeddings_NE.shape[1], len(embeddings_NE)
    flat = torch.zeros((width + 1) * classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [flat], max_iter=max_iters, tolerance_grad=tolerance, tolerance_change=1e-14, history_size=20,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    @torch.no_grad()
    def closure() -> Tensor:
        table = flat.view(width + 1, classes)
        grad = torch.zeros_like(table)
        value = table[:width].square().sum() / (2 * strength * count)
        grad[:width] = table[:width] / (strength * count)
        for start in range(0, count, CHUNK):
            rows, labels = embeddings_NE[start : start + CHUNK].double(), labels_N[start : start + CHUNK, None]
            log_share = (rows @ table[:width] + table[width]).log_softmax(1)
            value = value - log_share.gather(1, labels).sum() / count
            error = log_share.exp_().scatter_add_(1, labels, torch.full_like(labels, -1.0, dtype=torch.float64)) / count
            grad[:width] += rows.T @ error
            grad[width] += error.sum(0)
        flat.grad = grad.view(-1)
        return value

    optimizer.step(closure)
    table = flat.detach().view(width + 1, classes)
    return LinearProbe(weight_EC=table[:width].clone(), bias_C=table[width].clone(), strength=strength)
