"""omni embed and omni index of data sets and shards, with bad items, going on after a stop."""

from __future__ import annotations

import json

import numpy as np
import pytest

from omni.errors import ConfigError, InputError


def test_embed_a_manifest_and_its_shards_give_the_same_numbers(run, manifest, model, tmp_path):
    out = run("embed", model, "--manifest", manifest, "-o", tmp_path / "a.npz", "--on-bad", "skip")
    assert "left: 20 x 16, 2 of them NaN" in out and "word: 20 x 16, 4 of them NaN" in out and "2 bad items" in out
    listed = [json.loads(line) for line in (tmp_path / "a.npz.bad.jsonl").read_text().splitlines()]
    assert [item["position"] for item in listed] == [7, 12]
    made = np.load(tmp_path / "a.npz")
    assert made["ids"].tolist() == [f"item {index}" for index in range(20)] and "right" not in made.files
    run("data", "shard", manifest, "--slot", "left=stripe", "--slot", "word", "-o", tmp_path / "s", "--on-bad", "skip",
        "--shard-samples", 8)  # fmt: skip
    run("embed", model, "--dataset", tmp_path / "s", "-o", tmp_path / "b.npz", "--on-bad", "skip")
    shards = np.load(tmp_path / "b.npz")
    kept = [index for index in range(20) if index != 12]
    assert shards["ids"].tolist() == made["ids"][kept].tolist()
    for slot in ("left", "word"):
        np.testing.assert_allclose(shards[slot], made[slot][kept], atol=1e-5)


def test_embed_stops_at_a_bad_item_by_default(run, manifest, model, tmp_path):
    with pytest.raises(InputError, match="item 7.*at least 4 numbers"):
        run("embed", model, "--manifest", manifest, "-o", tmp_path / "a.npz")
    assert not (tmp_path / "a.npz").exists()
    out = run("embed", model, "--manifest", manifest, "-o", tmp_path / "a.npz", "--on-bad", "skip")
    assert "went on with the parts" in out
    with pytest.raises(ConfigError, match="on_bad is 'ignore'"):
        run("embed", model, "--manifest", manifest, "-o", tmp_path / "a.npz", "--on-bad", "ignore")


def test_a_manifest_that_changed_is_noticed(run, manifest, model, tmp_path):
    with pytest.raises(InputError, match="item 7"):
        run("embed", model, "--manifest", manifest, "-o", tmp_path / "a.npz")
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join(lines[1:]))
    with pytest.raises(ConfigError, match="not this one .*--restart"):
        run("embed", model, "--manifest", manifest, "-o", tmp_path / "a.npz", "--on-bad", "skip")
    run("embed", model, "--manifest", manifest, "-o", tmp_path / "a.npz", "--on-bad", "skip", "--restart")
    assert len(np.load(tmp_path / "a.npz")["ids"]) == 19


def test_embed_a_registered_data_set(run, toy_plugin, tmp_path):
    from toy_models import toy_predictor

    slots = {"stripe": "stripe", "word": "word"}
    folder = toy_predictor(("cosine", "stripe", "word"), slots=slots).save(tmp_path / "m")
    run("embed", folder, "--dataset", "toy_pairs", "--option", "split=val", "-o", tmp_path / "a.safetensors")
    from safetensors import safe_open

    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert json.loads(file.metadata()["ids"]) == [f"val-{index}" for index in range(8)]
        assert sorted(file.keys()) == ["stripe", "word"]


def test_index_leaves_bad_items_out_and_keeps_names_and_metadata(run, manifest, model, tmp_path):
    with pytest.raises(InputError, match="item 7"):
        run("index", model, "--manifest", manifest, "--slot", "left", "-o", tmp_path / "g")
    out = run("index", model, "--manifest", manifest, "--slot", "left", "-o", tmp_path / "g", "--on-bad", "skip")
    assert "2 bad items left out" in out and "18 x 16 of left" in out
    assert [json.loads(line)["position"] for line in (tmp_path / "g.bad.jsonl").read_text().splitlines()] == [7, 12]
    found = json.loads(run("search", tmp_path / "g", "--left", tmp_path / "files/13.npy", "-k", 1, "--json"))
    assert found[0]["id"] == "item 13" and found[0]["metadata"]["colour"] == "blue"
    assert found[0]["metadata"]["left"].endswith("files/13.npy") and found[0]["score"] == pytest.approx(1, abs=1e-5)
    assert not (tmp_path / "g.parts").exists()


def test_index_items_of_several_slots_and_of_another_kind(run, manifest, model, tmp_path):
    from omni.index import Index

    run("index", model, "--manifest", manifest, "--slot", "left", "--slot", "word", "-o", tmp_path / "g", "--on-bad",
        "skip", "--kind", "flat")  # fmt: skip
    opened = Index.load(tmp_path / "g")
    assert opened.slots == ("left", "word") and len(opened) == 20  # items 7 and 12 have a word
    assert np.flatnonzero(np.isnan(opened.embeddings("left").numpy()).any(1)).tolist() == [7, 12]
    with pytest.raises(ConfigError, match="kind"):
        run("index", model, "--manifest", manifest, "--slot", "left", "-o", tmp_path / "h", "--kind", "tree")


def test_index_mistakes_are_explained(run, manifest, model, tmp_path):
    out = ("-o", tmp_path / "g")
    with pytest.raises(InputError, match="--slot: unknown slot 'lft'.*Did you mean 'left'"):
        run("index", model, "--manifest", manifest, "--slot", "lft", *out)
    with pytest.raises(InputError, match="no column called like a slot"):
        run("index", model, "--manifest", manifest, "--slot", "right", *out)
    with pytest.raises(InputError, match="one slot, not of 2"):
        run("index", model, "--left", "a.npy", "--word", "cat", *out)
    with pytest.raises(InputError, match="Give one slot"):
        run("index", model, "--manifest", manifest, *out)
    with pytest.raises(ConfigError, match="no setting 'splt'.*Did you mean 'split'"):
        run("embed", model, "--dataset", "toy_pairs", "--option", "splt=val", "-o", tmp_path / "a.npz")
    run("index", model, "--word", "cat", "dog", "cat", *out)
    assert json.loads(run("search", tmp_path / "g", "--word", "dog", "-k", 1, "--json"))[0]["id"] == "1"
