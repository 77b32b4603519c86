"""Files of the tests' own modalities, a saved model, and the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from omni.cli import app


@pytest.fixture
def model(toy_plugin, tmp_path):
    from toy_models import toy_predictor

    predictor = toy_predictor(("multilinear", "left", "right", "word"), ("cosine", "left", "word"))
    return predictor.save(tmp_path / "model")


@pytest.fixture
def manifest(toy_plugin, tmp_path):
    """Twenty rows of two columns; row 7's stripe is too short, row 12's is not there, every fifth has no word."""
    (tmp_path / "files").mkdir()
    rows = []
    for index in range(20):
        stripe = np.sin(np.arange(2 if index == 7 else 8 + index, dtype=np.float32) * (index + 1))
        if index != 12:
            np.save(tmp_path / f"files/{index}.npy", stripe)
        row = {"id": f"item {index}", "left": f"files/{index}.npy", "colour": ["red", "blue"][index % 2]}
        rows.append({**row, "word": "abcdefghij"[: 1 + index % 9]} if index % 5 else row)
    path = tmp_path / "m.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


@pytest.fixture
def run():
    def invoke(*arguments, code=0):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result.stdout

    return invoke
