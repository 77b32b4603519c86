"""Tensors in files: the same rows from both kinds, little memory, worker processes, damaged files by name."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from omni.data.tensor_file import TensorFile
from omni.errors import InputError


def written(folder: Path, ending: str, value: torch.Tensor) -> Path:
    path = folder / f"values.{ending}"
    torch.save(value, path) if ending == "pt" else np.save(path, value.numpy())
    return path


@pytest.mark.parametrize("ending", ["pt", "npy"])
def test_rows_come_back(tmp_path, ending):
    value = torch.arange(24, dtype=torch.float32).view(4, 2, 3)
    file = TensorFile(written(tmp_path, ending, value))
    assert file.shape == (4, 2, 3) and file.dtype is torch.float32 and len(file) == 4
    assert torch.equal(file[2], value[2]) and torch.equal(file.all(), value)
    file[0].zero_()
    assert torch.equal(file.all(), value), "a row is a copy"
    sent = pickle.dumps(file)
    assert len(sent) < 2000 and torch.equal(pickle.loads(sent)[3], value[3])


class Surprise:
    def __reduce__(self):
        return (print, ("unpickled",))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("none.pt", lambda path: None),
        ("empty.pt", lambda path: path.write_bytes(b"")),
        ("empty.npy", lambda path: path.write_bytes(b"")),
        ("garbage.pt", lambda path: path.write_bytes(bytes(range(256)))),
        ("garbage.npy", lambda path: path.write_bytes(b"\x93NUMPY" + bytes(50))),
        ("list.pt", lambda path: torch.save([torch.ones(2)], path)),
        ("number.pt", lambda path: torch.save(torch.tensor(3.0), path)),
        ("surprise.pt", lambda path: torch.save(Surprise(), path)),
        ("texts.npy", lambda path: np.save(path, np.array(["a", "b"]))),
        ("objects.npy", lambda path: np.save(path, np.array([{}, 1], dtype=object), allow_pickle=True)),
        ("folder.npy", lambda path: path.mkdir()),
    ],
)
def test_what_is_no_tensor_is_refused_by_name(tmp_path, name, write, capsys):
    write(tmp_path / name)
    with pytest.raises(InputError, match=name):
        TensorFile(tmp_path / name)
    assert "unpickled" not in capsys.readouterr().out


@pytest.mark.parametrize("ending", ["pt", "npy"])
def test_truncated_files_are_refused(tmp_path, ending):
    path = written(tmp_path, ending, torch.ones(500, 7))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match="values"):
        TensorFile(path)
