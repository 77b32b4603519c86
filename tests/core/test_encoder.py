"""The core over slots: isolation of modalities, padding, fusion, pooling, kept tokens."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from omni.core.adapter import keep_tokens
from omni.core.encoder import OmniCore, take_rows
from omni.errors import ConfigError, InputError
from tests.core import toys


def padded(sequence, length: int):
    """Garbage appended as padding."""
    batch, old, width = sequence.tokens_BLD.shape
    extra = torch.full((batch, length - old, width), 1e4)
    longer = toys.sequence(length, sequence.modality)
    return replace(
        longer,
        tokens_BLD=torch.cat((sequence.tokens_BLD, extra), 1),
        valid_BL=torch.arange(length)[None].expand(batch, -1) < old,
    )


@torch.no_grad()
def test_one_modality_does_not_see_anothers_expert() -> None:
    """Other experts may change or be added: the outputs are bit-equal."""
    core = toys.core()
    inputs = {"x": toys.sequence(6, "a")}
    before = core(inputs).hidden_BLD
    toys.randomise(core.layers[0].experts["b"])
    toys.randomise(core.final_norms["b"])
    assert torch.equal(core(inputs).hidden_BLD, before)
    larger = toys.core(modalities=("a", "b", "c"))
    kept = {name: value for name, value in core.state_dict().items()}
    missing, unexpected = larger.load_state_dict(kept, strict=False)
    assert not unexpected and all(".c." in name for name in missing)
    assert torch.equal(larger(inputs).hidden_BLD, before)


@torch.no_grad()
@pytest.mark.parametrize("bias", [True, False])
def test_padding_changes_nothing(bias: bool) -> None:
    """Five tokens alone, or padded with garbage to nine, alone and fused; also garbage that is not a number."""
    core, short = toys.core(), toys.sequence(5, "a")
    long = padded(short, 9)
    long.tokens_BLD[0, 7] = float("nan")
    if not bias:
        short, long = replace(short, bias=()), replace(long, bias=())
    alone, with_pads = core({"x": short}), core({"x": long})
    torch.testing.assert_close(with_pads.tokens("x")[:, :5], alone.tokens("x"), atol=1e-5, rtol=0)
    other = toys.sequence(4, "b", seed=3)
    fused, with_pads = core({"x": short, "y": other}), core({"x": long, "y": other})
    torch.testing.assert_close(with_pads.tokens("y"), fused.tokens("y"), atol=1e-5, rtol=0)
    torch.testing.assert_close(with_pads.pooled["x"], fused.pooled["x"], atol=1e-5, rtol=0)


@torch.no_grad()
def test_core_without_padding_mask_leaks() -> None:
    """The published decoder's fault: without the mask, padding (zeros) takes part."""
    core = toys.core(mask_padding=False)
    short = replace(toys.sequence(5, "a"), bias=())
    long = replace(padded(short, 9), bias=())
    assert (core({"x": long}).tokens("x")[:, :5] - core({"x": short}).tokens("x")).abs().max() > 1e-3


@torch.no_grad()
def test_a_row_without_any_token_stays_finite() -> None:
    """A sample that lacks every slot gives numbers, not NaN."""
    sequence = toys.sequence(4, "a")
    sequence.valid_BL[1] = False
    output = toys.core()({"x": replace(sequence, summary_index=None)})
    assert output.hidden_BLD.isfinite().all()
    assert torch.equal(output.pooled["x"][1], torch.zeros(toys.WIDTH))


@torch.no_grad()
def test_fusion_of_five_slots() -> None:
    """Any number of slots and two of one modality; spans name them; the bias between slots is zero."""
    core = toys.core(modalities=("a", "b", "c"), layers=1)
    slots = {"p": ("a", 3), "q": ("b", 4), "r": ("a", 3), "s": ("c", 2), "t": ("c", 5)}
    inputs = {slot: toys.sequence(n, m, seed=i) for i, (slot, (m, n)) in enumerate(slots.items())}
    output = core(inputs)
    assert {slot: (span.start, span.stop) for slot, span in output.spans.items()} == {
        "p": (0, 3), "q": (3, 7), "r": (7, 10), "s": (10, 12), "t": (12, 17),
    }  # fmt: skip
    joint = torch.zeros(1, toys.HEADS, 17, 17)
    for slot, span in output.spans.items():
        joint[:, :, span, span] = inputs[slot].bias[0]
    tokens = torch.cat([item.tokens_BLD for item in inputs.values()], 1)
    routes = [(slots[slot][0], span) for slot, span in output.spans.items()]
    state = core.layers[0](tokens, bias_BHLL=joint, spans=routes)
    by_hand = torch.cat([core.final_norms[name](state[:, span]) for name, span in routes], 1)
    torch.testing.assert_close(output.hidden_BLD, by_hand, atol=1e-6, rtol=0)


@torch.no_grad()
def test_order_of_slots_does_not_matter() -> None:
    """Attention has no order of its own: slots swapped give the same states."""
    core = toys.core()
    left, right = toys.sequence(4, "a"), toys.sequence(6, "b", seed=2)
    one, two = core({"x": left, "y": right}), core({"y": right, "x": left})
    torch.testing.assert_close(one.tokens("x"), two.tokens("x"), atol=1e-5, rtol=0)
    torch.testing.assert_close(one.pooled["y"], two.pooled["y"], atol=1e-5, rtol=0)


@torch.no_grad()
def test_two_slots_of_one_modality_share_their_expert() -> None:
    """Equal inputs in two slots get equal states."""
    core, item = toys.core(), toys.sequence(4, "a")
    output = core({"left": item, "right": item})
    torch.testing.assert_close(output.tokens("left"), output.tokens("right"), atol=1e-6, rtol=0)


@torch.no_grad()
def test_kept_tokens_keep_their_bias() -> None:
    """Removing tokens is the same as masking them as keys: the others have the same states."""
    core, sequence = toys.core(), toys.sequence(8, "a")
    keep = torch.rand(3, 8, generator=torch.Generator().manual_seed(4)) > 0.4
    keep[:, 0] = True
    kept = keep_tokens(sequence, keep)
    assert kept.bias[0].shape == (3, toys.HEADS, kept.tokens_BLD.shape[1], kept.tokens_BLD.shape[1])
    removed = core({"x": kept})
    masked = core({"x": replace(sequence, valid_BL=keep)})
    torch.testing.assert_close(
        removed.hidden_BLD[removed.valid_BL], masked.hidden_BLD[keep], atol=1e-5, rtol=0
    )


@torch.no_grad()
def test_one_bias_a_layer() -> None:
    """The same table for each layer equals one for all; other tables do not."""
    core, sequence = toys.core(), toys.sequence(5, "a")
    once, twice = core({"x": sequence}), core({"x": replace(sequence, bias=sequence.bias * 2)})
    assert torch.equal(once.hidden_BLD, twice.hidden_BLD)
    other = core({"x": replace(sequence, bias=(sequence.bias[0], sequence.bias[0] * 2))})
    assert not torch.allclose(other.hidden_BLD, once.hidden_BLD)


@torch.no_grad()
def test_pooling_and_layers() -> None:
    """Summary token or masked mean; states after each block on request."""
    core, sequence = toys.core(), toys.sequence(5, "a")
    output = core({"x": sequence}, return_layers=True)
    assert torch.equal(output.pooled["x"], output.hidden_BLD[:, 0])
    assert len(output.layers) == 2
    torch.testing.assert_close(core.final_norms["a"](output.layers[-1]), output.hidden_BLD)
    mean = core({"x": replace(padded(sequence, 7), summary_index=None)}).pooled["x"]
    torch.testing.assert_close(mean, output.hidden_BLD.mean(1), atol=1e-5, rtol=0)


def test_bfloat16_is_close_and_trains() -> None:
    """Autocast: close to float32, padding included, finite gradients everywhere."""
    core, sequence = toys.core().train(), padded(toys.sequence(5, "a"), 8)
    with torch.autocast("cpu", torch.bfloat16):
        half = core({"x": sequence}).pooled["x"]
    half.float().square().sum().backward()
    full = core({"x": sequence}).pooled["x"]
    assert (half.float() - full).norm() < 0.05 * full.norm()
    used = [p for name, p in core.named_parameters() if ".b." not in name]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in used)
    pure = toys.core().bfloat16()
    short = toys.sequence(5, "a")
    short = replace(short, tokens_BLD=short.tokens_BLD.bfloat16(), bias=tuple(b.bfloat16() for b in short.bias))
    assert pure({"x": short}).hidden_BLD.dtype == torch.bfloat16


@torch.no_grad()
def test_take_rows() -> None:
    """Rows of a sequence, with a bias that is shared or one a sample."""
    core, sequence = toys.core(), toys.sequence(5, "a", batch=4)
    whole = core({"x": sequence}).hidden_BLD
    rows = torch.tensor([True, False, True, False])
    each = replace(sequence, bias=tuple(bias.expand(4, -1, -1, -1) for bias in sequence.bias))
    for item in (sequence, each):
        torch.testing.assert_close(core({"x": take_rows(item, rows)}).hidden_BLD, whole[rows], atol=1e-6, rtol=0)


def test_errors_say_what_to_do() -> None:
    """Wrong sizes, unknown modalities, unequal batches."""
    with pytest.raises(ConfigError, match="multiple of num_heads"):
        OmniCore(width=30, num_layers=1, num_heads=4, ffn_width=8, modalities=["a"])
    core = toys.core()
    with pytest.raises(InputError, match="no slot"):
        core({})
    with pytest.raises(InputError, match="expert 'z'.*a, b"):
        core({"x": toys.sequence(3, "z")})
    with pytest.raises(InputError, match="equally many samples"):
        core({"x": toys.sequence(3, "a"), "y": toys.sequence(3, "b", batch=2)})
    with pytest.raises(InputError, match="3 bias tensors for 2 layers"):
        core({"x": replace(toys.sequence(3, "a"), bias=toys.sequence(3, "a").bias * 3)})
