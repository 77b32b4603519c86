"""The named augmentations of ECGs: their sizes in millivolts and seconds, on what the transform makes."""

from __future__ import annotations

import pytest
import torch

from omni.data.processor import Processor
from omni.errors import ConfigError
from omni_plugin_ecg.io import sample


def processor(name: str, rate: float = 250.0, **settings) -> Processor:
    changes = [{"type": name, **settings}]
    return Processor({"trace": {"modality": "ecg", "sample_rate": rate, "augmentations": changes}})


def drawn(made: Processor, seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return made.process_value("trace", sample(), training=True)


@pytest.fixture(scope="module")
def plain() -> dict[str, torch.Tensor]:
    return processor("ecg_noise").process_value("trace", sample())


def test_scale_is_one_factor_for_all_leads(plain):
    real = plain["valid_CT"] & (plain["signal_CT"].abs() > 0.05)
    for seed in range(5):
        ratio = (drawn(processor("ecg_scale", most=0.3), seed)["signal_CT"] / plain["signal_CT"])[real]
        assert ratio.std() < 1e-4 and 0.7 <= ratio.mean() <= 1.3


def test_noise_and_wander_are_in_millivolts(plain):
    for name, most in (("ecg_noise", 0.5), ("ecg_wander", 0.4)):
        added = [drawn(processor(name, mv=most), seed)["signal_CT"] - plain["signal_CT"] for seed in range(8)]
        sizes = [item.std() if name == "ecg_noise" else item.abs().max() for item in added]
        assert max(sizes) <= 1.05 * most and max(sizes) > 0.3 * most


def test_leads_are_dropped_whole_and_one_stays(plain):
    masks = [drawn(processor("ecg_lead_dropout", share=0.9), seed)["valid_CT"] for seed in range(12)]
    for valid in masks:
        whole = [bool((row == was).all()) or not row.any() for row, was in zip(valid, plain["valid_CT"], strict=True)]
        assert all(whole) and valid.any()
    assert sum(int(valid.any(1).sum()) for valid in masks) < 0.4 * 12 * int(plain["valid_CT"].any(1).sum())


@pytest.mark.parametrize("rate", [100.0, 250.0])
def test_a_time_mask_is_in_seconds_on_all_leads(rate):
    made = processor("ecg_time_mask", rate=rate, seconds=0.4)
    before = made.process_value("trace", sample())
    longest = 0
    for seed in range(20):
        after = drawn(made, seed)
        gone = before["valid_CT"] & ~after["valid_CT"]
        columns = gone.any(0).nonzero().flatten()
        assert not after["signal_CT"][~after["valid_CT"]].any()
        if len(columns):
            assert int(columns[-1] - columns[0]) + 1 == len(columns)
            longest = max(longest, len(columns))
    assert 0.2 * rate < longest <= 0.4 * rate + 1


def test_settings_are_checked():
    for settings in ({"seconds": -1}, {"count": 0}):
        with pytest.raises(ConfigError, match="ecg_time_mask"):
            drawn(processor("ecg_time_mask", **settings), 0)
