"""Weights read from a file lie in memory of their own."""

from __future__ import annotations

import torch
from safetensors.torch import save_file

from omni.weights import load_tensors


def test_tensors_are_aligned_and_do_not_hang_on_the_file(tmp_path):
    path = tmp_path / "model.safetensors"
    given = {"a": torch.arange(3.0), "b": torch.randn(17, 5), "c": torch.randn(64)}
    save_file(given, path)
    read = load_tensors(path, given)
    assert all(value.data_ptr() % 64 == 0 for value in read.values())
    path.write_bytes(bytes(path.stat().st_size))  # in place: what only maps the file would change
    assert all(torch.equal(read[name], given[name]) for name in given)
