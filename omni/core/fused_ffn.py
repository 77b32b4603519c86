"""The gated feed-forward W2 LN(GELU(W0 x) * (W1 x)) + b: plain operations, and the same in blocks that stay in cache.

On a CPU the plain form spends a fifth of its time moving (tokens x F) arrays through memory. The blocked form runs all
steps on a few hundred tokens at a time, keeps 3F numbers a token for the backward pass instead of 5F, and gives the
same values and gradients. Elsewhere, and where a graph is traced, the plain form is used.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

BLOCK_BYTES = 1 << 21  # of the hidden units (tokens x F) of a block: what stays in the second-level cache
_aten = torch.ops.aten


def gated_ffn(
    tokens_BLD: Tensor, gate_up_2FD: Tensor, norm_F: Tensor, shift_F: Tensor, out_DF: Tensor, bias_D: Tensor, eps: float
) -> Tensor:
    """W2 LN(GELU(W0 x) * (W1 x)) + b, with W0 and W1 stacked.

    Args:
        tokens_BLD: x, any leading axes.
        gate_up_2FD: W0 over W1.
        norm_F, shift_F: gain and shift of the norm on the hidden units.
        out_DF, bias_D: W2 and b.
        eps: of the norm.
    """
    if tokens_BLD.device.type != "cpu" or torch.compiler.is_compiling() or torch.jit.is_tracing():
        gate, up = F.linear(tokens_BLD, gate_up_2FD).chunk(2, -1)
        hidden = F.layer_norm(F.gelu(gate) * up, norm_F.shape, norm_F, shift_F, eps)
        return F.linear(hidden, out_DF, bias_D)
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        tokens_BLD, gate_up_2FD, out_DF, bias_D = (item.to(dtype) for item in (tokens_BLD, gate_up_2FD, out_DF, bias_D))
    rows = tokens_BLD.reshape(-1, tokens_BLD.shape[-1])
    result = _BlockedFfn.apply(rows, gate_up_2FD, norm_F, shift_F, out_DF, bias_D, eps)
    return result.view(*tokens_BLD.shape[:-1], out_DF.shape[0])


def _blocks(rows: Tensor, hidden: int) -> list[slice]:
    """Slices of the rows, nearly equal in size, each with at most BLOCK_BYTES of hidden units."""
    count = rows.shape[0]
    pieces = max(1, -(-count * hidden * rows.element_size() // BLOCK_BYTES))
    size = -(-count // pieces) if count else 1
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


class _BlockedFfn(torch.autograd.Function):
    """Rows (R, D) -> (R, D)."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, gate_up: Tensor, norm: Tensor, shift: Tensor, out: Tensor, bias: Tensor, eps: float
    ) -> Tensor:
        count, hidden = rows.shape[0], norm.shape[0]
        keep = any(ctx.needs_input_grad)
        result = rows.new_empty(count, out.shape[0])
        both = rows.new_empty(count if keep else 0, 2 * hidden)
        act = rows.new_empty(count if keep else 0, hidden)
        means, inverses = [], []
        for block in _blocks(rows, hidden):
            both_block = torch.mm(rows[block], gate_up.t(), out=both[block]) if keep else rows[block] @ gate_up.t()
            act_block = F.gelu(both_block[:, :hidden])
            product = act_block * both_block[:, hidden:]
            normed, mean, inverse = torch.native_layer_norm(product, [hidden], norm, shift, eps)
            torch.addmm(bias, normed, out.t(), out=result[block])
            if keep:
                act[block] = act_block
                means.append(mean)
                inverses.append(inverse)
        ctx.eps = eps
        ctx.save_for_backward(rows, gate_up, norm, shift, out, both, act, *means, *inverses)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, gate_up, norm, shift, out, both, act, *statistics = ctx.saved_tensors
        hidden = norm.shape[0]
        blocks = _blocks(rows, hidden)
        need_rows, need_in, need_norm, need_shift, need_out, need_bias, _ = ctx.needs_input_grad
        grad = grad.contiguous()
        grad_rows = torch.empty_like(rows) if need_rows else None
        grad_in = torch.zeros_like(gate_up) if need_in else None
        grad_norm, grad_shift = torch.zeros_like(norm), torch.zeros_like(shift)
        grad_out = torch.zeros_like(out) if need_out else None
        for number, block in enumerate(blocks):
            mean, inverse = statistics[number], statistics[number + len(blocks)]
            gate, up, act_block, grad_block = both[block, :hidden], both[block, hidden:], act[block], grad[block]
            product = act_block * up
            if need_out:
                normed = torch.native_layer_norm(product, [hidden], norm, shift, ctx.eps)[0]
                grad_out.addmm_(grad_block.t(), normed)
            parts = _aten.native_layer_norm_backward(
                grad_block @ out, product, [hidden], mean, inverse, norm, shift, [True, need_norm, need_shift]
            )
            if need_norm:
                grad_norm += parts[1]
            if need_shift:
                grad_shift += parts[2]
            grad_both = torch.empty_like(both[block])
            torch.mul(parts[0], act_block, out=grad_both[:, hidden:])
            _aten.gelu_backward.grad_input(parts[0].mul_(up), gate, grad_input=grad_both[:, :hidden])
            if need_rows:
                torch.mm(grad_both, gate_up, out=grad_rows[block])
            if need_in:
                grad_in.addmm_(grad_both.t(), rows[block])
        grad_bias = grad.sum(0) if need_bias else None
        return grad_rows, grad_in, grad_norm, grad_shift, grad_out, grad_bias, None
