from __future__ import annotations

import itertools
import math

import pytest
import torch
from open_clip.loss import ClipLoss
from torch.nn.functional import normalize

from omni.errors import InputError
from omni.objectives.functional import anchor_count, info_nce, pair_sum, score_nce


def pair(batch: int = 6, width: int = 5, seed: int = 0, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(2, batch, width, generator=generator, dtype=torch.float64)
    return [item.to(dtype).requires_grad_() for item in normalize(rows, dim=-1).unbind()]


def mask(*bits: int) -> torch.Tensor:
    return torch.tensor(bits, dtype=torch.bool)


def slow(a, b, scale, *, a_present=None, b_present=None, negatives=None, detach=False, smoothing=0.0):
    """InfoNCE read off its definition, one anchor and one candidate at a time."""
    size = a.shape[0]
    have_a = [True] * size if a_present is None else a_present.tolist()
    have_b = [True] * size if b_present is None else b_present.tolist()
    terms, anchors = [], 0
    for i in range(size):
        if not (have_a[i] and have_b[i]):
            continue
        anchors += 1
        for query, keys, have, of_b in ((a, b, have_b, False), (b, a, have_a, True)):
            keys = keys.detach() if detach else keys
            logits, own = [], None
            for j in range(size):
                allowed = negatives is None or i == j or bool(negatives[j, i] if of_b else negatives[i, j])
                if have[j] and allowed:
                    logits.append(scale * (query[i] * keys[j]).sum())
                    own = len(logits) - 1 if i == j else own
            log_p = torch.stack(logits) - torch.stack(logits).exp().sum().log()
            target = torch.full((len(logits),), smoothing / len(logits), dtype=a.dtype)
            target[own] += 1 - smoothing
            terms.append(-(target * log_p).sum() / 2)
    return torch.stack(terms).sum() / anchors if terms else (a * 0).sum()


def gradients(loss: torch.Tensor, *inputs: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, inputs, retain_graph=True))


def assert_same(ours: torch.Tensor, other: torch.Tensor, *inputs: torch.Tensor, atol: float = 1e-12) -> None:
    torch.testing.assert_close(ours, other, atol=atol, rtol=0)
    for mine, theirs in zip(gradients(ours, *inputs), gradients(other, *inputs), strict=True):
        torch.testing.assert_close(mine, theirs, atol=atol, rtol=0)


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_equal_embeddings_give_log_batch(batch):
    row = torch.ones(batch, 4, dtype=torch.float64) / 2
    assert info_nce(row, row, 7.0).item() == pytest.approx(math.log(batch), abs=1e-12)


@pytest.mark.parametrize("scale, expected", [(1.0, 0.743668), (1 / 0.07, 1.8746e-6)])
def test_orthonormal_pairs(scale, expected):
    rows = torch.eye(4, dtype=torch.float64)
    loss = info_nce(rows, rows, scale).item()
    assert loss == pytest.approx(math.log1p(3 * math.exp(-scale)), abs=1e-12)
    assert loss == pytest.approx(expected, rel=1e-4)


OPTIONS = {
    "plain": {},
    "a missing": {"a_present": mask(1, 0, 1, 1, 0, 1)},
    "both missing": {"a_present": mask(1, 0, 1, 1, 0, 1), "b_present": mask(1, 1, 0, 1, 0, 1)},
    "same class": {"negatives": torch.tensor([0, 1, 0, 2, 1, 0])[:, None] != torch.tensor([0, 1, 0, 2, 1, 0])[None]},
    "one-sided mask": {"negatives": torch.ones(6, 6, dtype=torch.bool).triu()},
    "one present": {"a_present": mask(0, 0, 0, 1, 0, 0), "b_present": mask(0, 0, 0, 1, 0, 0)},
}


def keywords(options: dict) -> dict:
    names = {"a_present": "a_present_B", "b_present": "b_present_B", "negatives": "valid_negatives_BB"}
    return {names.get(key, key): value for key, value in options.items()}


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("name", OPTIONS)
def test_value_and_gradients_are_those_of_the_definition(name, detach, smoothing):
    a, b = pair()
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    ours = info_nce(a, b, scale, detach_candidates=detach, label_smoothing=smoothing, **keywords(OPTIONS[name]))
    assert_same(ours, slow(a, b, scale, detach=detach, smoothing=smoothing, **OPTIONS[name]), a, b, scale)


@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("name", ["plain", "both missing", "same class"])
def test_processes_add_up_to_one(name, detach):
    a, b = pair()
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    options = keywords(OPTIONS[name]) | {"detach_candidates": detach, "label_smoothing": 0.1}
    parts = [
        info_nce(a[rows], b[rows], scale, a_all_NE=a, b_all_NE=b, row_offset=rows.start, **options)
        for rows in (slice(0, 1), slice(1, 4), slice(4, 6), slice(6, 6))  # unequal, and one with no row at all
    ]
    assert_same(sum(parts), info_nce(a, b, scale, **options), a, b, scale)


def test_detached_candidates_leave_half_of_one_direction():
    a, b = pair()
    row = torch.nn.functional.cross_entropy(3.0 * a @ b.detach().t(), torch.arange(6))
    (ours,) = gradients(info_nce(a, b, 3.0, detach_candidates=True), a)
    torch.testing.assert_close(ours, gradients(row, a)[0] / 2)
    assert not torch.allclose(ours, gradients(info_nce(a, b, 3.0), a)[0], atol=1e-3)


def test_open_clip_agrees():
    a, b = pair(32, 16, dtype=torch.float32)
    scale = torch.tensor(14.0, requires_grad=True)
    assert_same(info_nce(a, b, scale), ClipLoss()(a, b, scale), a, b, scale, atol=1e-5)


@pytest.mark.parametrize("name", ["plain", "both missing", "same class"])
def test_first_and_second_derivatives(name):
    a, b = pair()
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    options = keywords(OPTIONS[name])

    def loss(a, b, scale):
        return info_nce(a, b, scale, reduction="none", **options)

    assert torch.autograd.gradcheck(loss, (a, b, scale))
    assert torch.autograd.gradgradcheck(loss, (a, b, scale))


def test_backward_twice_through_one_graph():
    a, b = pair()
    loss = info_nce(a, b, 3.0)
    first = torch.autograd.grad(loss, (a, b), retain_graph=True)
    for one, two in zip(first, torch.autograd.grad(loss, (a, b)), strict=True):
        assert torch.equal(one, two)


def test_only_one_side_needs_a_gradient():
    a, b = pair()
    (both,) = gradients(info_nce(a, b, 3.0), b)
    assert torch.equal(gradients(info_nce(a.detach(), b, 3.0), b)[0], both)
    (alone,) = gradients(info_nce(a, b.detach(), 3.0), a)
    assert torch.equal(alone, gradients(info_nce(a, b, 3.0), a)[0])


def test_a_scale_of_another_dtype_keeps_its_graph():
    a, b = pair()
    single = torch.tensor(3.0, requires_grad=True)
    double = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    ours, expected = info_nce(a, b, single), slow(a, b, double)
    torch.testing.assert_close(gradients(ours, single)[0].double(), gradients(expected, double)[0])


def test_reductions_agree():
    a, b = pair()
    options = keywords(OPTIONS["both missing"])
    each = info_nce(a, b, 3.0, reduction="none", **options)
    count = anchor_count(6, options["a_present_B"], options["b_present_B"])
    assert count == 3 and each.shape == (6,) and (each[~(options["a_present_B"] & options["b_present_B"])] == 0).all()
    torch.testing.assert_close(info_nce(a, b, 3.0, reduction="sum", **options), each.sum())
    torch.testing.assert_close(info_nce(a, b, 3.0, **options), each.sum() / count)


def test_absent_from_both_sides_is_a_smaller_batch():
    a, b = pair()
    kept = mask(1, 0, 1, 1, 0, 1)
    ours = info_nce(a, b, 3.0, a_present_B=kept, b_present_B=kept)
    assert_same(ours, info_nce(a[kept], b[kept], 3.0), a, b)


@pytest.mark.parametrize("detach", [False, True])
def test_nobody_present_is_a_zero_with_a_graph(detach):
    a, b = pair()
    with torch.no_grad():
        a[0] = torch.nan  # what absent rows hold must not matter
    none = mask(0, 0, 0, 0, 0, 0)
    loss = info_nce(a, b, 3.0, a_present_B=none, label_smoothing=0.1, detach_candidates=detach)
    assert loss.item() == 0 and loss.requires_grad and anchor_count(6, none) == 0
    assert all(torch.equal(grad, torch.zeros_like(grad)) for grad in gradients(loss, a, b))


def test_absent_rows_may_hold_anything():
    a, b = pair()
    kept = mask(1, 0, 1, 1, 1, 1)
    clean = info_nce(a, b, 3.0, a_present_B=kept)
    dirty = torch.where(kept[:, None], a.detach(), torch.nan).requires_grad_()
    loss = info_nce(dirty, b, 3.0, a_present_B=kept)
    assert torch.equal(loss, clean) and gradients(loss, dirty)[0].isfinite().all()


@pytest.mark.parametrize("scale", [100.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_finite_and_right(dtype, scale):
    a, b = pair(16, 8, dtype=dtype)
    multiplier = torch.tensor(scale, requires_grad=True)
    loss = info_nce(a, b, multiplier)
    exact = slow(*(x.detach().double() for x in (a, b)), scale) if scale == 100.0 else None
    assert loss.dtype == torch.float32 and loss.isfinite()
    assert exact is None or loss.item() == pytest.approx(exact.item(), rel=1e-5)
    found = gradients(loss, a, b, multiplier)
    assert all(grad.isfinite().all() for grad in found) and found[0].dtype == dtype


def test_autocast_changes_nothing():
    a, b = pair(16, 8, dtype=torch.float32)
    outside = info_nce(a, b, 50.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = info_nce(a, b, 50.0)
        found = gradients(inside, a, b)
    assert torch.equal(outside, inside)
    for mine, theirs in zip(found, gradients(outside, a, b), strict=True):
        assert torch.equal(mine, theirs)


def test_score_nce_of_dot_products_is_info_nce():
    a, b = pair()
    kept = mask(1, 0, 1, 1, 0, 1)
    assert_same(score_nce(a @ b.t(), 3.0), info_nce(a, b, 3.0), a, b)
    ours = score_nce((a @ b.t()).masked_fill(~kept[None], -torch.inf), 3.0, present_B=kept)
    assert_same(ours, info_nce(a[kept], b[kept], 3.0), a, b)
    empty = score_nce(a @ b.t(), 3.0, present_B=mask(0, 0, 0, 0, 0, 0))
    assert empty.item() == 0 and gradients(empty, a)[0].abs().max() == 0


def test_pair_sum_is_the_sum_of_its_pairs():
    slots = [pair(seed=seed)[0] for seed in range(3)]
    present = [mask(1, 1, 1, 0, 1, 1), None, mask(0, 1, 1, 1, 1, 1)]
    expected = sum(
        slow(slots[i], slots[j], 3.0, a_present=present[i], b_present=present[j])
        for i, j in itertools.combinations(range(3), 2)
    )
    assert_same(pair_sum(slots, 3.0, present=present), expected, *slots)
    assert_same(pair_sum(slots, 3.0, present=present, reduction="mean"), expected / 3, *slots)
    assert_same(pair_sum(slots, 3.0, pairs=[(0, 2)]), slow(slots[0], slots[2], 3.0), slots[0], slots[2])
    parts = [
        pair_sum([x[rows] for x in slots], 3.0, candidates=slots, row_offset=rows.start, present=present)
        for rows in (slice(0, 2), slice(2, 6))
    ]
    assert_same(sum(parts), expected, *slots)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"b_BE": torch.zeros(5, 4)}, "same B and E"),
        ({"a_BE": torch.zeros(6, 4, dtype=torch.long)}, "floating point"),
        ({"a_present_B": torch.ones(6)}, "bool"),
        ({"a_present_B": torch.ones(5, dtype=torch.bool)}, "shape"),
        ({"label_smoothing": 1.0}, "smoothing"),
        ({"logit_scale": torch.ones(3)}, "logit_scale"),
        ({"reduction": "avg"}, "reduction"),
        ({"a_all_NE": torch.zeros(6, 4)}, "both"),
        ({"a_all_NE": torch.zeros(6, 4), "b_all_NE": torch.zeros(6, 4), "row_offset": 1}, "row_offset"),
    ],
)
def test_mistakes_are_named(change, message):
    arguments = {"a_BE": torch.zeros(6, 4), "b_BE": torch.zeros(6, 4), "logit_scale": 1.0} | change
    with pytest.raises(InputError, match=message):
        info_nce(**arguments)


@pytest.mark.parametrize("pairs", [[(0, 0)], [(0, 3)], []])
def test_pair_sum_refuses_odd_pairs(pairs):
    with pytest.raises(InputError, match="pairs"):
        pair_sum([torch.zeros(2, 2)] * 3, 1.0, pairs=pairs)
