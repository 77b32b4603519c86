"""A run that is killed again and again ends with the weights of one that never was."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from omni.engine import checkpoint

HERE = Path(__file__).parent
KILLS = 4
STEPS = 60


def start(config, folder, *more):
    environment = {
        **os.environ,
        "OMNI_PLUGIN_FILES": os.pathsep.join(
            str(path) for path in (HERE.parent / "toy_modalities.py", HERE / "toy_training.py")
        ),
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)]),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "omni", "train", str(config), "--work-dir", str(folder), "--quiet", *more]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process):
    output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, output


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_sigkill_at_random_steps_changes_nothing(make_config, tmp_path, seed):
    from omni import config as configs

    made = make_config(
        ema={"decay": 0.9},
        default_hooks={"checkpoint": {"interval": 2}},
        stages=[
            {"name": "align", "max_iters": STEPS // 2},
            {"name": "heads", "max_iters": STEPS // 2, "freeze": ["adapters.stripe", "core"], "cache": ["left"]},
        ],
    )
    made["train_dataloader"]["num_workers"] = seed
    configs.dump(made, tmp_path / "run.py")
    finish(start(tmp_path / "run.py", tmp_path / "whole"))

    rng, killed, more = random.Random(seed), 0, ()
    while killed < KILLS:
        process = start(tmp_path / "run.py", tmp_path / "parts", *more)
        done = progress(tmp_path / "parts")
        goal = done + rng.randint(1, STEPS // (KILLS + 1) - 1)
        while progress(tmp_path / "parts") < goal and process.poll() is None:
            time.sleep(0.002)
        time.sleep(rng.random() * 0.05)  # anywhere within a step, a write included
        assert process.poll() is None, process.communicate()[0]
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed, more = killed + 1, ("--resume",)
    finish(start(tmp_path / "run.py", tmp_path / "parts", "--resume"))
    whole, parts = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert [name for name, value in whole.items() if not torch.equal(value, parts[name])] == []
    logs = "".join(path.read_text() for path in (tmp_path / "parts" / "checkpoints").glob("*/log.txt"))
    assert logs.count("resumed from") >= KILLS - 1  # the first kill may come before the first checkpoint


def progress(folder):
    """Steps that checkpoints show, over both stages."""
    found = [checkpoint.steps(folder / "checkpoints" / stage) for stage in ("align", "heads")]
    return sum(steps[-1][0] if steps else 0 for steps in found)
