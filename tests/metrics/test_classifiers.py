"""Nearest neighbours and linear probe: against scikit-learn, closed forms and rules for ties."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from omni.errors import ConfigError, InputError
from omni.metrics import linear_probe, neighbours
from omni.metrics.bootstrap import Bootstrap
from omni.metrics.classification import classification_numbers, predict
from omni.metrics.linear_probe import fit_linear_probe
from omni.metrics.neighbours import nearest_neighbours


def blobs(count, classes=4, width=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, width, generator=torch.Generator().manual_seed(9))
    labels = torch.randint(0, classes, (count,), generator=generator)
    return centres[labels] + 1.2 * torch.randn(count, width, generator=generator), labels


def test_ties_count_against_the_right_class():
    scores = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.5, 0.2], [3.0, 1.0, 2.0]])
    found = predict(scores, torch.tensor([0, 1, 2]))
    assert found.rank_N.tolist() == [2, 1, 2] and found.given_N.tolist() == [1, 1, 0]


def test_numbers_against_scikit_learn():
    from sklearn.metrics import balanced_accuracy_score, confusion_matrix, top_k_accuracy_score

    scores = torch.randn(80, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(0, 5, (80,), generator=torch.Generator().manual_seed(1))
    found = predict(scores, labels)
    numbers = classification_numbers(
        found.rank_N, found.given_N, labels, classes=5, ks=(1, 3, 5), bootstrap=Bootstrap()
    )
    assert set(numbers.accuracy) == {1, 3}  # among 5 of 5 is every one
    for k, value in numbers.accuracy.items():
        assert value == pytest.approx(top_k_accuracy_score(labels, scores.numpy(), k=k))
    assert numbers.balanced == pytest.approx(balanced_accuracy_score(labels, scores.argmax(1)))
    assert numbers.confusion_CC.tolist() == confusion_matrix(labels, scores.argmax(1)).tolist()
    assert numbers.chance == 0.2 and numbers.majority == pytest.approx(float(labels.bincount().max() / 80))
    assert numbers.intervals["top1"].low < numbers.accuracy[1] < numbers.intervals["top1"].high
    with pytest.raises(InputError, match="no sample"):
        classification_numbers(torch.zeros(0), torch.zeros(0), torch.zeros(0).long(), classes=2)


@pytest.mark.parametrize("temperature", [None, 0.07])
@pytest.mark.parametrize("memory", [100, 2**24])
def test_neighbours_against_scikit_learn(temperature, memory, monkeypatch):
    from sklearn.neighbors import KNeighborsClassifier

    monkeypatch.setattr(neighbours, "SCORES", memory)
    classes = 2 if temperature is None else 4  # two classes and an odd k leave no ties
    (train, labels), (test, test_labels) = blobs(200, classes), blobs(90, classes, seed=1)
    found = nearest_neighbours(train, labels, test, test_labels, classes=classes, k=7, temperature=temperature)
    weights = "uniform" if temperature is None else lambda distance: np.exp((1 - distance) / temperature)
    peer = KNeighborsClassifier(7, metric="cosine", weights=weights).fit(train.numpy(), labels.numpy())
    assert found.given_N.tolist() == peer.predict(test.numpy()).tolist()
    assert ((found.rank_N == 1) == (found.given_N == test_labels)).all()


def test_constant_embeddings_say_the_majority_or_nothing():
    labels = torch.tensor([0] * 6 + [1] * 4)
    same = F.normalize(torch.ones(10, 7), dim=1)
    found = nearest_neighbours(same, labels, same, labels, classes=2, k=3)
    assert found.given_N.tolist() == [0] * 10
    even = nearest_neighbours(same[:8], labels[2:], same[:8], labels[2:], classes=2, k=3)
    assert (even.rank_N == 2).all()
    for wrong in ({"k": 0}, {"temperature": 0.0}):
        with pytest.raises(ConfigError, match="at least 1"):
            nearest_neighbours(same, labels, same, labels, classes=2, **wrong)
    with pytest.raises(InputError, match="no training sample"):
        nearest_neighbours(same[:0], labels[:0], same, labels, classes=2)


@pytest.mark.parametrize("strength", [0.03, 1.0, 30.0])
@pytest.mark.parametrize("chunk", [17, 8192])
def test_probe_against_scikit_learn(strength, chunk, monkeypatch):
    from sklearn.linear_model import LogisticRegression

    monkeypatch.setattr(linear_probe, "CHUNK", chunk)
    x, labels = blobs(150)
    probe = fit_linear_probe(x, labels, classes=4, strength=strength, tolerance=1e-9)
    peer = LogisticRegression(C=strength, tol=1e-10, max_iter=5000).fit(x.double().numpy(), labels.numpy())
    np.testing.assert_allclose(probe.weight_EC.T.numpy(), peer.coef_, atol=2e-5)
    bias = probe.bias_C - probe.bias_C.mean()  # a constant added to all changes nothing
    np.testing.assert_allclose(bias.numpy(), peer.intercept_ - peer.intercept_.mean(), atol=2e-5)
    test, test_labels = blobs(60, seed=2)
    assert probe.predict(test, test_labels).given_N.tolist() == peer.predict(test.numpy()).tolist()


def test_probe_solves_the_equation_of_two_points():
    """Rows +a and -a, a class each: with w the difference of the weights, w = 4 a C / (1 + exp(w a)), the bias 0."""
    a, strength = 1.5, 2.0
    probe = fit_linear_probe(
        torch.tensor([[a], [-a]]), torch.tensor([1, 0]), classes=2, strength=strength, tolerance=1e-12
    )
    w = float(probe.weight_EC[0, 1] - probe.weight_EC[0, 0])
    assert w == pytest.approx(4 * a * strength / (1 + math.exp(w * a)), rel=1e-6)
    assert float(probe.weight_EC.sum()) == pytest.approx(0, abs=1e-9)
    assert float(probe.bias_C[0] - probe.bias_C[1]) == pytest.approx(0, abs=1e-9)


def test_probe_chooses_its_strength_on_rows_held_out():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 50, generator=generator)
    labels = (x[:, 0] + 0.3 * torch.randn(60, generator=generator) > 0).long()
    chosen = fit_linear_probe(x, labels, classes=2, strength=(1e-3, 1e3))
    assert chosen.strength in (1e-3, 1e3)
    assert fit_linear_probe(x, labels, classes=2, strength=(1e3, 1e-3)).strength == chosen.strength
    fixed = fit_linear_probe(x, labels, classes=2, strength=chosen.strength)
    torch.testing.assert_close(fixed.weight_EC, chosen.weight_EC)
    with pytest.raises(InputError, match="two classes"):
        fit_linear_probe(x, torch.zeros(60).long(), classes=2)
    with pytest.raises(ConfigError, match="above 0"):
        fit_linear_probe(x, labels, classes=2, strength=0.0)
