"""Symile-M3: values, texts, missing slots and their polarity, damaged folders; its page; a model trains on it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from symile_m3_fixture import LANGUAGES, SIZES, symile_m3
from typer.testing import CliRunner

from omni.cli import app
from omni.errors import ConfigError, InputError
from omni.registry import DATASETS
from omni_plugin_m3mini.layouts.symile_m3 import LANGUAGES as SUBSETS
from omni_plugin_m3mini.layouts.symile_m3 import SymileM3, _cut

PAGE = Path(__file__).parents[3] / "docs" / "layouts" / "symile_m3.md"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return symile_m3(tmp_path_factory.mktemp("data") / "symile-m3-2")


@pytest.fixture
def root(published: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(published, tmp_path / "symile-m3-2"))


def rewrite(path: Path, change) -> None:
    torch.save(change(torch.load(path, weights_only=True)), path)


def test_values_and_targets_are_the_published_ones(published: Path) -> None:
    data = SymileM3(published, languages=2)
    image = torch.load(published / "train/image_train.pt", weights_only=True)
    classes = torch.load(published / "train/cls_id_train.pt", weights_only=True)
    lines = (published / "train/lang_train.txt").read_text().split()
    assert len(data) == SIZES["train"] and data.ids[2] == "train-1002"
    for row in (0, 7, 100):
        sample = data[row]
        assert sample.values["image"].shape == (1, 16) and (sample.values["image"][0] == image[row].numpy()).all()
        assert sample.values["audio"].shape == (1, 12) and len(sample.values["text"].split("_")) == 2
        assert sample.targets == {"class": int(classes[row]), "language": SUBSETS[2].index(lines[row])}
        assert sample.meta == {"lang": lines[row]}


def test_merged_splits_with_their_names_and_languages_run_together_give_the_same(published, tmp_path) -> None:
    merged = SymileM3(symile_m3(tmp_path / "merged", run_together=True, suffix="_full"), languages=2, split="val")
    data = SymileM3(published, languages=2, split="val")
    assert [sample.targets for sample in merged] == [sample.targets for sample in data]
    assert _cut("zh-CNenthzh-CN", SUBSETS[10]) == ["zh-CN", "en", "th", "zh-CN"] and _cut("enxx", SUBSETS[10]) == []


def test_one_means_missing(published: Path) -> None:
    data = SymileM3(published, languages=2, missingness=0.65)
    whole = SymileM3(published, languages=2)
    for slot in ("text", "image", "audio"):
        flags = torch.load(published / f"train/{slot}_missingness_prob65_train.pt", weights_only=True)
        assert [slot not in sample.values for sample in data] == (flags == 1).tolist()
        assert all(slot in sample.values for sample in whole)


def test_flags_the_other_way_round_are_refused(root: Path) -> None:
    rewrite(root / "train/image_missingness_prob65_train.pt", lambda flags: 1 - flags)
    with pytest.raises(InputError, match=r"image_missingness_prob65_train.*other way round"):
        SymileM3(root, languages=2, missingness=0.65)


def test_texts_come_from_the_table_a_tokenizer_or_not_at_all(published: Path, tmp_path: Path) -> None:
    plain = SymileM3(published, languages=2)[0]
    ids = SymileM3(published, languages=2, text="ids")[0]
    assert "text" not in ids.values and len(ids.meta["text_input_ids"]) == len(plain.values["text"]) + 2
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    vocabulary = {chr(number) if number > 31 else f"<{number}>": number for number in range(128)}
    own = Tokenizer(models.WordLevel(vocabulary, unk_token="<3>"))
    own.decoder = decoders.Fuse()
    made = PreTrainedTokenizerFast(tokenizer_object=own, bos_token="<0>", pad_token="<1>", eos_token="<2>")
    made.save_pretrained(tmp_path / "tokenizer")
    decoded = SymileM3(published, languages=2, text="tokenizer", tokenizer=tmp_path / "tokenizer")[0]
    assert decoded.values["text"] == plain.values["text"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / "train/image_train.pt").unlink(), "image_train.pt.*huggingface"),
        (lambda root: (root / "train/image_train.pt").write_bytes(b"PK\x03\x04"), "image_train.pt"),
        (lambda root: torch.save({"a": 1}, root / "train/audio_train.pt"), "audio_train.pt.*dict"),
        (lambda root: rewrite(root / "train/audio_train.pt", lambda a: a[:-1]), "audio_train.pt.*shape"),
        (lambda root: rewrite(root / "train/audio_train.pt", lambda a: a[0]), "audio_train.pt.*shape"),
        (lambda root: rewrite(root / "train/cls_id_train.pt", lambda a: a + 999), "not 0 to 999"),
        (lambda root: rewrite(root / "train/cls_id_train.pt", lambda a: a + 0.5), "not whole"),
        (lambda root: rewrite(root / "train/idx_train.pt", lambda a: a * 0), "two samples"),
        (lambda root: (root / "train/lang_train.txt").write_text("en\nel"), "2 languages for 128"),
        (lambda root: (root / "train/lang_train.txt").write_text("uk\n" * 128), "'uk'.*languages=2, 5 or 10"),
        (lambda root: (root / "train/lang_train.txt").write_bytes(b"\xff\xfe"), "lang_train.txt"),
        (lambda root: (root / "train.csv").unlink(), "train.csv.*tokenizer"),
        (lambda root: (root / "train.csv").write_text("text,lang,cls_id\na,en,0\n"), "1 rows, the tensors 128"),
        (lambda root: (root / "train.csv").write_text("text,lang,cls_id\n" + "a,en,0\n" * 128), "another class"),
    ],
)
def test_damaged_folders_are_refused_by_name(root: Path, damage, message: str) -> None:
    damage(root)
    with pytest.raises(InputError, match=message):
        SymileM3(root, languages=2)


def test_options_that_cannot_be_meant_are_refused(published: Path) -> None:
    for options, message in (
        ({"languages": 3}, "2, 5, 10"),
        ({"missingness": 0.3}, "0.65"),
        ({"missingness": 0.65, "split": "test"}, "complete"),
        ({"text": "tokenizer"}, "belong together"),
        ({"text": "table", "tokenizer": "x"}, "belong together"),
        ({"text": "tokenizer", "tokenizer": published}, "no tokenizer"),
    ):
        with pytest.raises(ConfigError, match=message):
            SymileM3(published, **{"languages": 2, **options})


def test_the_page_runs_and_a_model_learns_from_it(published: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "symile-m3-2").symlink_to(published)
    text = PAGE.read_text(encoding="utf-8")
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, PAGE.name, "exec"), names)
    assert names["sample"].id in names["data"].ids
    (command,) = re.findall(r"```sh\nomni (.*)\n```", text)
    done = CliRunner().invoke(app, command.split())
    assert done.exit_code == 0, done.output or done.exception
    assert f"symile_m3: {SIZES['val']} samples" in done.output
    assert len(DATASETS.build(dict(names["train_dataloader"]["dataset"]))) == SIZES["train"]
    from omni.engine.training import train

    names["model"]["adapters"]["image_vectors"]["channels"] = 16  # the fixture's widths
    names["model"]["adapters"]["audio_vectors"]["channels"] = 12
    config = dict(
        model=names["model"],
        processor=names["processor"],
        objectives=[dict(type="label_prediction", slots=["audio"], labels="language", num_classes=len(LANGUAGES))],
        train_dataloader=dict(dataset=names["train_dataloader"]["dataset"], batch_size=32),
        optim_wrapper=dict(optimizer=dict(type="AdamW", lr=3e-3)),
        train_cfg=dict(max_iters=12),
        default_hooks=dict(checkpoint=dict(interval=100), logger=dict(interval=1)),
    )
    train(config, work_dir=tmp_path / "run", quiet=True)
    records = [json.loads(line) for line in (tmp_path / "run" / "scalars.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in records if "loss" in record]
    assert len(losses) == 12 and np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3]), losses
