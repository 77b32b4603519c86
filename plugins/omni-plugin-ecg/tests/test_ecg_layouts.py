"""PTB-XL and MIMIC-IV-ECG, read as published; each page's example; a step of training."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from ecg_files import STANDARD
from ecg_layouts_fixture import MIMIC_ORDER, mimic_iv_ecg, ptb_xl

from omni.data.loaders import SlotLoader
from omni.engine import train
from omni.errors import ConfigError, InputError
from omni.registry import DATASETS
from omni_plugin_ecg.layouts.mimic_iv_ecg import measured

PAGES = Path(__file__).parents[3] / "docs" / "layouts"
WRITERS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "ptb_xl": ("ptb-xl", ptb_xl),
    "mimic_iv_ecg": ("mimic-iv-ecg", mimic_iv_ecg),
}


@pytest.fixture(scope="module")
def ptb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ptb_xl(tmp_path_factory.mktemp("ptb"))


@pytest.fixture(scope="module")
def mimic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mimic_iv_ecg(tmp_path_factory.mktemp("mimic"))


def build(name: str, root: Path, **options: object):
    return DATASETS.build(dict(type=name, root=str(root), **options))


def copy_with(root: Path, folder: Path, file: str, change: Callable[[str], str]) -> Path:
    """A folder with the tables of another, one of them changed, and links to its recordings."""
    for path in root.iterdir():
        if path.is_dir():
            (folder / path.name).symlink_to(path)
        else:
            (folder / path.name).write_text(change(path.read_text()) if path.name == file else path.read_text())
    return folder


def test_folds_are_the_published_splits(ptb: Path) -> None:
    ids = {split: build("ptb_xl", ptb, split=split).ids for split in ("train", "val", "test", "all")}
    assert ids == {"train": ["1", "2", "3", "4"], "val": ["5"], "test": ["6"], "all": ["1", "2", "3", "4", "5", "6"]}
    with pytest.raises(ConfigError, match="split.*'validation'"):
        build("ptb_xl", ptb, split="validation")


def test_superclasses_by_the_statements(ptb: Path) -> None:
    data = build("ptb_xl", ptb, split="all")
    assert data.classes == ("NORM", "MI", "STTC", "CD", "HYP")
    assert [sample.targets["labels"] for sample in data] == [
        [1, 0, 0, 0, 0], [1, 0, 0, 0, 0], [0, 1, 0, 0, 1], [0, 0, 0, 1, 0], [1, 0, 0, 0, 0], [0, 0, 1, 0, 0],
    ]  # fmt: skip
    assert [sample.targets.get("class") for sample in data] == [0, 0, None, 3, 0, 2]
    assert data[2].meta["labels"] == ["MI", "HYP"]
    sure = build("ptb_xl", ptb, split="all", min_likelihood=50)
    assert [sample.targets["labels"] for sample in sure][2:] == [
        [0, 0, 0, 0, 1], [0, 0, 0, 1, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0],
    ]  # fmt: skip
    assert data[2].meta["statements"] == {"LVH": 50.0, "IMI": 0.0, "AFIB": 0.0}


@pytest.mark.parametrize(
    ("labels", "classes", "third"),
    [
        ("rhythm", ("AFIB", "SR"), [1, 0]),
        ("form", ("ABQRS", "NDT"), [0, 0]),
        ("subclass", ("IMI", "LAFB/LPFB", "LVH", "NORM", "STTC"), [1, 0, 1, 0, 0]),
        ("diagnostic", ("IMI", "LAFB", "LVH", "NDT", "NORM"), [1, 0, 1, 0, 0]),
    ],
)
def test_other_labels(ptb: Path, labels: str, classes: tuple[str, ...], third: list[int]) -> None:
    data = build("ptb_xl", ptb, labels=labels)
    assert data.classes == classes and data[2].targets["labels"] == third
    assert len(build("ptb_xl", ptb, labels="all").classes) == 8


def test_what_a_recording_has(ptb: Path) -> None:
    data = build("ptb_xl", ptb)
    first, second, third, fourth = data
    assert first.values["text"] == "sinusrhythmus periphere niederspannung"
    assert second.values["text"] == 'sinusbradykardie, sonst "normales" ekg' and "\n" in third.values["text"]
    assert "text" not in fourth.values  # an empty report is a missing slot
    assert (first.meta["age"], first.meta["sex"], second.meta["sex"]) == (56.0, "female", "male")
    assert third.meta["age"] is None and third.meta["over_89"]  # 300 in the table
    assert first.meta["device"] == "CS-12   E" and second.meta["validated_by_human"]
    for rate in (100, 500):
        sample = build("ptb_xl", ptb, rate=rate)[0]
        ecg = SlotLoader("ecg", modality="ecg")(sample.values["ecg"])
        assert ecg.leads == STANDARD and ecg.sample_rate == rate and ecg.seconds == 2.0
        assert float(ecg.signal_CT[1].max()) == pytest.approx(1.1, abs=0.05)  # beats of 1 mV in II, 1.1 times
    assert len({build("ptb_xl", ptb, rate=rate)[0].keys["ecg"] for rate in (100, 500)}) == 2


@pytest.mark.parametrize(("name", "who"), [("ptb_xl", "15709"), ("mimic_iv_ecg", "10000032")])
def test_patients_are_named_only_if_asked_for(tmp_path: Path, name: str, who: str) -> None:
    root = WRITERS[name][1](tmp_path)
    sample = build(name, root, split="all")[0]
    assert who not in repr((sample.id, sample.meta, sample.keys, sample.targets))
    assert who in repr(build(name, root, split="all", patients=True)[0].meta)


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        ("__import__('os').getcwd()", "not a dictionary"),
        ("{'NORM': 'x'}", "not a dictionary"),
        ("['NORM']", "not a dictionary"),
        ("{'NORM': 100.0", "not a dictionary"),
        ("", "not a dictionary"),
        ("(" * 5000, "not a dictionary"),
        ("{'NEW': 100.0}", "'NEW' is not in 'scp_statements.csv'"),
    ],
)
def test_statements_are_literals_of_the_table(ptb: Path, tmp_path: Path, codes: str, words: str) -> None:
    root = copy_with(ptb, tmp_path, "ptbxl_database.csv", lambda text: text.replace("{'NORM': 80.0, 'SR': 0.0}", codes))
    with pytest.raises(InputError, match=f"ptb_xl.*ptbxl_database.csv, row 2.*{words}"):
        build("ptb_xl", root)


def test_tables_and_recordings_that_are_not_there(ptb: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ptb_xl.*nowhere.*physionet.org"):
        build("ptb_xl", tmp_path / "nowhere")
    with pytest.raises(InputError, match="no file 'scp_statements.csv'.*physionet.org/content/ptb-xl"):
        build("ptb_xl", tmp_path)
    root = copy_with(ptb, tmp_path, "ptbxl_database.csv", lambda text: text.replace("00002_hr", "00099_hr"))
    data = build("ptb_xl", root)
    assert len(data) == 4
    with pytest.raises(InputError, match="'2' needs .*00099_hr.hea.*missing='skip'"):
        data[1]
    fewer = build("ptb_xl", root, missing="skip")
    assert fewer.ids == ["1", "3", "4"] and fewer.skipped == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("strat_fold", "fold"), "no column 'strat_fold'"),
        (lambda text: text.replace(",9,records100", ",11,records100"), "row 5: there is no fold 11"),
        (lambda text: text.replace("records500/00000/00003_hr", "../../etc/passwd"), "not inside"),
        (lambda text: text.replace("\n2,", "\n1,"), "called '1'"),
    ],
)
def test_tables_that_are_not_as_published(ptb: Path, tmp_path: Path, change: Callable, words: str) -> None:
    with pytest.raises(InputError, match=words):
        build("ptb_xl", copy_with(ptb, tmp_path, "ptbxl_database.csv", change), split="all")


def test_wrong_options(ptb: Path) -> None:
    for options in (dict(rate=250), dict(labels="super"), dict(min_likelihood=101)):
        with pytest.raises(ConfigError, match=f"ptb_xl: {next(iter(options))}"):
            build("ptb_xl", ptb, **options)


def test_machine_statements_and_measurements(mimic: Path) -> None:
    data = build("mimic_iv_ecg", mimic, split="all")
    assert data.ids == ["40689238", "44458630", "45090959", "42705495"]
    first, _, third, fourth = data
    assert first.values["text"] == (
        "Sinus rhythm\nPossible right atrial abnormality, consider pulmonary disease"
    ) and "text" not in third.values  # fmt: skip
    assert first.targets == {
        "rr_ms": 659, "pr_ms": 130, "qrs_ms": 88, "qt_ms": 348, "p_axis": 81, "qrs_axis": 77, "t_axis": 75,
    }  # fmt: skip
    assert third.targets == {"qrs_ms": 88, "qrs_axis": -12}  # 29999 is no measurement
    assert fourth.targets == {"rr_ms": 600, "qrs_ms": 100, "qt_ms": 380, "qrs_axis": 95, "t_axis": 20}
    bare = build("mimic_iv_ecg", mimic, split="all", measurements=False)[0]
    assert set(bare.values) == {"ecg"} and not bare.targets


def test_leads_of_mimic_are_matched_by_name(mimic: Path) -> None:
    ecg = SlotLoader("ecg", modality="ecg")(build("mimic_iv_ecg", mimic, split="all")[0].values["ecg"])
    assert ecg.leads == STANDARD != MIMIC_ORDER  # the loader puts them into the usual order
    rows = dict(zip(ecg.leads, ecg.signal_CT, strict=True))
    assert torch.allclose(rows["aVF"], rows["II"] - rows["I"] / 2, atol=0.02)
    assert torch.allclose(rows["aVL"], rows["I"] - rows["II"] / 2, atol=0.02)


def test_no_patient_of_mimic_is_in_two_splits(mimic: Path, tmp_path: Path) -> None:
    rows = "".join(f"{10_000_000 + n // 2},{n},{n},2180-01-01,files/p/{n}\n" for n in range(4000))
    (tmp_path / "record_list.csv").write_text("subject_id,study_id,file_name,ecg_time,path\n" + rows)
    parts = {}
    for split in ("train", "val", "test"):
        data = build("mimic_iv_ecg", tmp_path, split=split, measurements=False)
        parts[split] = {int(name) // 2 for name in data.ids}
        assert len(parts[split]) * 2 == len(data)
    assert not parts["train"] & parts["val"] and not parts["val"] & parts["test"] and not parts["train"] & parts["test"]
    assert [len(part) for part in parts.values()] == pytest.approx([1600, 200, 200], rel=0.15)


def test_measurements_that_are_damaged(mimic: Path, tmp_path: Path) -> None:
    file = "machine_measurements.csv"
    cases: list[tuple[Callable[[str], str], str]] = [
        (lambda text: text.replace("qrs_onset", "onset"), "no column 'qrs_onset'"),
        (lambda text: text.replace(",44458630,", ",40689238,"), "two rows with the study_id 40689238"),
        (lambda text: text.replace(",44458630,", ",x44,"), "row 2: .*x44.* no whole number"),
        (lambda text: text + '10000764,9,"cut', "cut off"),
    ]
    for number, (change, words) in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(InputError, match=f"{file}.*{words}"):
            build("mimic_iv_ecg", copy_with(mimic, folder, file, change), split="all")
    folder = tmp_path / "fields"
    folder.mkdir()
    root = copy_with(mimic, folder, file, lambda text: text.replace(",659,", ",abc,"))
    data = build("mimic_iv_ecg", root, split="all")
    with pytest.raises(InputError, match="study 40689238: 'abc' is not a number"):
        data[0]


def test_intervals_that_cannot_be_are_left_out() -> None:
    points = dict.fromkeys(("rr_interval", "p_onset", "qrs_onset", "qrs_end", "t_end", "p_axis", "qrs_axis", "t_axis"))
    assert measured(points) == {}
    assert measured(points | {"rr_interval": 0.0, "p_onset": 200.0, "qrs_onset": 100.0, "t_axis": 400.0}) == {}


@pytest.mark.parametrize("name", WRITERS)
def test_the_example_of_the_page_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (PAGES / f"{name}.md").read_text(encoding="utf-8"), re.DOTALL)
    folder, write = WRITERS[name]
    monkeypatch.chdir(tmp_path)
    write(Path(folder))
    names: dict[str, object] = {}
    exec(compile(code, f"{name}.md", "exec"), names)
    assert len(names["data"]) > 0 and names["batch"].inputs["ecg"]["signal_BCT"].shape[1] == 12


def test_a_nano_model_trains_on_recordings_and_reports(ptb: Path, tmp_path: Path) -> None:
    config = dict(
        model=dict(width=16, num_layers=1, num_heads=2, ffn_width=32, embedding_width=8,
                   slots=dict(ecg="ecg", text="text"),
                   adapters=dict(ecg=dict(stem="conv", conv_width=8, conv_strides=(5, 5, 2)))),
        processor=dict(ecg=dict(modality="ecg", type="ecg_basic", sample_rate=100, max_seconds=2.0),
                       text=dict(modality="text", type="bpe")),
        objectives=[dict(type="info_nce", slots=["ecg", "text"])],
        train_dataloader=dict(dataset=dict(type="ptb_xl", root=str(ptb), rate=100), batch_size=4),
        train_cfg=dict(max_iters=2),
    )  # fmt: skip
    train(config, work_dir=tmp_path)
    lines = (tmp_path / "scalars.jsonl").read_text()
    assert '"loss"' in lines and "nan" not in lines.lower() and (tmp_path / "model").is_dir()
