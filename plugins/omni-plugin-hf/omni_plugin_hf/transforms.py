"""The preprocessors that belong to encoders: image processors, tokenizers, feature extractors of transformers.

Each is read from a local folder, and saved with the model; nothing is fetched, and no code of a checkpoint is run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from omni.builtin.text.vocabulary import BPE_FILE
from omni.data.transform import Transform
from omni.errors import ConfigError, InputError
from omni_plugin_audio.io import Waveform
from omni_plugin_hf.defaults import IMAGE_SIZE
from omni_plugin_image.io import RgbArray

PREPROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
TOKENIZER_FILES = ("tokenizer_config.json",)


class _Preprocessor(Transform):
    """What the three share: reading, saving, and a key of the content by which features can be remembered."""

    deterministic = True
    files: tuple[str, ...] = PREPROCESSOR_FILES

    def __init__(self, path: str | None) -> None:
        self.path = path
        self.processor: Any = None

    def _read(self, path: str, reader: Callable[..., Any]) -> Any:
        """From a folder, a file in it, or a repository in the local cache.

        Raises:
            ConfigError: nothing that transformers knows.
        """
        folder = str(Path(path).parent) if Path(path).is_file() else path
        try:
            return reader(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
            first = str(error).strip().split("\n")[0]
            raise ConfigError(
                f"no preprocessor can be read from {path!r} ({first}). Give the folder that holds {self.files[0]}; "
                "nothing is fetched here: hf download gets one first"
            ) from error

    def _saved(self, folder: Path | None) -> str | None:
        """Write the files; the value of ``path`` that leads back to them."""
        if folder is None or self.path is None:
            return self.path
        self.processor.save_pretrained(str(folder))
        return next(name for name in self.files if (Path(folder) / name).is_file())


def content_key(*values: Tensor) -> Tensor:
    """(2,) int64, the 128-bit BLAKE2 of the values' bytes, shapes and types."""
    digest = hashlib.blake2b(digest_size=16)
    for value in values:
        digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
        digest.update(value.contiguous().numpy().tobytes())
    return torch.from_numpy(np.frombuffer(digest.digest(), dtype=np.int64).copy())


def _padded(rows: list[Tensor], value: float) -> tuple[Tensor, Tensor]:
    """(B, L) padded on the right, and the mask."""
    lengths_B = torch.tensor([len(row) for row in rows])
    padded_BL = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)
    return padded_BL, torch.arange(padded_BL.shape[1])[None] < lengths_B[:, None]


class HfImage(_Preprocessor):
    """A picture as the encoder's image processor makes it.

    Args:
        path: the folder with preprocessor_config.json; None = 32 x 32 pixels in -1..1, for the encoder without a
            checkpoint.

    Raises:
        ConfigError: no image processor is found there.
    """

    def __init__(self, *, path: str | None = None) -> None:
        super().__init__(path)
        from transformers import AutoImageProcessor, ViTImageProcessor

        if path is None:
            self.processor = ViTImageProcessor(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE})
        else:
            self.processor = self._read(path, AutoImageProcessor.from_pretrained)

    def __call__(self, raw: Any, *, training: bool = False) -> dict[str, Tensor]:
        """{"pixels_CHW", "key_K"} of a PIL image or an RgbArray."""
        pixels_HWC = raw.pixels_HWC if isinstance(raw, RgbArray) else np.array(raw.convert("RGB"))
        picture_CHW = torch.from_numpy(np.ascontiguousarray(pixels_HWC)).permute(2, 0, 1).contiguous()
        made = self.processor(images=picture_CHW, return_tensors="pt", input_data_format="channels_first")
        pixels = made["pixel_values"]
        if pixels.dim() != 4 or len(pixels) != 1 or "pixel_attention_mask" in made:
            raise InputError(
                f"{type(self.processor).__name__} makes {tuple(pixels.shape)} of one picture; only processors that "
                "give one picture of one size can be used"
            )
        return {"pixels_CHW": pixels[0].float(), "key_K": content_key(pixels[0].float())}

    def collate(self, items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        shapes = {tuple(item["pixels_CHW"].shape) for item in items}
        if len(shapes) > 1:
            raise InputError(f"pictures of one batch have the shapes {sorted(shapes)}; let the processor crop them")
        return {
            "pixels_BCHW": torch.stack([item["pixels_CHW"] for item in items]),
            "key_BK": torch.stack([item["key_K"] for item in items]),
        }

    def to_config(self, folder: Path | None = None) -> dict[str, Any]:
        return {"path": self._saved(folder)}


class HfText(_Preprocessor):
    """A text as the encoder's tokenizer reads it, special tokens included.

    Args:
        path: the folder with tokenizer_config.json; None = omni's own BPE, for the encoder without a checkpoint.
        max_length: tokens; None = what the tokenizer says, at most 512.
        truncate: cut longer texts instead of refusing them.
        pad_to: every text gets so many tokens, and the padding counts as text (SigLIP was trained so); None = only as
            a batch needs, and padding is masked.
        prefix: put in front of every text ("query: " for E5).

    Raises:
        ConfigError: no tokenizer is found there, or numbers that cannot be.
    """

    files = TOKENIZER_FILES

    def __init__(
        self,
        *,
        path: str | None = None,
        max_length: int | None = None,
        truncate: bool = False,
        pad_to: int | None = None,
        prefix: str = "",
    ) -> None:
        super().__init__(path)
        from transformers import AutoTokenizer, PreTrainedTokenizerFast

        if path is None:
            marks = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
            self.processor = PreTrainedTokenizerFast(tokenizer_file=str(BPE_FILE), model_max_length=512, **marks)
        else:
            self.processor = self._read(path, AutoTokenizer.from_pretrained)
        own = min(int(self.processor.model_max_length), 512)
        self.max_length = (own if pad_to is None else min(own, pad_to)) if max_length is None else max_length
        if self.max_length < 3 or (pad_to is not None and pad_to < self.max_length):
            raise ConfigError(f"max_length={self.max_length} must be at least 3, and pad_to={pad_to} not below it")
        self._given_length = max_length
        self.truncate, self.pad_to, self.prefix = truncate, pad_to, prefix
        pad_id = self.processor.pad_token_id
        self.pad_id = 0 if pad_id is None else int(pad_id)

    def __call__(self, raw: Any, *, training: bool = False) -> dict[str, Tensor]:
        """{"ids_L", "key_K"}.

        Raises:
            InputError: not a string, empty, or longer than max_length while truncate is off.
        """
        if not isinstance(raw, str) or not raw.strip():
            raise InputError(f"text must be a str that is not empty, not {raw!r:.40}")
        ids = self.processor(self.prefix + raw, truncation=self.truncate, max_length=self.max_length)["input_ids"]
        if len(ids) > self.max_length:
            raise InputError(
                f"the text {raw[:40]!r}... has {len(ids)} tokens, more than max_length {self.max_length}; shorten it, "
                "raise max_length (the encoder's places are the limit) or set truncate=True"
            )
        if not ids:
            raise InputError(f"the text {raw[:40]!r} has no token in this vocabulary")
        ids = ids + [self.pad_id] * ((self.pad_to or 0) - len(ids))
        ids_L = torch.tensor(ids)
        return {"ids_L": ids_L, "key_K": content_key(ids_L)}

    def collate(self, items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        ids_BL, valid_BL = _padded([item["ids_L"] for item in items], self.pad_id)
        return {"ids_BL": ids_BL, "valid_BL": valid_BL, "key_BK": torch.stack([item["key_K"] for item in items])}

    def to_config(self, folder: Path | None = None) -> dict[str, Any]:
        return {
            "path": self._saved(folder),
            "max_length": self._given_length,
            "truncate": self.truncate,
            "pad_to": self.pad_to,
            "prefix": self.prefix,
        }


class HfSound(_Preprocessor):
    """A sound as the encoder's feature extractor makes it: a normalised waveform, or a spectrogram of fixed length.

    Args:
        path: the folder with preprocessor_config.json; None = a standardised waveform of 16 kHz, for the encoder
            without a checkpoint.
        max_seconds: longer sounds are cut there; so they are at the end of the extractor's window, where it has one.

    Raises:
        ConfigError: no feature extractor is found there, or ``max_seconds`` is not positive.
    """

    def __init__(self, *, path: str | None = None, max_seconds: float = 30.0) -> None:
        super().__init__(path)
        from transformers import AutoFeatureExtractor, Wav2Vec2FeatureExtractor

        if max_seconds <= 0:
            raise ConfigError(f"max_seconds={max_seconds} must be positive")
        self.max_seconds = max_seconds
        if path is None:
            self.processor = Wav2Vec2FeatureExtractor()
        else:
            self.processor = self._read(path, AutoFeatureExtractor.from_pretrained)
        self.sample_rate = int(self.processor.sampling_rate)
        self._most = int(min(max_seconds * self.sample_rate, self._window()))

    def _window(self) -> float:
        """Samples that the extractor reads at most; what is longer it would cut, some at a random place."""
        processor = self.processor
        for name in ("n_samples", "nb_max_samples"):  # of Whisper, of CLAP
            if hasattr(processor, name):
                return float(getattr(processor, name))
        frames = getattr(processor, "max_length", None)  # of AST: Kaldi's frames of 25 ms every 10 ms
        return (frames - 1) * 0.010 * self.sample_rate + 0.025 * self.sample_rate if frames else float("inf")

    def loader_options(self) -> dict[str, Any]:
        return {"sample_rate": self.sample_rate}

    def __call__(self, raw: Any, *, training: bool = False) -> dict[str, Tensor]:
        """{"wave_T", "key_K"}, or {"spectrum", "key_K"} and "valid_F" where the window is longer than the sound."""
        if not isinstance(raw, Waveform):
            raise InputError(f"sound is what the audio loader gives (a Waveform), not {type(raw).__name__}")
        if raw.sample_rate != self.sample_rate:
            raise InputError(
                f"the sound has {raw.sample_rate} Hz, this encoder needs {self.sample_rate}: "
                f"loader=dict(sample_rate={self.sample_rate})"
            )
        wave = raw.samples_T[: self._most].numpy()
        try:
            made = self.processor(wave, sampling_rate=self.sample_rate, return_tensors="pt")
        except (ValueError, RuntimeError, AssertionError) as error:
            raise InputError(f"a sound of {len(wave)} samples does not suit the feature extractor: {error}") from error
        name = next(key for key in ("input_features", "input_values") if key in made)
        values = made[name][0].float()
        if values.dim() == 1:
            return {"wave_T": values, "key_K": content_key(values)}
        item = {"spectrum": values, "key_K": content_key(values)}
        if hasattr(self.processor, "n_samples"):  # the window is longer than the sound
            real = max(1, -(-len(wave) // self.processor.hop_length))
            item["valid_F"] = torch.arange(values.shape[-1]) < real
        return item

    def collate(self, items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        batch = {"key_BK": torch.stack([item["key_K"] for item in items])}
        if "wave_T" in items[0]:
            batch["wave_BT"], batch["valid_BT"] = _padded([item["wave_T"] for item in items], 0.0)
            return batch
        batch["spectrum"] = torch.stack([item["spectrum"] for item in items])
        if "valid_F" in items[0]:
            batch["valid_BF"] = torch.stack([item["valid_F"] for item in items])
        return batch

    def to_config(self, folder: Path | None = None) -> dict[str, Any]:
        return {"path": self._saved(folder), "max_seconds": self.max_seconds}
