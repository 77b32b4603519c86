"""Speech: names spoken by espeak-ng in many voices, 16 kHz."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omni.data.building.archives import unpack_deb
from omni.data.building.counter_rng import CounterRng
from omni.data.building.packages import obtain
from omni.errors import InputError, MissingDependencyError, OmniError
from omni_plugin_m3mini.builder.elf import free_of
from omni_plugin_m3mini.builder.opus import SAMPLE_RATE
from omni_plugin_m3mini.builder.sources import ESPEAK

VERSION = "1.51"
SPLIT_SHARES = {"train": 0.70, "val": 0.10, "test": 0.20}
_RMS, _PEAK = 0.08, 0.95
_FRAME = SAMPLE_RATE // 100
_PAD = SAMPLE_RATE // 50


@dataclass(frozen=True, kw_only=True)
class Espeak:
    """A way to run espeak-ng 1.51: the command, its data folder and environment."""

    command: str
    data: Path
    environment: dict[str, str]

    def variants(self) -> list[str]:
        """Names of the voice variants, sorted."""
        return sorted(path.name for path in (self.data / "voices" / "!v").iterdir() if path.is_file())

    def speak(self, text: str, *, language: str, variant: str, rate: int) -> np.ndarray:
        """float32 (T,), 16 kHz, trimmed, loudness evened; raises OmniError when espeak-ng gives no sound."""
        done = subprocess.run(
            [self.command, "--path", str(self.data.parent), "-v", f"{language}+{variant}", "-s", str(rate), "--stdout"],
            input=text.encode(), capture_output=True, env=self.environment,
        )  # fmt: skip
        if done.returncode != 0 or len(done.stdout) < 1000:
            reason = done.stderr.decode(errors="replace").strip() or "no sound"
            raise OmniError(f"espeak-ng -v {language}+{variant} failed on {text!r}: {reason}")
        return even_loudness(trim(read_wave(done.stdout, "espeak-ng's output")))


def find_espeak(*, cache: Path, given: list[Path]) -> Espeak:
    """espeak-ng 1.51 from the PATH, else from the pinned Debian packages, unpacked below ``cache``.

    Raises:
        OmniError: neither can be had, or the libraries that the packages need are missing.
    """
    on_path = shutil.which("espeak-ng")
    if on_path:
        said = subprocess.run([on_path, "--version"], capture_output=True, text=True).stdout
        found = re.search(r"(\d+\.\d+)\S*\s+Data at: (.+)", said)
        if found and found.group(1) == VERSION:
            return Espeak(command=on_path, data=Path(found.group(2).strip()), environment=dict(os.environ))
    folder = cache / "espeak-ng"
    for source in ESPEAK:
        unpack_deb(obtain(source, cache=cache, given=given), folder)
    libraries = folder / "usr" / "lib" / "x86_64-linux-gnu"
    player = libraries / "libpcaudio.so.0.0.1"
    silent = free_of(player.read_bytes(), ("libpulse", "libasound"), null="create_audio_device_object")
    player.write_bytes(silent)
    environment = dict(os.environ, LD_LIBRARY_PATH=f"{libraries}:{os.environ.get('LD_LIBRARY_PATH', '')}".rstrip(":"))
    espeak = Espeak(
        command=str(folder / "usr" / "bin" / "espeak-ng"), data=libraries / "espeak-ng-data", environment=environment
    )
    try:
        espeak.speak("one", language="en", variant="m1", rate=175)
    except OmniError as error:
        raise OmniError(
            f"espeak-ng {VERSION} from the Debian packages in {cache} does not run here ({error}); "
            f"install it as root (apt-get install espeak-ng) so that it is on the PATH"
        ) from error
    return espeak


def family(variant: str) -> str:
    """Variants that are one voice in several settings ("klatt2", "klatt6") share a family ("klatt")."""
    name = re.sub(r"\d+$", "", variant).lower()
    return {"anikarobot": "anika", "whisperf": "whisper", "edward": "ed", "grandpa": "grandma"}.get(name, name)


def split_voices(variants: list[str]) -> dict[str, str]:
    """variant -> split; whole families go to one split, by a fixed pseudo-random order."""
    families: dict[str, list[str]] = {}
    for variant in variants:
        families.setdefault(family(variant), []).append(variant)
    order = CounterRng("m3mini", "voices").shuffled(sorted(families))
    # the two large families of plain male and female settings are for training
    order.sort(key=lambda name: name not in ("f", "m"))
    splits: dict[str, str] = {}
    for name in order:
        share = len(splits) / len(variants)
        bound = SPLIT_SHARES["train"]
        split = "train" if share < bound else "val" if share < bound + SPLIT_SHARES["val"] else "test"
        splits.update(dict.fromkeys(families[name], split))
    return splits


def trim(wave_T: np.ndarray) -> np.ndarray:
    """Cut silence (40 dB below the loudest frame of 10 ms) at both ends, leaving 20 ms."""
    frames = len(wave_T) // _FRAME
    energy = np.square(wave_T[: frames * _FRAME]).reshape(frames, _FRAME).mean(axis=1)
    loud = np.flatnonzero(energy > energy.max() * 1e-4)
    return wave_T[max(0, loud[0] * _FRAME - _PAD) : (loud[-1] + 1) * _FRAME + _PAD]


def even_loudness(wave_T: np.ndarray) -> np.ndarray:
    """Scale to one RMS, less where the peak would clip."""
    gain = min(_RMS / max(float(np.sqrt(np.mean(np.square(wave_T)))), 1e-6), _PEAK / float(np.abs(wave_T).max()))
    return (wave_T * gain).astype(np.float32)


def read_wave(data: bytes, name: str) -> np.ndarray:
    """float32 (T,), 16 kHz, mono, of a sound file's bytes; raises InputError when it cannot be decoded."""
    try:
        import soundfile
        from scipy.signal import resample_poly
    except ImportError as error:
        raise MissingDependencyError(
            f"building speech needs {error.name}; pip install 'omni-plugin-m3mini[build]'"
        ) from error
    try:
        wave_TC, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise InputError(f"{name} is not a sound file ({error})") from error
    common = np.gcd(rate, SAMPLE_RATE)
    return resample_poly(wave_TC.mean(axis=1), SAMPLE_RATE // common, rate // common).astype(np.float32)


def recorded_wave(path: Path, *, max_seconds: float = 30.0) -> np.ndarray:
    """float32 (T,), 16 kHz: a recording, silence cut at its ends, loudness evened as espeak-ng's is.

    Raises:
        InputError: it cannot be decoded, is silent, shorter than 0.1 s, or longer than ``max_seconds``.
    """
    wave_T = read_wave(path.read_bytes(), str(path))
    if len(wave_T) < _FRAME or not np.isfinite(wave_T).all() or np.abs(wave_T).max() < 1e-4:
        raise InputError(f"{path} is silent")
    wave_T = trim(wave_T)
    if not 0.1 <= len(wave_T) / SAMPLE_RATE <= max_seconds:
        raise InputError(f"{path} holds {len(wave_T) / SAMPLE_RATE:.2f} s of sound; 0.1 to {max_seconds:g} s are used")
    return even_loudness(wave_T)
