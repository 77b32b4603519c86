"""The objectives over embeddings and tokens: who takes part, which groups they train, scales, labels."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from omni.engine.forward_pass import ForwardPass
from omni.errors import ConfigError
from omni.objectives import functional
from omni.objectives.contrastive import InfoNCE, JointPairSum, PairSum, Symile
from omni.objectives.grouping import GroupingAlignment
from omni.types import Batch, SlotEmbedding, SlotTokens

SLOTS = ("a", "b", "c")
SCALE = 3.0


class Model(nn.Module):
    """What objectives ask of a model."""

    width = 6

    def __init__(self, missing=()):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(SCALE))
        self.missing = {slot: None for slot in missing}
        self.config = SimpleNamespace(slots=dict.fromkeys(SLOTS, "kind"), embedding_norm="l2")

    def logit_scale(self):
        return self.scale

    def modality(self, slot):
        return "kind"


def forward_pass(*, absent=(), missing=(), count=8, labels=None):
    torch.manual_seed(0)
    present = {slot: torch.ones(count, dtype=torch.bool) for slot in SLOTS}
    for slot, index in absent:
        present[slot][index] = False
    targets = {} if labels is None else {"class": torch.tensor(labels)}
    batch = Batch(inputs={}, present=present, ids=[str(i) for i in range(count)], targets=targets)
    fp = ForwardPass(Model(missing), batch, generator=torch.Generator().manual_seed(1))
    for slot in SLOTS:
        values = torch.randn(count, 5, requires_grad=True)
        fp.provide("embedding", slot, SlotEmbedding(values_BE=values, present_B=present[slot]))
        length = 4
        valid = (torch.rand(count, length) < 0.7) & present[slot][:, None]
        valid[:, 0] = present[slot]
        hidden = torch.randn(count, length, Model.width, requires_grad=True)
        fp.provide("tokens", slot, SlotTokens(hidden_BLD=hidden, valid_BL=valid, present_B=present[slot]))
    return fp


def values(fp):
    return [fp.embedding(slot).values_BE for slot in SLOTS]


def test_info_nce_averages_its_pairs_and_pair_sum_adds_them():
    fp = forward_pass(absent=[("b", 2)])
    rows = fp.present("b")
    expected = {}
    for x, y in (("a", "b"), ("a", "c"), ("b", "c")):
        u, v = fp.embedding(x).values_BE, fp.embedding(y).values_BE
        masks = {"a_present_B": fp.present(x), "b_present_B": fp.present(y)}
        expected[f"{x}_{y}"] = functional.info_nce(u, v, SCALE, **masks)
    mean, total = InfoNCE(slots=SLOTS)(fp), PairSum(slots=SLOTS)(fp)
    torch.testing.assert_close(mean.total, sum(expected.values()) / 3)
    torch.testing.assert_close(total.total, sum(expected.values()))
    assert mean.parts == {name: pytest.approx(float(value.detach()), abs=1e-6) for name, value in expected.items()}
    assert mean.counts == {"a_b": int(rows.sum()), "a_c": 8, "b_c": 7}
    one = InfoNCE(slots=SLOTS, pairs=[["a", "c"]])(fp)
    torch.testing.assert_close(one.total, expected["a_c"])


def test_labels_take_same_class_pairs_out_of_the_negatives():
    labels = [0, 0, 1, 1, 2, 2, -100, -100]
    fp = forward_pass(labels=labels)
    a, _, c = values(fp)
    allowed = torch.ones(8, 8, dtype=torch.bool)
    for i, x in enumerate(labels):
        for j, y in enumerate(labels):
            allowed[i, j] = x != y or x < 0
    logits = SCALE * a @ c.t()
    keep = allowed | torch.eye(8, dtype=torch.bool)
    masked = logits.masked_fill(~keep, -torch.inf)
    expected = -(masked.log_softmax(1).diagonal() + masked.log_softmax(0).diagonal()).mean() / 2
    found = InfoNCE(slots=("a", "c"), labels="class")(fp).total
    torch.testing.assert_close(found, expected)
    assert abs(float((found - InfoNCE(slots=("a", "c"))(fp).total).detach())) > 1e-3
    with pytest.raises(ConfigError, match="labels='klass'.*Did you mean 'class'"):
        InfoNCE(slots=("a", "c"), labels="klass")(fp)


@pytest.mark.parametrize(("kind", "function"), [(Symile, functional.symile), (JointPairSum, functional.joint_pair_sum)])
def test_tuples_need_every_slot_or_its_stand_in(kind, function):
    absent = [("b", 2), ("c", 3), ("b", 5), ("a", 5)]
    whole = torch.tensor([i not in (2, 3, 5) for i in range(8)])
    with_b = torch.tensor([i not in (3, 5) for i in range(8)])
    for missing, use, mask in (((), True, whole), (("b",), True, with_b), (("b",), False, whole)):
        fp = forward_pass(absent=absent, missing=missing)
        expected = function(values(fp), SCALE, generator=torch.Generator().manual_seed(1), present=mask)
        found = kind(slots=SLOTS, use_missing=use)(fp)
        torch.testing.assert_close(found.total, expected)
        assert found.counts == {"tuples": int(mask.sum())}


def test_a_sample_of_one_real_slot_is_no_tuple_whatever_stands_in():
    fp = forward_pass(absent=[("b", 2), ("c", 2)], missing=SLOTS)
    assert Symile(slots=SLOTS)(fp).counts == {"tuples": 7}


@pytest.mark.parametrize("kind", [InfoNCE, PairSum, Symile, JointPairSum])
def test_nobody_present_gives_a_zero_with_a_graph(kind):
    fp = forward_pass(absent=[("a", slice(None)), ("b", slice(None))])
    output = kind(slots=("a", "b"))(fp)
    output.total.backward()
    assert float(output.total.detach()) == 0 and set(output.counts.values()) == {0}


def test_scales_are_shared_own_or_fixed():
    fp = forward_pass()
    shared = InfoNCE(slots=("a", "b"))(fp).total
    torch.testing.assert_close(InfoNCE(slots=("a", "b"), scale=SCALE)(fp).total, shared)
    own = InfoNCE(slots=("a", "b"), scale="own")
    own(fp).total.backward()
    assert own.own_scale.log_scale.grad is not None and fp.model.scale.grad is None
    shared.backward()
    assert fp.model.scale.grad is not None
    with pytest.raises(ConfigError, match="scale is 'mine'"):
        InfoNCE(slots=("a", "b"), scale="mine")


def test_trained_groups():
    def groups(objective):
        return {(group.slots, group.score) for group in objective.trained_groups()}

    pairs = {(pair, "cosine") for pair in (("a", "b"), ("a", "c"), ("b", "c"))}
    assert groups(InfoNCE(slots=SLOTS)) == pairs
    assert groups(PairSum(slots=SLOTS)) == pairs | {(SLOTS, "pair_sum")}
    assert groups(PairSum(slots=SLOTS, pairs=[("a", "b")])) == {(("a", "b"), "cosine")}
    assert groups(JointPairSum(slots=SLOTS)) == {(SLOTS, "pair_sum")}
    assert groups(Symile(slots=SLOTS)) == {(SLOTS, "multilinear")}
    assert groups(Symile(slots=("a", "b"))) == {(("a", "b"), "cosine")}
    assert groups(GroupingAlignment(slots=SLOTS)) == set()


@pytest.mark.parametrize(("norm", "score"), [("l2", "cosine"), ("layernorm", "pair_sum"), ("none", "pair_sum")])
def test_pairs_are_scored_as_they_were_trained(norm, score):
    """Embeddings that are not of unit length are trained, and so searched, by their dot product."""
    model = Model()
    model.config.embedding_norm = norm
    for objective in (InfoNCE(slots=("a", "b")), PairSum(slots=("a", "b")), Symile(slots=("a", "b"))):
        objective.bind(model)
        assert [group.score for group in objective.trained_groups()] == [score]


def test_grouping_alignment_averages_its_groups():
    fp = forward_pass(absent=[("b", 1), ("c", 1), ("c", 4)])
    objective = GroupingAlignment(slots=SLOTS, shared_width=4)
    objective.bind(fp.model)
    objective.bind(fp.model)  # stages that share an objective bind it again
    output = objective(fp)
    side = {}
    for slot in SLOTS:
        found = fp.tokens(slot)
        side[slot] = (*objective.projections["kind"](found.hidden_BLD), found.valid_BL)
    losses = []
    for group in (("b", "c"), ("b",), ("c",)):
        tokens, logits, valid = (torch.cat([side[slot][k] for slot in group], 1) for k in range(3))
        a, a_logits, a_valid = side["a"]
        losses.append(functional.grouping_alignment(a, tokens, a_logits, logits, a_valid, valid, 1 / 0.07))
    torch.testing.assert_close(output.total, sum(losses) / 3, rtol=1e-5, atol=1e-6)
    assert output.counts == {"a_b_c": 7, "a_b": 7, "a_c": 6}
    output.total.backward()
    assert all(
        p.grad is not None and bool(p.grad.abs().sum() > 0) for p in objective.projections["kind"].project.parameters()
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InfoNCE(slots=("a",)), "two or more"),
        (lambda: InfoNCE(slots=("a", "a")), "two or more"),
        (lambda: InfoNCE(slots=("a", "b"), pairs=[("a", "c")]), "no pair of its slots"),
        (lambda: Symile(slots=SLOTS, negatives="some"), "negatives is 'some'"),
        (lambda: GroupingAlignment(slots=("a",)), "the anchor and at least one more"),
        (lambda: GroupingAlignment(slots=SLOTS, groups=[["a"]]), "is not made of"),
    ],
)
def test_what_cannot_be_meant_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
