"""Manifests in four formats give the same samples; malformed ones say where."""

from __future__ import annotations

import csv
import json
import pickle

import numpy as np
import pytest

from omni.data.datasets import ManifestDataset
from omni.data.manifest import TableRows
from omni.errors import ConfigError, InputError

ROWS = [
    {"id": "a", "file": "stripes/0.npy", "caption": "one", "label": 3, "source": "x"},
    {"id": "b", "file": None, "caption": "two, too", "label": None, "source": "y"},
    {"id": "c", "file": "stripes/1.npy", "caption": None, "label": 4, "source": None},
]


def write_jsonl(path):
    lines = [json.dumps({key: value for key, value in row.items() if value is not None}) for row in ROWS]
    path.write_text("\n".join(lines[:2]) + "\n\n" + lines[2])


def write_parquet(path):
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)


def write_table(path, delimiter):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(ROWS[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(ROWS)


WRITERS = {
    "m.jsonl": write_jsonl,
    "m.parquet": write_parquet,
    "m.csv": lambda path: write_table(path, ","),
    "m.tsv": lambda path: write_table(path, "\t"),
}
SLOTS = {"left": "file", "word": "caption"}


@pytest.mark.parametrize("name", WRITERS)
def test_formats_agree(toy_plugin, tmp_path, name):
    WRITERS[name](tmp_path / name)
    data = ManifestDataset(tmp_path / name, slots=SLOTS, modalities={"left": "stripe"}, targets=["label"])
    assert len(data) == 3
    first, second, third = (data[index] for index in range(3))
    assert first.id == "a" and first.values == {"left": tmp_path / "stripes/0.npy", "word": "one"}
    assert first.keys == {"left": str(tmp_path / "stripes/0.npy"), "word": "one"}
    assert first.targets == {"label": 3} and first.meta == {"source": "x"}
    assert second.values == {"word": "two, too"} and second.targets == {}
    assert set(third.values) == {"left"} and third.meta == {} and data[-1].id == "c"
    with pytest.raises(IndexError):
        data[3]


def test_root_and_default_slots_and_ids(toy_plugin, tmp_path):
    (tmp_path / "m.jsonl").write_text('{"stripe": "0.npy", "word": "cat"}\n{"word": "dog"}\n')
    data = ManifestDataset(tmp_path / "m.jsonl", root="/elsewhere")
    assert data.slots == {"stripe": "stripe", "word": "word"}
    assert str(data[0].values["stripe"]) == "/elsewhere/0.npy" and data[1].id == "m-1"


def test_literal_values(toy_plugin, tmp_path):
    (tmp_path / "m.jsonl").write_text('{"stripe": [1, 2, 3, 4], "word": "x/y.npy"}\n')
    sample = ManifestDataset(tmp_path / "m.jsonl")[0]
    assert sample.values == {"stripe": [1, 2, 3, 4], "word": "x/y.npy"} and set(sample.keys) == {"word"}


def test_embedded_bytes_of_parquet(toy_plugin, tmp_path):
    import pyarrow
    import pyarrow.parquet

    rows = [{"stripe": {"bytes": b"abc", "path": "a.npy"}}, {"stripe": {"bytes": None, "path": "b.npy"}}]
    rows.append({"stripe": {"bytes": b"abc", "path": None}})
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "m.parquet")
    data = ManifestDataset(tmp_path / "m.parquet")
    assert data[0].values["stripe"] == b"abc" and data[1].values["stripe"] == tmp_path / "b.npy"
    assert data[0].keys == data[2].keys


def test_errors_say_where(toy_plugin, tmp_path):
    path = tmp_path / "m.jsonl"
    with pytest.raises(InputError, match="No manifest"):
        ManifestDataset(path)
    path.write_text('{"word": "a"}\n{"word": \n')
    with pytest.raises(InputError, match="line 2: not JSON"):
        ManifestDataset(path)
    path.write_text('{"word": "a"}\n[1]\n')
    with pytest.raises(InputError, match="line 2: a list"):
        ManifestDataset(path)
    path.write_text('{"id": "a", "word": "x"}\n{"id": "b"}\n{"id": "a"}\n')
    with pytest.raises(InputError, match="rows 1 and 3 have one id, 'a'"):
        ManifestDataset(path)
    with pytest.raises(ConfigError, match="no column 'wrod'.*Did you mean 'word'"):
        ManifestDataset(path, slots={"word": "wrod"})
    path.write_text('{"picture": "x"}\n')
    with pytest.raises(ConfigError, match="no column called like an installed modality"):
        ManifestDataset(path)
    (tmp_path / "m.csv").write_text("a,b\n1\n")
    with pytest.raises(InputError, match="row 2: 1 fields"):
        ManifestDataset(tmp_path / "m.csv")
    (tmp_path / "m.txt").write_text("")
    with pytest.raises(InputError, match="ends with '.txt'"):
        ManifestDataset(tmp_path / "m.txt")
    (tmp_path / "m.parquet").write_bytes(b"no")
    with pytest.raises(InputError, match="no Parquet file"):
        ManifestDataset(tmp_path / "m.parquet")


def test_survives_pickling_after_reading(toy_plugin, tmp_path):
    write_jsonl(tmp_path / "m.jsonl")
    data = ManifestDataset(tmp_path / "m.jsonl", slots={"word": "caption"})
    assert data[0].values == {"word": "one"}
    assert pickle.loads(pickle.dumps(data))[1].values == {"word": "two, too"}


def test_reads_in_loader_workers(toy_plugin, tmp_path):
    from torch.utils.data import DataLoader

    from omni.data.datasets import ProcessedDataset
    from omni.data.processor import Processor

    (tmp_path / "stripes").mkdir()
    for index in range(2):
        np.save(tmp_path / f"stripes/{index}.npy", np.full(4, index, np.float32))
    write_jsonl(tmp_path / "m.jsonl")
    data = ManifestDataset(tmp_path / "m.jsonl", slots=SLOTS, modalities={"left": "stripe"})
    data[0]  # opens the file before the fork
    processor = Processor({"left": {"modality": "stripe"}, "word": {}})
    loader = DataLoader(
        ProcessedDataset(data, processor),
        batch_size=3,
        num_workers=2,
        collate_fn=processor.collate,
        multiprocessing_context="fork",
    )
    (batch,) = list(loader)
    assert batch.ids == ["a", "b", "c"] and batch.indices_B.tolist() == [0, 1, 2]
    assert batch.inputs["left"]["frames_BLC"].flatten().tolist() == [0.0] * 4 + [1.0] * 4


def test_chosen_columns_of_a_table_are_those_of_its_rows(tmp_path):
    (tmp_path / "a.csv").write_text('x,y,z\n1,"2,5",\n,4,5\n')
    rows = TableRows(tmp_path / "a.csv", ",")
    assert list(rows.select("z", "y")) == [(row["z"], row["y"]) for row in rows] == [(None, "2,5"), ("5", "4")]
    assert list(rows.select("y")) == [("2,5",), ("4",)]


def test_columns_of_numbers_in_a_text_table_are_numbers_in_the_metadata(toy_plugin, tmp_path):
    header = "id,word,year,code,share,mixed,empty"
    lines = [header, "a,7,1995,007,-0.50,1,", "b,cat,,010,1e-3,x,", "c,dog,2001,1,3,2,"]
    (tmp_path / "m.csv").write_text("\n".join(lines))
    samples = list(ManifestDataset(tmp_path / "m.csv", slots={"word": "word"}))
    assert [sample.meta.get("year") for sample in samples] == [1995, None, 2001]
    assert [sample.meta["share"] for sample in samples] == [-0.5, 0.001, 3]
    assert [sample.meta["code"] for sample in samples] == ["007", "010", "1"]  # leading zeros say something
    assert [sample.meta["mixed"] for sample in samples] == ["1", "x", "2"]
    assert samples[0].values == {"word": "7"} and samples[0].id == "a" and "empty" not in samples[0].meta
    again = ManifestDataset(tmp_path / "m.csv", slots={"word": "word"}, targets=["year"])
    assert again[0].targets == {"year": 1995} and "year" not in again[0].meta
