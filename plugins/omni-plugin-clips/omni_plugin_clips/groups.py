"""Measures a trained grouping alignment: a text finds its clip by each group of slots, with and without the sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from omni import config as configs
from omni.core.model import OmniModel
from omni.data.processor import Processor
from omni.engine import checkpoint
from omni.engine.building import build_objectives
from omni.engine.forward_pass import ForwardPass
from omni.engine.stages import split_stages
from omni.errors import ConfigError, InputError
from omni.objectives.functional import grouping_scores
from omni.objectives.grouping import GroupingAlignment

KS = (1, 10)


@dataclass(frozen=True, kw_only=True)
class GroupRecall:
    """Retrieval of one group.

    Attributes:
        group: slots of the candidates. queries: anchors that have a right candidate in this group; candidates: clips
            that have a slot of it. recall, chance: k -> share.
    """

    group: tuple[str, ...]
    queries: int
    candidates: int
    recall: dict[int, float]
    chance: dict[int, float]

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class SlotSide:
    """One slot of N samples: unit tokens (N, L, E), logits of their weights (N, L), which are real (N, L) bool."""

    tokens_NLE: Tensor
    logits_NL: Tensor
    valid_NL: Tensor


def load_trained(work_dir: str | Path) -> tuple[OmniModel, Processor, GroupingAlignment]:
    """Model, processor and objective of a training's last stage, from its folder (the objective's own projections are
    in its checkpoints, not in the exported model).

    Raises:
        ConfigError: the training has no grouping alignment, or no checkpoint.
    """
    import omni

    folder = Path(work_dir)
    cfg = configs.load(folder / "config.py")
    stage = split_stages(cfg)[-1]
    predictor = omni.load(folder / "model", device="cpu")
    built = build_objectives(stage.objectives, predictor.model)
    name = next((name for name, item in built.items() if isinstance(item, GroupingAlignment)), None)
    found = checkpoint.load_latest(folder / "checkpoints" / stage.name)
    if name is None or found is None:
        missing = "objective grouping_alignment" if name is None else "checkpoint"
        raise ConfigError(f"{folder}: the last stage, {stage.name!r}, has no {missing}; train configs/mix_groups.py.")
    objective = built[name]
    assert isinstance(objective, GroupingAlignment)
    objective.bind(predictor.model)
    prefix = f"objectives.{name}."
    weights = {key.removeprefix(prefix): value for key, value in found[1]["state_dict"].items()
               if key.startswith(prefix)}  # fmt: skip
    objective.load_state_dict(weights)
    return predictor.model, predictor.processor, objective.eval()


@torch.inference_mode()
def encode_sides(
    model: OmniModel, processor: Processor, objective: GroupingAlignment, dataset: Any, *, batch_size: int = 64
) -> dict[str, SlotSide]:
    """The objective's view of every sample: slot -> tokens, on the CPU, float32.

    Raises:
        InputError: a value that cannot be read.
    """
    parts: dict[str, list[tuple[Tensor, ...]]] = {slot: [] for slot in objective.slots}
    for start in range(0, len(dataset), batch_size):
        samples = [dataset[index] for index in range(start, min(start + batch_size, len(dataset)))]
        batch = processor.collate([(sample, processor(sample)) for sample in samples]).to(model.device)
        fp = ForwardPass(model, batch)
        for slot in objective.slots:
            found = fp.tokens(slot)
            tokens, logits = objective.projections[model.modality(slot)](found.hidden_BLD)
            parts[slot].append((tokens.float().cpu(), logits.float().cpu(), found.valid_BL.cpu()))
    return {slot: _joined(some) for slot, some in parts.items()}


def without(side: SlotSide, gone_N: Tensor) -> SlotSide:
    """The same with the slot missing for these samples."""
    return SlotSide(
        tokens_NLE=side.tokens_NLE, logits_NL=side.logits_NL, valid_NL=side.valid_NL & ~gone_N[:, None]
    )  # fmt: skip


def group_recall(sides: Mapping[str, SlotSide], anchor: str, group: Sequence[str]) -> GroupRecall:
    """How often an anchor's own sample is the best, or among the ten best, by the score of the group.

    Candidates are the samples with at least one slot of the group. Ties count against the query.

    Raises:
        InputError: no sample has the anchor and a slot of the group.
    """
    own = sides[anchor]
    tokens, logits, valid = (
        torch.cat([getattr(sides[slot], name) for slot in group], 1) for name in ("tokens_NLE", "logits_NL", "valid_NL")
    )
    candidates = valid.any(1)
    queries = (own.valid_NL.any(1) & candidates).nonzero()[:, 0]
    if not len(queries):
        raise InputError(f"No sample has {anchor!r} and one of {', '.join(group)}.")
    scores_QN = grouping_scores(
        own.tokens_NLE[queries], tokens, own.logits_NL[queries], logits, own.valid_NL[queries], valid
    )
    right_Q1 = scores_QN.gather(1, queries[:, None])
    rank_Q = (scores_QN >= right_Q1).sum(1)
    count = int(candidates.sum())
    return GroupRecall(
        group=tuple(group), queries=len(queries), candidates=count,
        recall={k: float((rank_Q <= k).double().mean()) for k in KS}, chance={k: min(1.0, k / count) for k in KS},
    )  # fmt: skip


def all_groups(objective: GroupingAlignment) -> list[tuple[str, ...]]:
    """All other slots together, then each alone, whatever the objective was trained on."""
    _, *others = objective.slots
    return [tuple(others), *((slot,) for slot in others)] if len(others) > 1 else [tuple(others)]


def table(rows: Mapping[str, GroupRecall]) -> str:
    """Markdown: a line a row."""
    lines = ["| | queries | candidates | R@1 | chance | R@10 | chance |", "|---|---|---|---|---|---|---|"]
    for name, row in rows.items():
        cells = [f"{value:.3f}" for k in KS for value in (row.recall[k], row.chance[k])]
        lines.append(f"| {name} | {row.queries} | {row.candidates} | {' | '.join(cells)} |")
    return "\n".join(lines)


def measure(
    model: OmniModel, processor: Processor, objective: GroupingAlignment, dataset: Any, *, sound: str = "audio"
) -> dict[str, GroupRecall]:
    """Every group as the data is, and all slots together where the sound is missing for half of the samples (every
    other one) and for all.

    Args:
        sound: the slot that goes missing.
    """
    anchor = objective.anchor
    sides = encode_sides(model, processor, objective, dataset)
    whole, *_ = groups = all_groups(objective)
    rows = {" + ".join(group): group_recall(sides, anchor, group) for group in groups}
    if sound in whole and len(whole) > 1:
        number = torch.arange(len(sides[sound].valid_NL))
        for name, gone in ((f"{sound} missing for half", number % 2 == 1), (f"{sound} missing for all", number >= 0)):
            changed = {**sides, sound: without(sides[sound], gone)}
            rows[f"{' + '.join(whole)}, {name}"] = group_recall(changed, anchor, whole)
    return rows


def _joined(parts: list[tuple[Tensor, ...]]) -> SlotSide:
    most = max(tokens.shape[1] for tokens, _, _ in parts)
    grown = [
        (pad(tokens, (0, 0, 0, most - tokens.shape[1])), *(pad(item, (0, most - item.shape[1])) for item in rest))
        for tokens, *rest in parts
    ]
    tokens, logits, valid = (torch.cat(items) for items in zip(*grown, strict=True))
    return SlotSide(tokens_NLE=tokens, logits_NL=logits, valid_NL=valid)
