"""What a search returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class IndexResult:
    """One thing found.

    Attributes:
        id: the item's name.
        score: larger is nearer; as the slots were trained, or calibrated (see ``Index.search``).
        rank: from 1.
        metadata: what was stored with the item.
        slot: the slot of the item that was found; "" where that was not recorded.
    """

    id: str
    score: float
    rank: int
    metadata: dict[str, Any] = field(default_factory=dict)
    slot: str = ""
