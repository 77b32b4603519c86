from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import normalize

from omni.errors import InputError
from omni.objectives.functional import denoising_contrast


def case(batch: int = 3, length: int = 5, width: int = 4, seed: int = 0) -> list[torch.Tensor]:
    """Student, teacher (unit vectors), masked and valid; position 0 is a summary token, the last sample is padded."""
    generator = torch.Generator().manual_seed(seed)
    both = torch.randn(2, batch, length, width, generator=generator, dtype=torch.float64)
    student, teacher = (item.requires_grad_() for item in normalize(both, dim=-1).unbind())
    valid = torch.ones(batch, length, dtype=torch.bool)
    valid[:, 0], valid[-1, -2:] = False, False
    masked = torch.rand(batch, length, generator=generator) < 0.5
    masked[0, 1], masked[0, 0], masked[-1, -1] = True, True, True  # a summary token and padding may be marked too
    return [student, teacher, masked, valid]


def slow(student, teacher, masked, valid, scale=2.5, smoothing=0.1):
    """The loss from its definition, one masked position at a time."""
    teacher = teacher.detach()
    places = [(b, p) for b in range(valid.shape[0]) for p in range(valid.shape[1]) if valid[b, p]]
    count, losses = len(places), []
    for b, p in places:
        if not masked[b, p]:
            continue
        logits = torch.stack([scale * (student[b, p] * teacher[c, q]).sum() for c, q in places])
        minus_log_p = logits.exp().sum().log() - logits
        nll = minus_log_p[places.index((b, p))]
        other = smoothing / (count - 1)
        losses.append((1 - smoothing - other) * nll + other * minus_log_p.sum())
    return torch.stack(losses).mean()


def gradient(loss: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(loss, student, retain_graph=True)[0]


@pytest.mark.parametrize("max_elements", [2**24, 16, 1])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_value_and_gradient_are_those_of_the_definition(smoothing, max_elements):
    inputs = case()
    ours = denoising_contrast(*inputs, smoothing=smoothing, max_elements=max_elements)
    expected = slow(*inputs, smoothing=smoothing)
    torch.testing.assert_close(ours, expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(gradient(ours, inputs[0]), gradient(expected, inputs[0]), atol=1e-12, rtol=0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_equal_features_give_log_of_the_tokens(smoothing):
    *_, masked, valid = case()
    same = torch.full((3, 5, 4), 0.5, dtype=torch.float64)
    loss = denoising_contrast(same, same, masked, valid, smoothing=smoothing)
    assert int(valid.sum()) == 10 and loss.item() == pytest.approx(math.log(10), abs=1e-12)


def test_perfect_student_of_orthogonal_tokens():
    teacher = torch.eye(12, dtype=torch.float64).view(3, 4, 12)
    everywhere = torch.ones(3, 4, dtype=torch.bool)
    p = math.exp(2.5) / (math.exp(2.5) + 11)
    q = (1 - p) / 11
    loss = denoising_contrast(teacher.clone(), teacher, everywhere, everywhere)
    assert loss.item() == pytest.approx(-0.9 * math.log(p) - 0.1 * math.log(q), abs=1e-12)
    plain = denoising_contrast(teacher.clone(), teacher, everywhere, everywhere, smoothing=0.0)
    assert plain.item() == pytest.approx(-math.log(p), abs=1e-12)


def test_smoothing_is_cross_entropy_with_the_weight_moved_to_the_other_tokens():
    student, teacher, masked, valid = case()
    keys = teacher[valid].detach()
    target = (valid.flatten().cumsum(0) - 1)[(masked & valid).flatten()]
    soft = torch.full((len(target), 10), 0.1 / 9, dtype=torch.float64).scatter(1, target[:, None], 0.9)
    logits = 2.5 * student[masked & valid] @ keys.t()
    expected = torch.nn.functional.cross_entropy(logits, soft)
    torch.testing.assert_close(denoising_contrast(student, teacher, masked, valid), expected)


def test_no_gradient_reaches_the_teacher():
    student, teacher, masked, valid = case()
    loss = denoising_contrast(student, teacher, masked, valid)
    assert torch.autograd.grad(loss, teacher, allow_unused=True, retain_graph=True) == (None,)
    found = gradient(loss, student)
    assert found[masked & valid].abs().min() > 0 and found[~(masked & valid)].abs().max() == 0


def test_padding_and_summary_tokens_hold_anything():
    student, teacher, masked, valid = case()
    clean = denoising_contrast(student, teacher, masked, valid)
    dirty = [torch.where(valid[..., None], item.detach(), torch.nan).requires_grad_() for item in (student, teacher)]
    loss = denoising_contrast(*dirty, masked, valid)
    assert torch.equal(loss, clean) and gradient(loss, dirty[0]).isfinite().all()
    longer = [torch.cat([item, torch.zeros_like(item[:, :2])], dim=1) for item in (student, teacher, masked, valid)]
    torch.testing.assert_close(denoising_contrast(*longer), clean)


def test_reductions_agree():
    inputs = case()
    each = denoising_contrast(*inputs, reduction="none")
    assert each.shape == (int((inputs[2] & inputs[3]).sum()),)
    torch.testing.assert_close(each.sum(), denoising_contrast(*inputs, reduction="sum"))
    torch.testing.assert_close(each.mean(), denoising_contrast(*inputs))


@pytest.mark.parametrize("valid_too", [True, False])
def test_nothing_masked_is_a_zero_with_a_graph(valid_too):
    student, teacher, masked, valid = case()
    valid = valid if valid_too else torch.zeros_like(valid)
    loss = denoising_contrast(student, teacher, torch.zeros_like(masked) if valid_too else masked, valid)
    assert loss.item() == 0 and gradient(loss, student).abs().max() == 0


def test_a_single_candidate_is_no_choice():
    student, teacher, _, valid = case()
    one = torch.zeros_like(valid)
    one[0, 1] = True
    loss = denoising_contrast(student, teacher, one, one)
    assert loss.item() == pytest.approx(0, abs=1e-12) and gradient(loss, student).abs().max() < 1e-12


@pytest.mark.parametrize("max_elements", [2**24, 16])
def test_derivatives(max_elements):
    student, teacher, masked, valid = case()
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)

    def loss(student, scale):
        return denoising_contrast(student, teacher, masked, valid, scale, max_elements=max_elements)

    assert torch.autograd.gradcheck(loss, (student, scale))


@pytest.mark.parametrize("scale", [2.5, 100.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_finite_and_right(dtype, scale):
    student, teacher, masked, valid = case()
    student, teacher = (item.detach().to(dtype).requires_grad_() for item in (student, teacher))
    loss = denoising_contrast(student, teacher, masked, valid, scale)
    exact = denoising_contrast(student.detach().double(), teacher.detach().double(), masked, valid, scale)
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(exact.item(), rel=1e-5)
    assert gradient(loss, student).isfinite().all()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(denoising_contrast(student, teacher, masked, valid, scale), loss)


def test_callers_must_normalise():
    student, teacher, masked, valid = case()
    assert (student.norm(dim=-1) - 1).abs().max() < 1e-12  # what every other test here passes in
    longer = denoising_contrast(3 * student, teacher, masked, valid)
    torch.testing.assert_close(longer, denoising_contrast(student, teacher, masked, valid, 7.5))


@pytest.mark.parametrize(
    "place, value, message",
    [
        (0, torch.zeros(3, 5, 3), "one shape"),
        (0, torch.zeros(3, 5, 4, dtype=torch.long), "floating point"),
        (2, torch.ones(3, 5), "bool"),
        (3, torch.ones(3, 4, dtype=torch.bool), "shape"),
    ],
)
def test_mistakes_are_named(place, value, message):
    inputs = case()
    inputs[place] = value
    with pytest.raises(InputError, match=message):
        denoising_contrast(*inputs)
    with pytest.raises(InputError, match="smoothing"):
        denoising_contrast(*case(), smoothing=-0.1)
