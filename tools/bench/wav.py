"""From a WAV file to a tensor: the loader of the audio plugin against torchaudio.load.

torchaudio 2.9 and later read files through torchcodec, which needs FFmpeg's shared libraries. Those of PyAV's wheel are
put on the library path under their usual names, in a process of its own, since the path is read when a process starts.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tools.bench.timing import interleave, row

ROOT = Path(__file__).resolve().parents[2]
TARGET = 2.5
CASES = (
    ("1 s, 16 kHz, 16 bit", 16_000, 1, 1, "PCM_16", 200),
    ("5 s, 16 kHz, 16 bit", 16_000, 1, 5, "PCM_16", 100),
    ("10 s, 44.1 kHz stereo, 16 bit", 44_100, 2, 10, "PCM_16", 20),
    ("10 s, 16 kHz, 24 bit", 16_000, 1, 10, "PCM_24", 50),
    ("10 s, 48 kHz stereo, float", 48_000, 2, 10, "FLOAT", 20),
)


def bench_wav_to_tensor() -> list[dict[str, Any]]:
    """Files in the cache of the operating system to mono float32 at their own rate, checked for NaN and silence; the
    peer gives all channels, unchecked. One thread, both in one process, interleaved."""
    with tempfile.TemporaryDirectory() as name:
        libraries = _usual_names(Path(name))
        environment = os.environ | {
            "LD_LIBRARY_PATH": os.pathsep.join([*libraries, os.environ.get("LD_LIBRARY_PATH", "")])
        }
        code = f"import json, tools.bench.wav as m; print('RESULT' + json.dumps(m.measure({name!r})))"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    if not lines:
        raise RuntimeError((done.stderr or done.stdout).strip()[-400:])
    return json.loads(lines[-1].removeprefix("RESULT"))


def _usual_names(folder: Path) -> list[str]:
    """Links such as libavutil.so.60 to PyAV's libraries, whose names carry a hash; the folders for the library path."""
    import importlib.util

    spec = importlib.util.find_spec("av")
    if spec is None or spec.origin is None:
        return []
    libraries = Path(spec.origin).parents[1] / "av.libs"
    for path in libraries.glob("lib*"):
        if found := re.fullmatch(r"(lib(?:av|sw)[a-z]+)-[0-9a-f]+\.so\.(\d+).*", path.name):
            (folder / f"{found[1]}.so.{found[2]}").symlink_to(path)
    return [str(folder), str(libraries)]


def measure(folder: str) -> list[dict[str, Any]]:
    """The rows; in the process that has the libraries."""
    import numpy as np
    import soundfile
    import torch
    import torchaudio

    from omni_plugin_audio.io import load

    torch.set_num_threads(1)
    rows = []
    for name, rate, channels, seconds, subtype, repeats in CASES:
        path = Path(folder) / "sound.wav"
        sound = np.random.default_rng(0).normal(0, 0.1, (rate * seconds, channels)).clip(-1, 1)
        soundfile.write(path, sound, rate, subtype=subtype)
        difference = float((load(path, sample_rate=rate).samples_T - torchaudio.load(path)[0].mean(0)).abs().max())
        ours_s, peer_s = interleave(
            lambda path=path, rate=rate: load(path, sample_rate=rate),
            lambda path=path: torchaudio.load(path),
            repeats=repeats,
        )
        title = f"WAV to tensor, {name}, against torchaudio.load"
        made = row(title, ours_s, peer_s, target=f">= {TARGET} x faster", reached=peer_s / ours_s >= TARGET)
        rows.append(made | {"max_difference": difference})
    return rows
