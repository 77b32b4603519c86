"""The objective over task heads: who takes part, what the head sees, groups, and a run from config to prediction."""

from __future__ import annotations

import pytest
import torch
from test_processes import build
from torch.nn import functional as F

import omni
from omni.engine.forward_pass import ForwardPass
from omni.engine.optim import layer_factor, parameter_groups
from omni.engine.training import train
from omni.errors import ConfigError
from omni.metrics.task import TaskNumbers
from omni.objectives.task import Task

SLOTS = ["left", "right", "word"]
HEADS = {"kind": {"type": "classification", "classes": 6}}
TASK = {"type": "task", "head": "kind", "targets": ["class"]}


@pytest.fixture(autouse=True)
def clean_catalog():
    """The toys do not outlive a test."""
    from omni.plugin import catalog

    yield
    catalog.reset()


def passes(task, heads=HEADS, rows=(4, 14)):
    """A wrapper with one task objective and a ForwardPass over samples of which some lack the right stripe."""
    wrapper, batch = build([{"slots": SLOTS, **TASK, **task}], heads=heads)
    wrapper.eval()
    return wrapper, ForwardPass(wrapper.model, batch(*rows)), batch


def test_absent_slots_are_padding():
    wrapper, fp, _ = passes({})
    head = wrapper.model.heads["kind"]
    logits = head(fp.partly(*SLOTS)).values["logits_BK"]
    lacking = ~fp.present("right")
    assert 0 < int(lacking.sum()) < len(lacking)
    two = head(fp.fused("left", "word")).values["logits_BK"]
    torch.testing.assert_close(logits[lacking], two[lacking], atol=1e-9, rtol=0)
    three = head(fp.fused(*SLOTS)).values["logits_BK"]
    torch.testing.assert_close(logits[~lacking], three, atol=1e-9, rtol=0)


def test_loss_is_the_mean_over_samples_with_a_label():
    wrapper, fp, _ = passes({})
    fp.batch.targets["class"][:3] = -100
    (objective,) = wrapper.objectives.values()
    found = objective(fp)
    logits = wrapper.model.heads["kind"](fp.partly(*SLOTS)).values["logits_BK"]
    expected = F.cross_entropy(logits[3:].float(), fp.batch.targets["class"][3:])
    assert found.total.item() == pytest.approx(expected.item(), abs=1e-6) and found.counts == {
        "things": len(logits) - 3
    }


def test_beside_each_other_the_slots_do_not_attend():
    wrapper, fp, _ = passes({}, {"kind": {**HEADS["kind"], "fused": False}})
    output = fp.beside(*SLOTS)
    assert output.hidden_BLD.shape == fp.partly(*SLOTS).hidden_BLD.shape
    for slot in SLOTS:
        rows = fp.present(slot)
        torch.testing.assert_close(output.tokens(slot)[rows], fp.core(slot).tokens(slot))
        assert not output.valid(slot)[~rows].any() and output.valid(slot)[rows].any(1).all()
        torch.testing.assert_close(output.pooled[slot][rows], fp.core(slot).pooled[slot])
    assert not torch.equal(output.hidden_BLD, fp.partly(*SLOTS).hidden_BLD)


@pytest.mark.parametrize("fused", [True, False])
def test_groups_are_weighted_and_count_complete_samples(fused):
    groups, weights = [["left"], ["left", "right"]], [1.0, 3.0]
    wrapper, fp, _ = passes({"groups": groups, "group_weights": weights}, {"kind": {**HEADS["kind"], "fused": fused}})
    (objective,) = wrapper.objectives.values()
    found = objective(fp)
    head, labels = wrapper.model.heads["kind"], fp.batch.targets["class"]
    both = fp.complete(("left", "right"))
    output = fp.fused("left", "right") if fused else fp.beside("left", "right")
    pair = head(output).values["logits_BK"] if fused else head(output).values["logits_BK"][both]
    one = F.cross_entropy(head(fp.core("left")).values["logits_BK"].float(), labels)
    two = F.cross_entropy(pair.float(), labels[both])
    assert found.total.item() == pytest.approx((one.item() + 3 * two.item()) / 4, abs=1e-6)
    assert found.counts == {"left": len(labels), "left+right": int(both.sum())}
    assert set(found.parts) == {"left/accuracy", "left+right/accuracy"}


def test_nothing_to_learn_is_a_zero_with_a_graph():
    wrapper, fp, _ = passes({})
    fp.batch.targets["class"][:] = -100
    (objective,) = wrapper.objectives.values()
    found = objective(fp)
    found.total.backward()
    assert found.total.item() == 0 and found.counts == {"things": 0}
    assert wrapper.model.heads["kind"].out.weight.grad.eq(0).all()


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"head": "kidn"}, "no head 'kidn'.*kind"),
        ({"targets": "right", "slots": ["left"], "head": "kind"}, ""),
        ({"targets": "centre"}, "no slot 'centre'"),
        ({"targets": "left"}, "both an input and the target"),
        ({"targets": "left", "slots": ["centre"]}, "slot 'centre'"),
        ({"groups": [["left", "far"]]}, "parts of slots"),
        ({"groups": [["left"]], "group_weights": [1.0, 2.0]}, "group_weights"),
    ],
)
def test_misfits_are_refused(task, message):
    if not message:
        passes(task)
        return
    with pytest.raises(ConfigError, match=message):
        passes(task)


def test_a_target_that_no_sample_has_is_named():
    wrapper, fp, _ = passes({"targets": ["clas"]})
    (objective,) = wrapper.objectives.values()
    with pytest.raises(ConfigError, match="no target 'clas'.*class"):
        objective(fp)


def test_a_slot_as_target_gives_its_inputs_by_row():
    wrapper, fp, _ = passes({"targets": "right", "slots": ["left", "word"]})
    (objective,) = wrapper.objectives.values()
    assert isinstance(objective, Task)
    rows = fp.present("right") & (torch.arange(len(fp.batch)) > 1)
    chosen = objective._targets(fp, rows)
    assert set(chosen) == set(fp.batch.inputs["right"])
    for name, value in chosen.items():
        torch.testing.assert_close(value, fp.batch.inputs["right"][name][rows[fp.present("right")]])


def test_layers_decay_by_depth():
    wrapper, _, _ = passes({})
    assert [layer_factor(f"core.layers.{i}.x", 4, 0.5) for i in range(4)] == [1 / 16, 1 / 8, 1 / 4, 1 / 2]
    assert layer_factor("adapters.word.x", 4, 0.5) == 1 / 32 and layer_factor("heads.kind.out.weight", 4, 0.5) == 1
    groups = parameter_groups(wrapper, lr=1.0, weight_decay=0.1, layer_decay=0.5, lr_scale={"heads": 3.0})
    assert {group["lr"] for group in groups} == {0.125, 0.25, 0.5, 1.0, 3.0}
    with pytest.raises(ConfigError, match="layer_decay"):
        parameter_groups(wrapper, lr=1.0, weight_decay=0.1, layer_decay=1.5)


def test_a_run_learns_the_classes_and_the_model_tells_them(tmp_path, toys, make_config):
    config = make_config()
    config["model"]["heads"] = {"kind": {"type": "classification", "classes": list("abcdef"), "pool": "attention"}}
    config["objectives"] = [{"slots": ["left", "word"], **TASK}]
    config["train_cfg"] = {"max_iters": 80}
    config["optim_wrapper"] |= {"layer_decay": 0.9}
    config["val_dataloader"] = {"dataset": {"type": "toy_triples", "seed": 7, "missing": 5}, "batch_size": 10}
    config["val_evaluator"] = {"type": "task"}
    result = train(config, work_dir=tmp_path, quiet=True)
    assert result.metrics["accuracy"] > 0.9 and 0 < result.metrics["loss"] < 1
    loaded = omni.load(result.model_folder)
    samples = [toys.ToyTriples(seed=7)[index] for index in range(12)]
    values = {slot: [sample.values[slot] for sample in samples] for slot in ("left", "word")}
    found = loaded.classify(**values)
    right = [item.value == "abcdef"[sample.targets["class"]] for item, sample in zip(found, samples, strict=True)]
    assert sum(right) >= 11 and all(0 < item.score <= 1 for item in found)
    alone = loaded.classify(word=[*values["word"][:6], None], left=[None] * 6 + values["left"][6:7])
    assert [item.value for item in alone[:6]] == list("abcdef")


def test_held_out_numbers_are_means_over_samples_of_all_processes():
    wrapper, fp, batch = passes({})
    parts = [ForwardPass(wrapper.model, batch(start, stop)) for start, stop in ((4, 7), (7, 14))]
    metrics = [TaskNumbers(), TaskNumbers()]
    for metric, part in zip(metrics, parts, strict=True):
        metric.update(wrapper.predictions(part))
    metrics[0].merge([metric.state() for metric in metrics])
    (objective,) = wrapper.objectives.values()
    whole = objective(fp)
    found = metrics[0].compute()
    assert found["loss"] == pytest.approx(whole.total.item(), abs=1e-9)
    assert found["accuracy"] == pytest.approx(whole.parts["accuracy"].item(), abs=1e-9)
    with pytest.raises(ConfigError, match="the run has task"):
        TaskNumbers(objective="other").update(wrapper.predictions(fp))
