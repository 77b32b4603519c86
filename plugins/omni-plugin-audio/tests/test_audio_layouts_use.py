"""Published audio data sets in use: their pages run, and a small model trains on one through its config."""

from __future__ import annotations

import json
import re
from pathlib import Path

import audio_layouts_fixture as fixture
import pytest
from typer.testing import CliRunner

from omni.cli import app
from omni.registry import DATASETS
from omni_plugin_audio.plugin import omni_datasets

PAGES = Path(__file__).parents[3] / "docs" / "layouts"
WRITERS = {
    "audiocaps": ("audiocaps", fixture.audiocaps),
    "clotho": ("clotho", fixture.clotho),
    "esc50": ("ESC-50-master", fixture.esc50),
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
    assert f"{name}: {len(names['data'])} samples" in result.output
    assert Path(f"{name}.html").stat().st_size > 500


def test_a_nano_model_trains_on_classes(tmp_path):
    from omni.core.sizes import size
    from omni.engine.training import train

    root = fixture.esc50(tmp_path / "ESC-50-master")
    config = dict(
        model=dict(
            **size("nano"),
            embedding_width=32,
            slots=dict(audio="audio"),
            adapters=dict(audio=dict(stem="log_mel", patch_frames=8, position_layers=2, position_kernel=9)),
        ),
        processor=dict(audio=dict(modality="audio", type="log_mel", max_seconds=1.0)),
        objectives=[dict(type="label_prediction", slots=["audio"], labels="class", num_classes=3)],
        train_dataloader=dict(dataset=dict(type="esc50", root=str(root), fold=1), batch_size=24),
        optim_wrapper=dict(optimizer=dict(type="AdamW", lr=3e-3)),
        train_cfg=dict(max_iters=15),
        default_hooks=dict(checkpoint=dict(interval=100), logger=dict(interval=1)),
    )
    train(config, work_dir=tmp_path / "run", quiet=True)
    records = [json.loads(line) for line in (tmp_path / "run" / "scalars.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in records if "loss" in record]
    assert len(losses) == 15 and losses[-1] < 0.9 * losses[0], losses
