"""Leads of any number and length -> tokens: patches or convolutions, lead and time embeddings, bias in time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from omni.core.adapter import ModalityAdapter, keep_tokens
from omni.core.positions import LogBucketBias
from omni.errors import ConfigError, InputError
from omni.types import TokenSequence
from omni_plugin_ecg.leads import LEADS
from omni_plugin_ecg.stems import ConvStem, PatchStem, time_features

STEM_NAMES = ("patch", "conv")
BIASES = ("shared", "per_layer", "none")


class EcgAdapter(ModalityAdapter):
    """Tokens of an electrocardiogram. It knows leads by name and not by place, so any number of them, in any order,
    goes through one set of parameters; leads and stretches that were not recorded give no valid token.

    Per-lead patches with lead and time embeddings as in the masked models of ECGs (ST-MEM, Na et al. 2024), and a
    convolutional stem whose lead vectors are averaged over the leads that there are.

    Args:
        modality, width, num_heads, num_layers: as in ModalityAdapter; width even.
        stem: "patch" or "conv".
        patch: samples of a patch of stem "patch"; 50 are 0.2 s at the transform's 250 Hz.
        conv_width: channels of stem "conv"; None = the width, at most 128.
        conv_strides: of its layers; their product is the samples of a token.
        lead_tokens: a token for each lead and time step; False = one a time step, the mean over leads. None = True for
            "patch", False for "conv".
        scale_mv: millivolts are divided by this.
        bucket: of the relative position bias in time.
        relative_bias: "shared" (one table for all layers), "per_layer" or "none".

    Raises:
        ConfigError: an unknown stem or bias; sizes that are not positive; an odd width.
    """

    def __init__(
        self,
        *,
        modality: str = "ecg",
        width: int,
        num_heads: int,
        num_layers: int,
        stem: str = "patch",
        patch: int = 50,
        conv_width: int | None = None,
        conv_strides: Sequence[int] = (5, 5, 2),
        lead_tokens: bool | None = None,
        scale_mv: float = 0.25,
        bucket: int = 128,
        relative_bias: str = "shared",
    ) -> None:
        super().__init__(modality=modality, width=width, num_heads=num_heads, num_layers=num_layers)
        for name, value, known in (("stem", stem, STEM_NAMES), ("relative_bias", relative_bias, BIASES)):
            if value not in known:
                raise ConfigError(f"The ECG adapter's {name} is one of {', '.join(known)}, not {value!r}.")
        if patch < 1 or scale_mv <= 0 or width % 2:
            raise ConfigError("The ECG adapter needs patch and scale_mv above 0, and an even width.")
        if stem == "patch":
            self.stem: PatchStem | ConvStem = PatchStem(width=width, patch=patch)
        else:
            self.stem = ConvStem(width=width, channels=conv_width or min(128, width), strides=conv_strides)
        self.lead_tokens = stem == "patch" if lead_tokens is None else bool(lead_tokens)
        self.scale_mv = float(scale_mv)
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        self.lead_embedding = nn.Parameter(torch.empty(len(LEADS), width))
        self.time_map = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=1e-5)
        nn.init.trunc_normal_(self.class_token, std=0.02)
        nn.init.trunc_normal_(self.lead_embedding, std=0.02)
        self.bias = None
        if relative_bias != "none":
            tables = num_layers if relative_bias == "per_layer" else 1
            self.bias = LogBucketBias(num_heads=num_heads, bucket=bucket, num_tables=tables)

    def forward(self, inputs: dict[str, Tensor], *, keep_BL: Tensor | None = None) -> TokenSequence:
        """Embed recordings.

        Args:
            inputs: ``signal_BCT`` float in mV, ``valid_BCT`` bool (True = recorded), ``lead_BC`` int64 (index into
                omni_plugin_ecg.leads.LEADS).
            keep_BL: (B, L) over class token and tokens; None = all. What is left out is hidden from the convolutions.

        Returns:
            TokenSequence of a class token and the time steps in order, within each the leads as they come (with
            ``lead_tokens``). positions_BLP are (time step, index of the lead); -1 for the class token and the mean.

        Raises:
            InputError: tensors that are missing or do not fit, or a recording without a recorded sample.
        """
        signal_BCT, valid_BCT, lead_BC = self._read(inputs)
        batch, channels, _ = signal_BCT.shape
        patches_BCL = valid_BCT.unflatten(2, (-1, self.stem.stride)).any(3)
        steps = patches_BCL.shape[2]
        valid_BL = patches_BCL.transpose(1, 2).flatten(1) if self.lead_tokens else patches_BCL.any(1)
        seen_BCT = valid_BCT
        if keep_BL is not None:
            seen_BCT = valid_BCT & self._kept_samples(keep_BL[:, 1:], channels, steps)
        tokens_BLD = self._tokens(signal_BCT.masked_fill(~seen_BCT, 0.0), seen_BCT, lead_BC)
        first = self.class_token.to(tokens_BLD.dtype).expand(batch, -1, -1)
        sequence = TokenSequence(
            tokens_BLD=torch.cat((first, tokens_BLD), 1),
            valid_BL=torch.cat((valid_BL.new_ones(batch, 1), valid_BL), 1),
            modality=self.modality,
            positions_BLP=self._positions(lead_BC, steps),
            bias=self._bias(steps, channels if self.lead_tokens else 1),
        )
        return sequence if keep_BL is None else keep_tokens(sequence, keep_BL)

    def _read(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """The signal in units of scale_mv, zero where not valid, padded in time to whole tokens."""
        missing = {"signal_BCT", "valid_BCT", "lead_BC"} - set(inputs)
        if missing:
            raise InputError(
                f"The ECG adapter reads signal_BCT, valid_BCT and lead_BC; the batch has {', '.join(inputs)}. Use the "
                "transform 'ecg_basic' for its slot."
            )
        signal, valid, lead = inputs["signal_BCT"], inputs["valid_BCT"], inputs["lead_BC"]
        if signal.dim() != 3 or 0 in signal.shape or valid.shape != signal.shape or lead.shape != signal.shape[:2]:
            shapes = tuple(signal.shape), tuple(valid.shape), tuple(lead.shape)
            raise InputError(f"signal_BCT, valid_BCT and lead_BC have the shapes {shapes}, which do not fit together.")
        if not torch.compiler.is_compiling() and not bool(valid.flatten(1).any(1).all()):
            row = int((~valid.flatten(1).any(1)).nonzero()[0])
            raise InputError(f"Recording {row} of the batch has no recorded sample; leave its slot out of the sample.")
        signal = (signal.masked_fill(~valid, 0.0) / self.scale_mv).to(self.class_token.dtype)
        extra = -signal.shape[2] % self.stem.stride
        return nn.functional.pad(signal, (0, extra)), nn.functional.pad(valid, (0, extra)), lead

    def _tokens(self, signal_BCT: Tensor, valid_BCT: Tensor, lead_BC: Tensor) -> Tensor:
        batch = len(signal_BCT)
        hidden = self.stem(signal_BCT.flatten(0, 1), valid_BCT.flatten(0, 1)).unflatten(0, (batch, -1))  # (B, C, L, D)
        hidden = hidden + self.lead_embedding[lead_BC][:, :, None].to(hidden.dtype)
        if self.lead_tokens:
            hidden = hidden.transpose(1, 2)
        else:
            there = valid_BCT.unflatten(2, (-1, self.stem.stride)).any(3)[..., None].to(hidden.dtype)
            hidden = ((hidden * there).sum(1) / there.sum(1).clamp(min=1)).unsqueeze(2)
        steps = torch.arange(hidden.shape[1], device=hidden.device)
        features = time_features(steps, width=self.width).to(self.time_map.weight.dtype)
        hidden = hidden + self.time_map(features)[:, None].to(hidden.dtype)
        return self.norm(hidden.flatten(1, 2))

    def _kept_samples(self, keep_BL: Tensor, channels: int, steps: int) -> Tensor:
        """(B, C or 1, T): the samples of kept tokens."""
        kept = keep_BL.unflatten(1, (steps, channels)).transpose(1, 2) if self.lead_tokens else keep_BL[:, None]
        return kept.repeat_interleave(self.stem.stride, 2)

    def _positions(self, lead_BC: Tensor, steps: int) -> Tensor:
        if not self.lead_tokens:
            lead_BC = torch.full_like(lead_BC[:, :1], -1)
        batch, count = lead_BC.shape
        time = torch.arange(steps, device=lead_BC.device).repeat_interleave(count).expand(batch, -1)
        places = torch.stack((time, lead_BC.repeat(1, steps)), -1)
        return nn.functional.pad(places, (0, 0, 1, 0), value=-1).float()

    def _bias(self, steps: int, count: int) -> tuple[Tensor, ...]:
        """By distance in time alone: leads of one time step are at distance 0."""
        if self.bias is None:
            return ()
        biases = self.bias(1 + steps)
        device = biases[0].device
        index = torch.cat((torch.zeros(1, dtype=torch.long, device=device),
                           torch.arange(1, steps + 1, device=device).repeat_interleave(count)))  # fmt: skip
        return tuple(bias[:, :, index][..., index] for bias in biases)
