"""Measuring by groups: recall counted right, a missing sound handled, a training measured from its folder."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
import typer
from torch.nn.functional import normalize

from omni import config as configs
from omni.engine.training import train
from omni.errors import ConfigError, InputError
from omni_plugin_clips import commands
from omni_plugin_clips.groups import SlotSide, encode_sides, group_recall, load_trained, measure, table, without
from omni_plugin_clips.mix import Mix

CONFIGS = "omni_plugin_clips:configs"
SMALL = [
    "model.width=32", "model.num_layers=1", "model.ffn_width=32", "model.num_heads=2", "model.embedding_width=16",
    "model.adapters.video.image_size=32", "processor.video.size=32", "train_dataloader.batch_size=12",
    "train_cfg.max_iters=3", "model.adapters.audio.position_groups=2",
]  # fmt: skip


def sides(seed: int = 0) -> dict[str, SlotSide]:
    """40 samples of one token each: a text is the sum of its picture and its sound, each from 8 orthogonal kinds."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.eye(16)
    number = torch.arange(40)
    video, sound = kinds[number % 8], kinds[8 + number // 8]
    text = torch.stack([video, sound], 1)
    ones = torch.ones(40, 1, dtype=torch.bool)

    def side(tokens: torch.Tensor) -> SlotSide:
        noisy = normalize(tokens + 0.01 * torch.randn(tokens.shape, generator=generator), dim=-1)
        every = ones.expand(-1, tokens.shape[1])
        return SlotSide(tokens_NLE=noisy, logits_NL=torch.zeros(tokens.shape[:2]), valid_NL=every)

    return {"text": side(text), "video": side(video[:, None]), "audio": side(sound[:, None])}


def test_only_both_slots_find_the_clip() -> None:
    made = sides()
    both = group_recall(made, "text", ("video", "audio"))
    assert both.recall[1] == 1.0 and both.chance == {1: 1 / 40, 10: 10 / 40}
    video, sound = (group_recall(made, "text", (slot,)) for slot in ("video", "audio"))
    assert 0.05 < video.recall[1] < 0.5 and 0.02 < sound.recall[1] < 0.5  # 5 and 8 clips look, and sound, alike
    assert video.recall[10] == 1.0


def test_a_missing_sound_leaves_what_the_picture_says() -> None:
    made = sides()
    gone = {**made, "audio": without(made["audio"], torch.ones(40, dtype=torch.bool))}
    assert group_recall(gone, "text", ("video", "audio")).recall == group_recall(made, "text", ("video",)).recall
    half = {**made, "audio": without(made["audio"], torch.arange(40) % 2 == 1)}
    row = group_recall(half, "text", ("audio",))
    assert row.queries == row.candidates == 20 and row.chance[1] == 1 / 20
    assert made["audio"].valid_NL.all()  # what was given is not changed
    with pytest.raises(InputError, match="'text' and one of audio"):
        group_recall(gone, "text", ("audio",))


def test_ties_count_against_the_query() -> None:
    made = sides()
    flat = SlotSide(
        tokens_NLE=torch.ones(40, 1, 16) / 4, logits_NL=torch.zeros(40, 1), valid_NL=torch.ones(40, 1).bool()
    )
    assert group_recall({**made, "video": flat}, "text", ("video",)).recall == {1: 0.0, 10: 0.0}


@pytest.fixture(scope="module")
def trained(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few steps of the config on the tiny scenes."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMNI_HOME", str(home))
        options = {"quiet": True, "device": "cpu"}
        short = [*SMALL, "stages.0.max_iters=2", "stages.1.max_iters=2"]
        towers = train(f"{CONFIGS}/mix_towers.py", work_dir=folder / "towers", overrides=short, **options)
        both = [*SMALL, f"load_from={towers.model_folder}"]
        train(f"{CONFIGS}/mix_groups.py", work_dir=folder / "groups", overrides=both, **options)
    return folder / "groups"


def test_a_training_is_measured_from_its_folder(trained: Path, home: Path) -> None:
    model, processor, objective = load_trained(trained)
    assert objective.groups == [("video", "audio"), ("video",), ("audio",)] and not objective.training
    data = Mix("test", root=home / "mix")
    found = encode_sides(model, processor, objective, data, batch_size=5)
    whole = encode_sides(model, processor, objective, data, batch_size=12)
    for slot, side in found.items():
        used = side.valid_NL
        assert used.any(1).tolist() == ([s.meta["track"] for s in data] if slot == "audio" else [True] * 12)
        same = whole[slot].valid_NL[:, : used.shape[1]]
        assert torch.equal(used, same)  # padding, and the neighbours in a batch, change nothing
        expected = whole[slot].tokens_NLE[:, : used.shape[1]][used]
        torch.testing.assert_close(side.tokens_NLE[used], expected, atol=2e-5, rtol=1e-4)
    rows = measure(model, processor, objective, data)
    assert list(rows) == ["video + audio", "video", "audio", "video + audio, audio missing for half",
                          "video + audio, audio missing for all"]  # fmt: skip
    assert rows["video + audio, audio missing for all"].recall == rows["video"].recall
    assert rows["audio"].queries == sum(s.meta["track"] for s in data) < rows["video"].queries == 12
    assert "| video + audio | 12 | 12 |" in table(rows)


def test_the_objective_is_the_trained_one(trained: Path) -> None:
    """Its own projections come from the checkpoint: anew from the config they would be others."""
    first, second = load_trained(trained)[2], load_trained(trained)[2]
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key])
    from omni.engine.building import build_objectives
    from omni.engine.stages import split_stages

    model = load_trained(trained)[0]
    fresh = build_objectives(split_stages(configs.load(trained / "config.py"))[-1].objectives, model)
    (objective,) = fresh.values()
    objective.bind(model)
    name = "projections.video.project.weight"
    assert not torch.equal(objective.state_dict()[name], first.state_dict()[name])


def test_the_command(trained: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands.groups(trained, split="unseen", root=home / "mix", out=tmp_path / "o.json")
    assert json.loads((tmp_path / "o.json").read_text())["video"]["queries"] == 6
    assert "| video | 6 | 6 |" in capsys.readouterr().out
    with pytest.raises(typer.Exit):
        commands.groups(trained, split="unseen", root=tmp_path, out=None)
    assert "omni data build mix" in capsys.readouterr().err


def test_a_training_without_the_objective_is_refused(trained: Path, tmp_path: Path) -> None:
    for name in ("model", "checkpoints"):
        (tmp_path / name).symlink_to(trained / name)
    text = (trained / "config.py").read_text()
    changed = re.sub(r", 'shared_width': \d+", "", text.replace("grouping_alignment", "info_nce"))
    (tmp_path / "config.py").write_text(changed)
    with pytest.raises(ConfigError, match="has no objective grouping_alignment"):
        load_trained(tmp_path)
