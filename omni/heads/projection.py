"""Projections from pooled states into the embedding space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from omni.core.layers import NORM_EPS, init_linear
from omni.core.positions import at_least_float32
from omni.errors import ConfigError

EMBEDDING_NORMS = ("l2", "layernorm", "none")


class Projection(nn.Module):
    """Linear map, or MLP (Linear, GELU, LayerNorm, Linear), then the embedding norm.

    Args:
        width: D of the pooled states.
        embedding_width: E.
        kind: "linear", or a mapping {"type": "mlp", "hidden": units (default D)}.
        norm: "l2" (unit length), "layernorm" (learnt scale and shift) or "none".

    Raises:
        ConfigError: unknown kind or norm.
    """

    def __init__(
        self, *, width: int, embedding_width: int, kind: str | Mapping[str, Any] = "linear", norm: str = "l2"
    ) -> None:
        super().__init__()
        options = {"type": kind} if isinstance(kind, str) else dict(kind)
        name = options.pop("type", None)
        if name == "linear" and not options:
            self.map: nn.Module = nn.Linear(width, embedding_width)
        elif name == "mlp" and set(options) <= {"hidden"}:
            hidden = int(options.get("hidden", width))
            self.map = nn.Sequential(
                nn.Linear(width, hidden),
                nn.GELU(),
                nn.LayerNorm(hidden, eps=NORM_EPS),
                nn.Linear(hidden, embedding_width),
            )
        else:
            raise ConfigError(
                f"projection {kind!r} is not known; use 'linear' or dict(type='mlp', hidden=...) for each modality."
            )
        if norm not in EMBEDDING_NORMS:
            raise ConfigError(f"embedding_norm {norm!r} is not known; use one of {', '.join(EMBEDDING_NORMS)}.")
        self.norm_kind = norm
        self.norm = nn.LayerNorm(embedding_width, eps=NORM_EPS) if norm == "layernorm" else nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.Linear):
                if name == "linear":
                    init_linear(module.weight)
                else:  # the published .02 would leave the GELU of a fresh head in its linear part
                    nn.init.trunc_normal_(module.weight, std=module.in_features**-0.5)
                nn.init.zeros_(module.bias)

    def forward(self, pooled_SD: Tensor) -> Tensor:
        """(S, D) -> (S, E), in float32 where a norm is taken."""
        return self.normalise(self.map(pooled_SD))

    def normalise(self, values: Tensor) -> Tensor:
        """The embedding norm alone, of (..., E) values."""
        if self.norm_kind == "l2":
            return F.normalize(at_least_float32(values), dim=-1)
        return self.norm(values)
