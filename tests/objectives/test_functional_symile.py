from __future__ import annotations

import itertools
import math

import pytest
import torch
from symile import MIPSimilarity, Symile
from torch.nn.functional import normalize

from omni.errors import InputError
from omni.objectives.functional import (
    info_nce,
    joint_pair_sum,
    multilinear_inner_product,
    multilinear_scores,
    symile,
    tuple_permutations,
)

LOSSES = {"symile": symile, "joint": joint_pair_sum}


def slots(count: int = 3, batch: int = 5, width: int = 4, seed: int = 0) -> list[torch.Tensor]:
    rows = torch.randn(count, batch, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return [item.requires_grad_() for item in normalize(rows, dim=-1).unbind()]


def number(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


def score_of(kind: str, members: list[torch.Tensor]) -> torch.Tensor:
    """The score of one tuple of vectors, coordinate by coordinate."""
    width = range(len(members[0]))
    if kind == "symile":
        return sum(math.prod(member[d] for member in members) for d in width)
    return sum(sum(x[d] * y[d] for d in width) for x, y in itertools.combinations(members, 2))


def slow(kind, embeddings, scale, *, negatives="permute", permutations=None):
    """The loss from its definition: tuples are listed one by one."""
    count, batch = len(embeddings), len(embeddings[0])
    total = 0
    for m, i in itertools.product(range(count), range(batch)):
        rest = [k for k in range(count) if k != m]
        if negatives == "all":
            rows = list(itertools.product(range(batch), repeat=len(rest)))
            true = rows.index((i,) * len(rest))
        else:
            rows = [[int(permutations[m][k][j]) for k in range(len(rest))] for j in range(batch)]
            rows[i], true = [i] * len(rest), i
        logits = []
        for row in rows:
            member = {m: embeddings[m][i]} | {k: embeddings[k][r] for k, r in zip(rest, row, strict=True)}
            logits.append(scale * score_of(kind, [member[k] for k in range(count)]))
        logits = torch.stack(logits)
        total = total + logits.exp().sum().log() - logits[true]
    return total / (count * batch)


def gradients(loss: torch.Tensor, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, inputs, retain_graph=True))


def assert_same(ours: torch.Tensor, other: torch.Tensor, inputs: list[torch.Tensor], atol: float = 1e-11) -> None:
    torch.testing.assert_close(ours, other, atol=atol, rtol=0, check_dtype=False)
    for mine, theirs in zip(gradients(ours, inputs), gradients(other, inputs), strict=True):
        torch.testing.assert_close(mine, theirs, atol=atol, rtol=0)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("count", [3, 4])
def test_permute_is_its_definition(kind, count):
    embeddings, scale = slots(count), number(4.0)
    order = tuple_permutations(count, 5, generator=torch.Generator().manual_seed(1))
    ours = LOSSES[kind](embeddings, scale, permutations=order)
    assert_same(ours, slow(kind, embeddings, scale, permutations=order), [*embeddings, scale])


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("max_elements", [2**22, 20, 1])
@pytest.mark.parametrize("count", [3, 4])
def test_all_is_its_definition_in_one_piece_and_in_chunks(kind, count, max_elements):
    embeddings, scale = slots(count, batch=6 - count), number(4.0)
    ours = LOSSES[kind](embeddings, scale, negatives="all", max_elements=max_elements)
    assert_same(ours, slow(kind, embeddings, scale, negatives="all"), [*embeddings, scale])


@pytest.mark.parametrize("count", [3, 4])
def test_symile_package_agrees_on_its_own_permutations(count, monkeypatch):
    embeddings = [x.detach().float().requires_grad_() for x in slots(count, batch=16, width=8)]
    scale = torch.tensor(5.0, requires_grad=True)
    drawn, original = [], torch.randperm
    with monkeypatch.context() as patch:
        patch.setattr(torch, "randperm", lambda *args, **kw: drawn.append(original(*args, **kw)) or drawn[-1])
        theirs = Symile("n")(embeddings, scale)
    assert len(drawn) == count * (count - 1)
    order = torch.stack(drawn).reshape(count, count - 1, 16)
    assert_same(symile(embeddings, scale, permutations=order), theirs, [*embeddings, scale], atol=1e-5)


@pytest.mark.parametrize("max_elements", [2**22, 256])
def test_symile_package_agrees_on_all_negatives(max_elements):
    embeddings = [x.detach().float().requires_grad_() for x in slots(3, batch=8, width=8)]
    scale = torch.tensor(5.0, requires_grad=True)
    theirs = Symile("n_squared")(embeddings, scale)
    ours = symile(embeddings, scale, negatives="all", max_elements=max_elements)
    assert_same(ours, theirs, [*embeddings, scale], atol=1e-5)


@pytest.mark.parametrize("kind", LOSSES)
def test_constant_scores_give_log_of_the_tuples(kind):
    same = [torch.ones(8, 4, dtype=torch.float64) / 2] * 3
    assert LOSSES[kind](same, 9.0).item() == pytest.approx(math.log(8), abs=1e-12)
    assert LOSSES[kind](same, 9.0, negatives="all").item() == pytest.approx(2 * math.log(8), abs=1e-12)
    assert 2 * math.log(8) == pytest.approx(4.159, abs=1e-3)
    four = [torch.ones(3, 4, dtype=torch.float64) / 2] * 4
    assert LOSSES[kind](four, 9.0, negatives="all").item() == pytest.approx(3 * math.log(3), abs=1e-12)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("negatives", ["permute", "all"])
def test_two_slots_are_info_nce(kind, negatives):
    embeddings, scale = slots(2), number(4.0)
    ours = LOSSES[kind](embeddings, scale, negatives=negatives)
    assert_same(ours, info_nce(*embeddings, scale), [*embeddings, scale])
    kept = torch.tensor([True, False, True, True, False])
    ours = LOSSES[kind](embeddings, scale, negatives=negatives, present=[None, kept])
    expected = info_nce(*embeddings, scale, a_present_B=kept, b_present_B=kept)
    assert_same(ours, expected, [*embeddings, scale])


def test_order_of_slots_and_of_samples_does_not_matter():
    embeddings = slots()
    loss = symile(embeddings, 4.0, negatives="all")
    for order in itertools.permutations(range(3)):
        torch.testing.assert_close(symile([embeddings[k] for k in order], 4.0, negatives="all"), loss)
    rows = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(symile([x[rows] for x in embeddings], 4.0, negatives="all"), loss)
    order = tuple_permutations(3, 5)
    moved = torch.stack([order[2].flip(0), order[1].flip(0), order[0].flip(0)])  # slots reversed, draws with them
    torch.testing.assert_close(
        symile(embeddings[::-1], 4.0, permutations=moved), symile(embeddings, 4.0, permutations=order)
    )


@pytest.mark.parametrize("negatives", ["permute", "all"])
def test_sign_flips_and_rotations(negatives):
    embeddings = [x.detach() for x in slots()]
    order = tuple_permutations(3, 5)
    options = {"negatives": negatives, "permutations": order if negatives == "permute" else None}
    flip = torch.tensor([1.0, -1.0, 1.0, 1.0], dtype=torch.float64)
    loss = symile(embeddings, 4.0, **options)
    even = symile([embeddings[0] * flip, embeddings[1] * flip, embeddings[2]], 4.0, **options)
    odd = symile([embeddings[0] * flip, embeddings[1], embeddings[2]], 4.0, **options)
    torch.testing.assert_close(even, loss, atol=1e-12, rtol=0)
    assert abs(odd - loss) > 1e-3
    rotation = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)).Q
    turned = [x @ rotation for x in embeddings]
    assert abs(symile(turned, 4.0, **options) - loss) > 1e-3
    same = joint_pair_sum(turned, 4.0, **options)
    torch.testing.assert_close(same, joint_pair_sum(embeddings, 4.0, **options), atol=1e-12, rtol=0)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("negatives", ["permute", "all"])
@pytest.mark.parametrize("masked", [False, True])
def test_processes_add_up_to_one(kind, negatives, masked):
    embeddings, scale = slots(batch=6), number(4.0)
    options = {"negatives": negatives}
    if negatives == "permute":
        options["permutations"] = tuple_permutations(3, 6, generator=torch.Generator().manual_seed(2))
    if masked:
        options["present"] = torch.tensor([False, True, True, False, True, True])
    whole = LOSSES[kind](embeddings, scale, **options)
    parts = [
        LOSSES[kind]([x[rows] for x in embeddings], scale, candidates=embeddings, row_offset=rows.start, **options)
        for rows in (slice(0, 1), slice(1, 5), slice(5, 6), slice(6, 6))
    ]
    assert_same(sum(parts), whole, [*embeddings, scale])


def test_two_slots_over_processes():
    embeddings, scale = slots(2, batch=6), number(4.0)
    present = [torch.tensor([True, True, False, True, True, True]), None]
    parts = [
        symile([x[rows] for x in embeddings], scale, candidates=embeddings, row_offset=rows.start, present=present)
        for rows in (slice(0, 4), slice(4, 6))
    ]
    assert_same(sum(parts), symile(embeddings, scale, present=present), [*embeddings, scale])


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("negatives", ["permute", "all"])
def test_incomplete_samples_are_a_smaller_batch(kind, negatives):
    embeddings = slots(batch=6)
    present = [torch.tensor([True, True, False, True, True, True]), None, torch.tensor([True] * 5 + [False])]
    kept = torch.tensor([0, 1, 3, 4])
    order = tuple_permutations(3, 6, generator=torch.Generator().manual_seed(4))
    renumber = {int(row): place for place, row in enumerate(kept)}
    inner = [[torch.tensor([renumber[int(r)] for r in p if int(r) in renumber]) for p in anchor] for anchor in order]
    options = {"negatives": negatives}
    ours = LOSSES[kind](embeddings, 4.0, present=present, permutations=order, **options)
    smaller = slow(kind, [x[kept] for x in embeddings], 4.0, negatives=negatives, permutations=inner)
    assert_same(ours, smaller, embeddings)
    each = LOSSES[kind](embeddings, 4.0, present=present, permutations=order, reduction="none", **options)
    assert each.shape == (6,) and each[2] == each[5] == 0
    torch.testing.assert_close(each.sum() / 4, ours)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("negatives", ["permute", "all"])
@pytest.mark.parametrize("kept", [[], [2]])
def test_too_few_present_is_a_zero_with_a_graph(count, negatives, kept):
    embeddings = slots(count)
    present = torch.zeros(5, dtype=torch.bool)
    present[kept] = True
    with torch.no_grad():
        embeddings[0][0] = torch.nan  # what absent rows hold must not matter
    loss = symile(embeddings, 4.0, negatives=negatives, present=present)
    assert abs(loss.item()) < 1e-12 and loss.requires_grad
    assert all(grad.abs().max() < 1e-12 for grad in gradients(loss, embeddings))


def test_batch_of_one_is_zero():
    one = [x[:1] for x in slots()]
    assert symile(one, 4.0).item() == pytest.approx(0, abs=1e-12)
    assert symile(one, 4.0, negatives="all").item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("options", [{}, {"negatives": "all"}, {"negatives": "all", "max_elements": 8}])
def test_derivatives(kind, options):
    inputs = (*slots(3, batch=3, width=2), number(2.0))
    order = tuple_permutations(3, 3)

    def loss(*inputs):
        return LOSSES[kind](inputs[:-1], inputs[-1], permutations=order, **options)

    assert torch.autograd.gradcheck(loss, inputs)


@pytest.mark.parametrize("scale", [100.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("negatives", ["permute", "all"])
def test_half_precision_is_finite(dtype, scale, negatives):
    embeddings = [x.detach().to(dtype).requires_grad_() for x in slots()]
    order = tuple_permutations(3, 5)
    loss = symile(embeddings, scale, negatives=negatives, permutations=order)
    exact = symile([x.detach().double() for x in embeddings], scale, negatives=negatives, permutations=order)
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(exact.item(), rel=1e-5)
    assert all(grad.isfinite().all() for grad in gradients(loss, embeddings))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(symile(embeddings, scale, negatives=negatives, permutations=order), loss)


def test_generator_decides_and_draws_are_independent():
    embeddings = slots(3, batch=32)

    def seeded():
        return torch.Generator().manual_seed(7)

    assert torch.equal(symile(embeddings, 4.0, generator=seeded()), symile(embeddings, 4.0, generator=seeded()))
    given = symile(embeddings, 4.0, permutations=tuple_permutations(3, 32, generator=seeded()))
    assert torch.equal(symile(embeddings, 4.0, generator=seeded()), given)
    assert not torch.equal(symile(embeddings, 4.0), symile(embeddings, 4.0))
    order = tuple_permutations(4, 32).reshape(12, 32)
    assert len({tuple(row.tolist()) for row in order}) == 12


def test_multilinear_inner_product_and_scores():
    x, y, z = slots()
    torch.testing.assert_close(multilinear_inner_product(x, y, z), torch.einsum("bd,bd,bd->b", x, y, z))
    torch.testing.assert_close(multilinear_inner_product(x, y), (x * y).sum(1))
    scores = multilinear_scores([x[:2], y[:2]], z)
    torch.testing.assert_close(scores, torch.einsum("bd,bd,nd->bn", x[:2], y[:2], z))
    torch.testing.assert_close(scores, MIPSimilarity()(z, [x[:2], y[:2]]))
    torch.testing.assert_close(multilinear_scores([x[:1], y], z)[3], (x[0] * y[3]) @ z.t())
    half = multilinear_inner_product(x.half(), y.half(), z.half())
    assert half.dtype == torch.float32
    assert torch.autograd.gradcheck(multilinear_inner_product, (x, y, z))
    with pytest.raises(InputError):
        multilinear_scores([x, y[:, :3]], z)
    with pytest.raises(InputError):
        multilinear_inner_product()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"embeddings": slots()[:1]}, "needs 2"),
        ({"embeddings": [*slots()[:2], torch.zeros(4, 4)]}, "same B and E"),
        ({"negatives": "n"}, "permute"),
        ({"permutations": torch.zeros(3, 2, 5, dtype=torch.long)}, "permutations"),
        ({"permutations": tuple_permutations(3, 4)}, "permutations"),
        ({"present": torch.ones(4, dtype=torch.bool)}, "present"),
        ({"present": [None, None]}, "one \\(or None\\) a slot"),
        ({"candidates": slots()[:2]}, "candidates"),
        ({"candidates": slots(), "row_offset": 2}, "row_offset"),
    ],
)
def test_mistakes_are_named(change, message):
    with pytest.raises(InputError, match=message):
        symile(**({"embeddings": slots(), "logit_scale": 1.0} | change))
