"""Symile-MIMIC: both forms of its folder, polarities, candidates, damaged folders; its page; a model trains on it."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from symile_mimic_fixture import CANDIDATES, SIZES, levels, millivolts, symile_mimic
from typer.testing import CliRunner

from omni.cli import app
from omni.data.processor import Processor
from omni.errors import ConfigError, InputError
from omni.registry import DATASETS
from omni_plugin_clinic.layouts.symile_mimic import LEADS, SymileMimic
from omni_plugin_clinic.layouts.symile_mimic_labs import LABS, schema

PAGE = Path(__file__).parents[3] / "docs" / "layouts" / "symile_mimic.md"


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return symile_mimic(tmp_path_factory.mktemp("data") / "symile-mimic")


@pytest.fixture
def root(released: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(released, tmp_path / "symile-mimic"))


def rewrite(path: Path, change) -> None:
    np.save(path, change(np.load(path)))


def test_values_are_the_published_ones_undone(released: Path) -> None:
    data = SymileMimic(released)
    assert len(data) == SIZES["train"] and data.ids[3] == "20000003"
    sample = data[3]
    assert (sample.values["xray"].levels_HW == levels(3).astype(np.uint16) * 257).all()
    ecg = sample.values["ecg"]
    assert ecg.leads == LEADS and ecg.sample_rate == 500 and ecg.seconds == 10
    assert ecg.signal_CT.min() == -1 and ecg.signal_CT.max() == 1
    for row in range(12):  # a lead is the recording's, but for the record's scale and offset
        assert np.corrcoef(ecg.signal_CT[row].numpy(), millivolts(3)[:, row])[0, 1] > 0.9999
    labs = sample.values["labs"]
    folder = released / "data_npy" / "train"
    flags = np.load(folder / "labs_missingness_train.npy")[3]
    shares = np.load(folder / "labs_percentiles_train.npy")[3]
    expected = {lab: share for lab, share, flag in zip(LABS.values(), shares, flags, strict=True) if flag == 1}
    assert dict(labs.numbers) == pytest.approx(expected) and 20 < len(labs.numbers) < 50
    assert sample.meta["findings"]["Cardiomegaly"] == -1 and sample.meta["findings"]["Lung Opacity"] is None
    assert sample.keys["ecg"] != data[4].keys["ecg"]


def test_tensors_of_the_published_code_give_the_same(released: Path, tmp_path: Path) -> None:
    other = SymileMimic(symile_mimic(tmp_path / "own", ending="pt", tables=False), split="test")
    data = SymileMimic(released, split="test")
    assert other.ids == data.ids
    for first, second in zip(data, other, strict=True):
        assert torch.equal(first.values["ecg"].signal_CT, second.values["ecg"].signal_CT)
        assert (first.values["xray"].levels_HW == second.values["xray"].levels_HW).all()
        assert first.values["labs"].numbers == second.values["labs"].numbers
        assert first.meta["candidates"] == second.meta["candidates"] and "findings" not in second.meta


@pytest.mark.parametrize("split", ["val_retrieval", "test"])
def test_candidates_are_the_published_ones(released: Path, split: str) -> None:
    data = SymileMimic(released, split=split)
    assert len(data) == SIZES[split], "the rows of wrong candidates are not samples of their own"
    asked = np.load(released / "data_npy" / split / f"label_hadm_id_{split}.npy")
    own = np.load(released / "data_npy" / split / f"hadm_id_{split}.npy")
    for sample in data:
        candidates = sample.meta["candidates"]
        assert candidates[0] == sample.id and len(candidates) == CANDIDATES
        assert set(candidates) == {str(number) for number in own[asked == int(sample.id)]} <= set(data.ids)


def test_models_trained_on_it_are_not_published(released: Path) -> None:
    (terms,) = DATASETS.build(dict(type="symile_mimic", root=str(released), split="val")).terms
    assert terms["publish"] is False and "same agreement" in terms["why"]


def test_it_travels_to_workers_without_its_tensors(released: Path) -> None:
    data = SymileMimic(released)
    sent = pickle.dumps(data)
    assert len(sent) < 100_000
    assert torch.equal(pickle.loads(sent)[1].values["ecg"].signal_CT, data[1].values["ecg"].signal_CT)


def test_flags_the_other_way_round_are_refused(root: Path) -> None:
    rewrite(root / "data_npy/train/labs_missingness_train.npy", lambda flags: 1 - flags)
    with pytest.raises(InputError, match=r"symile_mimic.*flag is 0.*other way round"):
        SymileMimic(root)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / "labs_means.json").unlink(), "labs_means.json.*physionet"),
        (lambda root: (root / "labs_means.json").write_text("{"), "labs_means.json.*JSON"),
        (lambda root: (root / "labs_means.json").write_text('{"9_percentile": 0.5}'), "9_percentile"),
        (lambda root: (root / "data_npy/train/ecg_train.npy").unlink(), "ecg_train.npy"),
        (lambda root: (root / "data_npy/train/ecg_train.npy").write_bytes(b"\x93NUMPY"), "ecg_train.npy"),
        (lambda root: rewrite(root / "data_npy/train/ecg_train.npy", lambda a: a[:-1]), r"ecg_train.npy.*shape"),
        (lambda root: rewrite(root / "data_npy/train/ecg_train.npy", lambda a: a[..., :8]), r"ecg_train.npy.*\(12,"),
        (lambda root: rewrite(root / "data_npy/train/cxr_train.npy", lambda a: a[:, :1]), r"cxr_train.npy.*shape"),
        (lambda root: rewrite(root / "data_npy/train/labs_missingness_train.npy", lambda a: a * 2), "neither 0 nor 1"),
        (lambda root: rewrite(root / "data_npy/train/labs_percentiles_train.npy", lambda a: a * 100), "percentiles"),
        (lambda root: rewrite(root / "data_npy/train/hadm_id_train.npy", lambda a: a * 0), "two samples|different"),
        (lambda root: (root / "train.csv").write_text("subject_id\n1\n"), "hadm_id"),
        (lambda root: (root / "train.csv").write_text("hadm_id\n1\n"), "different admissions"),
    ],
)
def test_damaged_folders_are_refused_by_name(root: Path, damage, message: str) -> None:
    damage(root)
    with pytest.raises(InputError, match=message):
        SymileMimic(root)


def test_other_mistakes_are_refused(root: Path) -> None:
    with pytest.raises(InputError, match="no folder.*physionet"):
        SymileMimic(root / "nothing")
    with pytest.raises(ConfigError, match="val_retrieval"):
        SymileMimic(root, split="validation")
    with pytest.raises(ConfigError, match="positive"):
        SymileMimic(root, ecg_mv=0)
    rewrite(root / "data_npy/test/label_test.npy", lambda a: np.where(np.arange(len(a)) == len(a) - 1, 1, a))
    with pytest.raises(InputError, match="neither a query nor"):
        SymileMimic(root, split="test")
    rewrite(root / "data_npy/val/ecg_val.npy", lambda a: a * np.nan)
    with pytest.raises(InputError, match="NaN or infinity"):
        SymileMimic(root, split="val")[0]


def test_the_schema_lets_percentiles_pass(released: Path) -> None:
    processor = Processor({"labs": {"modality": "tabular", "schema": schema()}})
    sample = SymileMimic(released)[0]
    tensors = processor(sample, slots=["labs"])["labs"]
    names = list(LABS.values())
    for name, number in sample.values["labs"].numbers.items():
        assert tensors["percentiles_C"][names.index(name)].item() == pytest.approx(number)
    assert int(tensors["valid_C"].sum()) == len(sample.values["labs"].numbers)


def test_the_page_runs(released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "symile-mimic").symlink_to(released)
    text = PAGE.read_text(encoding="utf-8")
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, PAGE.name, "exec"), names)
    assert names["sample"].id in names["data"].ids
    assert len(DATASETS.build(dict(names["train_dataloader"]["dataset"]))) == SIZES["train"]
    (command,) = re.findall(r"```sh\nomni (.*)\n```", text)
    done = CliRunner().invoke(app, command.split())
    assert done.exit_code == 0, done.output or done.exception
    assert f"symile_mimic: {SIZES['val']} samples" in done.output and Path("symile_mimic.html").stat().st_size > 500
    from omni.engine.training import train

    config = {key: names[key] for key in ("model", "processor", "objectives")}
    small = dict(
        optim_wrapper=dict(optimizer=dict(type="AdamW", lr=1e-3)),
        train_dataloader=dict(dataset=names["train_dataloader"]["dataset"], batch_size=6),
        train_cfg=dict(max_iters=3),
        default_hooks=dict(checkpoint=dict(interval=100), logger=dict(interval=1)),
    )
    train({**config, **small}, work_dir=tmp_path / "run", quiet=True)
    records = [json.loads(line) for line in (tmp_path / "run" / "scalars.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in records if "loss" in record]
    assert len(losses) == 3 and np.isfinite(losses).all()
