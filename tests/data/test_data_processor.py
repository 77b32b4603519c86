"""Samples to batches: presence, padding, targets, saving and loading of the settings."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from omni.data.collate import Item
from omni.data.datasets import ProcessedDataset
from omni.data.processor import Processor
from omni.errors import ConfigError, InputError
from omni.types import Sample


@pytest.fixture
def processor(toy_plugin):
    return Processor({"left": {"modality": "stripe", "size": 4}, "right": {"modality": "stripe"}, "word": {}})


def stripe(frames):
    return np.arange(4 * frames, dtype=np.float32)


def test_inputs_hold_only_present_samples(processor):
    samples = [
        Sample(id="a", values={"left": stripe(2), "word": "cat"}),
        Sample(id="b", values={"word": "horse", "left": None}),
        Sample(id="c", values={"left": stripe(3)}),
    ]
    batch = processor.collate([(sample, processor(sample)) for sample in samples])
    assert batch.ids == ["a", "b", "c"] and batch.indices_B is None
    assert batch.present["left"].tolist() == [True, False, True]
    assert batch.present["word"].tolist() == [True, True, False]
    assert batch.present["right"].tolist() == [False] * 3 and "right" not in batch.inputs
    assert batch.inputs["left"]["frames_BLC"].shape == (2, 3, 4)
    assert batch.inputs["left"]["valid_BL"].tolist() == [[True, True, False], [True] * 3]
    assert batch.inputs["word"]["ids_BL"][0].tolist() == [2, 0, 19, 0, 0]


def test_unknown_slot_names_the_slots(processor):
    with pytest.raises(InputError, match=r"'a'.*'wrod'.*left \(stripe\).*Did you mean 'word'"):
        processor(Sample(id="a", values={"wrod": "cat"}))


def test_bad_sample_names_sample_slot_and_file(processor, tmp_path):
    np.save(tmp_path / "short.npy", np.zeros(2, np.float32))
    with pytest.raises(InputError, match=r"Sample 'a'.*[Ss]lot 'left'.*short\.npy.*at least 4") as caught:
        processor(Sample(id="a", values={"left": tmp_path / "short.npy"}))
    assert str(caught.value).count("short.npy") == 1
    with pytest.raises(InputError, match=r"Sample 'a'.*[Ss]lot 'left'.*gone\.npy"):
        processor(Sample(id="a", values={"left": tmp_path / "gone.npy"}))


def test_training_flag_reaches_the_transform_and_views_differ(processor):
    samples = [Sample(id="a", values={"left": stripe(2)}), Sample(id="b", values={"left": stripe(1)})]
    data = ProcessedDataset(samples, processor, training=True, views=2)
    batch = processor.collate([data[0], data[1]])
    assert batch.indices_B.tolist() == [0, 1] and len(batch.views) == 1
    assert not torch.equal(batch.views[0]["left"]["frames_BLC"], batch.inputs["left"]["frames_BLC"])
    plain = ProcessedDataset(samples, processor)
    torch.testing.assert_close(plain[0].tensors["left"]["frames_LC"].flatten(), torch.arange(8.0))


def test_slots_of_a_data_set_can_be_left_out(processor):
    sample = Sample(id="a", values={"left": stripe(1), "other": 3})
    assert set(ProcessedDataset([sample], processor, slots=["left"])[0].tensors) == {"left"}
    with pytest.raises(InputError, match="'other'"):
        ProcessedDataset([sample], processor)[0]


def test_precomputed_features_are_stacked(processor):
    items = [Item(Sample(id=str(i), values={}), {"left": {"pooled_BD": torch.full((5,), float(i))}}) for i in range(3)]
    batch = processor.collate(items)
    assert batch.inputs["left"]["pooled_BD"].shape == (3, 5) and batch.present["left"].all()
    mixed = Item(Sample(id="raw", values={}), {"left": {"frames_LC": torch.zeros(1, 4)}})
    with pytest.raises(InputError, match="precomputed"):
        processor.collate([items[0], mixed])


def test_targets(processor):
    def targets(*values):
        samples = [Sample(id=str(i), values={}, targets={} if v is None else {"y": v}) for i, v in enumerate(values)]
        return processor.collate([(sample, {}) for sample in samples]).targets["y"]

    assert targets(1, 2).dtype == torch.int64 and targets(1, None).tolist() == [1, -100]
    assert targets(1.5, 2).dtype == torch.float32 and math.isnan(targets(0.5, None)[1])
    assert targets(True, False).dtype == torch.bool
    assert targets([1, 2], [3, 4]).shape == (2, 2)
    with pytest.raises(InputError, match="Sample '0'.*'y' is 'cat'"):
        targets("cat")
    with pytest.raises(InputError, match="Sample '1'.*shape"):
        targets([[1, 2]], [[1, 2, 3]])
    with pytest.raises(InputError, match="Sample '1'.*shape"):
        targets([1, 2], 3)


def test_targets_of_different_length(processor):
    boxes = {"a": np.zeros((0, 4)), "b": np.ones((2, 4), np.float32), "c": None}
    samples = [
        Sample(id=name, values={}, targets={} if value is None else {"boxes": value}) for name, value in boxes.items()
    ]
    made = processor.collate([(sample, {}) for sample in samples]).targets
    assert made["boxes"].shape == (3, 2, 4) and made["boxes"].dtype == torch.float32
    assert made["boxes"][1].eq(1).all() and made["boxes"][[0, 2]].eq(0).all()
    assert made["valid_boxes"].tolist() == [[False, False], [True, True], [False, False]]
    assert made["present_boxes"].tolist() == [True, True, False]  # none in the picture is not the same as not known
    same = [Sample(id=str(i), values={}, targets={"y": [1, 2], "valid_y": 1}) for i in range(2)]
    with pytest.raises(InputError, match="valid_y"):
        processor.collate([(item, {}) for item in same])


def test_saved_settings_rebuild_it(processor, tmp_path):
    config = processor.to_config(tmp_path)
    assert config["word"] == {"modality": "word", "type": "letters", "vocabulary": "letters.json"}
    assert (tmp_path / "word" / "letters.json").is_file() and not (tmp_path / "left").exists()
    again = Processor.from_config(config, tmp_path)
    sample = Sample(id="a", values={"left": stripe(2), "word": "zebra"})
    for slot, tensors in processor(sample).items():
        for name, value in tensors.items():
            torch.testing.assert_close(again(sample)[slot][name], value)
    (tmp_path / "word" / "letters.json").write_text('"zyx"')
    changed = Processor.from_config(config, tmp_path).process_value("word", "zx")
    assert changed["ids_L"].tolist() == [0, 2]


def test_select(processor):
    part = processor.select(["word"])
    assert part.slots == ("word",) and part.to_config().keys() == {"word"}
    with pytest.raises(InputError, match="unknown slot 'left'"):
        part(Sample(id="a", values={"left": stripe(1)}))


def test_settings_that_cannot_be_meant(toy_plugin):
    with pytest.raises(ConfigError, match="Did you mean 'size'"):
        Processor({"stripe": {"sise": 4}})
    with pytest.raises(ConfigError, match="is for 'word'.*Transforms for stripe: stripe_frames"):
        Processor({"stripe": {"type": "letters"}})
