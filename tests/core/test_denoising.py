"""Masks with exact counts, and the denoising objective on whole models."""

from __future__ import annotations

import math

import pytest
import torch

from omni.data.masking import exact_count, mask_tokens
from omni.engine.forward_pass import ForwardPass
from omni.errors import ConfigError
from omni.objectives.denoising import Denoising, denoising_loss
from omni.registry import OBJECTIVES
from omni.types import Batch
from tests.core import toys

DECODER = dict(width=16, num_layers=1, num_heads=2, ffn_width=32)


def generator(seed: int = 0) -> torch.Generator:
    """A seeded one."""
    return torch.Generator().manual_seed(seed)


def candidates(*lengths: int) -> torch.Tensor:
    """Rows of so many candidates after a summary token."""
    places = torch.arange(max(lengths) + 1)[None]
    return (places > 0) & (places <= torch.tensor(lengths)[:, None])


@pytest.mark.parametrize("kind", ["random", "spans"])
@pytest.mark.parametrize("ratio", [0.15, 0.4, 0.45, 0.55, 0.6875, 0.75])
def test_counts_are_exact(kind: str, ratio: float) -> None:
    """int(n * ratio) hidden tokens, never a token that is no candidate."""
    lengths = (256, 49, 7, 1, 10)
    given = candidates(*lengths)
    masked = mask_tokens(given, ratio=ratio, kind=kind, generator=generator())
    assert masked.sum(1).tolist() == [max(1, int(n * ratio + 1e-9)) for n in lengths]
    assert not (masked & ~given).any()
    assert exact_count(10, 0.3) == 3 and exact_count(256, 0.6875) == 176 and exact_count(0, 0.5) == 0


def test_spans_are_runs_of_five() -> None:
    """Nearly all hidden frames lie in runs of at least five."""
    masked = mask_tokens(candidates(500), ratio=0.55, kind="spans", span=5, generator=generator())[0].int()
    edges = torch.nn.functional.pad(masked, (1, 1)).diff()
    runs = (edges == -1).nonzero() - (edges == 1).nonzero()
    assert (runs < 5).sum() <= 1 and masked.sum() == 275


def test_whole_words() -> None:
    """ceil(words * ratio) words, each wholly hidden or wholly seen; what belongs to no word is never hidden."""
    groups = torch.tensor([[-1, 0, 0, 1, 2, 2, 2, 3, -1]])
    for seed in range(20):
        masked = mask_tokens(groups >= -1, ratio=0.3, kind="groups", groups_BL=groups, generator=generator(seed))[0]
        hidden = {word for word in range(4) if masked[groups[0] == word].any()}
        assert len(hidden) == math.ceil(4 * 0.3)
        assert all(masked[groups[0] == word].all() for word in hidden) and not masked[groups[0] < 0].any()


def test_complementary_masks() -> None:
    """Published: of 256 patches the fused pass hides all 64 that were seen alone, and 112 of the others."""
    given = candidates(256, 256)
    alone = mask_tokens(given, ratio=0.75, generator=generator(1))
    fused = mask_tokens(given, ratio=0.6875, first_BL=given & ~alone, generator=generator(2))
    seen_alone = given & ~alone
    assert (fused & seen_alone).sum(1).tolist() == [64, 64] and (fused & alone).sum(1).tolist() == [112, 112]
    text = candidates(20)
    words = mask_tokens(text, ratio=0.15, generator=generator(3))
    second = mask_tokens(text, ratio=0.4, first_BL=text & ~words, generator=generator(4))
    assert second.sum() == 8 and not (second & words).any()


def test_masks_are_drawn_from_the_generator() -> None:
    """The same seed, the same mask; wrong options are named."""
    given = candidates(40)
    same = [mask_tokens(given, ratio=0.5, generator=generator(5)) for _ in range(2)]
    assert torch.equal(*same) and not torch.equal(same[0], mask_tokens(given, ratio=0.5, generator=generator(6)))
    with pytest.raises(ConfigError, match="groups_BL"):
        mask_tokens(given, ratio=0.5, kind="groups")
    with pytest.raises(ConfigError, match="blocks"):
        mask_tokens(given, ratio=0.5, kind="blocks")


def forward_pass(model, *, present: list[bool] | None = None) -> ForwardPass:
    """Three samples; slot "two" may be missing in some."""
    has = torch.tensor(present or [True] * 3)
    inputs = {"one": toys.words([9, 12, 7]), "two": toys.words([8, 10, 6][: int(has.sum())], seed=1)}
    inputs = {slot: values for slot, values in inputs.items() if len(values["ids_BL"])}
    batch = Batch(inputs=inputs, present={"one": torch.ones(3, dtype=torch.bool), "two": has}, ids=["a", "b", "c"])
    return ForwardPass(model, batch, generator=generator(7))


def objectives() -> list[Denoising]:
    """The three of image-text pretraining, on two slots of words."""
    masks = {"one": dict(ratio=0.15, kind="groups"), "two": dict(ratio=0.75)}
    fused = {"one": dict(ratio=0.4), "two": dict(ratio=0.6)}
    return [
        OBJECTIVES.build(dict(type="denoising", slots=["one"], masks={"one": masks["one"]})),
        OBJECTIVES.build(dict(type="denoising", slots=["two"], masks={"two": masks["two"]})),
        OBJECTIVES.build(dict(type="denoising", slots=["one", "two"], masks=fused, complement=True)),
    ]


def test_objective_trains_the_whole_model() -> None:
    """Counts as the ratios say, a gradient in every parameter but the projections, none through the teacher."""
    model = toys.text_model(decoder=DECODER).train()
    fp = forward_pass(model)
    outputs = [objective(fp) for objective in objectives()]
    assert outputs[0].counts == {"one": 2 + 2 + 2} and outputs[1].counts == {"two": 6 + 7 + 4}
    assert outputs[2].counts == {"one": 3 + 4 + 2, "two": 4 + 6 + 3}
    sum(item.total for item in outputs).backward()
    unused = {name for name, item in model.named_parameters() if item.grad is None}
    assert unused == {"logit_scale.log_scale", *(name for name in unused if name.startswith("projections."))}


@torch.no_grad()
def test_objective_with_missing_slots() -> None:
    """The fused pass uses the samples that have both; with none it is zero and counts zero."""
    model = toys.text_model(decoder=DECODER)
    fused = Denoising(slots=["one", "two"], masks={"one": dict(ratio=0.4), "two": dict(ratio=0.4)})
    some = fused(forward_pass(model, present=[True, False, True]))
    assert some.counts == {"one": 3 + 2, "two": 3 + 4}
    nothing = fused(forward_pass(model, present=[False] * 3))
    assert nothing.total == 0 and nothing.counts == {"one": 0, "two": 0}


@torch.no_grad()
def test_nothing_hidden_means_the_student_sees_what_the_encoder_sees() -> None:
    """With an empty mask the loss is zero with a graph, and the decoder gets every visible state."""
    model = toys.text_model(decoder=DECODER)
    fp = forward_pass(model)
    found = fp.masked(("one",), draw=lambda slot, given, *_: torch.zeros_like(given))["one"]
    assert denoising_loss(found) == 0 and not found.masked_BL.any()


@torch.no_grad()
def test_hidden_tokens_do_not_reach_the_student() -> None:
    """Changing a hidden word changes the teacher, not the student."""
    model = toys.text_model(decoder=DECODER)
    hide = torch.zeros(3, 13, dtype=torch.bool)
    hide[:, 3] = True
    found = []
    for word in (7, 8):
        fp = forward_pass(model)
        fp.batch.inputs["one"]["ids_BL"][:, 2] = word
        found.append(fp.masked(("one",), draw=lambda *_: hide)["one"])
    assert torch.equal(found[0].student_BLD[found[0].valid_BL], found[1].student_BLD[found[1].valid_BL])
    assert not torch.allclose(found[0].teacher_BLD, found[1].teacher_BLD)


def test_wrong_settings_are_named() -> None:
    """A model without decoder, masks of other slots, a complement of nothing."""
    with pytest.raises(ConfigError, match="decoder"):
        objectives()[0].bind(toys.text_model())
    with pytest.raises(ConfigError, match="masks"):
        Denoising(slots=["one"], masks={"two": dict(ratio=0.5)})
    with pytest.raises(ConfigError, match="alone, listed before"):
        objectives()[2](forward_pass(toys.text_model(decoder=DECODER)))
