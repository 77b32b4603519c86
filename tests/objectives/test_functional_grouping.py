from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import normalize

from omni.errors import InputError
from omni.objectives.functional import (
    coarse_grouping_alignment,
    grouping_alignment,
    grouping_present,
    grouping_scores,
    info_nce,
    score_nce,
)

NAMES = ("tokens_BTE", "group_tokens_NUE", "token_logits_BT", "group_logits_NU", "valid_BT", "valid_NU")


def case(batch: int = 4, length: int = 3, size: int = 4, width: int = 5, seed: int = 0) -> list[torch.Tensor]:
    """Tokens, group tokens, both weight logits, both masks (some padding on either side, first token always real)."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    sides = [normalize(draw(batch, length, width), dim=-1), normalize(draw(batch, size, width), dim=-1)]
    logits = [draw(batch, length), draw(batch, size)]
    valid = [torch.rand(batch, n, generator=generator) < 0.7 for n in (length, size)]
    for item in valid:
        item[:, 0] = True
    return [item.requires_grad_() for item in (*sides, *logits)] + valid


def slow_scores(tokens, groups, token_logits, group_logits, valid_tokens, valid_groups):
    """The score from its definition: real tokens are listed, padding is not there at all."""
    rows = []
    for a in range(len(tokens)):
        for b in range(len(groups)):
            real_t = [t for t in range(tokens.shape[1]) if valid_tokens[a, t]]
            real_u = [u for u in range(groups.shape[1]) if valid_groups[b, u]]
            weights_t = token_logits[a, real_t].exp() / token_logits[a, real_t].exp().sum()
            weights_u = group_logits[b, real_u].exp() / group_logits[b, real_u].exp().sum()
            dots = [[(tokens[a, t] * groups[b, u]).sum() for u in real_u] for t in real_t]
            best_u = [max(row, key=torch.Tensor.item) for row in dots]
            best_t = [max((row[k] for row in dots), key=torch.Tensor.item) for k in range(len(real_u))]
            first = sum(w * s for w, s in zip(weights_t, best_u, strict=True))
            rows.append((first + sum(w * s for w, s in zip(weights_u, best_t, strict=True))) / 2)
    return torch.stack(rows).view(len(tokens), len(groups))


def gradients(value: torch.Tensor, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    return list(torch.autograd.grad(value, inputs, retain_graph=True))


def assert_same(ours: torch.Tensor, other: torch.Tensor, inputs: list[torch.Tensor]) -> None:
    torch.testing.assert_close(ours, other, atol=1e-12, rtol=0)
    for mine, theirs in zip(gradients(ours, inputs), gradients(other, inputs), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-12, rtol=0)


@pytest.mark.parametrize("max_elements", [2**24, 100, 1])
def test_scores_and_gradients_are_those_of_the_definition(max_elements):
    inputs = case()
    ours = grouping_scores(*inputs, max_elements=max_elements)
    expected = slow_scores(*inputs)
    weights = torch.randn(4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(ours, expected)
    assert_same((ours * weights).sum(), (expected * weights).sum(), inputs[:4])


def test_sequences_and_groups_may_differ_in_number():
    inputs, more = case(), case(batch=6, seed=1)
    mixed = [inputs[0], more[1], inputs[2], more[3], inputs[4], more[5]]
    torch.testing.assert_close(grouping_scores(*mixed), slow_scores(*mixed))


@pytest.mark.parametrize("max_elements", [2**24, 50])
def test_loss_is_info_nce_of_the_scores(max_elements):
    inputs = case()
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    logits, labels = scale * slow_scores(*inputs), torch.arange(4)
    cross_entropy = torch.nn.functional.cross_entropy
    expected = (cross_entropy(logits, labels) + cross_entropy(logits.t(), labels)) / 2
    assert_same(grouping_alignment(*inputs, scale, max_elements=max_elements), expected, [*inputs[:4], scale])


def test_one_token_a_side_is_the_cosine():
    tokens, groups, *logits = case(length=1, size=1)[:4]
    a, b = tokens[:, 0], groups[:, 0]
    torch.testing.assert_close(grouping_scores(tokens, groups, *logits), a @ b.t())
    loss = grouping_alignment(tokens, groups, *logits, None, None, 3.0)
    assert_same(loss, info_nce(a, b, 3.0), [tokens, groups])
    assert_same(coarse_grouping_alignment(a, b, 3.0), info_nce(a, b, 3.0), [tokens, groups])
    kept = torch.tensor([True, False, True, True])
    assert_same(coarse_grouping_alignment(a, b, 3.0, present_B=kept), info_nce(a[kept], b[kept], 3.0), [tokens, groups])


def test_uniform_weights_are_the_mean_of_the_maxima():
    tokens, groups = case()[:2]
    dots = torch.einsum("bte,nue->bntu", tokens, groups)
    filip = (dots.amax(3).mean(2) + dots.amax(2).mean(2)) / 2
    torch.testing.assert_close(grouping_scores(tokens, groups), filip)
    zeros = [torch.zeros(4, 3), torch.zeros(4, 4)]
    torch.testing.assert_close(grouping_scores(tokens, groups, *zeros), filip)


def test_equal_tokens_give_log_batch():
    tokens = torch.ones(5, 3, 4, dtype=torch.float64) / 2
    assert grouping_alignment(tokens, tokens, None, None, None, None, 9.0).item() == pytest.approx(
        math.log(5), abs=1e-12
    )


def test_order_of_group_tokens_does_not_matter():
    tokens, groups, token_logits, group_logits, valid_tokens, valid_groups = case()
    order = torch.tensor([2, 0, 3, 1])
    moved = grouping_scores(
        tokens, groups[:, order], token_logits, group_logits[:, order], valid_tokens, valid_groups[:, order]
    )
    torch.testing.assert_close(moved, grouping_scores(*case()))


def test_a_repeated_group_token_changes_the_weights_only():
    tokens, groups, token_logits, group_logits = case()[:4]
    twice = torch.cat([groups, groups[:, :1]], dim=1)
    # split the first token's weight between the copies: then nothing changes at all
    halves = torch.cat([group_logits, group_logits[:, :1]], dim=1)
    halves[:, [0, -1]] -= math.log(2)
    plain = grouping_scores(tokens, groups, token_logits, group_logits)
    torch.testing.assert_close(grouping_scores(tokens, twice, token_logits, halves), plain)
    copied = torch.cat([group_logits, group_logits[:, :1]], dim=1)
    assert (grouping_scores(tokens, twice, token_logits, copied) - plain).abs().max() > 1e-3


def test_a_padded_part_of_a_group_is_as_if_it_were_not_there():
    tokens, groups, token_logits, group_logits, valid_tokens, valid_groups = case()
    padding = torch.full((4, 2, 5), torch.nan, dtype=torch.float64)
    padded = grouping_scores(
        tokens,
        torch.cat([groups, padding], dim=1),
        token_logits,
        torch.cat([group_logits, padding[..., 0]], dim=1),
        valid_tokens,
        torch.cat([valid_groups, torch.zeros(4, 2, dtype=torch.bool)], dim=1),
    )
    torch.testing.assert_close(padded, grouping_scores(*case()), atol=1e-12, rtol=0)


def test_padding_does_not_beat_negative_similarities():
    # the released code multiplies padded similarities by 0, so its maximum over {-1, padding} would be 0 here
    tokens = torch.tensor([[[1.0, 0.0]]])
    groups = torch.tensor([[[-1.0, 0.0], [0.0, 0.0]]])
    score = grouping_scores(tokens, groups, None, None, None, torch.tensor([[True, False]]))
    assert score.item() == -1.0


def test_a_sample_without_group_tokens_is_dropped_and_counted():
    inputs = case()
    inputs[5] = inputs[5].clone()
    inputs[5][1] = False
    kept = torch.tensor([0, 2, 3])
    present = grouping_present(inputs[4], inputs[5])
    assert present.tolist() == [True, False, True, True] and int(present.sum()) == 3
    smaller = [item[kept] for item in inputs]
    ours = grouping_alignment(*inputs, 3.0)
    assert_same(ours, grouping_alignment(*smaller, 3.0), inputs[:4])
    each = grouping_alignment(*inputs, 3.0, reduction="none")
    assert each[1] == 0
    torch.testing.assert_close(each.sum() / 3, ours)
    scores = grouping_scores(*inputs)
    assert (scores[:, 1] == -torch.inf).all() and scores[:, kept].isfinite().all()


def test_nobody_present_is_a_zero_with_a_graph():
    inputs = case()
    inputs[4] = torch.zeros_like(inputs[4])
    loss = grouping_alignment(*inputs, 3.0)
    assert loss.item() == 0 and all(grad.abs().max() == 0 for grad in gradients(loss, inputs[:4]))
    assert int(grouping_present(*inputs[4:]).sum()) == 0 and grouping_present(None, None) is None
    single = [item[:1] for item in case()]
    assert grouping_alignment(*single, 3.0).item() == 0


def test_derivatives():
    inputs = case(batch=3, length=2, size=3, width=3)
    inputs[5] = inputs[5].clone()
    inputs[5][2] = False

    def loss(*values):
        return grouping_alignment(*values[:4], *inputs[4:], values[4])

    assert torch.autograd.gradcheck(loss, (*inputs[:4], torch.tensor(2.0, dtype=torch.float64, requires_grad=True)))


@pytest.mark.parametrize("scale", [100.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_finite_and_right(dtype, scale):
    inputs = [item.detach().to(dtype).requires_grad_() for item in case()[:4]] + case()[4:]
    loss = grouping_alignment(*inputs, scale)
    exact = grouping_alignment(*(item.detach().double() for item in inputs[:4]), *inputs[4:], scale)
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(exact.item(), rel=1e-5)
    assert all(grad.isfinite().all() for grad in gradients(loss, inputs[:4]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(grouping_alignment(*inputs, scale), loss)


def test_gathered_groups_give_the_rows_of_one_process():
    inputs = case()
    whole = grouping_scores(*inputs)
    local = [item[1:3] if name in NAMES[0::2] else item for name, item in zip(NAMES, inputs, strict=True)]
    torch.testing.assert_close(grouping_scores(*local), whole[1:3])
    assert_same(score_nce(whole, 3.0), grouping_alignment(*inputs, 3.0), inputs[:4])


@pytest.mark.parametrize(
    "place, value, message",
    [
        (0, torch.zeros(4, 5), "tokens_BTE"),
        (1, torch.zeros(4, 4, 6), "width"),
        (1, torch.zeros(4, 0, 5), "at least one token"),
        (1, torch.zeros(3, 4, 5), "weight logits"),
        (2, torch.zeros(4, 4), "weight logits"),
        (4, torch.ones(4, 3), "bool"),
    ],
)
def test_mistakes_are_named(place, value, message):
    inputs = case()
    inputs[place] = value
    with pytest.raises(InputError, match=message):
        grouping_scores(*inputs)


def test_unequal_numbers_have_no_loss():
    inputs = case()
    with pytest.raises(InputError, match="row i"):
        grouping_alignment(inputs[0], inputs[1][:3], inputs[2], inputs[3][:3], None, None, 1.0)
