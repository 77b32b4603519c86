"""Runs training on two gloo processes, for the tests of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def environment():
    """That of processes in which the toy plugins are installed."""
    plugins = (HERE.parent / "toy_modalities.py", HERE / "toy_training.py", HERE / "toy_adding.py")
    return {
        **os.environ,
        "OMNI_PLUGIN_FILES": os.pathsep.join(str(path) for path in plugins),
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)]),
        "OMP_NUM_THREADS": "1",
    }


def torchrun(*arguments, processes=2, timeout=200):
    """The output of ``torchrun ... ARGUMENTS``; AssertionError if it fails."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run(
        [*command, *map(str, arguments)], env=environment(), capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
