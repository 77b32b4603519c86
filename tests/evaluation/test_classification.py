"""Zero-shot classification, probes and geometry of a model on a data set."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F
from worlds import Classes

from omni.errors import ConfigError, InputError, OmniError
from omni.evaluation import class_embeddings, encode_samples, measure_geometry, probe, zero_shot

TEMPLATES = ("a {}", "the wave of a {}", "{}")


@pytest.fixture
def encoded(predictor):
    return encode_samples(predictor, Classes(), predictor.slots, progress=False)


def test_class_embeddings_are_those_of_open_clip(predictor):
    from open_clip.zero_shot_classifier import build_zero_shot_classifier

    class Texts:
        """What open_clip asks of a model, and of a tokenizer whose tokens are positions in the list of prompts."""

        prompts: list[str] = []

        def encode_text(self, tokens, normalize):
            return F.normalize(predictor.encode(word=[self.prompts[i] for i in tokens.tolist()])["word"], dim=-1)

        def tokenize(self, texts):
            start = len(self.prompts)
            self.prompts += texts
            return torch.arange(start, len(self.prompts))

    model = Texts()
    peer = build_zero_shot_classifier(model, model.tokenize, Classes.classes, TEMPLATES, num_classes_per_batch=3)
    found = class_embeddings(predictor, "word", Classes.classes, templates=TEMPLATES)
    torch.testing.assert_close(found, peer.T, atol=1e-6, rtol=0)
    plain = class_embeddings(predictor, "word", Classes.classes, templates=TEMPLATES, unit=False)
    one = predictor.encode(word=[text.replace("{}", "cat") for text in TEMPLATES])["word"].mean(0)
    torch.testing.assert_close(plain[0], one)


def test_zero_shot_by_cosine_and_by_a_product_of_slots(predictor, encoded):
    labels = torch.arange(40) % 4
    found = zero_shot(predictor, encoded, ["left"], prompts="word", classes=Classes.classes, templates=TEMPLATES)
    weights = class_embeddings(predictor, "word", Classes.classes, templates=TEMPLATES)
    scores = F.normalize(encoded.embeddings["left"], dim=1) @ weights.T
    assert found.numbers.accuracy[1] == pytest.approx(float((scores.argmax(1) == labels).double().mean()))
    assert found.settings["score"] == "cosine" and found.numbers.samples == 40
    both = zero_shot(predictor, encoded, ["left", "right"], prompts="word", classes=Classes.classes)
    plain = class_embeddings(predictor, "word", Classes.classes, unit=False)
    scores = (encoded.embeddings["left"] * encoded.embeddings["right"]) @ plain.T
    assert both.numbers.accuracy[1] == pytest.approx(float((scores.argmax(1) == labels).double().mean()))
    assert both.settings["score"] == "multilinear" and both.title == "zero-shot: left + right"


def test_zero_shot_of_a_constant_model_scores_nothing(predictor, encoded):
    encoded.embeddings["left"] = torch.zeros(40, 16)
    found = zero_shot(predictor, encoded, ["left"], prompts="word", classes=Classes.classes)
    assert found.numbers.accuracy[1] == 0.0 and int(found.numbers.confusion_CC.diagonal().sum()) == 0


def test_what_zero_shot_refuses(predictor, encoded):
    given = {"prompts": "word", "classes": Classes.classes}
    with pytest.raises(InputError, match="number 3, but there are 3 classes"):
        zero_shot(predictor, encoded, ["left"], prompts="word", classes=Classes.classes[:3])
    with pytest.raises(InputError, match="Two classes are called 'cat'"):
        zero_shot(predictor, encoded, ["left"], prompts="word", classes=["cat", "dog", "cat", "cow"])
    with pytest.raises(ConfigError, match="where the class name goes"):
        zero_shot(predictor, encoded, ["left"], templates=["a thing"], **given)
    with pytest.raises(OmniError, match="do not mean anything together"):
        zero_shot(predictor, encoded, ["right"], **given)
    with pytest.raises(ConfigError, match="takes the prompts"):
        zero_shot(predictor, encoded, ["word"], **given)
    with pytest.raises(InputError, match="no whole-numbered target 'colour'"):
        zero_shot(predictor, encoded, ["left"], label="colour", **given)


@pytest.mark.parametrize("method", ["linear", "knn"])
def test_probes_against_scikit_learn(predictor, encoded, method):
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    train = encode_samples(predictor, Classes("train", 80), ["left"], progress=False)
    found = probe(train, encoded, "left", method=method, strength=1.0, neighbours=5, temperature=0.1)
    peers = {
        "linear": LogisticRegression(C=1.0, tol=1e-8, max_iter=5000),
        "knn": KNeighborsClassifier(5, metric="cosine", weights=lambda distance: torch.exp(
            torch.from_numpy(1 - distance) / 0.1).numpy()),
    }  # fmt: skip
    peer = peers[method].fit(train.embeddings["left"].double().numpy(), torch.arange(80).numpy() % 4)
    expected = peer.score(encoded.embeddings["left"].double().numpy(), torch.arange(40).numpy() % 4)
    assert found.numbers.accuracy[1] == pytest.approx(expected) and expected > 0.9
    assert found.settings["train_samples"] == 80 and found.numbers.chance == 0.25


def test_probes_refuse_samples_that_they_were_fitted_on(predictor, encoded):
    with pytest.raises(InputError, match="40 samples are in the training data and in the test data, such as 'test-0'"):
        probe(encoded, encoded, "left")
    train = encode_samples(predictor, Classes("train"), ["left"], progress=False)
    with pytest.raises(ConfigError, match="'svm' is not known"):
        probe(train, encoded, "left", method="svm")


def test_geometry_of_trained_pairs_only(predictor, encoded):
    found = measure_geometry(predictor, encoded)
    assert [slot.slot for slot in found.slots] == ["left", "right", "word"]
    assert [slot.values for slot in found.slots] == [40, 40, 4]
    (pair,) = found.pairs
    assert (pair.first, pair.second, pair.samples) == ("left", "word", 40)
    assert found.left_out == ["left + right", "right + word"]
    x, y = F.normalize(encoded.embeddings["left"].double()), F.normalize(encoded.embeddings["word"].double())
    y = y[torch.arange(40) % 4]
    assert pair.alignment == pytest.approx(float((x - y).square().sum(1).mean()))
    assert pair.gap == pytest.approx(float((x.mean(0) - y.mean(0)).norm()))
    assert sum(pair.paired) == sum(pair.unpaired) == 40
    spread = float(torch.pdist(x).square().mul(-2).exp().mean().log())
    assert found.slots[0].uniformity == pytest.approx(spread, abs=1e-5)
    share = torch.linalg.svdvals(encoded.embeddings["left"].double())
    share = share / share.sum()
    assert found.slots[0].effective_rank == pytest.approx(math.exp(-float((share * share.log()).sum())), rel=1e-6)
