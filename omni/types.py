"""The values that travel through omni, in the order of the data; no torch is imported here.

Legend of the shape letters that end tensor names (``tokens_BLD`` is batch x tokens x width):

    B  samples of a batch          L  tokens of a sequence        D  model width
    N  samples of all processes    H  attention heads             F  feed-forward width
    E  embedding width             C  channels                    T  time steps of a signal
    V  vocabulary                  P  position dimensions         K  kept tokens, or candidates
    S  samples that have the slot (S <= B): adapters never see an absent one

The mask rule: a mask is called ``valid_*`` (or ``present_*`` for whole samples), is boolean, and True means real.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(kw_only=True)
class Sample:
    """One raw sample: a value for each slot that it has.

    Attributes:
        id: a stable name, unique in its data set.
        values: slot -> raw value (path, bytes, PIL image, array, string ...). A slot that is absent here is missing.
        meta: anything else that is known (class, language, source file, ...).
        keys: slot -> content key. Two samples with one key share the same raw value, so its features may be cached.
        targets: name -> number or array for objectives and metrics that need labels.
    """

    id: str
    values: dict[str, Any]
    meta: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    targets: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class Batch:
    """Collated samples. A slot's inputs hold only the samples that have it, in batch order.

    Attributes:
        inputs: slot -> adapter inputs, each tensor (S, ...); a slot that no sample has is left out. The special key
            ``pooled_BD`` holds precomputed pooled features (S, D), for towers that do not train.
        present: slot -> (B,) bool, for every slot of the model, also the absent ones.
        ids: B sample names.
        targets: name -> tensor (B, ...).
        meta: B dictionaries, as the data set gave them.
        indices_B: (B,) int64 position in the data set, or None when streaming.
        views: further augmented views of the same samples, each like ``inputs``.
        bad: what was to be in the batch and could not be read (omni.data.bad_items.BadItem).
    """

    inputs: dict[str, dict[str, Tensor]]
    present: dict[str, Tensor]
    ids: list[str]
    targets: dict[str, Tensor] = field(default_factory=dict)
    meta: list[dict[str, Any]] = field(default_factory=list)
    indices_B: Tensor | None = None
    views: tuple[dict[str, dict[str, Tensor]], ...] = ()
    bad: list[Any] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """A copy with every tensor on ``device``."""
        return replace(
            self,
            **{
                item.name: _to_device(getattr(self, item.name), device, non_blocking)
                for item in fields(self)
                if item.name not in ("ids", "meta", "bad")
            },
        )


def _to_device(value: Any, device: torch.device | str, non_blocking: bool) -> Any:
    if isinstance(value, Mapping):
        return {key: _to_device(item, device, non_blocking) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_to_device(item, device, non_blocking) for item in value)
    return value.to(device, non_blocking=non_blocking) if hasattr(value, "to") else value


@dataclass(kw_only=True)
class TokenSequence:
    """What an adapter makes of one slot.

    Attributes:
        tokens_BLD: float tokens, class token (if any) included.
        valid_BL: bool, True = real token.
        modality: whose feed-forward expert, final norm and projection the tokens use.
        positions_BLP: coordinates of the tokens (unit: tokens), or None.
        summary_index: index of the token that stands for the whole (0 for a class token); None = masked mean.
        bias: position bias added to the attention logits: one tensor for all layers or one a layer, each
            (1 or B, H, L, L); () = none.
    """

    tokens_BLD: Tensor
    valid_BL: Tensor
    modality: str
    positions_BLP: Tensor | None = None
    summary_index: int | None = 0
    bias: tuple[Tensor, ...] = ()


@dataclass(kw_only=True)
class CoreOutput:
    """Hidden states of the shared core over the concatenated slots.

    Attributes:
        hidden_BLD: after the final norm of each token's modality.
        valid_BL: bool, True = real token.
        spans: slot -> slice of the token axis.
        pooled: slot -> (B, D) summary state.
        layers: states after each block, before the final norm, when they were asked for.
    """

    hidden_BLD: Tensor
    valid_BL: Tensor
    spans: dict[str, slice]
    pooled: dict[str, Tensor]
    layers: tuple[Tensor, ...] = ()

    def tokens(self, slot: str) -> Tensor:
        """The hidden states (B, L_slot, D) of one slot."""
        return self.hidden_BLD[:, self.spans[slot]]

    def valid(self, slot: str) -> Tensor:
        """The mask (B, L_slot) of one slot."""
        return self.valid_BL[:, self.spans[slot]]


@dataclass(kw_only=True)
class SlotEmbedding:
    """Projected embeddings of one slot for the whole batch: values_BE and present_B (False rows hold the learnt
    missing embedding if the model has one, else zeros)."""

    values_BE: Tensor
    present_B: Tensor


@dataclass(kw_only=True)
class SlotTokens:
    """Hidden tokens of one slot for the whole batch: hidden_BLD, valid_BL (all False where absent), present_B."""

    hidden_BLD: Tensor
    valid_BL: Tensor
    present_B: Tensor


@dataclass(frozen=True, kw_only=True)
class TrainedGroup:
    """A set of slots that were trained together, and the score under which their embeddings mean something.

    Attributes:
        slots: two or more slot names.
        score: "cosine" (a pair), "pair_sum" (sum of the pairs' dot products; of one pair, its dot product)
            or "multilinear" (Symile).
    """

    slots: tuple[str, ...]
    score: str

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"slots": list(self.slots), "score": self.score}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> TrainedGroup:
        """From the JSON form."""
        return cls(slots=tuple(value["slots"]), score=value["score"])


@dataclass(kw_only=True)
class ObjectiveOutput:
    """What an objective returns.

    Attributes:
        total: scalar with a graph; the number that is minimised, before the objective's weight.
        parts: scalars for the log (detached).
        counts: how many samples, pairs or tokens took part, for the log; 0 where too little was present.
    """

    total: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(kw_only=True)
class HeadOutput:
    """What a task head returns.

    Attributes:
        values: its logits or values.
        loss: when targets were given: a mean with a graph.
        count: over how many things (samples, tokens, boxes) the loss is a mean; None = the rows of the core's output.
            Processes that hold different counts are weighted by it.
        parts: scalars for the log (detached), means over the same things; names as in ``Head.part_names``.
    """

    values: dict[str, Tensor]
    loss: Tensor | None = None
    count: int | None = None
    parts: dict[str, Tensor] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """``count``, or the rows of the values where it is not said."""
        if self.count is not None:
            return self.count
        return next(iter(self.values.values())).shape[0] if self.values else 1


@dataclass(kw_only=True)
class Prediction:
    """One item's answer of a task head, ready for people: value, score and what else is known."""

    value: Any
    score: float | None = None
    details: dict[str, Any] = field(default_factory=dict)


def batch_slots(batch: Batch) -> Sequence[str]:
    """Slots of which at least one sample of the batch holds a value."""
    return [slot for slot, inputs in batch.inputs.items() if inputs]
