"""omni data list, show, build, check, shard."""

from __future__ import annotations

import base64
import json
import re
import tarfile

import numpy as np
import pytest

from omni.errors import ConfigError, InputError, UnknownComponentError


def test_list(run, toy_plugin):
    rows = {row["name"]: row for row in json.loads(run("data", "list", "--json"))}
    assert rows["toy_pairs"]["slots"] == {"stripe": "stripe", "word": "word"} and rows["toy_pairs"]["plugin"]
    assert "manifest" in rows and not rows["manifest"]["build"]
    assert "toy_pairs" in run("data", "list")


def test_check_reports_every_bad_item_with_its_reason(run, manifest):
    out = run("data", "check", manifest, "--slot", "left=stripe", "--slot", "word", code=1)
    assert "20 samples, 2 bad" in out and "left: 20 values" in out and "word: 16 values, 4 missing" in out
    assert re.search(r"^7  item 7: .*at least 4 numbers", out, re.M)
    assert re.search(r"^12  item 12: .*no file .*12\.npy", out, re.M)
    facts = json.loads(run("data", "check", manifest, "--slot", "left=stripe", "--json", "-q", code=1))
    assert not facts["ok"] and facts["samples"] == 20 and facts["values"] == {"left": 20}
    assert [(item["position"], item["id"], item["slot"]) for item in facts["bad"]] == [
        (7, "item 7", "left"), (12, "item 12", "left"),
    ]  # fmt: skip


def test_check_of_sound_data(run, manifest, model):
    full = [line for line in manifest.read_text().splitlines() if "word" in line]
    manifest.with_name("full.jsonl").write_text("\n".join(full))
    out = run("data", "check", manifest.with_name("full.jsonl"))  # "word" alone is called like a modality
    assert "16 samples, none bad" in out
    assert "8 samples, none bad" in run("data", "check", "toy_pairs", "--option", "split=val")
    out = run("data", "check", manifest, "--model", model, code=1)  # the model says what "left" is
    assert "2 bad" in out and "left: 20 values" in out


def test_check_goes_on_after_malformed_rows_and_finds_repeated_ids_and_empty_samples(run, toy_plugin, tmp_path):
    lines = ['{"id": "a", "word": "cat"}', "{broken", '{"id": "b", "word": "dog"}', "", '["list"]',
             '{"id": "a", "word": "!"}', '{"id": "c"}']  # fmt: skip
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    facts = json.loads(run("data", "check", tmp_path / "m.jsonl", "--json", code=1))
    assert facts["samples"] == 6 and facts["values"] == {"word": 3} and facts["missing"] == {"word": 1}
    told = {(item["position"], item["id"]): item["reason"] for item in facts["bad"]}
    assert "line 2: not JSON" in told[1, "#1"] and "line 5: a list" in told[3, "#3"]
    reasons = [item["reason"] for item in facts["bad"] if item["position"] == 4]
    assert any("no letter" in reason for reason in reasons) and any("position 0" in reason for reason in reasons)
    assert told[5, "c"] == "it has no value in any slot"
    (tmp_path / "m.csv").write_text("id,word\na,cat\nb,dog,extra\nc,horse\n")
    out = run("data", "check", tmp_path / "m.csv", code=1)
    assert "line 3: 3 fields, but the header names 2" in out and "3 samples, 1 bad" in out


def test_check_of_several_sources_looks_at_all(run, manifest, tmp_path):
    (tmp_path / "good.jsonl").write_text('{"word": "cat"}\n{"word": "dog"}\n')
    run("data", "shard", "toy_pairs", "-o", tmp_path / "shards", "-q")
    sound = [tmp_path / "good.jsonl", "toy_pairs", tmp_path / "shards"]
    out = run("data", "check", *sound, "-q")
    assert out.count("samples, none bad") == 3 and out.endswith("3 sources, none bad\n")
    assert [line[:-1] for line in out.splitlines() if line.endswith(":")] == [str(source) for source in sound]
    out = run("data", "check", tmp_path / "nowhere.csv", manifest, "toy_pears", sound[0], "--slot", "word", code=1)
    assert re.search(r"nowhere.csv:\nNo manifest|nowhere.csv:\n.*nowhere.csv", out)
    assert "toy_pears:\n" in out and "toy_pairs" in out and "4 sources, 3 bad" in out and "2 samples, none bad" in out
    facts = json.loads(run("data", "check", manifest, sound[0], "--slot", "left=stripe", "--json", "-q", code=1))
    assert not facts["ok"] and [row["source"] for row in facts["sources"]] == [str(manifest), str(sound[0])]
    assert len(facts["sources"][0]["bad"]) == 2 and "left" in facts["sources"][1]["error"]
    facts = json.loads(run("data", "check", sound[0], "toy_pairs", "--json", "-q"))
    assert facts["ok"] and [row["samples"] for row in facts["sources"]] == [2, 8]
    with pytest.raises(InputError, match="nowhere"):
        run("data", "check", tmp_path / "nowhere.csv")


def test_check_of_a_data_set_without_samples_fails(run, toy_plugin, tmp_path):
    (tmp_path / "m.csv").write_text("id,word\n")
    assert "0 samples" in run("data", "check", tmp_path / "m.csv", code=1)


def test_show_writes_a_page_with_curves_text_and_what_is_bad(run, manifest, tmp_path):
    page = tmp_path / "sheet.html"
    out = run("data", "show", manifest, "--slot", "left=stripe", "--slot", "word", "-o", page, "-n", 20)
    text = page.read_text()
    assert text.count("<article>") == 20 and text.count("<polyline") == 19 and text.count('class="none"') == 4
    assert text.count('class="bad"') == 1 and "no file" in text and "item 12: " in out
    assert "<h3>word</h3><p>ab</p>" in text and "colour red" in text
    run("data", "show", "toy_pairs", "-o", page, "-n", 3)
    assert re.findall(r"<h2>(.*?)</h2>", page.read_text()) == ["test-0", "test-4", "test-7"]
    (tmp_path / "m.jsonl").write_text('{"word": "<script>alert(1)</script>"}\n')
    run("data", "show", tmp_path / "m.jsonl", "-o", page)
    assert "<script>" not in page.read_text() and "&lt;script&gt;" in page.read_text()


def test_show_embeds_pictures_and_playable_sound(run, tmp_path):
    image, soundfile = pytest.importorskip("PIL.Image"), pytest.importorskip("soundfile")
    from omni.plugin.catalog import get_catalog

    if not {"image", "audio"} <= set(get_catalog().names("modality")):
        pytest.skip("the image and audio plugins are not installed")
    import io

    image.new("RGB", (640, 320), (200, 30, 30)).save(tmp_path / "a.png")
    soundfile.write(tmp_path / "a.wav", np.sin(np.arange(16000) * 0.1).astype(np.float32), 16000)
    soundfile.write(tmp_path / "b.aiff", np.sin(np.arange(8000) * 0.1).astype(np.float32), 8000)
    rows = [{"image": "a.png", "audio": "a.wav"}, {"audio": "b.aiff"}]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run("data", "show", tmp_path / "m.jsonl", "-o", tmp_path / "sheet.html")
    text = (tmp_path / "sheet.html").read_text()
    (picture,) = re.findall(r'<img [^>]*src="data:image/png;base64,([^"]+)"', text)
    assert image.open(io.BytesIO(base64.b64decode(picture))).size == (240, 120)
    first, second = re.findall(r'<audio [^>]*src="data:audio/wav;base64,([^"]+)"', text)
    assert base64.b64decode(first) == (tmp_path / "a.wav").read_bytes()  # the file itself
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(second)))  # made playable
    assert len(samples) / rate == pytest.approx(1.0, abs=0.01) and "1.00 s" in text


def test_build_calls_the_builder_with_what_follows(run, toy_plugin, monkeypatch, tmp_path):
    import types

    from omni.plugin import catalog
    from omni.plugin.hookspecs import hookimpl
    from omni.plugin.specs import DatasetSpec, PluginInfo

    plugin = types.ModuleType("built_plugin")

    @hookimpl
    def omni_plugin_info():
        return PluginInfo(name="built")

    @hookimpl
    def omni_datasets():
        spec = {"modalities": (("word", "word"),), "build": "built_here:main"}
        return [DatasetSpec(name="built_set", target="toy_modalities:ToyPairs", **spec)]

    plugin.omni_plugin_info, plugin.omni_datasets = omni_plugin_info, omni_datasets
    catalog.register(plugin, "built")
    (tmp_path / "built_here.py").write_text(
        "calls = []\ndef main(argv):\n    calls.append(argv)\n    return len(argv) - 2\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    run("data", "build", "built_set", "--out", "folder")
    import built_here

    assert built_here.calls == [["--out", "folder"]]
    run("data", "build", "built_set", "--help", "a", "b", code=1)
    assert built_here.calls[1] == ["--help", "a", "b"]
    out = run("data", "build", "--help")
    assert "Usage: omni data build" in out and re.search(r"^Built here: .*built_set", out, re.M)
    with pytest.raises(ConfigError, match="not built here.*built_set"):
        run("data", "build", "toy_pairs")
    with pytest.raises(UnknownComponentError, match="built_set"):
        run("data", "build", "bilt_set")


def test_shards_are_the_same_bytes_and_read_back(run, manifest, tmp_path):
    from omni.data.webdataset import WebDatasetStream

    command = ("data", "shard", manifest, "--slot", "left=stripe", "--slot", "word", "--on-bad", "skip")
    out = run(*command, "-o", tmp_path / "a", "--shard-samples", 6)
    assert "4 shards, 19 samples" in out and "1 bad item left out" in out
    run(*command, "-o", tmp_path / "b", "--shard-samples", 6)
    for name in ("m-000000.tar", "m-000001.tar", "m-000002.tar", "m-000003.tar", "index.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    with tarfile.open(tmp_path / "a/m-000000.tar") as archive:
        assert archive.getnames()[:5] == [
            "000000000.left.npy", "000000000.json", "000000001.left.npy", "000000001.word.txt", "000000001.json",
        ]  # fmt: skip
    (listed,) = [json.loads(line) for line in (tmp_path / "a/bad.jsonl").read_text().splitlines()]
    assert (listed["position"], listed["id"], listed["slot"]) == (12, "item 12", "left")
    samples = list(WebDatasetStream(tmp_path / "a", modalities={"left": "stripe"}))
    assert [sample.id for sample in samples] == [f"item {index}" for index in range(20) if index != 12]
    assert samples[3].values["left"] == (tmp_path / "files/3.npy").read_bytes() and samples[3].values["word"] == "abcd"
    assert samples[3].meta["colour"] == "blue"
    (listing,) = re.findall(r"Written: (.*) MB", out)
    assert listing.startswith("4 shards")


def test_shards_of_a_registered_data_set_carry_arrays_and_targets(run, toy_plugin, tmp_path):
    from omni.data.webdataset import WebDatasetStream

    run("data", "shard", "toy_pairs", "-o", tmp_path / "s", "--option", "split=val", "--shard-mb", "0.001")
    assert len(list((tmp_path / "s").glob("toy_pairs-*.tar"))) > 1
    samples = list(WebDatasetStream(tmp_path / "s", targets=["class"]))
    original = [toy_plugin.ToyPairs("val")[index] for index in range(8)]
    assert [(s.id, s.targets, s.values["word"]) for s in samples] == [
        (s.id, s.targets, s.values["word"]) for s in original
    ]
    for mine, theirs in zip(samples, original, strict=True):
        np.testing.assert_array_equal(toy_plugin.load_stripe(mine.values["stripe"]), theirs.values["stripe"])


def test_sharding_goes_on_after_a_stop_and_refuses_what_is_there(toy_plugin, tmp_path):
    from omni.data.sharding import write_shards

    class Pairs(toy_plugin.ToyPairs):
        stop, reads = None, ()

        def __getitem__(self, index):
            if index == self.stop:
                raise KeyboardInterrupt
            self.reads += (index,)
            return super().__getitem__(index)

    slots = {"stripe": "stripe", "word": "word"}
    write_shards(Pairs(), tmp_path / "whole", slots, shard_samples=2)
    for stop in (3, 5):
        halted = Pairs()
        halted.stop = stop
        with pytest.raises(KeyboardInterrupt):
            write_shards(halted, tmp_path / "parts", slots, shard_samples=2)
    with pytest.raises(ConfigError, match="not this one .other: samples"):
        write_shards(Pairs(), tmp_path / "parts", slots, shard_samples=3)
    rest = Pairs()
    assert write_shards(rest, tmp_path / "parts", slots, shard_samples=2).went_on
    assert rest.reads == (4, 5, 6, 7)
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "parts").iterdir())
    assert all((tmp_path / "whole" / n).read_bytes() == (tmp_path / "parts" / n).read_bytes() for n in names)
    with pytest.raises(ConfigError, match="holds shards already"):
        write_shards(Pairs(), tmp_path / "parts", slots)
    write_shards(Pairs(), tmp_path / "parts", slots, restart=True)
    assert len(list((tmp_path / "parts").glob("*.tar"))) == 1


def test_sharding_what_is_no_file_is_refused_by_name(toy_plugin, tmp_path):
    from omni.data.sharding import write_shards
    from omni.types import Sample

    samples = [Sample(id="odd", values={"stripe": object()})]
    with pytest.raises(InputError, match="'odd'.*'stripe'.*object cannot be made a file that stripe reads .*npy"):
        write_shards(samples, tmp_path / "s", {"stripe": "stripe"})


def test_sound_with_a_rate_becomes_the_same_wav_every_time(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    import io

    from omni.data.members import wav_file

    wave = np.sin(np.arange(2000) * 0.05)
    for samples in (wave.astype(np.float32), (wave * 32767).astype(np.int16), np.stack([wave, -wave], 1)):
        content = wav_file(samples, 8000)
        assert content == wav_file(samples, 8000)
        back, rate = soundfile.read(io.BytesIO(content), dtype=samples.dtype.name)
        assert rate == 8000
        np.testing.assert_allclose(back, samples, atol=1e-7)
