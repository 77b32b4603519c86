"""A 1d convolution over rows that keep their channels last, as one or two matrix products without copies."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def strided_conv(rows: Tensor, weight: Tensor, *, stride: int) -> Tensor:
    """Convolution with kernel k and stride s of a signal laid out as rows of s time steps.

    Row r of the result is the window that starts at time step r * s. Windows reach into the next rows; those of the
    last rows of the whole batch would reach past its end and are cut off there, so the caller ignores every row whose
    window leaves its own signal.

    Args:
        rows: (R, s * C) contiguous: time steps in order, C channels each.
        weight: (out, C, k), the shape of an ordinary convolution.
        stride: s.

    Returns:
        (R, out).
    """
    channels, kernel = weight.shape[1:]
    matrix = weight.permute(2, 1, 0).reshape(kernel * channels, -1)  # time step, channel -> out
    if torch.is_grad_enabled() and (rows.requires_grad or matrix.requires_grad):
        return _RowProduct.apply(rows, matrix)
    return _product(rows, matrix)


def _pieces(width: int, depth: int) -> list[tuple[int, int, int]]:
    """(row shift, first, last) of the parts of the matrix that meet the same row, the next one, ..."""
    return [(first // width, first, min(first + width, depth)) for first in range(0, depth, width)]


def _product(rows: Tensor, matrix: Tensor) -> Tensor:
    count, width = rows.shape
    out = rows[:, : min(width, len(matrix))] @ matrix[:width]
    for shift, first, last in _pieces(width, len(matrix))[1:]:
        if shift < count:
            out[: count - shift].addmm_(rows[shift:, : last - first], matrix[first:last])
    return out


class _RowProduct(torch.autograd.Function):
    """``_product`` with a backward that adds into one buffer instead of summing padded slices."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, matrix: Tensor) -> Tensor:
        ctx.save_for_backward(rows, matrix)
        return _product(rows, matrix)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        rows, matrix = ctx.saved_tensors
        count, width = rows.shape
        pieces = _pieces(width, len(matrix))
        grad_rows = grad_matrix = None
        if ctx.needs_input_grad[0]:
            grad_rows = grad @ matrix[:width].t()
            if len(matrix) < width:
                grad_rows = torch.nn.functional.pad(grad_rows, (0, width - len(matrix)))
            for shift, first, last in pieces[1:]:
                if shift < count:
                    grad_rows[shift:, : last - first].addmm_(grad[: count - shift], matrix[first:last].t())
        if ctx.needs_input_grad[1]:
            grad_matrix = torch.zeros_like(matrix)
            for shift, first, last in pieces:
                if shift < count:
                    torch.mm(rows[shift:, : last - first].t(), grad[: count - shift], out=grad_matrix[first:last])
        return grad_rows, grad_matrix
