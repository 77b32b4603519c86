"""The block of ONE-PEACE: pre-norm attention shared by all modalities, one gated feed-forward expert a modality."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni.core.fused_ffn import gated_ffn

NORM_EPS = 1e-5
BLOCK_LOGITS = 1 << 19  # attention logits at once on a CPU: 2 MiB of float32


def init_linear(weight: Tensor, *, std: float = 0.02) -> None:
    """Truncated normal cut at one standard deviation, as the published code does (its effective spread is .54 std)."""
    nn.init.trunc_normal_(weight, std=std, a=-std, b=std)


class SelfAttention(nn.Module):
    """x -> O(LN(softmax(q k^T / sqrt(d) + bias) v)), the norm over the joined heads ("sub-LN"), no bias on k.

    A bias on k would shift all logits of a query by one number, which softmax ignores; so it is left out.

    Args:
        width: D.
        num_heads: H; D must be a multiple of it.
        sub_norm: the norm before the output map.
    """

    def __init__(self, *, width: int, num_heads: int, sub_norm: bool = True) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv_weight = nn.Parameter(torch.empty(3 * width, width))
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.norm = nn.LayerNorm(width, eps=NORM_EPS) if sub_norm else nn.Identity()
        self.out = nn.Linear(width, width)
        init_linear(self.qkv_weight)
        init_linear(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, tokens_BLD: Tensor, *, bias_BHLL: Tensor | None, scale_D: Tensor | None = None) -> Tensor:
        """Attend.

        Args:
            tokens_BLD: normalised tokens.
            bias_BHLL: (1 or B, H, 1 or L, L) added to the logits, masks included; None = none.
            scale_D: LayerScale of the branch, or None.

        Returns:
            (B, L, D), the branch without the residual.
        """
        batch, length, width = tokens_BLD.shape
        qkv_bias = torch.cat((self.q_bias, torch.zeros_like(self.q_bias), self.v_bias))
        qkv = F.linear(tokens_BLD, self.qkv_weight, qkv_bias)
        mixed = self.norm(attend(qkv.view(batch, length, 3, self.num_heads, -1), bias_BHLL))
        weight, bias, rest_D = folded_scale(self.out, scale_D, tokens_BLD.device.type)
        branch = F.linear(mixed, weight, bias)
        return branch if rest_D is None else (branch.float() * rest_D).to(tokens_BLD.dtype)


def attend(qkv_BL3HD: Tensor, bias_BHLL: Tensor | None) -> Tensor:
    """(B, L, H * D) values mixed by scaled dot-product attention.

    On a CPU, where a bias that learns rules out the fused kernel, samples go through it in groups whose (H, L, L)
    logits stay in cache.
    """
    batch, length, _, heads, _ = qkv_BL3HD.shape
    size = max(1, BLOCK_LOGITS // max(1, heads * length * length))
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
    if size >= batch or traced or qkv_BL3HD.device.type != "cpu":
        return _attend(qkv_BL3HD, bias_BHLL)
    parts = qkv_BL3HD.split(size)
    shared = bias_BHLL is None or bias_BHLL.shape[0] == 1
    biases = [bias_BHLL] * len(parts) if shared else bias_BHLL.split(size)
    return torch.cat([_attend(part, bias) for part, bias in zip(parts, biases, strict=True)])


def _attend(qkv_BL3HD: Tensor, bias_BHLL: Tensor | None) -> Tensor:
    q, k, v = qkv_BL3HD.permute(2, 0, 3, 1, 4).unbind(0)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias_BHLL).transpose(1, 2).flatten(2)


class GatedExpert(nn.Module):
    """W2 LN(GELU(W0 x) * (W1 x)): a gated feed-forward (GeGLU) with a norm on its hidden units.

    Args:
        width: D.
        ffn_width: F.
    """

    def __init__(self, *, width: int, ffn_width: int) -> None:
        super().__init__()
        self.gate_up_weight = nn.Parameter(torch.empty(2 * ffn_width, width))
        self.norm = nn.LayerNorm(ffn_width, eps=NORM_EPS)
        self.out = nn.Linear(ffn_width, width)
        init_linear(self.gate_up_weight)
        init_linear(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, tokens_BLD: Tensor, *, scale_D: Tensor | None = None) -> Tensor:
        """(B, L, D) normalised tokens -> (B, L, D), the branch without the residual, times ``scale_D``."""
        weight, bias, rest_D = folded_scale(self.out, scale_D, tokens_BLD.device.type)
        gain, shift, eps = self.norm.weight, self.norm.bias, self.norm.eps
        branch = gated_ffn(tokens_BLD, self.gate_up_weight, gain, shift, weight, bias, eps)
        return branch if rest_D is None else (branch.float() * rest_D).to(tokens_BLD.dtype)


def folded_scale(linear: nn.Linear, scale_D: Tensor | None, device: str) -> tuple[Tensor, Tensor, Tensor | None]:
    """Weight and bias of scale * (W x + b) with the scale folded in, since they are far smaller than the outputs.

    float16 gets the scale back as a third value, to be applied to the outputs: a published LayerScale of 1e-6 times a
    weight of .02 is below its range.
    """
    weight, bias = linear.weight, linear.bias  # read once: they may be computed
    half = weight.dtype == torch.float16
    if torch.is_autocast_enabled(device):
        half = torch.get_autocast_dtype(device) == torch.float16
    if scale_D is None or half:
        return weight, bias, scale_D
    return weight * scale_D[:, None], bias * scale_D, None


class DropPath(nn.Module):
    """Stochastic depth a sample: a branch is left out with ``rate`` in training, else divided by 1 - rate."""

    def __init__(self, *, rate: float) -> None:
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"drop path rate {rate} must lie in [0, 1)")
        self.rate = rate

    def forward(self, residual_BLD: Tensor, branch_BLD: Tensor) -> Tensor:
        """residual + branch, or the residual alone, sample by sample."""
        if not self.training or self.rate == 0.0:
            return residual_BLD + branch_BLD
        keep = 1.0 - self.rate
        shape = (branch_BLD.shape[0], 1, 1)
        factor = torch.rand(shape, device=branch_BLD.device).lt(keep).to(branch_BLD.dtype) / keep
        return residual_BLD + branch_BLD * factor


class Block(nn.Module):
    """x += g1 * Attention(LN x); x += g2 * Expert_m(LN x), the expert chosen by each token's modality.

    Args:
        width, num_heads, ffn_width: D, H, F.
        modalities: names of the experts.
        layer_scale: start value of g1 and g2; None = no LayerScale.
        drop_path: rate of this block.
        sub_norm: norm on the joined heads.
    """

    def __init__(
        self,
        *,
        width: int,
        num_heads: int,
        ffn_width: int,
        modalities: Sequence[str],
        layer_scale: float | None = 1e-6,
        drop_path: float = 0.0,
        sub_norm: bool = True,
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.attention = SelfAttention(width=width, num_heads=num_heads, sub_norm=sub_norm)
        self.ffn_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.experts = nn.ModuleDict({name: GatedExpert(width=width, ffn_width=ffn_width) for name in modalities})
        self.attention_scale = _layer_scale(width, layer_scale)
        self.ffn_scale = _layer_scale(width, layer_scale)
        self.drop_path = DropPath(rate=drop_path)

    def forward(self, tokens_BLD: Tensor, *, bias_BHLL: Tensor | None, spans: Sequence[tuple[str, slice]]) -> Tensor:
        """One block.

        Args:
            tokens_BLD: the residual stream.
            bias_BHLL: added to the attention logits, masks included.
            spans: (modality, slice of the token axis), in order, covering all tokens.

        Returns:
            (B, L, D).
        """
        branch = self.attention(self.attention_norm(tokens_BLD), bias_BHLL=bias_BHLL, scale_D=self.attention_scale)
        tokens_BLD = self.drop_path(tokens_BLD, branch)
        return self.drop_path(tokens_BLD, self._experts(self.ffn_norm(tokens_BLD), spans))

    def _experts(self, tokens_BLD: Tensor, spans: Sequence[tuple[str, slice]]) -> Tensor:
        if len(spans) == 1:
            return self.experts[spans[0][0]](tokens_BLD, scale_D=self.ffn_scale)
        parts = [self.experts[name](tokens_BLD[:, span], scale_D=self.ffn_scale) for name, span in spans]
        return torch.cat(parts, 1)


def _layer_scale(width: int, value: float | None) -> nn.Parameter | None:
    return None if value is None else nn.Parameter(torch.full((width,), float(value)))


class LogitScale(nn.Module):
    """The learnt positive multiplier of similarities, stored as its logarithm.

    Args:
        init: start value of the multiplier (1 / temperature).
        max: upper bound when read, or None; the lower bound is 1 whenever there is an upper one.
    """

    def __init__(self, *, init: float = 1 / 0.07, max: float | None = 100.0) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(init)))
        self.log_max = None if max is None else math.log(max)

    def forward(self) -> Tensor:
        """Scalar multiplier. In training the parameter itself is brought back into its bounds first, so that it keeps a
        gradient there; a frozen one is left as it is."""
        if self.log_max is None:
            return self.log_scale.exp()
        if self.training and self.log_scale.requires_grad:
            with torch.no_grad():
                self.log_scale.clamp_(0.0, self.log_max)
            return self.log_scale.exp()  # a second clamp would cut the gradient where the bound is rounded
        return self.log_scale.clamp(0.0, self.log_max).exp()
