"""Encoders of transformers as modality adapters: one for pictures, one for text, one for sound."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from omni.core.adapter import ModalityAdapter, keep_tokens
from omni.errors import ConfigError, InputError, WeightsError
from omni.types import TokenSequence
from omni_plugin_hf.defaults import DEFAULT_ENCODERS
from omni_plugin_hf.encoders import open_encoder
from omni_plugin_hf.memory import FeatureMemory
from omni_plugin_hf.projectors import build_projector, masked_mean
from omni_plugin_hf.training import set_training

TOKENS = ("all", "summary")
Features = tuple[Tensor, Tensor | None, Tensor | None]


class HfAdapter(ModalityAdapter):
    """An encoder, and a projector from its width to the core's; the summary comes first, then its other tokens.

    Args:
        modality, width, num_heads, num_layers: see ModalityAdapter.
        encoder: ``{"path": folder}`` of a checkpoint; None = a tiny encoder that starts anew. The dictionary is
            completed with the architecture (see open_encoder).
        train: "none": frozen, in evaluation mode for ever; "all"; or so many last layers. None = "none" with a
            checkpoint, "all" without.
        lora: low-rank matrices in the frozen encoder, ``{"r": 8}`` (see omni_plugin_hf.training).
        summary: what stands for the whole: "class", "mean", "pooler" or "auto" (see open_encoder).
        tokens: "all", or "summary" = only the summary goes to the core.
        projector: "linear", "mlp", "token", or a dictionary with ``type`` (see Projector).
        remember_mb: so many megabytes of features are kept for items that come again; only for a frozen encoder.

    Raises:
        ConfigError: settings that do not fit together. WeightsError: the checkpoint cannot be used.
        MissingDependencyError: lora without peft.
    """

    kind: str

    def __init__(
        self,
        *,
        modality: str,
        width: int,
        num_heads: int,
        num_layers: int,
        encoder: Mapping[str, Any] | None = None,
        train: str | int | None = None,
        lora: Mapping[str, Any] | None = None,
        summary: str = "auto",
        tokens: str = "all",
        projector: str | Mapping[str, Any] = "linear",
        remember_mb: float = 0,
    ) -> None:
        super().__init__(modality=modality, width=width, num_heads=num_heads, num_layers=num_layers)
        if tokens not in TOKENS:
            raise ConfigError(f"tokens={tokens!r} is not known; use one of {', '.join(TOKENS)}")
        if encoder is None:
            encoder = {"config": DEFAULT_ENCODERS[self.kind]}
        fresh = isinstance(encoder, Mapping) and not encoder.get("path")
        train = ("all" if fresh else "none") if train is None else train
        if fresh and encoder.get("config") and train != "all":
            raise ConfigError(f"train={train!r} would freeze an encoder without a checkpoint; give encoder a path")
        opened = open_encoder(encoder, self.kind, summary=summary)
        self.encoder, self.config, self.summary = opened.model, opened.config, opened.summary
        self._unread = opened.unread
        self._training_names = set_training(self.encoder, train, lora=lora, summary=self.summary)
        if remember_mb and self._training_names:
            raise ConfigError("remember_mb: the features of an encoder that trains cannot be kept; set it to 0")
        self._memory = FeatureMemory(remember_mb) if remember_mb else None
        self.projector = build_projector(
            projector, encoder_width=self._encoder_width(), width=width, own_summary=self.summary != "mean"
        )
        self.with_tokens = tokens == "all"
        self.train(self.training)

    def train(self, mode: bool = True) -> HfAdapter:
        """As of any module, but what does not train stays in evaluation mode: no dropout, no moving statistics."""
        super().train(mode)
        self.encoder.eval()
        for name in self._training_names:
            self.encoder.get_submodule(name).train(mode)
        return self

    def _encoder_width(self) -> int:
        return int(self.config.hidden_size)

    @property
    def weight_dtype(self) -> torch.dtype:
        """Of the encoder's weights, wherever they are kept."""
        return next(value.dtype for value in self.encoder.state_dict().values() if value.is_floating_point())

    @abstractmethod
    def encode(self, inputs: dict[str, Tensor]) -> Features:
        """The encoder's own outputs.

        Returns:
            tokens (B, L, C) as its last_hidden_state, valid_BL bool (None = all), pooled (B, C) or None.
        """

    def forward(self, inputs: dict[str, Tensor], *, keep_BL: Tensor | None = None) -> TokenSequence:
        """Encode and project.

        Args:
            inputs: what this plugin's transform of the kind collated.
            keep_BL: (B, 1 + L) of summary and tokens. The encoder has seen them all: they are removed after it.

        Raises:
            InputError: inputs that the encoder cannot take.
            WeightsError: its weights were never read.
        """
        self._require_weights()
        summary_BC, tokens_BLC, valid_BL = self._features(inputs)
        summary_BD, tokens_BLD = self.projector(summary_BC, tokens_BLC, valid_BL)
        parts, valid = [summary_BD[:, None]], [summary_BD.new_ones(len(summary_BD), 1, dtype=torch.bool)]
        if self.with_tokens:
            parts, valid = [*parts, tokens_BLD], [*valid, valid_BL]
        joined = torch.cat(parts, 1)
        sequence = TokenSequence(
            tokens_BLD=joined,
            valid_BL=torch.cat(valid, 1),
            modality=self.modality,
            positions_BLP=torch.arange(joined.shape[1], device=joined.device, dtype=joined.dtype)[None, :, None],
        )
        return sequence if keep_BL is None else keep_tokens(sequence, keep_BL)

    def _features(self, inputs: dict[str, Tensor]) -> Features:
        """Summary (B, C), and tokens (B, L, C) with their mask where someone reads them; through the memory."""
        if self._memory is None or "key_BK" not in inputs:
            return self._fresh(inputs)
        self._memory.check(self._stamp())
        keys = [tuple(row) for row in inputs["key_BK"].tolist()]
        lacking = [row for row, key in enumerate(keys) if self._memory.get(key) is None]
        fresh = {}
        if lacking:
            rows = torch.tensor(lacking, device=inputs["key_BK"].device)
            made = self._fresh({name: value[rows] for name, value in inputs.items()})
            for place, row in enumerate(lacking):
                fresh[row] = tuple(None if value is None else value[place] for value in made)
                self._memory.put(keys[row], _without_padding(fresh[row]))
        device = next(value.device for value in inputs.values())
        found = [fresh[row] if row in fresh else self._memory.get(key) for row, key in enumerate(keys)]
        return _stacked([tuple(None if v is None else v.to(device) for v in item) for item in found])

    def _fresh(self, inputs: dict[str, Tensor]) -> Features:
        tokens_BLC, valid_BL, pooled_BC = self.encode(inputs)
        if valid_BL is None:
            valid_BL = torch.ones(tokens_BLC.shape[:2], dtype=torch.bool, device=tokens_BLC.device)
        if self.summary == "class":
            summary_BC, tokens_BLC, valid_BL = tokens_BLC[:, 0], tokens_BLC[:, 1:], valid_BL[:, 1:]
        elif self.summary == "mean":
            summary_BC = masked_mean(tokens_BLC, valid_BL)
        elif pooled_BC is None:
            raise ConfigError(f"summary='pooler': {self.config.model_type} gives no pooled output; use another")
        else:
            summary_BC = pooled_BC
        if not self.with_tokens and not self.projector.needs_tokens:
            return summary_BC, None, None
        return summary_BC, tokens_BLC, valid_BL

    def _stamp(self) -> tuple[Any, ...]:
        """Changes whenever the weights do, or the number format that they are used with."""
        weights = tuple((id(value), value._version, value.dtype) for value in self.encoder.buffers())
        device = next(self.encoder.buffers()).device.type
        return weights, torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device)

    def _require_weights(self) -> None:
        if not self._unread:
            return
        if any(bool(value.isnan().any()) for value in self.encoder.state_dict().values() if value.is_floating_point()):
            raise WeightsError(
                f"{self.modality}: the encoder's weights were never read: {self._unread!r} does not hold the ones that "
                "its config names. Put the folder there, or load a model folder that has them."
            )
        self._unread = ""


class HfVisionAdapter(HfAdapter):
    """Pictures: ``pixels_BCHW`` of the size that the encoder's preprocessor gives."""

    kind = "vision"

    def _encoder_width(self) -> int:
        config = self.config
        sizes = getattr(config, "hidden_sizes", None)
        return int(config.hidden_size if getattr(config, "hidden_size", None) else sizes[-1])

    def encode(self, inputs: dict[str, Tensor]) -> Features:
        pixels_BCHW = inputs["pixels_BCHW"].to(self.weight_dtype)
        try:
            output = self.encoder(pixel_values=pixels_BCHW)
        except ValueError as error:
            raise InputError(f"{self.modality}: pictures of {tuple(pixels_BCHW.shape)} do not fit: {error}") from error
        return _sequence(output.last_hidden_state), None, _flat(output)


class HfTextAdapter(HfAdapter):
    """Text: ``ids_BL`` int64 and ``valid_BL``; padding is on the right."""

    kind = "text"

    def encode(self, inputs: dict[str, Tensor]) -> Features:
        ids_BL, valid_BL = inputs["ids_BL"], inputs["valid_BL"]
        self._check(ids_BL, valid_BL)
        pad = getattr(self.config, "pad_token_id", None)
        ids_BL = ids_BL.masked_fill(~valid_BL, 0 if pad is None else pad)
        output = self.encoder(input_ids=ids_BL, attention_mask=valid_BL.long())
        return output.last_hidden_state, valid_BL, _flat(output)

    def _check(self, ids_BL: Tensor, valid_BL: Tensor) -> None:
        places = getattr(self.config, "max_position_embeddings", None)
        places = places and places - self._lost_places()
        length = ids_BL.shape[1]
        if places and length > places:
            raise InputError(
                f"{self.modality}: {length} tokens, but the encoder has {places} places; give the tokenizer max_length"
            )
        if self.config.model_type == "siglip_text_model" and length != places:
            raise InputError(
                f"{self.modality}: SigLIP was trained on texts padded to {places} tokens and pools the last one; "
                f"give the tokenizer pad_to={places}"
            )
        if ids_BL.device.type == "cpu" and ids_BL.numel() and int(ids_BL.max()) >= self.config.vocab_size:
            raise InputError(
                f"{self.modality}: token id {int(ids_BL.max())} is beyond the encoder's {self.config.vocab_size}; use "
                "the tokenizer that belongs to it"
            )

    def _lost_places(self) -> int:
        """RoBERTa and its kin count positions from behind the padding's id."""
        embeddings = getattr(self.encoder, "embeddings", None)
        offset = getattr(embeddings, "padding_idx", None)
        return 0 if offset is None else int(offset) + 1


class HfAudioAdapter(HfAdapter):
    """Sound: ``wave_BT`` with ``valid_BT`` for encoders of waveforms; ``spectrum_B...`` for those of spectrograms, with
    ``valid_BF`` over its frames where the window is longer than the sound."""

    kind = "audio"

    def _encoder_width(self) -> int:
        if getattr(self.config, "output_hidden_size", None):
            return int(self.config.output_hidden_size)
        return int(self.config.hidden_size)

    def encode(self, inputs: dict[str, Tensor]) -> Features:
        if "wave_BT" in inputs:
            return self._encode_waves(inputs["wave_BT"].to(self.weight_dtype), inputs["valid_BT"])
        name = self.encoder.main_input_name
        spectrum = inputs["spectrum"].to(self.weight_dtype)
        more = {}
        if getattr(self.config, "enable_fusion", False):  # nothing is longer than the window: the transform cuts it
            more["is_longer"] = torch.zeros(len(spectrum), 1, dtype=torch.bool, device=spectrum.device)
        try:
            output = self.encoder(**{name: spectrum}, **more)
        except ValueError as error:
            raise InputError(f"{self.modality}: spectrograms of {tuple(spectrum.shape)}: {error}") from error
        tokens_BLC = _sequence(output.last_hidden_state)
        if "valid_BF" not in inputs:
            return tokens_BLC, None, _flat(output)
        valid_BL = inputs["valid_BF"].unflatten(1, (tokens_BLC.shape[1], -1)).any(2)
        longest = int(valid_BL.sum(1).max())
        return tokens_BLC[:, :longest], valid_BL[:, :longest], _flat(output)

    def _encode_waves(self, wave_BT: Tensor, valid_BT: Tensor) -> Features:
        wave_BT = wave_BT.masked_fill(~valid_BT, 0.0)
        lengths_B = valid_BT.sum(1)
        frames_B = self.encoder._get_feat_extract_output_lengths(lengths_B)
        if int(frames_B.min()) < 1:
            raise InputError(f"{self.modality}: a sound of {int(lengths_B.min())} samples is shorter than one frame")
        if getattr(self.config, "feat_extract_norm", "layer") == "group":
            tokens_BLC = self._by_length(wave_BT, lengths_B, frames_B)
        else:
            tokens_BLC = self.encoder(wave_BT, attention_mask=valid_BT.long()).last_hidden_state
        places_L = torch.arange(tokens_BLC.shape[1], device=wave_BT.device)
        return tokens_BLC, places_L[None] < frames_B[:, None], None

    def _by_length(self, wave_BT: Tensor, lengths_B: Tensor, frames_B: Tensor) -> Tensor:
        """Such encoders standardise over the whole sound and know no mask: only equal lengths go together."""
        tokens_BLC = None
        for length in lengths_B.unique().tolist():
            rows = (lengths_B == length).nonzero()[:, 0]
            some = self.encoder(wave_BT[rows, :length]).last_hidden_state
            if tokens_BLC is None:
                tokens_BLC = some.new_zeros(len(wave_BT), int(frames_B.max()), some.shape[2])
            some = torch.nn.functional.pad(some, (0, 0, 0, tokens_BLC.shape[1] - some.shape[1]))
            tokens_BLC = tokens_BLC.index_copy(0, rows, some)
        return tokens_BLC


def _sequence(states: Tensor) -> Tensor:
    """(B, L, C) of a sequence, or of a (B, C, H, W) map."""
    return states if states.dim() == 3 else states.flatten(2).transpose(1, 2)


def _flat(output: Any) -> Tensor | None:
    pooled = getattr(output, "pooler_output", None)
    return None if pooled is None else pooled.flatten(1)


def _without_padding(features: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    summary, tokens, valid = features
    return (summary, None, None) if tokens is None else (summary, tokens[valid], valid[valid])


def _stacked(items: list[tuple[Tensor | None, ...]]) -> Features:
    summary_BC = torch.stack([item[0] for item in items])
    if items[0][1] is None:
        return summary_BC, None, None
    kept = [_without_padding(item) for item in items]
    tokens, valid = ([item[place] for item in kept] for place in (1, 2))
    pad = torch.nn.utils.rnn.pad_sequence
    return summary_BC, pad(tokens, batch_first=True), pad(valid, batch_first=True)
