"""The command itself under torchrun, on two gloo processes; the page about it."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))


def blocks(language):
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


@pytest.mark.parametrize("strategy", [pytest.param("ddp", marks=pytest.mark.slow), "fsdp"])
def test_train_under_torchrun_ends_where_one_process_does(toys, make_config, tmp_path, strategy):
    from launching import torchrun

    from omni import config as configs
    from omni.engine import train

    made = make_config(train_cfg={"max_iters": 4})
    made["model"].update(drop_path=0.0, layer_scale=0.5)
    made["optim_wrapper"] = {"optimizer": {"type": "SGD", "lr": 0.05, "momentum": 0.9}, "clip_grad": {"max_norm": 1.0}}
    train(made, work_dir=tmp_path / "one", quiet=True)
    made["train_dataloader"]["batch_size"] = 6
    made["strategy"] = {"type": strategy}
    configs.dump(made, tmp_path / "run.py")
    printed = torchrun("-m", "omni", "train", tmp_path / "run.py", "--work-dir", tmp_path / "two", "--device", "cpu")
    assert printed.count("Model: ") == 1  # the first process speaks
    one, two = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("one", "two"))
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 2e-6
    assert one.keys() == two.keys()


@pytest.mark.slow
def test_the_example_of_the_page_runs(tmp_path, monkeypatch):
    """Both configs, all commands, as they stand there."""
    from launching import torchrun

    import omni

    monkeypatch.chdir(tmp_path)
    for block in blocks("python"):
        name = re.match(r"# (\w+\.py)\n", block)[1]
        Path(name).write_text(block)
    lines = [shlex.split(line) for line in "".join(blocks("sh")).splitlines()]
    assert [words[:4] for words in lines] == [["torchrun", "--nproc-per-node", "2", "-m"]] * 3
    printed = [torchrun(*words[3:], timeout=400) for words in lines]
    assert "parameters start anew" in printed[2] and "of the file are left out" in printed[2]
    found = omni.load("work_dirs/scale/model", slots=["text"]).encode(text=["a cat"])["text"]
    assert tuple(found.shape) == (1, 64)
    whole, part = (load_file(Path(f"work_dirs/{name}/model/model.safetensors")) for name in ("scale", "part"))
    assert set(part) < set(whole)
    kept = [name for name in part if name.startswith(("adapters.text", "core.layers.0"))]
    assert kept and all(bool((part[name] == whole[name]).all()) for name in kept)
