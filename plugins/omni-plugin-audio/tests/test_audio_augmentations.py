"""The named augmentations of sound, for both transforms alike."""

from __future__ import annotations

import pytest
import torch

from omni.data.processor import Processor
from omni_plugin_audio.augmentations import AudioEq, AudioMask, AudioNoise, AudioShift, AudioSpeed
from omni_plugin_audio.io import Waveform

WAVE = Waveform(samples_T=torch.sin(torch.arange(8000) * 0.3) + 0.01)


def test_lengths():
    torch.manual_seed(0)
    lengths = [len(AudioSpeed(most=0.2).raw(WAVE).samples_T) for _ in range(20)]
    assert min(lengths) >= 8000 / 1.2 - 1 and max(lengths) <= 8000 / 0.8 + 1 and len(set(lengths)) > 10
    longer = [len(AudioShift(seconds=0.1).raw(WAVE).samples_T) for _ in range(20)]
    assert min(longer) >= 8000 and max(longer) <= 8000 + 3200
    assert all(len(change.raw(WAVE).samples_T) == 8000 for change in (AudioEq(), AudioNoise(), AudioMask()))


def test_a_mask_is_one_stretch_in_seconds_and_never_the_whole():
    torch.manual_seed(1)
    for seconds, most in ((0.1, 1600), (10.0, 4000)):
        for _ in range(20):
            gone = AudioMask(seconds=seconds).raw(WAVE).samples_T == 0
            places = gone.nonzero().flatten()
            assert len(places) <= most and (not len(places) or int(places[-1] - places[0]) + 1 == len(places))
    click = Waveform(samples_T=torch.tensor([1.0, 0.0, 0.0, 0.0]))
    assert all(AudioMask(seconds=9).raw(click).samples_T.any() for _ in range(50))


@pytest.mark.parametrize("transform", ["wave", "log_mel"])
def test_both_transforms_take_them_in_training_only(transform):
    settings = {"modality": "audio", "type": transform, "augmentations": [{"type": "audio_noise"}]}
    made = Processor({"sound": settings})
    plain = Processor({"sound": {"modality": "audio", "type": transform}}).process_value("sound", WAVE)
    (key,) = [key for key, value in plain.items() if value.is_floating_point()]
    assert torch.equal(made.process_value("sound", WAVE)[key], plain[key])
    torch.manual_seed(0)
    assert not torch.equal(made.process_value("sound", WAVE, training=True)[key], plain[key])
