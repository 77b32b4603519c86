"""The policy for bad items: who stops, who is counted, what the list says after a kill."""

from __future__ import annotations

import json

import pytest

from omni.data.bad_items import OnBad
from omni.data.processor import Processor
from omni.errors import ConfigError, InputError
from omni.types import Sample


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_raise_raises_and_writes_nothing(tmp_path):
    on_bad = OnBad("raise", tmp_path / "bad.jsonl")
    with pytest.raises(InputError, match="torn"), on_bad.guard("a", 0):
        raise InputError("torn")
    assert on_bad.count == 0 and on_bad.summary() == "" and not (tmp_path / "bad.jsonl").exists()


def test_skip_counts_and_lists_each_item_once(toy_plugin, tmp_path):
    processor = Processor({"left": {"modality": "stripe"}, "word": {}})
    on_bad = OnBad("skip", tmp_path / "lists" / "bad.jsonl")
    samples = [
        Sample(id="a", values={"word": "cat"}),
        Sample(id="b", values={"left": tmp_path / "gone.npy"}),
        Sample(id="c", values={"left": [1.0]}),
    ]
    good = []
    for _ in range(2):
        for index, sample in enumerate(samples):
            with on_bad.guard(sample.id, index) as outcome:
                good.append((index, list(processor(sample))))
            assert (outcome.bad is None) == (sample.id == "a")
    assert good == [(0, ["word"])] * 2 and on_bad.count == 2 and on_bad.times == 4
    first, second = lines(tmp_path / "lists" / "bad.jsonl")
    assert first["position"] == 1 and first["id"] == "b" and first["slot"] == "left" and "gone.npy" in first["reason"]
    assert second["id"] == "c" and "at least 4" in second["reason"]
    assert "2 bad items left out" in on_bad.summary() and "gone.npy" in on_bad.summary()


def test_other_errors_are_no_bad_items(tmp_path):
    with pytest.raises(ZeroDivisionError), OnBad("skip").guard("a"):
        print(1 / 0)
    with pytest.raises(ConfigError, match="on_bad is 'ignore'"):
        OnBad("ignore")


def test_going_on_takes_up_the_list_and_drops_a_torn_line(tmp_path):
    path = tmp_path / "bad.jsonl"
    first = OnBad("skip", path)
    first.record("why", sample_id="a", index=3)
    first.record("too", sample_id="b", index=4, slot="left")
    path.write_bytes(path.read_bytes() + b'{"position": 5, "id"')
    again = OnBad("skip", path, resume=True)
    assert again.count == 2 and again.times == 0
    again.record("too", sample_id="b", index=4, slot="left")
    again.record("three", sample_id="c", index=5)
    assert again.count == 3 and [line["id"] for line in lines(path)] == ["a", "b", "c"]
    assert OnBad("skip", path).count == 0 and not path.exists()
