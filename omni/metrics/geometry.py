"""How embeddings lie on the sphere: alignment and uniformity (Wang & Isola, 2020), modality gap (Liang et al., 2022),
effective rank (Roy & Vetterli, 2007). All in chunks; sums in float64."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from omni.errors import InputError

CHUNK = 2048


def alignment(first_NE: Tensor, second_NE: Tensor, *, alpha: float = 2.0) -> float:
    """Mean of |x - y|^alpha over pairs, row by row, both of unit length: 0 is best (Wang & Isola, equation 4)."""
    if len(first_NE) != len(second_NE) or not len(first_NE):
        raise InputError(f"Alignment is of pairs: {len(first_NE)} rows against {len(second_NE)}.")
    total = 0.0
    for start in range(0, len(first_NE), CHUNK):
        first, second = (_unit(value[start : start + CHUNK]) for value in (first_NE, second_NE))
        total += float((first - second).norm(dim=1).pow(alpha).sum())
    return total / len(first_NE)


def uniformity(embeddings_NE: Tensor, *, t: float = 2.0) -> float:
    """log of the mean of exp(-t |x - y|^2) over all pairs x != y, all of unit length: 0 for one point, the lower the
    more evenly spread (Wang & Isola, equation 6).

    Raises:
        InputError: fewer than two rows.
    """
    count = len(embeddings_NE)
    if count < 2:
        raise InputError(f"Uniformity needs two embeddings or more, not {count}.")
    unit_NE = F.normalize(embeddings_NE.float(), dim=-1)
    total = 0.0
    for row in range(0, count, CHUNK):
        for column in range(row, count, CHUNK):
            scores = unit_NE[row : row + CHUNK] @ unit_NE[column : column + CHUNK].T
            closeness = scores.sub_(1.0).mul_(2 * t).exp_()  # |x - y|^2 = 2 - 2 <x, y>
            if row == column:
                closeness.fill_diagonal_(0.0)
            total += (1 if row == column else 2) * float(closeness.sum(dtype=torch.float64))
    return float(torch.tensor(total / (count * (count - 1)), dtype=torch.float64).log())


def modality_gap(first_NE: Tensor, second_ME: Tensor) -> float:
    """Distance between the centres of two slots' embeddings of unit length, 0 to 2 (Liang et al., section 2)."""
    return float((_centre(first_NE) - _centre(second_ME)).norm())


def singular_values(embeddings_NE: Tensor, *, centre: bool = False) -> Tensor:
    """(E,) float64, descending, of the matrix of all rows (less their mean if ``centre``), from its Gram matrix."""
    width = embeddings_NE.shape[1]
    gram = torch.zeros(width, width, dtype=torch.float64)
    mean = embeddings_NE.mean(0, dtype=torch.float64) if centre else torch.zeros(width, dtype=torch.float64)
    for start in range(0, len(embeddings_NE), CHUNK):
        rows = embeddings_NE[start : start + CHUNK].double() - mean
        gram += rows.T @ rows
    return torch.linalg.eigvalsh(gram).clamp(min=0).sqrt().flip(0)


def effective_rank(embeddings_NE: Tensor, *, centre: bool = False) -> float:
    """exp of the entropy of the singular values as a distribution: 1 for a line, E where all directions are used alike
    (Roy & Vetterli, equation 4). With ``centre``, of what differs between rows; 0 where nothing does."""
    values = singular_values(embeddings_NE, centre=centre)
    scale = float(embeddings_NE.float().norm())
    if float(values.sum()) <= 1e-6 * scale:  # rounding of float32 rows, no directions
        return 0.0
    values = values[values > 1e-7 * values[0]]  # the root of a Gram matrix's rounding (1e-16)
    share = values / values.sum()
    return float(torch.exp(-(share * share.log()).sum()))


def _centre(values_NE: Tensor) -> Tensor:
    parts = [_unit(values_NE[start : start + CHUNK]).sum(0) for start in range(0, len(values_NE), CHUNK)]
    return torch.stack(parts).sum(0) / len(values_NE)


def _unit(values_NE: Tensor) -> Tensor:
    return F.normalize(values_NE.double(), dim=-1)
