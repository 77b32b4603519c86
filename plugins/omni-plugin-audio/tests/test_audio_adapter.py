from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from omni.errors import ConfigError, InputError
from omni_plugin_audio.adapter import AudioAdapter
from omni_plugin_audio.stems import ConvPositions, MelStem, WaveStem
from omni_plugin_audio.strided import strided_conv


def adapter(**options: object) -> AudioAdapter:
    torch.manual_seed(0)
    made = AudioAdapter(**(dict(width=32, num_heads=4, num_layers=2, conv_width=16, bucket=32) | options))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made


def plain_extractor(stem: WaveStem, wave_BT: Tensor) -> Tensor:
    signal = wave_BT[:, None]
    for layer in stem.layers:
        signal = F.conv1d(signal, layer.weight, stride=layer.stride)
        signal = F.gelu(layer.norm(signal.transpose(1, 2))).transpose(1, 2)
    return signal.transpose(1, 2)


@pytest.mark.parametrize(("kernel", "stride"), [(10, 5), (3, 2), (2, 2), (7, 3), (1, 1), (1, 2), (9, 2)])
def test_strided_conv_equals_the_convolution_with_gradients(kernel: int, stride: int) -> None:
    generator = torch.Generator().manual_seed(0)
    signal = torch.randn(1, 3, 10 * stride, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 3, kernel, generator=generator, dtype=torch.float64, requires_grad=True)
    reference = F.conv1d(signal, weight, stride=stride)[0].t()
    rows = signal[0].t().reshape(10, -1)
    ours = strided_conv(rows, weight, stride=stride)[: len(reference)]
    torch.testing.assert_close(ours, reference)
    with torch.no_grad():
        assert torch.equal(strided_conv(rows, weight, stride=stride)[: len(reference)], ours)
    pull = torch.randn(reference.shape, generator=generator, dtype=torch.float64)
    gradients = [torch.autograd.grad((item * pull).sum(), (signal, weight)) for item in (ours, reference)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("samples", [400, 719, 720, 6399, 6400, 16_001])
def test_the_waveform_stem_equals_its_convolutions_with_gradients(samples: int) -> None:
    torch.manual_seed(0)
    stem = WaveStem(width=8, conv_width=16).double()
    wave = torch.randn(2, samples, dtype=torch.float64, requires_grad=True)
    results = []
    for extract in (stem.extract, lambda wave: plain_extractor(stem, wave)):
        output = extract(wave)
        weights = [parameter for layer in stem.layers for parameter in layer.parameters()]
        pull = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        results.append([output, *torch.autograd.grad((output * pull).sum(), [wave, *weights])])
    assert results[0][0].shape[1] == stem.frames(samples)
    for ours, reference in zip(*results, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-9, atol=1e-9)


def test_frame_arithmetic() -> None:
    stem = WaveStem(width=8, conv_width=16)
    assert stem.least_samples == 400 and stem.stride == 320
    assert [stem.frames(n) for n in (16_000, 4160, 3200, 400, 399, 3)] == [49, 12, 9, 1, 0, 0]
    assert stem.frames(torch.tensor([240_000, 400, 10])).tolist() == [749, 1, 0]


def test_bfloat16_autocast_stays_near_float32() -> None:
    stem = WaveStem(width=8, conv_width=64)
    wave = torch.randn(2, 8000)
    with torch.no_grad():
        exact = stem.extract(wave)
        with torch.autocast("cpu", torch.bfloat16):
            half = stem.extract(wave)
    assert half.dtype == torch.bfloat16
    assert torch.cosine_similarity(half.float().flatten(), exact.flatten(), dim=0) > 0.999


def test_positions_skip_what_is_not_valid() -> None:
    torch.manual_seed(0)
    positions = ConvPositions(width=32, groups=4)
    frames = torch.randn(1, 12, 32)
    valid = torch.arange(12)[None] < 7
    inside = positions(frames, valid_BL=valid)[:, :7]
    torch.testing.assert_close(inside, positions(frames[:, :7]))
    assert not torch.allclose(inside, positions(frames)[:, :7], atol=1e-3)
    assert ConvPositions(width=32, groups=4, kernel=6)(frames).shape == frames.shape


def clips(model: AudioAdapter, lengths: list[int], *, extra: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    shape = (max(lengths) + extra,) if model.key == "wave_BT" else (max(lengths) + extra, 80)
    signal = torch.randn(len(lengths), *shape, generator=generator)  # garbage after each clip's end
    return {model.key: signal, "valid_BT": torch.arange(shape[0])[None] < torch.tensor(lengths)[:, None]}


STEMS = [
    (dict(stem="wave"), [4000, 1700, 400]),
    (dict(stem="log_mel"), [31, 16, 1]),
    (dict(stem="log_mel", patch_mels=20, mel_hidden=24, relative_bias="per_layer"), [31, 16, 1]),
]


@pytest.mark.parametrize(("options", "lengths"), STEMS)
def test_padding_changes_nothing(options: dict, lengths: list[int]) -> None:
    model = adapter(**options).double()
    batch = clips(model, lengths, extra=777 if model.key == "wave_BT" else 9)
    together = model({key: value for key, value in batch.items()})
    for row, length in enumerate(lengths):
        alone = model({model.key: batch[model.key][row : row + 1, :length]})
        count = alone.tokens_BLD.shape[1]
        assert alone.valid_BL.all() and together.valid_BL[row].sum() == count
        torch.testing.assert_close(together.tokens_BLD[row, :count], alone.tokens_BLD[0], rtol=1e-9, atol=1e-9)
        for ours, reference in zip(together.bias, alone.bias, strict=True):
            assert torch.equal(ours[0, :, :count, :count], reference[0])


def test_published_padding_leaks() -> None:
    model = adapter(parity="published")
    batch = clips(model, [6000, 1700])
    together, alone = model(batch), model({"wave_BT": batch["wave_BT"][1:, :1700]})
    count = alone.tokens_BLD.shape[1]
    assert (together.tokens_BLD[1, :count] - alone.tokens_BLD[0]).abs().max() > 0.1


@pytest.mark.parametrize(("options", "lengths"), STEMS)
def test_kept_frames_keep_their_distances_and_see_nothing_masked(options: dict, lengths: list[int]) -> None:
    model = adapter(**options)
    batch = clips(model, lengths[:2])
    whole = model(batch)
    count = whole.valid_BL.sum(1)
    everything = model(batch, keep_BL=torch.ones_like(whole.valid_BL))
    torch.testing.assert_close(everything.tokens_BLD[0], whole.tokens_BLD[0])
    keep = torch.zeros_like(whole.valid_BL)
    keep[:, [0, 1, 4]] = True
    part = model(batch, keep_BL=keep)
    assert part.tokens_BLD.shape[:2] == (2, 3) and part.valid_BL.all() and count.min() > 4
    assert torch.equal(part.positions_BLP[0], whole.positions_BLP[0, [0, 1, 4]])
    assert torch.equal(part.bias[0][0, :, 1, 2], whole.bias[0][0, :, 1, 4])
    changed = {key: value.clone() for key, value in batch.items()}
    last = slice(1700, None) if model.key == "wave_BT" else slice(20, None)  # only frames that are not kept
    changed[model.key][0, last] += 1.0
    torch.testing.assert_close(model(changed, keep_BL=keep).tokens_BLD, part.tokens_BLD)


def test_published_kept_frames_become_neighbours() -> None:
    model = adapter(parity="published")
    batch = clips(model, [4000, 4000])
    keep = torch.zeros(2, 13, dtype=torch.bool)
    keep[0, [0, 1, 4, 9]] = True
    keep[1, [0, 2, 3, 12]] = True
    part = model(batch, keep_BL=keep)
    frames = model.stem(batch["wave_BT"])
    picked = torch.stack([frames[0, [0, 3, 8]], frames[1, [1, 2, 11]]])
    torch.testing.assert_close(part.tokens_BLD[:, 1:], picked + model.positions(picked))


@pytest.mark.parametrize(("options", "lengths"), STEMS)
def test_gradients_reach_all_parameters(options: dict, lengths: list[int]) -> None:
    model = adapter(**options)
    sequence = model(clips(model, lengths))
    total = (sequence.tokens_BLD * torch.randn(32)).sum()
    (total + sum((bias * torch.randn_like(bias)).sum() for bias in sequence.bias)).backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not idle


def test_mel_patches_are_cut_in_time_then_bands() -> None:
    stem = MelStem(width=8, mels=6, patch_frames=2, patch_mels=3, hidden=None)
    mel = torch.randn(1, 5, 6)
    tokens = stem(mel)
    assert tokens.shape == (1, 3, 2, 8)
    patch = mel[0, 2:4, 3:6].flatten()
    torch.testing.assert_close(tokens[0, 1, 1], stem.projection(patch) + stem.band_positions[1])


def test_wrong_inputs_and_settings_are_named() -> None:
    model = adapter()
    for inputs, words in (
        ({"mel_BTC": torch.zeros(1, 9, 80)}, "log_mel|wave"),
        ({"wave_BT": torch.zeros(1, 399)}, "too short"),
        ({"wave_BT": torch.zeros(1, 800), "valid_BT": torch.arange(800)[None] < 399}, "Clip 0.*399"),
        ({"wave_BT": torch.zeros(1, 1, 800)}, "shape"),
    ):
        with pytest.raises(InputError, match=words):
            model(inputs)
    with pytest.raises(InputError, match="bands"):
        adapter(stem="log_mel")({"mel_BTC": torch.zeros(1, 9, 64)})
    wrong = dict(stem="mfcc"), dict(position_groups=5), dict(position_layers=0), dict(relative_bias="some")
    for options in (*wrong, dict(parity="exact"), dict(stem="log_mel", patch_mels=7)):
        with pytest.raises(ConfigError):
            adapter(**options)
