"""The model, top to bottom: slots -> adapters -> shared core -> projections -> embeddings."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from omni.core.adapter import ModalityAdapter
from omni.core.config import ModelConfig
from omni.core.denoiser import Denoiser
from omni.core.encoder import OmniCore, take_rows
from omni.core.layers import LogitScale
from omni.core.lora import add_lora
from omni.errors import ConfigError, InputError
from omni.heads.projection import Projection
from omni.types import CoreOutput, TokenSequence, TrainedGroup

__all__ = ["ModelConfig", "OmniModel"]


class OmniModel(nn.Module):
    """Adapters, core and projections for the modalities that the config's slots use, and no others.

    Args:
        config: the ModelConfig.

    Raises:
        ConfigError: values that do not fit together.
        UnknownComponentError: a modality or head that no installed plugin provides.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.width = config.width
        self.slots = dict(config.slots)
        self.trained_groups: list[TrainedGroup] = []
        self.adapters = nn.ModuleDict({name: build_adapter(config, name) for name in config.modalities})
        self.core = OmniCore(
            width=config.width,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            ffn_width=config.ffn_width,
            modalities=config.modalities,
            layer_scale=config.layer_scale,
            drop_path=config.drop_path,
        )
        self.projections = nn.ModuleDict({name: build_projection(config, name) for name in config.modalities})
        self.joint_projection = build_projection(config, "joint") if config.joint else None
        self.missing = nn.ParameterDict({slot: _missing_embedding(config.embedding_width) for slot in config.missing})
        self.heads = nn.ModuleDict({name: build_head(config, name) for name in config.heads})
        self.denoiser = build_denoiser(config)
        self.logit_scale = LogitScale(**config.logit_scale)
        if config.lora is not None:
            add_lora(self.core, **config.lora)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.logit_scale.log_scale.device

    def modality(self, slot: str) -> str:
        """The modality of a slot.

        Raises:
            InputError: the model has no such slot.
        """
        if slot not in self.slots:
            raise InputError(
                f"The model has no slot {slot!r}; it has {', '.join(self.slots)}. "
                "Name the input by one of these, or load a model that was built with it."
            )
        return self.slots[slot]

    def tokenize(self, slot: str, inputs: dict[str, Tensor], *, keep_BL: Tensor | None = None) -> TokenSequence:
        """Adapter output of one slot.

        Args:
            inputs: what the slot's transform collated, S samples.
            keep_BL: (S, L) tokens that the encoder may see; None = all.
        """
        return self.adapters[self.modality(slot)](inputs, keep_BL=keep_BL)

    def encode_slot(
        self, slot: str, inputs: dict[str, Tensor], *, keep_BL: Tensor | None = None, return_layers: bool = False
    ) -> CoreOutput:
        """One slot alone through the core."""
        return self.core({slot: self.tokenize(slot, inputs, keep_BL=keep_BL)}, return_layers=return_layers)

    def fuse(
        self,
        inputs: Mapping[str, dict[str, Tensor]],
        *,
        present: Mapping[str, Tensor] | None = None,
        keep: Mapping[str, Tensor] | None = None,
        return_layers: bool = False,
    ) -> CoreOutput:
        """Several slots in one sequence, in the order of ``inputs``.

        Args:
            inputs: slot -> adapter inputs.
            present: slot -> (B,) bool where samples lack slots (then a slot's inputs hold its S present samples and its
                tokens are padding in the other rows); None = every sample has every slot.
            keep: slot -> (S, L) visible tokens.
        """
        segments = {}
        for slot, values in inputs.items():
            sequence = self.tokenize(slot, values, keep_BL=None if keep is None else keep.get(slot))
            segments[slot] = sequence if present is None else spread_rows(sequence, present[slot])
        return self.core(segments, return_layers=return_layers)

    def project(self, slot: str, pooled_SD: Tensor) -> Tensor:
        """(S, D) pooled states -> (S, E) embeddings."""
        return self.projections[self.modality(slot)](pooled_SD)

    def fill_missing(self, slot: str, values_SE: Tensor, present_B: Tensor) -> Tensor:
        """(B, E): the S rows at their places, elsewhere the slot's learnt missing embedding or zeros.

        The missing embedding is normalised like the others. Differentiable in both.
        """
        filled = values_SE.new_zeros(len(present_B), values_SE.shape[1])
        if slot in self.missing:
            projection = self.projections[self.modality(slot)]
            filled = filled + projection.normalise(self.missing[slot]).to(filled.dtype)
        return filled.masked_scatter(present_B[:, None].expand_as(filled), values_SE)

    def encode(self, slot: str, inputs: dict[str, Tensor]) -> Tensor:
        """(S, E) embeddings of one slot; ``inputs`` may be {"pooled_BD": (S, D)}, then only the projection runs."""
        if "pooled_BD" in inputs:
            return self.project(slot, inputs["pooled_BD"])
        return self.project(slot, self.encode_slot(slot, inputs).pooled[slot])

    def encode_joint(
        self, inputs: Mapping[str, dict[str, Tensor]], *, present: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """(B, E): the joint projection of the mean of the (present) slots' fused pooled states.

        Raises:
            ConfigError: the model was built without a joint projection.
        """
        return self.project_joint(self.fuse(inputs, present=present), present=present)

    def project_joint(self, output: CoreOutput, *, present: Mapping[str, Tensor] | None = None) -> Tensor:
        """(B, E) from a fused CoreOutput."""
        if self.joint_projection is None:
            raise ConfigError("This model has no joint projection; build it with joint=True, train a fused objective.")
        pooled_ZBD = torch.stack(list(output.pooled.values()))
        if present is None:
            return self.joint_projection(pooled_ZBD.mean(0))
        weight_ZB = torch.stack([present[slot] for slot in output.pooled]).to(pooled_ZBD.dtype)
        total = torch.einsum("zbd,zb->bd", pooled_ZBD, weight_ZB)
        return self.joint_projection(total / weight_ZB.sum(0).clamp(min=1.0)[:, None])

    def forward(self, inputs: Mapping[str, dict[str, Tensor]]) -> dict[str, Tensor]:
        """slot -> inputs to slot -> (S, E), each slot alone."""
        return {slot: self.encode(slot, values) for slot, values in inputs.items()}


def build_adapter(config: ModelConfig, modality: str) -> ModalityAdapter:
    """The adapter of a modality, from the catalog."""
    from omni.registry import ADAPTERS  # discovery runs when the first component is built, not at import

    options = dict(config.adapters.get(modality, {}))
    name = options.pop("type", modality)
    kind = ADAPTERS.get(name)
    if "parity" in inspect.signature(kind).parameters:
        options.setdefault("parity", config.parity)
    fixed = dict(modality=modality, width=config.width, num_heads=config.num_heads, num_layers=config.num_layers)
    return ADAPTERS.build(dict(type=name, **fixed, **options))


def build_projection(config: ModelConfig, name: str) -> Projection:
    """The projection of a modality, or of the joint state."""
    kind = config.projection
    if isinstance(kind, Mapping) and "type" not in kind:
        kind = kind.get(name, kind.get("default", "linear"))
    return Projection(width=config.width, embedding_width=config.embedding_width, kind=kind, norm=config.embedding_norm)


def build_head(config: ModelConfig, name: str) -> nn.Module:
    """A task head, from the catalog."""
    from omni.registry import HEADS

    options = dict(config.heads[name])
    return HEADS.build(dict(type=options.pop("type", name), width=config.width, **options))


def build_denoiser(config: ModelConfig) -> Denoiser | None:
    """The decoder for masked prediction, if the config asks for one."""
    if config.decoder is None:
        return None
    try:
        return Denoiser(
            core_width=config.width,
            modalities=config.modalities,
            mask_padding=config.parity != "published",
            **config.decoder,
        )
    except TypeError as error:
        raise ConfigError(f"`decoder` does not fit: {error}.") from error


def spread_rows(sequence: TokenSequence, present_B: Tensor) -> TokenSequence:
    """The S samples of a sequence at the True rows of ``present_B``; the other rows are padding."""
    if len(present_B) == sequence.tokens_BLD.shape[0]:
        return sequence
    rows = torch.where(present_B, present_B.long().cumsum(0) - 1, 0)
    spread = take_rows(sequence, rows)
    return replace(spread, valid_BL=spread.valid_BL & present_B[:, None])


def join_outputs(found: Mapping[str, tuple[CoreOutput, Tensor]]) -> CoreOutput | None:
    """Outputs of single slots beside one another, as if of one sequence; None if there is none.

    Args:
        found: slot -> (output of its S samples, (R,) bool which of the R rows those are); the other rows are padding.
    """
    if not found:
        return None
    rows = {
        slot: (output, torch.where(has_R, has_R.long().cumsum(0) - 1, 0), has_R)
        for slot, (output, has_R) in found.items()
    }
    spans, start = {}, 0
    for slot, (output, _, _) in rows.items():
        spans[slot] = slice(start, start + output.hidden_BLD.shape[1])
        start = spans[slot].stop
    return CoreOutput(
        hidden_BLD=torch.cat([output.hidden_BLD[index] for output, index, _ in rows.values()], 1),
        valid_BL=torch.cat([output.valid_BL[index] & has_R[:, None] for output, index, has_R in rows.values()], 1),
        spans=spans,
        pooled={slot: output.pooled[slot][index] for slot, (output, index, _) in rows.items()},
    )


def _missing_embedding(width: int) -> nn.Parameter:
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(width), std=0.02))
