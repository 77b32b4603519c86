"""Published image data sets in use: their pages run, and a small model trains on one through its config."""

from __future__ import annotations

import json
import re
from pathlib import Path

import image_layouts_fixture as fixture
import pytest
from typer.testing import CliRunner

from omni.cli import app
from omni.registry import DATASETS
from omni_plugin_image.plugin import omni_datasets

PAGES = Path(__file__).parents[3] / "docs" / "layouts"
WRITERS = {
    "imagenet": ("imagenet", fixture.imagenet),
    "coco_captions": ("coco", fixture.coco),
    "coco_boxes": ("coco", fixture.coco),
    "flickr30k": ("flickr30k", fixture.flickr30k),
    "vqav2": ("vqa", fixture.vqav2),
    "refcoco": ("refer", fixture.refcoco),
}


def test_every_layout_has_a_page_and_a_licence():
    assert {spec.name for spec in omni_datasets()} == set(WRITERS)
    assert all(spec.license and spec.obtained and spec.summary for spec in omni_datasets())


@pytest.mark.parametrize("name", WRITERS)
def test_the_page_runs(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    root, write = WRITERS[name]
    write(Path(root))
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, f"{name}.md", "exec"), names)
    assert names["sample"].id in names["data"].ids and capsys.readouterr().out
    assert len(DATASETS.build(dict(names["train_dataloader"]["dataset"]))) > 0
    (command,) = re.findall(r"```sh\nomni (.*)\n```", page)
    result = CliRunner().invoke(app, command.split())
    assert result.exit_code == 0, result.output or result.exception
    assert f"{name}: {len(names['data'])} samples" in result.output or name == "coco_boxes"
    assert Path(f"{name}.html").stat().st_size > 500


def test_a_nano_model_trains_on_captions(tmp_path):
    from omni.core.sizes import size
    from omni.data.terms import terms_of_model
    from omni.engine.training import train

    root = fixture.coco(tmp_path / "coco")
    dataset = dict(type="coco_captions", root=str(root))
    config = dict(
        model=dict(
            **size("nano"),
            embedding_width=32,
            slots=dict(image="image", text="text"),
            adapters=dict(image=dict(stem="hmlp", image_size=32)),
        ),
        processor=dict(
            image=dict(modality="image", type="image_basic", size=32), text=dict(modality="text", type="bpe")
        ),
        objectives=[dict(type="info_nce", slots=["image", "text"], labels="image")],
        train_dataloader=dict(dataset=dataset, batch_size=15),
        val_dataloader=dict(dataset=dataset | {"split": "val"}, batch_size=15),
        val_evaluator=dict(type="retrieval", query=["text"], target="image", label="image"),
        optim_wrapper=dict(optimizer=dict(type="AdamW", lr=3e-4)),
        param_scheduler=dict(type="warmup_cosine", warmup=0.2),
        train_cfg=dict(max_iters=30, val_interval=30),
        default_hooks=dict(checkpoint=dict(interval=100), logger=dict(interval=1)),
    )
    result = train(config, work_dir=tmp_path / "run", quiet=True)
    records = [json.loads(line) for line in (tmp_path / "run" / "scalars.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in records if "loss" in record]
    assert len(losses) == 30 and losses[-1] < 0.6 * losses[0], losses
    assert result.trained_groups and set(result.metrics)
    (terms,) = terms_of_model(result.model_folder)
    assert terms["data"] == "coco_captions" and terms["license"].startswith("annotations CC-BY-4.0")
