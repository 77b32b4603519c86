"""Retrieval in every direction, with several right candidates, against loops in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from worlds import Captions, Classes

from omni.errors import ConfigError, InputError
from omni.evaluation import Bootstrap, RetrievalSettings, encode_samples, evaluate, evaluate_directions
from omni.evaluation import encoded as encoding


def unit(value):
    return value / np.linalg.norm(value)


def score(kind, query, candidate):
    """One candidate, float64: what the name of the score says."""
    query = [part.double().numpy() for part in query]
    candidate = candidate.double().numpy()
    if kind == "multilinear":
        return float(np.prod([*query, candidate], axis=0).sum())
    return float(sum(unit(part) @ unit(candidate) for part in query))


def slow(predictor, samples, query, target, kind):
    """name -> number, by loops over distinct queries and candidates."""
    samples = [s for s in samples if all(slot in s.values for slot in (*query, target))]

    def name(sample, slot):
        return sample.keys.get(slot, f"{slot} of {sample.id}")

    vectors = {
        (slot, name(s, slot)): predictor.encode(**{slot: [s.values[slot]]}, progress=False)[slot][0]
        for s in samples
        for slot in (*query, target)
    }
    right: dict[tuple, set] = {}
    for s in samples:
        right.setdefault(tuple(name(s, slot) for slot in query), set()).add(name(s, target))
    candidates = {name(s, target) for s in samples}
    best, precision = [], []
    for names, good in right.items():
        parts = [vectors[slot, key] for slot, key in zip(query, names, strict=True)]
        scores = {key: score(kind, parts, vectors[target, key]) for key in candidates}
        order = sorted(candidates, key=lambda key: -scores[key])
        places = [place for place, key in enumerate(order, 1) if key in good]
        best.append(places[0])
        precision.append(np.mean([(i + 1) / place for i, place in enumerate(places)]))
    return {
        "r1": np.mean([rank <= 1 for rank in best]),
        "r2": np.mean([rank <= 2 for rank in best]),
        "map": np.mean(precision),
        "median_rank": np.median(best),
        "queries": len(best),
        "candidates": len(candidates),
        "positives": np.mean([len(good) for good in right.values()]),
    }


def test_every_direction_against_loops(predictor):
    data = Captions()
    encoded = encode_samples(predictor, data, predictor.slots, progress=False)
    settings = RetrievalSettings(ks=(1, 2), label=None)
    found = {item.title: item for item in evaluate_directions(predictor, encoded, None, settings)}
    assert set(found) == {
        "right + word -> left",
        "left + word -> right",
        "left + right -> word",
        "word -> left",
        "left -> word",
    }
    for item in found.values():
        expected = slow(predictor, data.rows, item.query, item.target, item.score)
        facts = item.to_dict()
        for name, value in expected.items():
            assert facts[name] == pytest.approx(value, abs=1e-9), (item.title, name)
        assert set(facts["intervals"]) == {"r1", "r2", "map", "median_rank"}
        assert item.left_out == (1 if "right" in (*item.query, item.target) else 0)
        assert list(item.curve)[-1] == item.numbers.candidates and item.curve[item.numbers.candidates] == 1.0
    assert found["left -> word"].numbers.positives == 3 and found["word -> left"].numbers.queries == 8
    one = evaluate(predictor, data, query=["left"], target="word", label=None, ks=(1, 2), progress=False)
    assert one == found["left -> word"]


def test_the_size_of_the_parts_changes_nothing(predictor, monkeypatch):
    data = Captions()
    whole = evaluate(predictor, data, query=["word"], target="left", progress=False)
    monkeypatch.setattr(encoding, "PART", 5)
    assert evaluate(predictor, data, query=["word"], target="left", progress=False) == whole
    assert evaluate(predictor, iter(data.rows), query=["word"], target="left", progress=False) == whole


def test_every_value_goes_through_the_model_once(predictor, monkeypatch):
    seen = []
    encode = predictor.model.encode
    monkeypatch.setattr(
        predictor.model,
        "encode",
        lambda slot, inputs: seen.append((slot, len(inputs["valid_BL"]))) or encode(slot, inputs),
    )
    monkeypatch.setattr(encoding, "PART", 5)
    encode_samples(predictor, Captions(), predictor.slots, progress=False)
    count = {slot: sum(size for name, size in seen if name == slot) for slot in predictor.slots}
    assert count == {"left": 4, "word": 8, "right": 11}


def test_items_of_a_class(predictor):
    data = Classes()
    items = evaluate(predictor, data, query=["word"], target="left", candidates="items", ks=(1,), progress=False)
    assert items.candidates == "items" and items.numbers.candidates == 40 and items.numbers.positives == 10
    z = predictor.encode(word=[s.values["word"] for s in data.rows], left=[s.values["left"] for s in data.rows])
    scores = torch.nn.functional.normalize(z["word"]) @ torch.nn.functional.normalize(z["left"]).T
    labels = torch.tensor([int(s.targets["class"]) for s in data.rows])
    assert items.numbers.recall[1] == pytest.approx(float((labels[scores.argmax(1)] == labels).double().mean()))
    means = evaluate(predictor, data, query=["word"], target="left", ks=(1,), progress=False)
    assert means.candidates == "classes" and means.numbers.candidates == 4
    for wrong in ({"candidates": "all"}, {"candidates": "classes", "label": None}, {"ks": (0,)}):
        with pytest.raises(ConfigError):
            evaluate(predictor, data, query=["word"], target="left", progress=False, **wrong)


def test_values_of_several_classes_are_searched_for_the_samples_own(predictor):
    """A word that stands in two classes makes no class of words; the other direction still has classes."""
    data = Classes()
    for sample in data.rows[::8]:
        sample.values["word"] = sample.keys["word"] = "cow"
    data.rows[1].values["word"] = data.rows[1].keys["word"] = "cow"
    encoded = encode_samples(predictor, data, ["left", "word"], progress=False)
    predictor.model.trained_groups = predictor.model.trained_groups[1:]
    found = {item.title: item for item in evaluate_directions(predictor, encoded, None, RetrievalSettings())}
    assert found["left -> word"].by_label == "" and found["word -> left"].by_label == "class"
    with pytest.raises(InputError, match="belongs to classes"):
        evaluate_directions(predictor, encoded, None, RetrievalSettings(label="class"))


@pytest.mark.parametrize("label", [None, "class"])
def test_a_constant_model_scores_nothing(predictor, label):
    encoded = encode_samples(predictor, Classes(), predictor.slots, progress=False)
    for slot, value in encoded.embeddings.items():
        encoded.embeddings[slot] = value[:1].expand(len(value), -1).contiguous()
    for item in evaluate_directions(predictor, encoded, None, RetrievalSettings(label=label, ks=(1, 2))):
        assert item.numbers.recall[1] == 0.0, item.title
        assert item.numbers.median_rank > item.numbers.candidates / 2


def test_queries_that_share_a_candidate_are_drawn_together(predictor):
    """Forty words of four pictures: the interval is that of four, not of forty."""
    data = Classes()
    for number, sample in enumerate(data.rows):
        sample.keys["left"], sample.values["left"] = f"p{number % 4}", data.rows[number % 4].values["left"]
        sample.values["word"] = sample.keys["word"] = "abcd"[number % 4] * (1 + number // 4)
    found = evaluate(predictor, data, query=["word"], target="left", label=None, ks=(1,), progress=False)
    apart = evaluate(predictor, data, query=["word"], target="left", label="class", ks=(1,), progress=False)
    width = [i.numbers.intervals["r1"].high - i.numbers.intervals["r1"].low for i in (found, apart)]
    assert width[0] > 1.5 * width[1]
    none = evaluate(predictor, data, query=["word"], target="left", bootstrap=Bootstrap(resamples=0), progress=False)
    assert none.numbers.intervals == {}
