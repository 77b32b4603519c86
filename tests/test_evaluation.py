"""Evaluation of retrieval on a data set: candidates once each, classes, galleries, controls."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from omni.errors import ConfigError, InputError
from omni.types import Sample

TRIPLE = ("multilinear", "left", "right", "word")


class Triples:
    """Samples with shared right values, and classes by word."""

    def __init__(self, count=12, with_class=True):
        self.rows = []
        for index in range(count):
            word = "abc"[index % 3]
            self.rows.append(
                Sample(
                    id=str(index),
                    values={"left": wave(index), "right": wave(index % 4), "word": word},
                    keys={"right": f"wave-{index % 4}", "word": word},
                    targets={"class": index % 4} if with_class else {},
                )
            )

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


class WithGallery(Triples):
    def gallery(self):
        made = [Sample(id=f"g{i}", values={"right": wave(i)}, targets={"class": i}) for i in range(6)]
        return made


def wave(index):
    return np.sin(np.arange(8, dtype=np.float32) * (index + 1))


@pytest.fixture
def predictor(toy_plugin):
    from toy_models import toy_predictor

    return toy_predictor(TRIPLE, norm="layernorm")


def test_instances_share_candidates_by_key(predictor):
    from omni.evaluation import evaluate

    data = Triples(with_class=False)
    found = evaluate(predictor, data, target="right", ks=(1, 2), progress=False)
    assert found.query == ("left", "word") and found.score == "multilinear" and found.by_label == ""
    assert found.numbers.candidates == 4 and found.numbers.queries == 12
    z = predictor.encode(left=[wave(i) for i in range(12)], right=[wave(i) for i in range(4)], word=list("abc") * 4)
    scores = (z["left"] * z["word"]) @ z["right"].T
    right = scores.argmax(1) == torch.arange(12) % 4
    assert found.numbers.recall[1] == pytest.approx(float(right.float().mean()))


def test_classes_and_gallery(predictor):
    from omni.evaluation import evaluate

    found = evaluate(predictor, Triples(), target="right", progress=False)
    assert found.by_label == "class" and found.numbers.candidates == 4
    assert evaluate(predictor, WithGallery(), target="right", progress=False).numbers.candidates == 6


def test_controls_shuffle_one_slot_each(predictor):
    from omni.evaluation import evaluate

    found = evaluate(predictor, Triples(), target="right", progress=False)
    assert set(found.controls) == {"left", "word"}
    z = predictor.encode(left=[wave(i) for i in range(12)], right=[wave(i) for i in range(4)], word=list("abc") * 4)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    right = ((z["left"][order] * z["word"]) @ z["right"].T).argmax(1) == torch.arange(12) % 4
    assert found.controls["left"].recall[1] == pytest.approx(float(right.float().mean()))
    assert not evaluate(predictor, Triples(), target="right", controls=False, progress=False).controls
    assert evaluate(predictor, Triples(), progress=False).target == "left"


def test_samples_without_a_slot_are_left_out(predictor):
    from omni.evaluation import evaluate

    data = Triples()
    del data.rows[3].values["word"]
    assert evaluate(predictor, data, target="right", progress=False).left_out == 1
    for row in data.rows:
        row.values.pop("word", None)
    with pytest.raises(InputError, match="None of the 12 samples"):
        evaluate(predictor, data, target="right", progress=False)


def test_what_cannot_be_evaluated(predictor):
    from omni.evaluation import evaluate

    data = Triples()
    data.rows[0].targets["class"] = 9
    with pytest.raises(InputError, match="belongs to classes 9 and 0"):
        evaluate(predictor, data, target="right", progress=False)
    with pytest.raises(InputError, match="'0' has no whole-numbered target 'colour'"):
        evaluate(predictor, data, target="right", label="colour", progress=False)
    with pytest.raises(ConfigError, match="Which slot is searched"):
        evaluate(predictor, data, query=["word"], progress=False)
    predictor.model.trained_groups = []
    with pytest.raises(ConfigError, match="records no trained group"):
        evaluate(predictor, data, progress=False)
