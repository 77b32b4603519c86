"""The tables' tools, with few steps: what they train, measure and print."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT))

from tools.frozen_towers_table import ROWS, Table, lines  # noqa: E402
from tools.stamps_minilm_table import KS, Experiment  # noqa: E402
from tools.stamps_minilm_table import lines as stamps_lines  # noqa: E402


@pytest.fixture(scope="module")
def stamps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """m3mini's builder of stamps on the tiny tree of its own tests."""
    sys.path.insert(0, str(ROOT / "plugins" / "omni-plugin-m3mini" / "tests"))
    from stamp_fixture import stamps_tree

    from omni_plugin_m3mini.builder import stamps as builder

    folder = tmp_path_factory.mktemp("stamps")
    stamps_tree(folder / "tree")
    assert builder.main(["--from", str(folder / "tree"), "--out", str(folder / "out"), "--workers", "1"]) == 0
    return folder / "out"


def test_the_stages_follow_edition_and_width(tmp_path: Path) -> None:
    """The demo edition ships; nothing is trained and no weights are needed for that."""
    table = Table(output=tmp_path, edition="demo", widths=(3,), steps=(7, 9), rows=(50, 60))
    align = table.align(3, table.data(3, "test"))
    labels = [(item["labels"], item.get("num_classes")) for item in align["objectives"]]
    assert labels[-4:] == [("language", 3), ("named_en", 50), ("named_ru", 50), ("named_el", 50)]
    assert align["train_cfg"]["max_iters"] == 7 and align["train_dataloader"]["dataset"]["lists"] == 50
    narrow = table.align(2, table.data(2, "test"))
    assert [item.get("num_classes") for item in narrow["objectives"]][-3:] == [2, 50, 50]
    heads = table.heads(2, "pair_sum", tmp_path / "model")
    assert heads["objectives"][0]["type"] == "pair_sum" and heads["train_dataloader"]["dataset"]["rows"] == 60
    for config in (align, heads):  # the second stage continues the first
        assert config["model"]["adapters"] == align["model"]["adapters"] and config["model"]["width"] == 192
        assert config["processor"]["text"] == align["processor"]["text"]
        assert config["processor"]["audio"] == align["processor"]["audio"]


def test_names_beside_pictures_from_scratch(stamps: Path, tmp_path: Path) -> None:
    experiment = Experiment(
        output=tmp_path, root=str(stamps), pictures="scratch", texts=["from scratch"], steps=2, batch=4
    )
    result = experiment.run()
    found = result["rows"]["from scratch"]
    assert found.keys() == {"image > text", "text > image"}
    for direction in found.values():
        assert direction["recall"].keys() == direction["chance"].keys() == set(KS) and direction["queries"] >= 1
        assert direction["recall"][10] == direction["chance"][10] == 1.0  # fewer than ten candidates
    assert json.loads((tmp_path / "results-scratch.json").read_text())["steps"] == 2
    assert len(stamps_lines(result)) == 3 and "R@10" in stamps_lines(result)[0]


@pytest.mark.slow
@pytest.mark.parametrize("pictures", ["frozen", "scratch"])
def test_frozen_names_beside_pictures(stamps: Path, tmp_path: Path, pictures: str) -> None:
    """All three text towers are trained; in a run of two steps the frozen ones must load, run and be saved."""
    result = Experiment(output=tmp_path, root=str(stamps), pictures=pictures, steps=2, batch=4).run()
    assert list(result["rows"]) == ["from scratch", "minilm", "e5"]
    assert len(stamps_lines(result)) == 1 + 3 * 2


@pytest.mark.slow
def test_the_table_of_the_demo_edition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps learn nothing; but both stages run, controls are measured, and what is complete is not run again."""
    monkeypatch.setenv("OMNI_HOME", str(tmp_path / "home"))
    table = Table(output=tmp_path / "out", edition="demo", widths=(2,), steps=(2, 2), rows=(30, 40))
    monkeypatch.setattr(table, "data", lambda w, split: _few(Table.data(table, w, split)))
    result = table.run()
    assert [row["row"] for row in result["rows"]] == list(ROWS)
    assert all(0 <= row["top1"] <= 1 and row["ceiling"] == 0.5 and row["chance"] == 0.02 for row in result["rows"])
    assert "shuffled audio" in lines(result)[0] and len(lines(result)) == 4
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("complete.json")}
    assert len(stamps) == 4 and table.run()["rows"] == result["rows"]
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def _few(data):
    """A test of eight triples, in two of which each word list comes: enough to be measured."""
    data.triples = type(data.triples)(**{name: value[:8] for name, value in vars(data.triples).items()})
    return data
