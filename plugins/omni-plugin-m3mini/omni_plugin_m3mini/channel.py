"""How much of the language can be read off the channel (voice, room, microphone) instead of being heard.

Each language of the human edition is nearly one voice and one microphone, so crude statistics of the spectrum, which
hold no order of sounds, already name the language. A nearest neighbour over such statistics measures that leak: on
the test clips (same people) and on the new speakers (other people and microphones), where what is left is language.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from omni.errors import ConfigError, MissingDependencyError
from omni_plugin_m3mini.dataset import M3Mini
from omni_plugin_m3mini.tables import NEW_SPEAKERS

FEATURES = ("quiet", "mean", "std", "mean_std")
_BANDS, _FRAME, _HOP = 40, 512, 160


@dataclass(frozen=True, kw_only=True)
class ChannelLeak:
    """Accuracy of the nearest neighbour for one kind of statistics.

    Attributes:
        features: one of FEATURES. split: of the query clips. chance: 1 / number of languages.
        accuracy: mean over languages of the share that is right. by_language: language -> that share.
        clips: number of query clips. neighbours: number of training clips.
    """

    features: str
    split: str
    chance: float
    accuracy: float
    by_language: dict[str, float]
    clips: int
    neighbours: int


def spectrum_statistics(wave_T: np.ndarray, *, features: str, sample_rate: int = 16_000) -> np.ndarray:
    """Statistics over time of the log-mel spectrum of one clip; nothing in them depends on the order of frames.

    Args:
        wave_T: float (T,).
        features: "mean" (40,): the average spectrum; "std" (40,): its standard deviation, from which a constant filter
            or gain falls out; "mean_std" (80,); "quiet" (40,): the average spectrum of the tenth of the frames with
            the least energy, relative to its own mean: noise floor and room, hardly any speech.

    Raises:
        ConfigError: another word for ``features``.
    """
    if features not in FEATURES:
        raise ConfigError(f"features={features!r} is not one of {', '.join(FEATURES)}")
    padded = np.pad(wave_T.astype(np.float64), (0, max(0, _FRAME - len(wave_T))))
    frames_FT = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_HOP]
    power_FK = np.abs(np.fft.rfft(frames_FT * np.hanning(_FRAME), axis=1)) ** 2
    mel_FM = np.log(power_FK @ _mel_filters(sample_rate) + 1e-10)
    if features == "quiet":
        order = np.argsort(power_FK.sum(axis=1))[: max(1, len(power_FK) // 10)]
        floor_M = mel_FM[order].mean(axis=0)
        return floor_M - floor_M.mean()
    parts = {"mean": mel_FM.mean(axis=0), "std": mel_FM.std(axis=0)}
    return np.concatenate([parts[name] for name in features.split("_")])


def nearest_accuracy(
    train_ND: np.ndarray, train_labels_N: np.ndarray, test_MD: np.ndarray, test_labels_M: np.ndarray
) -> dict[int, float]:
    """label -> share of its test rows whose nearest training row (Euclidean, after standardising) has that label."""
    mean_D, std_D = train_ND.mean(axis=0), train_ND.std(axis=0) + 1e-9
    train_ND, test_MD = (train_ND - mean_D) / std_D, (test_MD - mean_D) / std_D
    square_N = np.square(train_ND).sum(axis=1)
    found_M = np.array([np.argmin(square_N - 2 * train_ND @ row_D) for row_D in test_MD], dtype=np.int64)
    right_M = train_labels_N[found_M] == test_labels_M
    return {int(label): float(right_M[test_labels_M == label].mean()) for label in np.unique(test_labels_M)}


def measure_channel(
    edition: str = "human",
    *,
    w: int = 3,
    root: str | os.PathLike[str] | None = None,
    speech: str | None = None,
    limit: int = 400,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[ChannelLeak]:
    """Measure the leak of an edition: one row for each kind of statistics and each of test and new speakers.

    Args:
        edition, w, root: as of :class:`M3Mini`.
        speech: of the training clips, as of :class:`M3Mini`; "synthetic" asks whether another voice helps.
        limit: at most so many clips of a language and split, the first in the table.
    """  # fmt: skip
    train = M3Mini(edition, w=w, root=root, speech=speech, rows=1 if speech else None)
    tests = {"test": M3Mini(edition, w=w, root=root, split="test")}
    if w in train.store.info.get("new_speakers_w", ()):
        tests[NEW_SPEAKERS] = M3Mini(edition, w=w, root=root, split=NEW_SPEAKERS)
    waves = {name: _waves(data, limit, name, progress) for name, data in {"train": train, **tests}.items()}
    rows = []
    for features in FEATURES:
        table = {
            name: (np.stack([spectrum_statistics(wave, features=features) for wave, _ in own]),
                   np.array([label for _, label in own]))
            for name, own in waves.items()
        }  # fmt: skip
        for split in tests:
            shares = nearest_accuracy(*table["train"], *table[split])
            rows.append(
                ChannelLeak(
                    features=features, split=split, chance=1 / w, accuracy=float(np.mean(list(shares.values()))),
                    by_language={train.languages[label]: share for label, share in shares.items()},
                    clips=len(waves[split]), neighbours=len(waves["train"]),
                )
            )  # fmt: skip
    return rows


def _waves(data: M3Mini, limit: int, name: str, progress) -> list[tuple[np.ndarray, int]]:
    try:
        import soundfile
    except ImportError as error:
        raise MissingDependencyError(
            "hearing clips needs soundfile; pip install 'omni-plugin-m3mini[build]'"
        ) from error
    pools = [data.clip_pool(language)[:limit] for language in range(data.w)]
    total, found = sum(map(len, pools)), []
    for label, pool in enumerate(pools):
        for clip in pool:
            found.append((soundfile.read(io.BytesIO(data.store.clip_bytes(int(clip))), dtype="float32")[0], label))
            if progress and (len(found) % 50 == 0 or len(found) == total):
                progress(name, len(found), total)
    return found


def _mel_filters(sample_rate: int) -> np.ndarray:
    """(K, M): triangles, even on the mel scale 2595 log10(1 + f / 700), 60 Hz to half the sample rate."""
    top = 2595 * np.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(2595 * np.log10(1 + 60 / 700), top, _BANDS + 2) / 2595) - 1)
    hertz_K = np.fft.rfftfreq(_FRAME, 1 / sample_rate)[:, None]
    up, down = (hertz_K - edges[:-2]) / (edges[1:-1] - edges[:-2]), (edges[2:] - hertz_K) / (edges[2:] - edges[1:-1])
    return np.clip(np.minimum(up, down), 0, None)
