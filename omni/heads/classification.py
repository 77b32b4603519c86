"""Classification: one of several classes, or any number of labels, from whichever slots are there."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni.core.layers import NORM_EPS, init_linear
from omni.core.positions import at_least_float32
from omni.errors import ConfigError, InputError
from omni.heads.base import Head
from omni.types import CoreOutput, HeadOutput, Prediction

POOLS = ("summary", "attention")
UNKNOWN = -100


class AttentionPool(nn.Module):
    """One learnt query a head over all valid tokens, then a norm (ONE-PEACE's fine-tuning head).

    ``sum_l softmax_l(q_h . K_h x_l) V_h x_l`` with logits that are not scaled and no bias on K, as published.

    Args:
        width: D.
        num_heads: H.
    """

    def __init__(self, *, width: int, num_heads: int) -> None:
        super().__init__()
        if num_heads < 1 or width % num_heads:
            raise ConfigError(f"attention pooling: width {width} is no multiple of {num_heads} heads.")
        self.num_heads = num_heads
        self.query_HK = nn.Parameter(nn.init.trunc_normal_(torch.empty(num_heads, width // num_heads), std=0.02))
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        for layer in (self.key, self.value):
            init_linear(layer.weight)
        nn.init.zeros_(self.value.bias)

    def forward(self, hidden_BLD: Tensor, valid_BL: Tensor) -> Tensor:
        """(B, L, D), (B, L) -> (B, D); padding counts for nothing."""
        keys = self.key(hidden_BLD).unflatten(-1, (self.num_heads, -1))
        logits_BLH = at_least_float32(torch.einsum("blhk,hk->blh", keys, self.query_HK))
        logits_BLH = logits_BLH.masked_fill(~valid_BL[..., None], torch.finfo(logits_BLH.dtype).min)
        weight_BLH = logits_BLH.softmax(1).to(hidden_BLD.dtype)
        values = self.value(hidden_BLD).unflatten(-1, (self.num_heads, -1))
        return self.norm(torch.einsum("blhk,blh->bhk", values, weight_BLH).flatten(1))


class ClassificationHead(Head):
    """Logits of classes from the summary states or from all tokens.

    Args:
        width: D.
        classes: their names, or how many there are.
        pool: "summary" (mean of the present slots' summary states) or "attention" (a learnt query over all tokens).
        num_heads: of attention pooling.
        hidden: units of a GELU layer with a norm before the classes; 0 = a linear map.
        multi_label: any number of the classes at once (binary cross-entropy over a 0/1 target (B, K)); else exactly one
            (cross-entropy over an index (B,)).
        label_smoothing: of the target of one class.
        dropout: before the classes.
        init_std: of the class map's first weights; None = 2 * D ** -0.5.
        fused: see Head.

    Raises:
        ConfigError: values that do not fit.
    """

    part_names = ("accuracy",)

    def __init__(
        self,
        *,
        width: int,
        classes: Sequence[str] | int,
        pool: str = "summary",
        num_heads: int = 4,
        hidden: int = 0,
        multi_label: bool = False,
        label_smoothing: float = 0.0,
        dropout: float = 0.0,
        init_std: float | None = None,
        fused: bool = True,
    ) -> None:
        super().__init__(width=width, fused=fused)
        names = [str(i) for i in range(classes)] if isinstance(classes, int) else list(classes)
        if len(names) < 2 or len(set(names)) < len(names):
            raise ConfigError(f"classification needs at least two classes of different names, not {names[:5]}.")
        if pool not in POOLS:
            raise ConfigError(f"classification: pool is {pool!r}; it must be one of {', '.join(POOLS)}.")
        if multi_label and label_smoothing:
            raise ConfigError("classification: label_smoothing belongs to one class a sample; leave it at 0.")
        self.classes = tuple(names)
        self.multi_label, self.label_smoothing = multi_label, label_smoothing
        self.pool = AttentionPool(width=width, num_heads=num_heads) if pool == "attention" else None
        inner = hidden or width
        self.inner = (
            nn.Sequential(nn.Linear(width, hidden), nn.LayerNorm(hidden, eps=NORM_EPS), nn.GELU()) if hidden else None
        )
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(inner, len(names))
        init_linear(self.out.weight, std=2 / math.sqrt(inner) if init_std is None else init_std)
        nn.init.zeros_(self.out.bias)

    def forward(self, core_output: CoreOutput, targets: dict[str, Tensor] | None = None) -> HeadOutput:
        """Logits (B, K) and, with targets, the loss and the accuracy.

        Args:
            targets: one target: (B,) class indices (-100 = not known), or (B, K) zeros and ones with its mask.

        Raises:
            InputError: no or several targets, a class that does not exist, or a wrong number of labels.
        """
        states_BD = mean_summary(core_output) if self.pool is None else self.pool(
            core_output.hidden_BLD, core_output.valid_BL
        )  # fmt: skip
        if self.inner is not None:
            states_BD = self.inner(states_BD)
        logits_BK = self.out(self.dropout(states_BD))
        values = {"logits_BK": logits_BK}
        if targets is None:
            return HeadOutput(values=values)
        return self._many(values, targets) if self.multi_label else self._one(values, targets)

    def _one(self, values: dict[str, Tensor], targets: dict[str, Tensor]) -> HeadOutput:
        name, labels_B = _only(targets)
        logits_BK = values["logits_BK"]
        if labels_B.ndim != 1 or labels_B.is_floating_point():
            raise InputError(f"classification: target {name!r} must be one class index a sample, not {labels_B.shape}.")
        known_B = labels_B != UNKNOWN
        count = int(known_B.sum())
        if count == 0:
            return HeadOutput(values=values, loss=logits_BK.sum() * 0, count=0)
        chosen = labels_B[known_B].long()
        if int(chosen.max()) >= len(self.classes) or int(chosen.min()) < 0:
            raise InputError(
                f"classification: target {name!r} has the class {int(chosen.max())}; the head has "
                f"{len(self.classes)} classes, 0 to {len(self.classes) - 1}."
            )
        loss = F.cross_entropy(at_least_float32(logits_BK[known_B]), chosen, label_smoothing=self.label_smoothing)
        hits = (logits_BK[known_B].argmax(1) == chosen).to(loss.dtype).mean()
        return HeadOutput(values=values, loss=loss, count=count, parts={"accuracy": hits.detach()})

    def _many(self, values: dict[str, Tensor], targets: dict[str, Tensor]) -> HeadOutput:
        name, labels_BK = _only(targets)
        logits_BK = values["logits_BK"]
        if labels_BK.shape != logits_BK.shape:
            raise InputError(
                f"classification: target {name!r} has shape {tuple(labels_BK.shape)}; it must hold a 0 or 1 for each "
                f"of the {len(self.classes)} labels."
            )
        valid_BK = targets.get(f"valid_{name}", torch.ones_like(labels_BK, dtype=torch.bool))
        count = int(valid_BK.any(1).sum())
        if count == 0:
            return HeadOutput(values=values, loss=logits_BK.sum() * 0, count=0)
        logits_BK = at_least_float32(logits_BK)
        each = F.binary_cross_entropy_with_logits(logits_BK, labels_BK.to(logits_BK.dtype), reduction="none")
        right = ((logits_BK > 0) == (labels_BK > 0.5))[valid_BK].to(each.dtype).mean()
        return HeadOutput(values=values, loss=each[valid_BK].mean(), count=count, parts={"accuracy": right.detach()})

    def predict(self, core_output: CoreOutput, *, k: int = 5, threshold: float = 0.5) -> list[Prediction]:
        """Of each sample the likeliest class, with the ``k`` likeliest in the details; of a multi-label head the list
        of labels with a probability of at least ``threshold``."""
        logits_BK = self(core_output).values["logits_BK"].float()
        chances_BK = logits_BK.sigmoid() if self.multi_label else logits_BK.softmax(1)
        found = []
        for chances_K in chances_BK.cpu():
            order = chances_K.argsort(descending=True, stable=True).tolist()
            ranked = {self.classes[i]: float(chances_K[i]) for i in order[: max(k, 1)]}
            if self.multi_label:
                chosen = [self.classes[i] for i in order if float(chances_K[i]) >= threshold]
                found.append(Prediction(value=chosen, details={"scores": ranked}))
            else:
                best = self.classes[order[0]]
                found.append(Prediction(value=best, score=ranked[best], details={"scores": ranked}))
        return found


def mean_summary(core_output: CoreOutput) -> Tensor:
    """(B, D): the mean of the summary states of the slots that a sample has."""
    states_ZBD = torch.stack(list(core_output.pooled.values()))
    has_ZB = torch.stack([core_output.valid(slot).any(1) for slot in core_output.pooled]).to(states_ZBD.dtype)
    return torch.einsum("zbd,zb->bd", states_ZBD, has_ZB) / has_ZB.sum(0).clamp(min=1.0)[:, None]


def _only(targets: dict[str, Tensor]) -> tuple[str, Tensor]:
    names = [name for name in targets if not (name.startswith("valid_") and name.removeprefix("valid_") in targets)]
    if len(names) != 1:
        raise InputError(f"classification takes exactly one target, not {', '.join(names) or 'none'}.")
    return names[0], targets[names[0]]
