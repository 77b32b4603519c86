"""Published data sets of films in use: their pages run, and a small model trains on one with a soundless film in it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import video_layouts_fixture as fixture
from typer.testing import CliRunner

import omni
from omni.cli import app
from omni.embedding_job import embed_dataset
from omni.engine.items import BatchItems
from omni.errors import InputError
from omni.registry import DATASETS
from omni_plugin_video.plugin import omni_datasets

PAGES = Path(__file__).parents[3] / "docs" / "layouts"
WRITERS = {
    "kinetics": ("k400", fixture.kinetics),
    "msrvtt": ("MSRVTT", fixture.msrvtt),
    "valor": ("VALOR-32K", fixture.valor),
    "vggsound": ("vggsound", fixture.vggsound),
}


def test_every_layout_has_a_page_and_a_licence() -> None:
    specs = {spec.name: spec for spec in omni_datasets() if spec.name != "film_manifest"}
    assert set(specs) == set(WRITERS)
    assert all(spec.license and spec.obtained and spec.summary for spec in specs.values())


@pytest.mark.parametrize("name", WRITERS)
def test_the_page_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
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
    assert f"{name}: {len(names['data'])} samples" in result.output
    assert Path(f"{name}.html").stat().st_size > 500


def test_a_nano_model_trains_with_a_soundless_film(tmp_path: Path) -> None:
    from omni.core.sizes import size
    from omni.engine.training import train

    root = fixture.vggsound(tmp_path / "vggsound")
    dataset = dict(type="vggsound", root=str(root))
    config = dict(
        model=dict(
            **size("nano"),
            embedding_width=32,
            slots=dict(video="video", audio="audio", text="text"),
            adapters=dict(
                video=dict(stem="tubelet", tubelet=2, image_size=32, num_steps=2),
                audio=dict(stem="log_mel", patch_frames=8, position_layers=2, position_kernel=9),
            ),
        ),
        processor=dict(
            video=dict(modality="video", size=32, num_frames=4, crop_scale=(1, 1), crop_ratio=(1, 1)),
            audio=dict(modality="audio", type="log_mel", max_seconds=1.0),
            text=dict(modality="text", type="bpe"),
        ),
        objectives=[
            dict(type="label_prediction", slots=["video"], labels="class", num_classes=3),
            dict(type="label_prediction", slots=["audio"], labels="class", num_classes=3),
            dict(type="info_nce", slots=["video", "text"], labels="class", weight=0.2),
            dict(type="info_nce", slots=["audio", "text"], labels="class", weight=0.2),
        ],
        train_dataloader=dict(dataset=dataset, batch_size=3),
        optim_wrapper=dict(optimizer=dict(type="AdamW", lr=2e-3)),
        train_cfg=dict(max_iters=20),
        default_hooks=dict(checkpoint=dict(interval=100), logger=dict(interval=1)),
    )
    result = train(config, work_dir=tmp_path / "run", quiet=True)
    records = [json.loads(line) for line in (tmp_path / "run" / "scalars.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in records if "loss" in record]
    assert len(losses) == 20 and losses[-1] < 0.9 * losses[0], losses

    model = omni.load(result.model_folder)
    data = DATASETS.build(dict(dataset))
    batch = BatchItems(data, model.processor)[(0, 2)]
    assert not batch.present["audio"].any() and "audio" not in batch.inputs and batch.present["video"].all()
    embed_dataset(model, data, tmp_path / "rows.npz")
    with np.load(tmp_path / "rows.npz") as rows:
        assert np.isfinite(rows["audio"]).all(1).tolist() == [True, True, False] and np.isfinite(rows["video"]).all()
    tracks = [sample.values["audio"] for sample in data]
    with pytest.raises(InputError, match=r"Value 2: .*a2xk9Y4bQ0c_001200.*no sound track.*allow_missing=True"):
        model.encode(audio=tracks)
    made = model.encode(audio=tracks, allow_missing=True)["audio"]
    torch.testing.assert_close(made.isfinite().all(1), torch.tensor([True, True, False]))
