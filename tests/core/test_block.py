"""The block against closed forms and a reference written out in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from omni.core import fused_ffn, layers
from omni.core.layers import Block, DropPath, LogitScale, SelfAttention
from tests.core import toys


def reference_block(block: Block, tokens: Tensor, bias: Tensor | None, modality: str) -> Tensor:
    """The block by its definition, softmax and all, one head at a time."""
    width, heads = tokens.shape[-1], block.attention.num_heads
    size = width // heads

    def norm(values: Tensor, layer) -> Tensor:
        centred = values - values.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * layer.weight + layer.bias

    attention, expert = block.attention, block.experts[modality]
    normed = norm(tokens, block.attention_norm)
    query, key, value = (normed @ part.t() for part in attention.qkv_weight.chunk(3))
    query, value = query + attention.q_bias, value + attention.v_bias
    mixed = []
    for head in range(heads):
        own = slice(head * size, (head + 1) * size)
        logits = query[..., own] @ key[..., own].transpose(1, 2) / math.sqrt(size)
        logits = logits if bias is None else logits + bias[:, head]
        weight = logits.exp() / logits.exp().sum(-1, keepdim=True)
        mixed.append(weight @ value[..., own])
    branch = norm(torch.cat(mixed, -1), attention.norm) @ attention.out.weight.t() + attention.out.bias
    tokens = tokens + block.attention_scale * branch
    gate, up = (norm(tokens, block.ffn_norm) @ part.t() for part in expert.gate_up_weight.chunk(2))
    hidden = gate * 0.5 * (1 + torch.erf(gate / math.sqrt(2))) * up
    branch = norm(hidden, expert.norm) @ expert.out.weight.t() + expert.out.bias
    return tokens + block.ffn_scale * branch


@pytest.mark.parametrize("with_bias", [True, False])
def test_block_is_its_definition(with_bias: bool) -> None:
    """Value and every gradient, in float64."""
    block = toys.core().layers[0].double()
    sequence = toys.sequence(7)
    bias = sequence.bias[0].detach().double().requires_grad_() if with_bias else None
    tokens = sequence.tokens_BLD.double().requires_grad_()
    inputs = [tokens, *(item for item in (bias,) if item is not None), *block.experts["a"].parameters()]
    inputs += [*block.attention.parameters(), block.attention_scale, block.ffn_scale]
    ours = block(tokens, bias_BHLL=bias, spans=[("a", slice(0, 7))])
    theirs = reference_block(block, tokens, bias, "a")
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-10)
    direction = torch.randn_like(ours)
    for left, right in zip(
        torch.autograd.grad((ours * direction).sum(), inputs),
        torch.autograd.grad((theirs * direction).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(left, right, atol=1e-11, rtol=1e-8)


@pytest.mark.parametrize("rows", [1, 3])
def test_attention_in_groups_of_samples(monkeypatch, rows: int) -> None:
    """Groups of one sample give the values and gradients of one call, with a shared bias and with one a sample."""
    attention = toys.core().layers[0].attention.double()
    tokens = toys.sequence(6).tokens_BLD.double()
    found = []
    for size in (1, 1 << 19):
        monkeypatch.setattr(layers, "BLOCK_LOGITS", size)
        bias = torch.linspace(-1, 1, rows * 4 * 36, dtype=torch.float64).view(rows, 4, 6, 6).requires_grad_()
        out = attention(tokens, bias_BHLL=bias)
        found.append((out, *torch.autograd.grad(out.square().sum(), [bias, *attention.parameters()])))
    for grouped, whole in zip(*found, strict=True):
        torch.testing.assert_close(grouped, whole, atol=1e-11, rtol=1e-9)


def test_layer_scale_1e_6_is_the_identity() -> None:
    """At the published start a block changes its input by about 1e-6 of a branch."""
    block = toys.core(layer_scale=1e-6).layers[0]
    tokens = toys.sequence(7).tokens_BLD
    out = block(tokens, bias_BHLL=None, spans=[("b", slice(0, 7))])
    assert 0 < (out - tokens).abs().max() < 1e-5


def test_keys_have_no_bias_because_it_would_do_nothing() -> None:
    """Adding one number times the query to all logits of a query changes no attention."""
    attention = toys.core().layers[0].attention.double()
    tokens = toys.sequence(6).tokens_BLD.double()
    assert {name for name, _ in attention.named_parameters()} >= {"q_bias", "v_bias"}
    query, key, value = F.linear(tokens, attention.qkv_weight).chunk(3, -1)
    heads = [item.unflatten(-1, (4, -1)).transpose(1, 2) for item in (query, key, value)]
    shifted = [heads[0], heads[1] + torch.randn(1, 4, 1, 8), heads[2]]
    plain = F.scaled_dot_product_attention(*heads)
    torch.testing.assert_close(F.scaled_dot_product_attention(*shifted), plain, atol=1e-12, rtol=0)


@pytest.mark.parametrize("size", [64, 1 << 12, 1 << 30])
def test_blocked_feed_forward(monkeypatch, size: int) -> None:
    """Any block size gives the values and gradients of the plain form."""
    monkeypatch.setattr(fused_ffn, "BLOCK_BYTES", size)
    expert = toys.core().layers[0].experts["a"].double()
    tokens = torch.randn(5, 3, toys.WIDTH, dtype=torch.float64, requires_grad=True)
    parameters = [tokens, *expert.parameters()]
    gate, up = F.linear(tokens, expert.gate_up_weight).chunk(2, -1)
    plain = expert.out(expert.norm(F.gelu(gate) * up))
    ours = expert(tokens)
    torch.testing.assert_close(ours, plain, atol=1e-12, rtol=0)
    for left, right in zip(
        torch.autograd.grad(ours.square().sum(), parameters),
        torch.autograd.grad(plain.square().sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(left, right, atol=1e-10, rtol=1e-9)


def test_blocked_feed_forward_with_frozen_parts_and_no_rows() -> None:
    """Frozen weights get no gradient, the input still does; zero rows are no special case."""
    expert = toys.core().layers[0].experts["a"]
    expert.gate_up_weight.requires_grad_(False)
    expert.norm.requires_grad_(False)
    tokens = torch.randn(2, 3, toys.WIDTH, requires_grad=True)
    expert(tokens).sum().backward()
    assert expert.gate_up_weight.grad is None and expert.norm.weight.grad is None
    assert tokens.grad.abs().sum() > 0 and expert.out.weight.grad is not None
    assert expert(torch.zeros(0, 3, toys.WIDTH)).shape == (0, 3, toys.WIDTH)


def test_drop_path_keeps_the_expectation() -> None:
    """A branch is left out per sample; the mean over samples is the branch."""
    torch.manual_seed(0)
    drop = DropPath(rate=0.25).train()
    branch = torch.ones(20000, 1, 2)
    out = drop(torch.zeros_like(branch), branch)
    assert set(out.unique().tolist()) == {0.0, float(torch.tensor(1.0) / 0.75)}
    assert torch.equal(out[:, 0, 0], out[:, 0, 1])
    assert abs(float(out.mean()) - 1) < 0.02
    assert torch.equal(drop.eval()(torch.zeros_like(branch), branch), branch)


def test_drop_path_grows_linearly() -> None:
    """0 at the first block, the rate at the last."""
    rates = [block.drop_path.rate for block in toys.core(layers=5, drop_path=0.4).layers]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_logit_scale_is_bounded_and_keeps_its_gradient() -> None:
    """exp of the parameter within [1, max]; at the bound the parameter can come back."""
    scale = LogitScale().train()
    assert scale().item() == pytest.approx(1 / 0.07, rel=1e-6)
    with torch.no_grad():
        scale.log_scale.fill_(9.0)
    value = scale()
    assert value.item() == pytest.approx(100.0, rel=1e-5)
    value.backward()
    assert scale.log_scale.grad > 0
    unbounded = LogitScale(max=None)
    with torch.no_grad():
        unbounded.log_scale.fill_(9.0)
    assert unbounded().item() == pytest.approx(math.exp(9.0), rel=1e-5)


def test_initialisation_is_cut_at_one_deviation() -> None:
    """Published: trunc-normal .02 cut at .02, so the spread is .54 x .02."""
    torch.manual_seed(0)
    weight = SelfAttention(width=128, num_heads=4).qkv_weight
    assert weight.abs().max() <= 0.02
    assert weight.std().item() == pytest.approx(0.02 * 0.5396, rel=0.02)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_keep_the_smallest_layer_scale(dtype: torch.dtype) -> None:
    """Autocast: 1e-6 times a weight must not vanish; the result stays close to float32."""
    block = toys.core(layer_scale=1e-6).layers[0]
    tokens = toys.sequence(5).tokens_BLD * 1e-6
    plain = block(tokens, bias_BHLL=None, spans=[("a", slice(0, 5))])
    with torch.autocast("cpu", dtype):
        half = block(tokens, bias_BHLL=None, spans=[("a", slice(0, 5))])
    assert half.dtype == torch.float32
    moved = (plain - tokens).norm()
    assert (half - plain).norm() < 0.03 * moved
