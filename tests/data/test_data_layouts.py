"""The base of published layouts: what is read, what is refused and what the refusal says."""

from __future__ import annotations

import gzip
import pickle

import numpy as np
import pytest

from omni.data.layouts import CaptionedLayout, PublishedLayout
from omni.data.manifest import TableRows
from omni.errors import ConfigError, InputError
from omni.types import Sample


class Rows(PublishedLayout):
    """A table, and a file for each row."""

    name = "rows"
    splits = ("train", "test")

    def __init__(self, root, *, split="train", missing="raise"):
        super().__init__(root, split=split, missing=missing)
        table = self.table(self.find_file(f"{split}.csv", f"{split}.csv.gz", what="the table"), columns=("file", "n"))
        self.keep((row["file"], row) for row in table)

    def sample(self, name, record):
        values = {"stripe": self.inside("media", record["file"]), "word": "w" + record["n"]}
        return Sample(id=name, values=values, targets={"n": self.number(record["n"], where=name)})


@pytest.fixture
def root(tmp_path):
    (tmp_path / "media").mkdir()
    for name in ("a.npy", "b.npy"):
        np.save(tmp_path / "media" / name, np.zeros(3))
    (tmp_path / "train.csv").write_text("file,n\na.npy,1\ngone.npy,2\nb.npy,3\n")
    return tmp_path


def test_samples_and_missing_files(root):
    data = Rows(root)
    assert len(data) == 3 and data.skipped == 0 and data.ids == ["a.npy", "gone.npy", "b.npy"]
    assert data[0] == data[-3] and data[0].targets == {"n": 1}
    assert data[0].keys == {"stripe": str(root / "media" / "a.npy"), "word": "w1"}
    with pytest.raises(InputError, match=r"rows: the sample 'gone.npy' needs '.*media/gone.npy', which is not there"):
        data[1]
    with pytest.raises(IndexError, match="has 3 samples"):
        data[3]
    left = Rows(root, missing="skip")
    assert left.ids == ["a.npy", "b.npy"] and left.skipped == 1
    assert pickle.loads(pickle.dumps(left))[1].id == "b.npy"  # worker processes get it so


def test_options_that_cannot_be_meant(root):
    with pytest.raises(ConfigError, match="split is 'tset'.*'train', 'test'.*test"):
        Rows(root, split="tset")
    with pytest.raises(ConfigError, match="missing is 'ignore'"):
        Rows(root, missing="ignore")


def test_what_is_not_there_is_named(root):
    with pytest.raises(InputError, match="rows: '.*nowhere' is no folder"):
        Rows(root / "nowhere")
    with pytest.raises(InputError, match="is a file, and the folder of the data set is wanted"):
        Rows(root / "train.csv")
    with pytest.raises(InputError, match=r"no file 'test.csv' or 'test.csv.gz' in .* \(the table\)"):
        Rows(root, split="test")


def test_a_layout_of_the_catalog_says_how_it_is_obtained(toy_plugin, root, monkeypatch):
    from omni.plugin import DatasetSpec, catalog, hookimpl

    class Plugin:
        @hookimpl
        def omni_datasets(self):
            return [DatasetSpec(name="rows", target="omni.data.layouts:PublishedLayout", modalities=(("word", "word"),),
                                license="CC0-1.0", obtained="ask at rows.example.org.")]  # fmt: skip

        @hookimpl
        def omni_plugin_info(self):
            from omni.plugin import PluginInfo

            return PluginInfo(name="rows_plugin", summary="rows")

    assert Rows(root).terms == []
    catalog.register(Plugin(), "rows_plugin")
    assert Rows(root).terms == [{"data": "rows", "license": "CC0-1.0", "publish": True}]
    monkeypatch.setattr(Rows, "barred", "it may not be passed on")
    barred = {"data": "rows", "license": "CC0-1.0", "publish": False, "why": "it may not be passed on"}
    assert Rows(root).terms == [barred]
    with pytest.raises(InputError, match=r"How to get it: ask at rows.example.org\.$"):
        Rows(root, split="test")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"file,n\n", "its tables list no sample"),
        (b"file,m\na.npy,1\n", "no column 'n'; its columns are file, m"),
        (b"file,n,n\na.npy,1,1\n", "two columns are called 'n'"),
        (b"file,n\na.npy,1,2\n", "row 2: 3 fields"),
        (b"file,n\na.npy,1\na.npy,2\n", "two samples of the split 'train' are called 'a.npy'"),
        (b'file,n\n"a.npy,1\n', "unexpected end of data"),
        (b"file,n\n\xff\xfe,1\n", "codec can't decode"),
    ],
)
def test_malformed_tables(root, content, message):
    (root / "train.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        Rows(root)


def test_gzipped_tables(root):
    (root / "train.csv").rename(root / "plain")
    (root / "train.csv.gz").write_bytes(gzip.compress((root / "plain").read_bytes()))
    assert len(Rows(root)) == 3
    (root / "train.csv.gz").write_bytes(gzip.compress((root / "plain").read_bytes())[:-12])
    with pytest.raises(InputError, match="train.csv.gz' cannot be read as a table"):
        Rows(root)
    (root / "train.csv.gz").write_bytes(b"file,n\n")
    with pytest.raises(InputError, match="cannot be read as a table: Not a gzipped file"):
        Rows(root)


def test_tables_without_header_or_quotes(root):
    path = root / "words.tsv"
    path.write_text('a\tsays "hm\nb\t\n', encoding="utf-8")
    rows = Rows(root).table(path, header=("id", "text"), quoted=False)
    assert isinstance(rows, TableRows) and list(rows) == [{"id": "a", "text": 'says "hm'}, {"id": "b", "text": None}]


def test_names_that_leave_the_folder(root):
    data = Rows(root)
    for name in ("../../secret", "/etc/passwd", "", "a\0b"):
        with pytest.raises(InputError, match="not inside"):
            data.inside("media", name)
    assert data.inside("media", "a b..npy") == root / "media" / "a b..npy"


def test_numbers(root):
    data = Rows(root)
    assert data.number("0.5", float, where="row 1") == 0.5
    with pytest.raises(InputError, match="row 1: '0.5' is not a whole number"):
        data.number("0.5", where="row 1")
    with pytest.raises(InputError, match="row 2: None is not a number"):
        data.number(None, float, where="row 2")


def test_json(root):
    data, path = Rows(root), root / "a.json"
    path.write_text('{"images": [1]}')
    assert data.json(path, keys=("images",)) == {"images": [1]}
    (root / "a.json.gz").write_bytes(gzip.compress(b"[1]"))
    assert data.json(root / "a.json.gz", kind=list) == [1]
    with pytest.raises(InputError, match="holds a dict, but a list is published"):
        data.json(path, kind=list)
    with pytest.raises(InputError, match="no key 'annotations'"):
        data.json(path, keys=("annotations",))
    for content in (b'{"images": ', b"\xff", b"", b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(InputError, match="rows: '.*a.json' cannot be read as JSON"):
            data.json(path)
    path.write_text('{"a": 1}\n\n{"a": 2}\n')
    assert [row["a"] for row in data.lines(path)] == [1, 2]
    with pytest.raises(InputError, match="rows: .*cannot be read: No such file"):
        data.lines(root / "none.jsonl")


class Captions(CaptionedLayout):
    """Two files with captions."""

    name = "captions"
    slot = "stripe"

    def __init__(self, root, *, texts=("x", "y"), **options):
        super().__init__(root, **options)
        self.keep_captions((name, self.inside("media", name), texts, {"from": "here"}) for name in ("a.npy", "b.npy"))


def test_captions_are_samples_of_their_own_or_the_first(root):
    data = Captions(root)
    assert data.ids == ["a.npy#0", "a.npy#1", "b.npy#0", "b.npy#1"]
    assert [(s.values["text"], s.targets["stripe"]) for s in data] == [("x", 0), ("y", 0), ("x", 1), ("y", 1)]
    assert data[3].meta == {"from": "here", "captions": ["x", "y"]} and data[2].keys["stripe"] == data[3].keys["stripe"]
    assert Captions(root, captions="first").ids == ["a.npy", "b.npy"]
    with pytest.raises(ConfigError, match="captions is 'all'"):
        Captions(root, captions="all")
    for texts in ((), ("x", " ")):
        with pytest.raises(InputError, match="'a.npy' has no caption"):
            Captions(root, texts=texts)


def test_what_is_not_as_published_names_the_file(root):
    data = Rows(root)
    for value, message in (({}, "KeyError: 'a'"), ([], "TypeError"), ({"a": "x"}, "ValueError: invalid literal")):
        with pytest.raises(InputError, match=f"rows: 'a.json' is not as published: {message}"):
            with data.reading("a.json"):
                int(value["a"])
    with pytest.raises(ConfigError, match="as it is"):
        with data.reading("a.json"):
            raise ConfigError("as it is")


def test_folders_are_listed_in_order(root):
    data = Rows(root)
    for name in ("z", ".hidden", "B", "a"):
        (root / name).mkdir()
    assert [entry.name for entry in data.listed(root) if entry.is_dir()] == ["B", "a", "media", "z"]
    with pytest.raises(InputError, match="rows: '.*nowhere' cannot be read: No such file"):
        data.listed(root / "nowhere")
