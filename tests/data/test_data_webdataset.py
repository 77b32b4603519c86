"""Shards: headers of every kind, fields to slots, damage told, the same samples as the webdataset library reads."""

from __future__ import annotations

import gzip
import json
import pickle
import tarfile

import numpy as np
import pytest
from shard_files import SLOTS, add, stripe_bytes, write_shard, write_shards

from omni.data.bad_items import OnBad
from omni.data.shards import Shard, count_samples, find_shards, read_shard_index, write_shard_index
from omni.data.tar_index import DamagedTar, read_members
from omni.data.webdataset import WebDatasetStream
from omni.errors import ConfigError, InputError


def numbers(samples):
    return [sample.meta["number"] for sample in samples]


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_lie_where_tarfile_says(tmp_path, format):
    path = tmp_path / "a.tar"
    long = "d" * 60 + "/" + "e" * 80 + "/" + ("f" * 60 if format == tarfile.USTAR_FORMAT else "f" * 160)
    names = ["a.bin", f"{long}.bin", "b.bin", "\u00e9.bin"]
    with tarfile.open(path, "w", format=format) as archive:
        for number, name in enumerate(names):
            more = {"mtime": 1.5, "pax_headers": {"comment": "x" * 600}} if format == tarfile.PAX_FORMAT else {}
            add(archive, name, bytes([number]) * (513 * number), **more)
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        link = tarfile.TarInfo("link.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "g" * 150 if format == tarfile.GNU_FORMAT else "a.bin"
        archive.addfile(link)
        add(archive, "last.bin", b"end")
    found = read_members(path)
    with tarfile.open(path) as archive:
        expected = [(m.name, m.offset_data, m.size) for m in archive.getmembers() if m.isreg()]
    assert [tuple(member) for member in found] == expected and len(found) == 5


def test_sizes_in_pax_headers_and_binary_sizes_count(tmp_path):
    path = tmp_path / "big.tar"
    size = 9 * 2**30  # beyond eleven octal digits; the file has a hole and takes no space
    for format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        member = tarfile.TarInfo("big.bin")
        member.size = size
        header = member.tobuf(format)
        small = tarfile.TarInfo("small.bin")
        small.size = 3
        with path.open("wb") as file:
            file.write(header)
            file.seek(len(header) + size)
            file.write(small.tobuf(format) + b"abc")
            file.truncate(file.tell() + 509 + 1024)
        first, second = read_members(path)
        assert first.size == size and (second.name, second.size) == ("small.bin", 3)
        assert Shard(path).read([second]) == [b"abc"]


def test_fields_become_slots_targets_and_metadata(toy_plugin, tmp_path):
    write_shards(tmp_path, [4])
    data = WebDatasetStream(tmp_path, **SLOTS, targets=["class"])
    first, second, *_ = data
    assert second.id == "part-000/s0001" and second.values["left"] == stripe_bytes(1) and second.values["word"] == "bab"
    assert second.targets == {"class": 1} and second.meta == {"number": 1}
    assert set(first.values) == {"left"} and len(data) == 4


def test_default_slots_and_names_of_samples(toy_plugin, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, content in {
            "x/0.left.npy": stripe_bytes(1), "x/0.stripe.npy": stripe_bytes(2), "x/0.cls": b"7",
            "x/0.json": b'{"id": "mine"}', "x/.hidden.npy": b"", "x/__meta.npy": b"", "x/1.stripe": stripe_bytes(3),
        }.items():  # fmt: skip
            add(archive, name, content)
    first, second = WebDatasetStream(tmp_path / "a.tar", modalities={"left": "stripe"})
    assert first.id == "mine" and second.id == "a/x/1" and first.targets == {"class": 7}
    assert first.values == {"left": stripe_bytes(1), "stripe": stripe_bytes(2)}
    assert second.values == {"stripe": stripe_bytes(3)}
    with pytest.raises(ConfigError, match="no field 'jpg'.*Fields: .*left.npy"):
        WebDatasetStream(tmp_path, slots={"stripe": "jpg"})
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        add(archive, "0.zzz", b"")
    with pytest.raises(ConfigError, match="none of the fields zzz is of an installed modality"):
        WebDatasetStream(tmp_path / "b.tar")


def test_the_webdataset_library_reads_the_same(toy_plugin, tmp_path):
    import webdataset

    with webdataset.TarWriter(str(tmp_path / "a.tar")) as writer:
        for number in range(7):
            writer.write({"__key__": f"d/{number}", "left.npy": stripe_bytes(number), "json": {"number": number}})
    write_shard(tmp_path / "b.tar", range(7, 12))
    ours = list(WebDatasetStream(tmp_path, slots={"left": "left.npy"}, modalities={"left": "stripe"}))
    theirs = list(webdataset.WebDataset([str(tmp_path / "a.tar"), str(tmp_path / "b.tar")], shardshuffle=False))
    assert len(ours) == len(theirs) == 12
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.values["left"] == other["left.npy"] and mine.meta == json.loads(other["json"])
        assert mine.id.partition("/")[2] == other["__key__"]


def test_damage_costs_what_comes_after_it_and_is_told(toy_plugin, tmp_path):
    write_shards(tmp_path, [6, 5])
    path = tmp_path / "part-000.tar"
    whole, cut = path.read_bytes(), read_members(path)[10].offset
    for content in (whole[:cut], whole[: cut - 512] + b"x" * 512 + whole[cut:]):
        path.write_bytes(content)
        with pytest.raises(DamagedTar, match=r"part-000\.tar.*damaged after 's0003\.json"):
            read_members(path)
        data = WebDatasetStream(tmp_path, **SLOTS)
        assert len(data) == 3 + 1 + 5
        with pytest.raises(InputError, match=r"part-000\.tar.*damaged after.*from there on are lost"):
            list(data)
        on_bad = OnBad("skip", tmp_path / "bad.jsonl")
        assert numbers(WebDatasetStream(tmp_path, **SLOTS).iterate(on_bad)) == [0, 1, 2, *range(6, 11)]
        (line,) = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
        assert line["position"] == 3 and line["id"] == "part-000/damaged"


def test_bad_members_name_shard_sample_and_slot(toy_plugin, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, content in {"0.json": b"[1]", "1.json": b"{", "2.cls": b"cat", "3.txt": b"\xff"}.items():
            add(archive, name, content)
    on_bad = OnBad("skip", tmp_path / "bad.jsonl")
    data = WebDatasetStream(tmp_path, slots={"word": "txt"})
    assert list(data.iterate(on_bad)) == [] and on_bad.count == 4
    lines = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == ["a/0", "a/1", "a/2", "a/3"]
    for line, reason in zip(lines, ["must be an object", "not JSON", "no whole number", "'word'.*'txt'"], strict=True):
        assert __import__("re").search(reason, line["reason"])


def test_what_is_no_shard_is_refused(toy_plugin, tmp_path):
    with pytest.raises(InputError, match="holds no .tar files"):
        find_shards(tmp_path)
    with pytest.raises(InputError, match="No shard .*x-{1}"):
        find_shards(tmp_path / "x-{1}.tar")
    with pytest.raises(InputError, match="is not a file"):
        find_shards("https://example.org/a.tar")
    write_shard(tmp_path / "a.tar", range(2))
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress((tmp_path / "a.tar").read_bytes()))
    with pytest.raises(InputError, match="compressed .gzip."):
        read_members(tmp_path / "a.tar.gz")
    with tarfile.open(tmp_path / "twice.tar", "w") as archive:
        add(archive, "0.txt", b"a")
        add(archive, "0.TXT", b"b")
    with pytest.raises(InputError, match="'0' has the field 'txt' twice"):
        Shard(tmp_path / "twice.tar")
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    with pytest.raises(InputError, match="hold no samples"):
        WebDatasetStream(tmp_path / "empty.tar")


def test_patterns(tmp_path):
    for name in ("a-00.tar", "a-01.tar", "a-02.tar", "b-1.tar", "c-x.tar"):
        (tmp_path / name).touch()

    def found(pattern):
        return [path.name for path in find_shards(pattern)]

    assert found(str(tmp_path / "a-{00..01}.tar")) == ["a-00.tar", "a-01.tar"]
    assert found(str(tmp_path / "{b-1,c-x}.tar")) == ["b-1.tar", "c-x.tar"]
    assert found(str(tmp_path / "a-*.tar")) == ["a-00.tar", "a-01.tar", "a-02.tar"]
    assert found([tmp_path / "c-x.tar", str(tmp_path / "[bc]-?.tar")]) == ["c-x.tar", "b-1.tar"]
    assert len(found(tmp_path)) == 5


def test_the_index_saves_counting_and_cannot_lie(toy_plugin, tmp_path):
    write_shards(tmp_path, [3, 4])
    paths = find_shards(tmp_path)
    write_shard_index(tmp_path, {"part-000.tar": 3, "part-001.tar": 5})
    assert read_shard_index(tmp_path)["part-000.tar"] == (3, paths[0].stat().st_size)
    assert count_samples(paths) == [3, 5]
    with pytest.raises(InputError, match="holds 4 samples, and 5 were counted.*index.json"):
        list(WebDatasetStream(tmp_path, **SLOTS))
    write_shard(paths[1], range(9))  # of another size than the index says
    assert count_samples(paths) == [3, 9]
    (tmp_path / "index.json").write_text('{"__kind__": "wids-shard-index-v1"}')
    with pytest.raises(ConfigError, match="malformed.*Delete it"):
        count_samples(paths)


def test_survives_pickling_and_many_shards(toy_plugin, tmp_path, monkeypatch):
    monkeypatch.setattr("omni.data.webdataset.OPEN_SHARDS", 2)
    write_shards(tmp_path, [2] * 5)
    data = WebDatasetStream(tmp_path, **SLOTS, shuffle=6, seed=1)
    first = numbers(data)
    assert sorted(first) == list(range(10)) and len(data._opened) == 2
    again = pickle.loads(pickle.dumps(data))
    assert again.epoch == 1
    assert numbers(again) == numbers(data) != first


def test_shrinking_under_the_run_is_told(toy_plugin, tmp_path):
    write_shards(tmp_path, [3])
    data = WebDatasetStream(tmp_path, **SLOTS)
    stream = iter(data)
    next(stream)
    with (tmp_path / "part-000.tar").open("r+b") as file:
        file.truncate(600)
    with pytest.raises(InputError, match="has become shorter"):
        next(stream)


def test_lengths_come_from_headers(toy_plugin, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number, size in enumerate((4, 16, 8)):
            add(archive, f"{number}.npy", stripe_bytes(1, size))
        add(archive, "3.txt", b"abc")
    data = WebDatasetStream(tmp_path, slots={"stripe": "npy", "word": "txt"})
    sizes = [data.cheap_length(ticket, "stripe") for ticket in data.tickets(0)]
    assert (np.diff(sizes[:3]) == [48, -32]).all() and sizes[3] == 0
    with pytest.raises(ConfigError, match="bytes of a slot .stripe, word."):
        data.cheap_length((0, 0), "audio")
