"""Augmentation inside the adapter: only in training, only valid frames, each part as named."""

from __future__ import annotations

import pytest
import torch

from omni.errors import ConfigError
from omni_plugin_audio.adapter import AudioAdapter
from omni_plugin_audio.spectral import MelAugment
from omni_plugin_audio.transform import LogMel


def test_nothing_changes_in_evaluation():
    mel = torch.randn(2, 12, 80)
    assert MelAugment(gain=1.0, tilt=1.0, noise=1.0, mask_bands=10).eval()(mel) is mel


def test_gain_and_tilt_are_constant_over_time():
    torch.manual_seed(0)
    mel = torch.zeros(64, 5, 80)
    changed = MelAugment(gain=0.5, tilt=0.1)(mel)
    assert torch.equal(changed[:, 0], changed[:, 4])
    assert abs(changed.mean((1, 2)).std() - 0.5) < 0.15
    assert abs((changed[:, 0] - changed[:, 0].mean(1, keepdim=True)).std() - 0.1) < 0.02


def test_masked_bands_are_neighbours():
    torch.manual_seed(0)
    changed = MelAugment(mask_bands=10)(torch.ones(8, 3, 80))
    zero = changed[:, 0] == 0
    assert zero.sum(1).tolist() == [10] * 8
    assert all(int(row.nonzero().max() - row.nonzero().min()) == 9 for row in zero)


def test_what_lies_in_the_padding_is_not_seen_in_training_either():
    adapter = AudioAdapter(
        width=32, num_heads=4, num_layers=2, stem="log_mel", position_groups=4, mel_augment={"noise": 1.0}
    )
    adapter.train()
    mel = torch.randn(1, 16, 80)
    valid = torch.arange(16)[None] < 8

    def tokens(mel, seed):
        torch.manual_seed(seed)
        sequence = adapter({"mel_BTC": mel, "valid_BT": valid})
        return sequence.tokens_BLD[sequence.valid_BL]

    other = mel.masked_fill(~valid[..., None], 7.0)
    assert torch.equal(tokens(mel, 1), tokens(other, 1))
    assert not torch.equal(tokens(mel, 1), tokens(mel, 2))


def test_it_is_refused_with_the_other_stem():
    with pytest.raises(ConfigError, match="log_mel"):
        AudioAdapter(width=32, num_heads=4, num_layers=2, mel_augment={"noise": 1.0})


def test_negative_strength_is_refused():
    with pytest.raises(ConfigError, match="negative"):
        MelAugment(noise=-1.0)


def test_a_transform_says_whether_training_changes_anything():
    assert LogMel().deterministic
    assert not LogMel(mel_masks=1).deterministic
    assert not LogMel(augment={"speed": 0.1}).deterministic
    assert not LogMel(crop="random").deterministic
