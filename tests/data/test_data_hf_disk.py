"""Hugging Face data sets on disk, in the layout that save_to_disk writes; the slow test lets the library write it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from shard_files import stripe_bytes

from omni.data.hf_disk import HfDiskDataset
from omni.errors import ConfigError, InputError


def write(folder, *pieces, features=None):
    """The files that save_to_disk writes, from lists of rows."""
    import pyarrow

    folder.mkdir(parents=True)
    names = [f"data-{index:05d}-of-{len(pieces):05d}.arrow" for index in range(len(pieces))]
    schema = pyarrow.Table.from_pylist([row for rows in pieces for row in rows]).schema
    for name, rows in zip(names, pieces, strict=True):
        table = pyarrow.Table.from_pylist(rows, schema=schema)
        with pyarrow.ipc.new_stream(str(folder / name), table.schema) as writer:
            writer.write_table(table)
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "0", "_split": None}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text(json.dumps({"features": features or {}}))
    return folder


ROWS = [
    {"word": "cat", "left": {"bytes": stripe_bytes(1), "path": "x.npy"}, "label": 1},
    {"word": None, "left": {"bytes": stripe_bytes(2), "path": None}, "label": 0},
    {"word": "dog", "left": {"bytes": None, "path": "/far/y.npy"}, "label": None},
]
LEFT = {"slots": {"word": "word", "left": "left"}, "modalities": {"left": "stripe"}, "targets": ["label"]}


def test_rows_of_all_files_in_order(toy_plugin, tmp_path):
    features = {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}, "word": {"_type": "Value"}}
    data = HfDiskDataset(write(tmp_path / "set", ROWS[:2], ROWS[2:], features=features), **LEFT)
    assert len(data) == 3 and data.classes == {"label": ["no", "yes"]}
    first, second, third = data
    assert first.id == "set-0" and first.values == {"word": "cat", "left": stripe_bytes(1)}
    assert first.targets == {"label": 1} and set(second.values) == {"left"}
    assert str(third.values["left"]) == "/far/y.npy" and third.targets == {}


def test_splits(toy_plugin, tmp_path):
    write(tmp_path / "train", ROWS)
    write(tmp_path / "test", ROWS[:1])
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert len(HfDiskDataset(tmp_path, split="test", slots={"word": "word"})) == 1
    with pytest.raises(ConfigError, match="holds the splits train, test"):
        HfDiskDataset(tmp_path)
    with pytest.raises(ConfigError, match="no split 'trian'.*Did you mean 'train'"):
        HfDiskDataset(tmp_path, split="trian")
    with pytest.raises(ConfigError, match="without splits"):
        HfDiskDataset(tmp_path / "train", split="train")


def test_damage_is_told(toy_plugin, tmp_path):
    with pytest.raises(InputError, match="No folder"):
        HfDiskDataset(tmp_path / "x")
    with pytest.raises(InputError, match="it has no state.json"):
        HfDiskDataset(tmp_path)
    folder = write(tmp_path / "set", ROWS)
    file = folder / "data-00000-of-00001.arrow"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match="data-00000.*missing or damaged"):
        HfDiskDataset(folder)
    file.unlink()
    with pytest.raises(InputError, match="data-00000.*missing or damaged"):
        HfDiskDataset(folder)
    (folder / "state.json").write_text('{"_data_files": [{"filename": "../secret.arrow"}]}')
    with pytest.raises(InputError, match="outside the folder"):
        HfDiskDataset(folder)
    (folder / "state.json").write_text("{")
    with pytest.raises(InputError, match="state.json cannot be read"):
        HfDiskDataset(folder)


@pytest.mark.slow
def test_what_the_library_saves_is_read(toy_plugin, tmp_path):
    import datasets
    from PIL import Image

    (tmp_path / "0.npy").write_bytes(stripe_bytes(3))
    features = datasets.Features(
        {
            "word": datasets.Value("string"),
            "stripe": datasets.Sequence(datasets.Value("float32")),
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["no", "yes"]),
        }
    )
    picture = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    rows = [
        {"word": f"w{i}" if i % 3 else None, "stripe": [float(i)] * 4, "image": picture, "label": i % 2}
        for i in range(20)
    ]
    made = datasets.Dataset.from_list(rows, features=features)
    made.save_to_disk(tmp_path / "one", num_shards=3)
    picked = made.shuffle(seed=1).select(range(5))
    datasets.DatasetDict({"train": made, "test": picked}).save_to_disk(tmp_path / "two")
    slots = {name: name for name in ("word", "stripe", "picture")} | {"picture": "image"}
    for folder, split, expected in (("one", None, made), ("two", "train", made), ("two", "test", picked)):
        data = HfDiskDataset(
            tmp_path / folder, split=split, slots=slots, modalities={"picture": "stripe"}, targets=["label"]
        )
        assert len(data) == len(expected) and data.classes == {"label": ["no", "yes"]}
        for mine, other in zip(data, expected, strict=True):
            assert mine.values.get("word") == other["word"] and mine.targets["label"] == other["label"]
            assert mine.values["stripe"] == other["stripe"] and mine.values["picture"][:4] == b"\x89PNG"
