"""MIMIC-CXR, CheXpert and Open-i, read as published; each page's example; a step of training."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from xray_layouts_fixture import (
    MIMIC_REPORT,
    VIEWS_REPORT,
    chexpert,
    drawn,
    mimic_cxr,
    open_i,
    picture,
    write_table,
)

from omni.data.loaders import SlotLoader
from omni.data.terms import TermsError, require_publishable
from omni.engine import train
from omni.errors import ConfigError, InputError
from omni.registry import DATASETS
from omni_plugin_xray.layouts.findings import FINDINGS
from omni_plugin_xray.layouts.reports import sections

PAGES = Path(__file__).parents[3] / "docs" / "layouts"
WRITERS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "mimic_cxr": ("mimic-cxr-jpg", mimic_cxr),
    "chexpert": ("chexpert", chexpert),
    "open_i": ("open-i", open_i),
}
LATERAL, PA = "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014", "174413ec-4ec4c1f7-34ea26b7-c5f994f8-79ef1962"
AP = "2a2277a9-b0ded155-c0de8eb9-c124d10e-82c5caab"


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: write(tmp_path_factory.mktemp(name)) for name, (_, write) in WRITERS.items()}


def build(name: str, root: Path, **options: object):
    return DATASETS.build(dict(type=name, root=str(root), **options))


def named(labels: list[float]) -> dict[str, float]:
    """The labels that are not NaN, by their names."""
    return {name: value for name, value in zip(FINDINGS, labels, strict=True) if not math.isnan(value)}


def test_sections_of_reports() -> None:
    found = sections(MIMIC_REPORT)
    assert found["findings"] == (
        "There is no focal consolidation, pleural effusion or pneumothorax. Heart size: normal."
    )  # "Heart size:" within a line is no heading
    assert found["impression"] == "No acute cardiopulmonary process." and found["comparison"] == "None."
    assert sections(VIEWS_REPORT) == {"history": "Cough.", "findings": "The lungs are clear.", "impression": "Normal."}
    joint = sections(" FINDINGS AND IMPRESSION:  Clear.\n\n RECOMMENDATION:  None.\n FINDINGS: Also this.")
    assert joint == {"findings": "Clear. Also this.", "recommendation": "None."}
    assert sections("no headings at all") == {} == sections("")


def test_mimic_cxr_splits_labels_and_views(roots: dict[str, Path]) -> None:
    data = build("mimic_cxr", roots["mimic_cxr"])
    assert data.ids == [LATERAL, PA, AP] and data.classes == FINDINGS
    assert [len(build("mimic_cxr", roots["mimic_cxr"], split=each)) for each in ("val", "test", "all")] == [1, 1, 5]
    assert [sample.meta["view"] for sample in data] == ["LATERAL", "PA", "AP"]
    assert named(data[0].targets["labels"]) == {"No Finding": 1.0}
    assert named(data[2].targets["labels"]) == {"Cardiomegaly": -1.0, "Pleural Effusion": 0.0}
    assert build("mimic_cxr", roots["mimic_cxr"], split="val")[0].meta["view"] is None
    assert not build("mimic_cxr", roots["mimic_cxr"], split="test")[0].targets  # no row in the table of labels
    front = build("mimic_cxr", roots["mimic_cxr"], views=["PA", "AP"], labeller="negbio", uncertain="ones")
    assert front.ids == [PA, AP] and named(front[1].targets["labels"])["Cardiomegaly"] == 1.0
    studies = build("mimic_cxr", roots["mimic_cxr"], each="study")
    assert studies.ids == ["s50414267", "s53189527"] and PA in str(studies[0].values["xray"])
    assert build("mimic_cxr", roots["mimic_cxr"], each="study", views=["LATERAL", "PA"])[0].meta["view"] == "LATERAL"


def test_mimic_cxr_reports(roots: dict[str, Path]) -> None:
    root = roots["mimic_cxr"]
    assert "text" not in build("mimic_cxr", root)[0].values
    data = build("mimic_cxr", root, reports="files", split="all")
    assert data[1].values["text"].startswith("There is no focal consolidation") and data[1].keys["text"]
    assert data[2].values["text"] == "The lungs are clear. Normal."
    assert "text" not in data[3].values  # a report without headings has neither section
    short = build("mimic_cxr", root, reports=str(root / "files"), sections=["impression"])
    assert short[1].values["text"] == "No acute cardiopulmonary process."
    with pytest.raises(InputError, match="no folder 'reports'"):
        build("mimic_cxr", root, reports="reports")


def test_mimic_cxr_as_dicom_with_tables_elsewhere(roots: dict[str, Path], tmp_path: Path) -> None:
    root = mimic_cxr(tmp_path, images="dcm")
    for path in root.glob("*.gz"):
        path.unlink()
    with pytest.raises(InputError, match="mimic-cxr-2.0.0-metadata.csv.gz.*MIMIC-CXR-JPG.*physionet"):
        build("mimic_cxr", root, images="dcm")
    data = build("mimic_cxr", root, images="dcm", tables=str(roots["mimic_cxr"]), reports="files")
    raw = SlotLoader("xray", modality="xray")(data[0].values["xray"])
    assert raw.meta["format"] == "DICOM" and raw.levels_HW.shape == (40, 40) and len(data) == 3


def test_a_missing_report_or_image_is_named_or_left_out(tmp_path: Path) -> None:
    root = mimic_cxr(tmp_path)
    (root / "files/p10/p10000032/s53189527.txt").unlink()
    (root / f"files/p10/p10000032/s50414267/{PA}.jpg").unlink()
    data = build("mimic_cxr", root, reports="files")
    for index, file in ((1, f"{PA}.jpg"), (2, "s53189527.txt")):
        with pytest.raises(InputError, match=f"mimic_cxr.*{file}.*not there"):
            data[index]
    fewer = build("mimic_cxr", root, reports="files", missing="skip")
    assert fewer.ids == [LATERAL] and fewer.skipped == 2
    (root / "files/p10/p10000032/s50414267.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InputError, match="s50414267.txt.*cannot be read"):
        data[0]


@pytest.mark.parametrize("folder", ["CheXpert-v1.0-small", "CheXpert-v1.0", "."])
def test_chexpert_in_any_of_its_folders(tmp_path: Path, folder: str) -> None:
    data = build("chexpert", chexpert(tmp_path, folder=folder))
    assert data.ids == ["train-1", "train-2", "train-3", "train-4"] and all(data)
    raw = SlotLoader("xray", modality="xray")(data[0].values["xray"])
    assert np.abs(raw.levels_HW / 257 - drawn(0)).mean() < 4  # JPEG
    assert data[1].values["xray"].parts[-3:] == ("patient00002", "study2", "view1_frontal.jpg")


def test_chexpert_labels_and_views(roots: dict[str, Path]) -> None:
    data = build("chexpert", roots["chexpert"])
    assert named(data[0].targets["labels"]) == {"No Finding": 1.0, "Pneumothorax": 0.0, "Support Devices": 1.0}
    assert data[2].meta == {"view": "lateral", "projection": None, "sex": "male", "age": 83}
    assert data[3].meta == {"view": "frontal", "projection": "PA", "sex": None, "age": 0}
    assert build("chexpert", roots["chexpert"], view="lateral").ids == ["train-3"]
    assert build("chexpert", roots["chexpert"], view="frontal", projections=["pa"]).ids == ["train-4"]
    value = build("chexpert", roots["chexpert"], split="val")
    assert len(value) == 1 and sum(value[0].targets["labels"]) == 1.0
    with pytest.raises(InputError, match="no file 'test.csv'.*'test_labels.csv'"):
        build("chexpert", roots["chexpert"], split="test")


def test_what_may_be_published_of_models_trained_on_them(roots: dict[str, Path]) -> None:
    terms = {name: build(name, root).terms for name, root in roots.items()}
    assert [[item["publish"] for item in terms[name]] for name in ("mimic_cxr", "open_i", "chexpert")] == [
        [False], [False], [True],
    ]  # fmt: skip
    with pytest.raises(TermsError, match="open_i .CC-BY-NC-ND-4.0.: reports and pictures may not"):
        require_publishable({"terms": terms["open_i"]})


def test_policies_for_what_is_uncertain(roots: dict[str, Path]) -> None:
    def second(uncertain: object) -> dict[str, float]:
        return named(build("chexpert", roots["chexpert"], uncertain=uncertain)[1].targets["labels"])

    sure = {"Lung Opacity": 1.0, "Fracture": 1.0}
    assert second("keep") == sure | {"Cardiomegaly": -1.0, "Edema": -1.0}
    assert second("ones") == sure | {"Cardiomegaly": 1.0, "Edema": 1.0}
    assert second("zeros") == sure | {"Cardiomegaly": 0.0, "Edema": 0.0}
    assert second("ignore") == sure
    assert second({"Edema": "ones", "Cardiomegaly": "ignore"}) == sure | {"Edema": 1.0}
    with pytest.raises(ConfigError, match="'Oedema'"):
        second({"Oedema": "ones"})
    with pytest.raises(ConfigError, match="'maybe'.*keep, ones"):
        second("maybe")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("-1.0", "2.0", 1), "row 2, 'Cardiomegaly': the label is '2.0'"),
        (lambda text: text.replace("Frontal/Lateral", "View").replace("view1_frontal", "one"), "neither frontal"),
        (lambda text: text.replace("train/patient00001/", ""), "row 1: the path"),
        (lambda text: text.replace("train/patient00001", "../../patient00001"), "not inside"),
        (lambda text: text.replace("Edema", "Oedema"), "no column 'Edema'"),
    ],
)
def test_chexpert_tables_that_are_not_as_published(tmp_path: Path, change: Callable, words: str) -> None:
    path = chexpert(tmp_path) / "CheXpert-v1.0-small/train.csv"
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=f"chexpert.*{words}"):
        build("chexpert", tmp_path)[0]


def test_a_test_set_with_labels_alone(tmp_path: Path) -> None:
    """As it was published later: the path and the labels, in another order."""
    path = "test/patient64741/study1/view1_frontal.jpg"
    names = sorted(FINDINGS)
    picture(tmp_path / path, 3)
    row = (path, *("1" if name == "Edema" else "0" for name in names))
    write_table(tmp_path / "test_labels.csv", ("Path", *names), [row])
    (sample,) = build("chexpert", tmp_path, split="test")
    assert sample.targets["labels"] == [float(name == "Edema") for name in FINDINGS]
    assert sample.meta == {"view": "frontal", "projection": None, "sex": None, "age": None}


def test_open_i_pictures_share_their_report(roots: dict[str, Path]) -> None:
    data = build("open_i", roots["open_i"], split="all")
    assert len(data) == 9 and data.ids[:3] == ["CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001", "CXR2_2_IM-0002-1001"]
    first, second, third = data[0], data[1], data[2]
    assert first.values["text"] == "The heart is of normal size. The lungs are clear. Normal chest x-XXXX."
    assert first.values["text"] == second.values["text"] and first.keys["text"] == second.keys["text"]
    assert first.keys["xray"] != second.keys["xray"]
    assert third.values["text"] == "1. Mild cardiomegaly. 2. No effusion." and "text" not in data[3].values
    raw = SlotLoader("xray", modality="xray")(first.values["xray"])
    assert np.array_equal(raw.levels_HW, drawn(10).astype(np.uint16) * 257)  # grey in three channels
    only = build("open_i", roots["open_i"], split="all", sections=["indication"])
    assert only[3].values["text"] == "Positive TB test"


def test_open_i_headings(roots: dict[str, Path]) -> None:
    data = build("open_i", roots["open_i"], split="all")
    assert data.classes == (
        "Cardiomegaly", "No Indexing", "Opacity", "Technical Quality of Image Unsatisfactory", "normal",
    )  # fmt: skip
    assert [data[index].targets["labels"] for index in (0, 2, 3)] == [[0, 0, 0, 0, 1], [1, 0, 1, 0, 0], [0, 0, 1, 1, 0]]
    assert data[2].meta == {"report": "CXR2", "majors": ["Cardiomegaly/mild", "Opacity/lung/base/left"]}
    assert build("open_i", roots["open_i"], least=2).classes == ("Opacity", "normal")  # over all splits


def test_open_i_reports_of_several_pictures(roots: dict[str, Path]) -> None:
    data = build("open_i", roots["open_i"], split="all", each="report", images=2)
    assert data.ids == ["CXR1", "CXR2", "CXR3", "CXR7", "CXR16"]  # the one without pictures is left out
    slots = [sorted(sample.values) for sample in data]
    assert slots[:3] == [["text", "xray", "xray_2"], ["text", "xray"], ["xray", "xray_2"]]
    assert "xray_3" in build("open_i", roots["open_i"], split="all", each="report", images=3)[2].values


def test_open_i_splits_keep_reports_together(tmp_path: Path) -> None:
    root = open_i(tmp_path)
    template = (root / "ecgen-radiology/7.xml").read_text()
    for number in range(100, 400):
        (root / f"ecgen-radiology/{number}.xml").write_text(template.replace("CXR7", f"CXR{number}"))
    parts = {split: {name.partition("_")[0] for name in build("open_i", root, split=split).ids}
             for split in ("train", "val", "test")}  # fmt: skip
    assert sum(map(len, parts.values())) == len(set.union(*parts.values())) == 305
    assert len(parts["train"]) == pytest.approx(244, abs=20) and min(map(len, parts.values())) > 15


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<eCitation>", "cannot be read as a report"),
        ("", "cannot be read as a report"),
        ('<eCitation><uId id="PMC1"/></eCitation>', "no number such as CXR1"),
        ('<!DOCTYPE x [<!ENTITY a "aaaa">]><eCitation><uId id="CXR9"/>&a;</eCitation>', "entities"),
        ('<eCitation><uId id="CXR9"/><parentImage id="../../etc/passwd"/></eCitation>', "not inside"),
    ],
)
def test_open_i_reports_that_are_not_as_published(tmp_path: Path, text: str, words: str) -> None:
    root = open_i(tmp_path)
    (root / "ecgen-radiology/9.xml").write_text(text)
    with pytest.raises(InputError, match=f"open_i.*{words}"):
        data = build("open_i", root, split="all")
        [data[index] for index in range(len(data))]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mimic_cxr", dict(images="png")), ("mimic_cxr", dict(labeller="human")), ("mimic_cxr", dict(views="PA")),
        ("mimic_cxr", dict(sections="findings")), ("mimic_cxr", dict(each="patient")), ("chexpert", dict(view="PA")),
        ("chexpert", dict(projections="AP")), ("open_i", dict(sections="findings")), ("open_i", dict(images=0)),
        ("open_i", dict(each="study")), ("open_i", dict(least=0)), ("chexpert", dict(split="valid")),
    ],
)  # fmt: skip
def test_wrong_options(roots: dict[str, Path], name: str, options: dict) -> None:
    with pytest.raises(ConfigError, match=rf"{name}: .*{next(iter(options))}"):
        build(name, roots[name], **options)


@pytest.mark.parametrize(("name", "who"), [("mimic_cxr", "10000032"), ("chexpert", "patient00001")])
def test_patients_are_named_only_if_asked_for(roots: dict[str, Path], name: str, who: str) -> None:
    sample = build(name, roots[name])[0]
    assert who not in repr((sample.id, sample.meta, sample.keys, sample.targets))
    assert who in repr(build(name, roots[name], patients=True)[0].meta)


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_that_is_not_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{name}.*nowhere.*How to get it"):
        build(name, tmp_path / "nowhere")
    with pytest.raises(InputError, match=f"{name}: no f.*How to get it"):
        build(name, tmp_path)


@pytest.mark.parametrize("name", WRITERS)
def test_the_example_of_the_page_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (PAGES / f"{name}.md").read_text(encoding="utf-8"), re.DOTALL)
    folder, write = WRITERS[name]
    monkeypatch.chdir(tmp_path)
    write(Path(folder))
    names: dict[str, object] = {}
    exec(compile(code, f"{name}.md", "exec"), names)
    assert len(names["data"]) > 0 and names["batch"].inputs["xray"]["pixels_BCHW"].shape == (2, 1, 224, 224)
    assert names["batch"].targets["labels"].shape == (2, len(names["data"].classes))


def test_a_nano_model_trains_on_radiographs_and_reports(roots: dict[str, Path], tmp_path: Path) -> None:
    config = dict(
        model=dict(width=16, num_layers=1, num_heads=2, ffn_width=32, embedding_width=8,
                   slots=dict(xray="xray", text="text"), adapters=dict(xray=dict(image_size=32))),
        processor=dict(xray=dict(modality="xray", size=32), text=dict(modality="text", type="bpe")),
        objectives=[dict(type="info_nce", slots=["xray", "text"])],
        train_dataloader=dict(dataset=dict(type="open_i", root=str(roots["open_i"]), split="all"), batch_size=9),
        train_cfg=dict(max_iters=2),
    )  # fmt: skip
    train(config, work_dir=tmp_path)
    lines = (tmp_path / "scalars.jsonl").read_text()
    assert '"loss"' in lines and "nan" not in lines.lower() and (tmp_path / "model").is_dir()
