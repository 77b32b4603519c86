"""From an encoder's width to the core's: linear, MLP, or token by token as in Freeze-Align (2024)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from omni.errors import ConfigError

TYPES = ("linear", "mlp", "token")
SETTINGS = ("type", "hidden", "dropout", "norm")


class Projector(nn.Module):
    """LayerNorm, dropout, then one map for every token and the summary.

    Args:
        encoder_width: of the encoder's states.
        width: D of the core.
        type: "linear"; "mlp" (Linear, GELU, Linear); "token": the sum of both for every token, and a summary of its own
            (Freeze-Align): mean of the projected tokens plus a second map of the encoder's summary; where that is
            itself a mean (``own_summary`` False), the mean of the projected tokens refined by a residual MLP.
        hidden: width within the MLPs; None = ``width``.
        dropout: of the normalised states; None = 0.1 for "token" as published, else 0.
        norm: the LayerNorm in front.
        own_summary: the encoder's summary is a state of its own (class token, pooler), not a mean of tokens.

    Raises:
        ConfigError: an unknown type, or numbers that cannot be.
    """

    def __init__(
        self,
        *,
        encoder_width: int,
        width: int,
        type: str = "linear",
        hidden: int | None = None,
        dropout: float | None = None,
        norm: bool = True,
        own_summary: bool = True,
    ) -> None:
        super().__init__()
        if type not in TYPES:
            raise ConfigError(f"projector: the type {type!r} is not known; use one of {', '.join(TYPES)}")
        hidden = width if hidden is None else hidden
        dropout = (0.1 if type == "token" else 0.0) if dropout is None else dropout
        if hidden < 1 or not 0.0 <= dropout < 1.0:
            raise ConfigError(f"projector: hidden={hidden} must be at least 1, dropout={dropout} in [0, 1)")

        def head() -> nn.Module:
            return _Head(encoder_width, width, type=type, hidden=hidden, dropout=dropout, norm=norm)

        self.tokens = head()
        self.summary = head() if type == "token" and own_summary else None
        self.refine = _Refine(width, hidden, dropout) if type == "token" and not own_summary else None

    def forward(
        self, summary_BC: Tensor, tokens_BLC: Tensor | None, valid_BL: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Project.

        Args:
            summary_BC: the encoder's summary.
            tokens_BLC: its other tokens, which the type "token" needs; None = only the summary.
            valid_BL: bool, which are real.

        Returns:
            summary (B, D), and tokens (B, L, D) or None.
        """
        tokens_BLD = None if tokens_BLC is None else self.tokens(tokens_BLC)
        if self.summary is None and self.refine is None:
            return self.tokens(summary_BC), tokens_BLD
        assert tokens_BLD is not None and valid_BL is not None
        mean_BD = masked_mean(tokens_BLD, valid_BL)
        if self.summary is not None:
            return mean_BD + self.summary(summary_BC), tokens_BLD
        return self.refine(mean_BD), tokens_BLD

    @property
    def needs_tokens(self) -> bool:
        """The summary depends on the tokens."""
        return self.summary is not None or self.refine is not None


class _Head(nn.Module):
    def __init__(self, inner: int, width: int, *, type: str, hidden: int, dropout: float, norm: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(inner) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(inner, width) if type in ("linear", "token") else None
        self.mlp = None
        if type in ("mlp", "token"):
            self.mlp = nn.Sequential(nn.Linear(inner, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, states: Tensor) -> Tensor:
        states = self.dropout(self.norm(states))
        parts = [part(states) for part in (self.linear, self.mlp) if part is not None]
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]


class _Refine(nn.Module):
    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width), nn.Dropout(dropout))
        self.norm = nn.LayerNorm(width)

    def forward(self, state_BD: Tensor) -> Tensor:
        return self.norm(state_BD + self.mlp(state_BD))


def build_projector(
    settings: str | Mapping[str, Any], *, encoder_width: int, width: int, own_summary: bool
) -> Projector:
    """From "linear" or ``{"type": ..., "hidden": ..., "dropout": ..., "norm": ...}``."""
    options = {"type": settings} if isinstance(settings, str) else dict(settings)
    unknown = sorted(set(options) - set(SETTINGS))
    if unknown:
        raise ConfigError(f"projector: no setting {', '.join(map(repr, unknown))}; there are {', '.join(SETTINGS)}")
    return Projector(encoder_width=encoder_width, width=width, own_summary=own_summary, **options)


def masked_mean(tokens_BLC: Tensor, valid_BL: Tensor) -> Tensor:
    """(B, C): mean of the valid tokens; zeros where there is none."""
    weight_BL1 = valid_BL[..., None].to(tokens_BLC.dtype)
    total_BC = tokens_BLC.masked_fill(~valid_BL[..., None], 0.0).sum(1)
    return total_BC / weight_BL1.sum(1).clamp(min=1.0)
