"""The demo's rules: when it calls Symile better, and which trainings it takes over from an earlier run."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from omni.config import load
from omni.config_schema import check_config
from omni.errors import ConfigError
from tools.demo import EDITIONS, NEW_SPEAKERS, Run, above_ceiling, build_parser, config_folder, main, print_table


def row(w, top1, se=0.01, name="Symile", **more):
    return {"w": w, "row": name, "top1": top1, "se": se, "ceiling": 1 / w, **more}


def test_symile_must_be_three_standard_errors_above_at_every_width():
    assert above_ceiling([row(2, 0.54), row(3, 0.37), row(2, 0.2, name="pairwise InfoNCE")])
    assert not above_ceiling([row(2, 0.54), row(3, 0.36)])
    assert not above_ceiling([row(2, 0.52), row(3, 0.9)])


def test_symile_must_be_above_on_new_speakers_too():
    def both(new):
        return row(2, 0.9, new_speakers={"top1": new, "se": 0.01})

    assert above_ceiling([both(0.54)]) and not above_ceiling([both(0.52)])


def test_new_speakers_have_a_column(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    shuffled = {"shuffled audio": 0.5, "shuffled text": 0.02}
    rows = [row(2, 0.02, 0.0, "chance"), row(2, 0.91, **shuffled)]
    print_table(rows)
    assert "new speakers" not in capsys.readouterr().out
    news = [{"top1": 0.02, "se": 0.0}, {"top1": 0.71, "se": 0.02, **shuffled, "shuffled audio": 0.48}]
    print_table([{**old, NEW_SPEAKERS: new} for old, new in zip(rows, news, strict=True)])
    out = capsys.readouterr().out
    assert "new speakers" in out and "0.910 +- 0.010" in out and "0.710 +- 0.020" in out and "0.500" in out


@pytest.mark.parametrize("name", EDITIONS)
def test_the_settings_of_every_edition_are_settings_of_the_configs(name):
    edition = EDITIONS[name]
    first = load(config_folder() / "demo_align.py", overrides=edition.first_stage())
    check_config(first)
    dataset = first["train_dataloader"]["dataset"]
    assert dataset["edition"] == name and dataset.get("speech") == edition.speech
    heads = {item["labels"]: item["num_classes"] for item in first["objectives"] if item["labels"].startswith("named_")}
    assert heads == {f"named_{language}": edition.classes for language in edition.languages}
    second = load(config_folder() / "demo_triples.py", overrides=edition.second_stage(2, "pair_sum"))
    check_config(second)
    assert second["train_dataloader"]["dataset"]["w"] == 2 and second["objectives"][0]["type"] == "pair_sum"


def test_an_edition_that_was_not_built_says_how(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OMNI_HOME", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["demo.py", "--edition", "human", "--output", str(tmp_path / "out")])
    assert main() == 2 and "--edition human" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    edition = replace(EDITIONS["demo"], classes=200)
    with pytest.raises(ConfigError, match="for 200 classes; .* has 50. .*--classes 200 --out FOLDER"):
        edition.check()


def run(folder: Path, seed: int = 0) -> Run:
    return Run(name="a", folder=folder, config="c.py", settings=("x=1",), threads=1, seed=seed)


def test_only_the_same_training_is_taken_over(tmp_path):
    assert not run(tmp_path).complete()
    (tmp_path / "complete.json").write_text(json.dumps({"key": run(tmp_path).key()}))
    assert run(tmp_path).complete()
    assert not run(tmp_path, seed=1).complete()


@pytest.mark.parametrize("page", ["README.md", "docs/recordings.md", "tools/demo.py"])
def test_the_commands_of_the_pages_are_understood(page):
    text = (Path(__file__).parents[1] / page).read_text(encoding="utf-8")
    found = re.findall(r"python tools/demo\.py([^`#\n)]*)", text)
    assert found
    for options in found:
        given = options.replace("[", "").replace("]", "").split()
        assert build_parser().parse_args(given).edition in EDITIONS, options
