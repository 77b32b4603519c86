"""Loading by slot: paths, bytes, objects; what a missing or unreadable file says."""

from __future__ import annotations

import io

import numpy as np
import pytest

from omni.data.loaders import SlotLoader
from omni.errors import InputError, UnknownComponentError


@pytest.fixture
def stripe_file(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.arange(8, dtype=np.float32))
    return path


def test_path_string_bytes_and_array_load_alike(toy_plugin, stripe_file):
    load = SlotLoader("left", modality="stripe")
    expected = np.arange(8, dtype=np.float32)
    for value in (stripe_file, str(stripe_file), stripe_file.read_bytes(), expected, list(range(8))):
        np.testing.assert_array_equal(load(value), expected)


def test_strings_of_a_modality_without_files_are_values(toy_plugin):
    assert SlotLoader("caption", modality="word")("no/such/file.npy") == "no/such/file.npy"


def test_missing_file_names_slot_and_file(toy_plugin, tmp_path):
    load = SlotLoader("left", modality="stripe")
    with pytest.raises(InputError, match=r"'left'.*nowhere\.npy"):
        load(tmp_path / "nowhere.npy")
    with pytest.raises(InputError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(InputError, match="there is a folder"):
        load(tmp_path / "no" / "folder" / "a.npy")


def test_unreadable_file_and_wrong_type_say_why(toy_plugin, tmp_path):
    broken = tmp_path / "broken.npy"
    broken.write_bytes(b"not numbers")
    with pytest.raises(InputError, match=r"'left'.*broken\.npy.*cannot be read as stripe"):
        SlotLoader("left", modality="stripe")(broken)
    with pytest.raises(InputError, match="'caption'.*must be a string, not int"):
        SlotLoader("caption", modality="word")(3)
    with pytest.raises(InputError, match="has no value"):
        SlotLoader("caption", modality="word")(None)


def test_rank_is_never_a_guess(toy_plugin):
    """A two-axis array under a one-axis modality's slot reaches that modality, whose transform refuses it."""
    from omni.data.processor import Processor

    with pytest.raises(InputError, match=r"Slot 'stripe'.*shape \(12, 8\)"):
        Processor({"stripe": {}}).process_value("stripe", np.zeros((12, 8), np.float32))


def test_unknown_modality(toy_plugin):
    with pytest.raises(UnknownComponentError, match="Did you mean 'stripe'"):
        SlotLoader("left", modality="strpe")


def test_loader_reads_an_open_npy_of_bytes(toy_plugin):
    buffer = io.BytesIO()
    np.save(buffer, np.ones(4, np.float32))
    assert SlotLoader("left", modality="stripe")(buffer.getvalue()).sum() == 4
