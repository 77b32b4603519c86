"""Temperature, calibration error and abstention against what follows by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from omni.errors import InputError
from omni_plugin_vqa.calibration import (
    HIGHEST,
    LOWEST,
    calibration_error,
    fit_temperature,
    negative_log_likelihood,
    threshold_for,
)


def test_temperature_of_two_logits_is_known():
    """With logits (a, 0) and a share q of labels 0 the best sharpness b has sigmoid(a b) = q."""
    logits = torch.tensor([[4.0, 0.0]]).repeat(10, 1)
    labels = torch.tensor([0] * 8 + [1] * 2)
    assert fit_temperature(logits, labels) == pytest.approx(4 / math.log(0.8 / 0.2), rel=1e-9)


def test_temperature_is_the_minimum():
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(400, 5, generator=generator)
    labels = torch.distributions.Categorical(logits=logits / 2.5).sample()
    best = fit_temperature(logits, labels)
    lowest = negative_log_likelihood(logits, labels, temperature=best)
    for factor in (0.9, 0.99, 1.01, 1.1):
        assert negative_log_likelihood(logits, labels, temperature=best * factor) > lowest
    assert lowest == pytest.approx(float(F.cross_entropy(logits.double() / best, labels)), abs=1e-12)


def test_temperature_stays_finite():
    logits = torch.tensor([[2.0, 0.0], [3.0, 0.0]])
    assert fit_temperature(logits, torch.tensor([0, 0])) == LOWEST
    assert fit_temperature(logits, torch.tensor([1, 1])) == HIGHEST
    with pytest.raises(InputError, match="at least one sample"):
        fit_temperature(torch.zeros(0, 3), torch.zeros(0))


def test_calibration_error_by_hand():
    chances = torch.tensor([0.95, 0.95, 0.95, 0.95, 0.15, 0.15])
    right = torch.tensor([True, True, True, False, True, False])
    expected = (4 / 6) * abs(0.75 - 0.95) + (2 / 6) * abs(0.5 - 0.15)
    assert calibration_error(chances, right, bins=10) == pytest.approx(expected, abs=1e-7)
    assert calibration_error(torch.ones(3), torch.ones(3, dtype=torch.bool)) == 0
    with pytest.raises(InputError, match="outside"):
        calibration_error(torch.tensor([1.5]), torch.tensor([True]))


def test_threshold_keeps_as_many_answers_as_it_may():
    chances = torch.tensor([0.9, 0.8, 0.7, 0.7, 0.6, 0.5])
    right = torch.tensor([True, True, True, False, True, False])
    found = threshold_for(chances, right, accuracy=0.75)
    assert (found.threshold, found.accuracy, found.coverage) == (pytest.approx(0.6), pytest.approx(0.8), 5 / 6)
    strict = threshold_for(chances, right, accuracy=1.0)
    assert strict.threshold == pytest.approx(0.8) and strict.coverage == 2 / 6
    with pytest.raises(InputError, match="not even the surest"):
        threshold_for(chances, ~right, accuracy=0.9)
    with pytest.raises(InputError, match="above 0"):
        threshold_for(chances, right, accuracy=0.0)


def test_ties_are_kept_or_dropped_together():
    found = threshold_for(torch.tensor([0.9, 0.5, 0.5]), torch.tensor([True, True, False]), accuracy=0.9)
    assert found.threshold == pytest.approx(0.9) and found.coverage == 1 / 3
