"""Numbers hidden in training: at their share, whole, never all."""

from __future__ import annotations

import pytest
import torch

from omni.errors import ConfigError
from omni_plugin_tabular.augment import TabularMask


def row(columns: int = 200, recorded: int = 150) -> dict[str, torch.Tensor]:
    valid_C = torch.arange(columns) < recorded
    values_C = torch.arange(1.0, columns + 1) * valid_C
    return {"values_C": values_C, "percentiles_C": values_C / columns, "valid_C": valid_C}


def test_numbers_are_hidden_at_their_share():
    torch.manual_seed(0)
    made = [TabularMask(share=0.2).tensors(row()) for _ in range(100)]
    kept = [int(item["valid_C"].sum()) for item in made]
    assert abs(sum(kept) / 100 - 120) < 2
    for item in made:
        hidden_C = ~item["valid_C"]
        assert hidden_C[150:].all()
        assert not item["values_C"][hidden_C].any() and not item["percentiles_C"][hidden_C].any()
        assert torch.equal(item["values_C"][~hidden_C], row()["values_C"][~hidden_C])


def test_one_number_always_stays_and_chances_are_chances():
    assert all(TabularMask(share=1.0).tensors(row(5, 3))["valid_C"].sum() == 1 for _ in range(10))
    with pytest.raises(ConfigError, match="tabular_mask: share is -1"):
        TabularMask(share=-1)
