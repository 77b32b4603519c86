"""Augmentations of rows of numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from omni.data.augment import Augmentation, chance


class TabularMask(Augmentation):
    """Hides numbers as if they had not been recorded; one always stays.

    Args:
        share: chance of each recorded number.
    """

    def __init__(self, *, share: float = 0.15) -> None:
        self.share = chance(share, "tabular_mask: share")

    def tensors(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """valid_C with fewer True; values_C and percentiles_C zero where it is False."""
        valid_C = tensors["valid_C"]
        kept_C = valid_C & (torch.rand(len(valid_C)) >= self.share)
        if not kept_C.any():
            kept_C[torch.multinomial(valid_C.float(), 1)] = True
        numbers = {name: tensors[name].masked_fill(~kept_C, 0.0) for name in ("values_C", "percentiles_C")}
        return {**tensors, **numbers, "valid_C": kept_C}
