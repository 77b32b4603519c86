"""The configuration of a model: plain JSON values, saved with its weights."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from omni.errors import ConfigError

PARITIES = ("default", "published")


@dataclass(kw_only=True)
class ModelConfig:
    """Everything that decides a model's shape.

    Attributes:
        width, num_layers, num_heads, ffn_width: D, number of blocks, H, F of the core.
        slots: slot -> modality, e.g. {"left": "photo", "right": "photo"}.
        adapters: modality -> keyword arguments of its adapter; the optional key "type" names another adapter.
        embedding_width: E.
        projection: "linear" or {"type": "mlp", "hidden": ...}; {"default": ..., MODALITY: ...} sets it a modality.
        embedding_norm: "l2", "layernorm" or "none".
        logit_scale: {"init": multiplier at the start, "max": bound or None}.
        layer_scale: start value of LayerScale, or None for none.
        drop_path: rate of the last block (linear from 0).
        missing: slots with a learnt embedding that stands in where a sample lacks them.
        heads: name -> {"type": head, ...its keyword arguments}.
        decoder: {"width", "num_layers", "num_heads", "ffn_width", "positions": {modality: {...}}} of the decoder for
            masked prediction, or None.
        joint: build the `joint` projection of the mean of the slots' fused pooled states.
        lora: {"rank", "alpha", "targets"} of low-rank matrices beside those of the core (omni.core.lora), or None.
        parity: "default", or "published" to keep the faults of the published code (to compare numbers, or to run
            weights exactly as they were trained).
    """

    width: int
    num_layers: int
    num_heads: int
    ffn_width: int
    slots: dict[str, str]
    embedding_width: int
    adapters: dict[str, dict[str, Any]] = field(default_factory=dict)
    projection: Any = "linear"
    embedding_norm: str = "l2"
    logit_scale: dict[str, Any] = field(default_factory=lambda: {"init": 1 / 0.07, "max": 100.0})
    layer_scale: float | None = 1e-6
    drop_path: float = 0.0
    missing: list[str] = field(default_factory=list)
    heads: dict[str, dict[str, Any]] = field(default_factory=dict)
    decoder: dict[str, Any] | None = None
    joint: bool = False
    lora: dict[str, Any] | None = None
    parity: str = "default"

    def __post_init__(self) -> None:
        if not self.slots:
            raise ConfigError("`slots` is empty; name at least one, as slots=dict(slot='modality').")
        if self.parity not in PARITIES:
            raise ConfigError(f"parity {self.parity!r} is not known; use one of {', '.join(PARITIES)}.")
        for name in ("width", "num_layers", "num_heads", "ffn_width", "embedding_width"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"{name} is {value!r}; it must be a whole number of at least 1.")
        for slot in self.missing:
            if slot not in self.slots:
                raise ConfigError(f"`missing` names {slot!r}, which is not one of the slots {', '.join(self.slots)}.")
        for modality in self.adapters:
            if modality not in self.modalities:
                raise ConfigError(
                    f"`adapters` has the modality {modality!r}, which no slot uses ({', '.join(self.modalities)}). "
                    "Adapters are keyed by modality, not by slot."
                )

    @property
    def modalities(self) -> list[str]:
        """The modalities that some slot uses, sorted."""
        return sorted(set(self.slots.values()))

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> ModelConfig:
        """From the JSON form.

        Raises:
            ConfigError: an unknown key (with a suggestion), a missing one, or a value that cannot be.
        """
        known = [item.name for item in fields(cls)]
        for key in value:
            if key not in known:
                close = difflib.get_close_matches(str(key), known, n=1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                raise ConfigError(f"The model config has no key {key!r}.{hint} Known: {', '.join(known)}.")
        try:
            return cls(**{key: _plain(item) for key, item in value.items()})
        except TypeError as error:
            raise ConfigError(f"The model config is incomplete: {error}.") from None

    def for_slots(self, slots: list[str]) -> ModelConfig:
        """The config of a part of the model, for partial loading.

        Raises:
            ConfigError: a slot that the model does not have.
        """
        for slot in slots:
            if slot not in self.slots:
                raise ConfigError(f"The model has no slot {slot!r}; it has {', '.join(self.slots)}.")
        value = self.to_dict()
        value["slots"] = {slot: self.slots[slot] for slot in self.slots if slot in slots}
        kept = set(value["slots"].values())
        value["adapters"] = {name: item for name, item in self.adapters.items() if name in kept}
        value["missing"] = [slot for slot in self.missing if slot in value["slots"]]
        if self.decoder is not None:
            positions = self.decoder.get("positions", {})
            value["decoder"]["positions"] = {name: item for name, item in positions.items() if name in kept}
        return ModelConfig.from_dict(value)


def _plain(value: Any) -> Any:
    """Copies of mappings and sequences as dict and list (config classes of other libraries included)."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
