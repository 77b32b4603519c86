from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from omni.config import read
from omni.core.model import ModelConfig, OmniModel
from omni.data.transform import Transform
from omni.errors import ConfigError, InputError
from omni.plugin.catalog import get_catalog
from omni_plugin_ecg.adapter import EcgAdapter
from omni_plugin_ecg.io import sample
from omni_plugin_ecg.leads import LEAD_INDEX
from omni_plugin_ecg.stems import ConvStem, PatchStem, time_features
from omni_plugin_ecg.transform import EcgBasic

VARIANTS = ("typical", "other", "minimum")
STEMS = [
    dict(stem="patch", patch=25),
    dict(stem="patch", patch=40, lead_tokens=False, relative_bias="per_layer"),
    dict(stem="conv", conv_width=16),
    dict(stem="conv", conv_width=16, conv_strides=(4, 3, 2), lead_tokens=True, relative_bias="none"),
]


def adapter(**options: object) -> EcgAdapter:
    torch.manual_seed(0)
    made = EcgAdapter(**(dict(width=32, num_heads=4, num_layers=2, bucket=32) | options))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made


def batch(*variants: str, leads: str = "present") -> dict[str, Tensor]:
    transform: Transform = EcgBasic(leads=leads)
    return transform.collate([transform(sample(variant)) for variant in variants])


@pytest.mark.parametrize("options", STEMS)
def test_padding_and_what_stands_in_it_change_nothing(options: dict) -> None:
    model = adapter(**options).double()
    inputs = batch(*VARIANTS)
    together = model(inputs)
    filled = inputs | {"signal_BCT": torch.where(inputs["valid_BCT"], inputs["signal_BCT"], 9.0)}
    assert torch.equal(model(filled).tokens_BLD, together.tokens_BLD)
    for row, variant in enumerate(VARIANTS):
        alone = model(batch(variant))
        real, reference = together.tokens_BLD[row, together.valid_BL[row]], alone.tokens_BLD[0, alone.valid_BL[0]]
        torch.testing.assert_close(real, reference, rtol=1e-9, atol=1e-9)
        places = together.positions_BLP[row, together.valid_BL[row]], alone.positions_BLP[0, alone.valid_BL[0]]
        assert torch.equal(*places)
        keep = [valid.nonzero()[:, 0] for valid in (together.valid_BL[row], alone.valid_BL[0])]
        for ours, theirs in zip(together.bias, alone.bias, strict=True):
            assert torch.equal(ours[0][:, keep[0]][..., keep[0]], theirs[0][:, keep[1]][..., keep[1]])


@pytest.mark.parametrize("options", STEMS)
def test_the_order_and_the_number_of_leads_do_not_matter(options: dict) -> None:
    model = adapter(**options).double()
    inputs = batch("typical")
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    shuffled = {key: value[:, order] for key, value in inputs.items()}
    plain, other = model(inputs), model(shuffled)
    if not model.lead_tokens:
        torch.testing.assert_close(other.tokens_BLD, plain.tokens_BLD, rtol=1e-9, atol=1e-9)
    else:
        by_place = {
            tuple(place.tolist()): token
            for place, token in zip(plain.positions_BLP[0], plain.tokens_BLD[0], strict=True)
        }
        for place, token in zip(other.positions_BLP[0], other.tokens_BLD[0], strict=True):
            torch.testing.assert_close(token, by_place[tuple(place.tolist())], rtol=1e-9, atol=1e-9)
    missing = batch("other", leads="standard")  # the twelve, six of them masked
    present = batch("other", leads="present")
    ours, reference = model(missing), model(present)
    torch.testing.assert_close(
        ours.tokens_BLD[ours.valid_BL], reference.tokens_BLD[reference.valid_BL], rtol=1e-9, atol=1e-9
    )


def test_a_token_for_each_lead_and_step_and_where_it_lies() -> None:
    sequence = adapter(patch=25)(batch("other"))
    steps = math.ceil(650 / 25)
    assert sequence.tokens_BLD.shape == (1, 1 + 6 * steps, 32)
    assert sequence.positions_BLP[0, 0].tolist() == [-1, -1]
    assert sequence.positions_BLP[0, 1 + 6 * 3 + 4].tolist() == [3, LEAD_INDEX["V4"]]
    gap = [place[0].item() for place in sequence.positions_BLP[0, ~sequence.valid_BL[0]]]
    assert gap == list(range(3, 11))  # patches of V4 that lie in the stretch that was not recorded
    bias = sequence.bias[0]
    assert torch.equal(bias[0, :, 1, 2], bias[0, :, 1, 6]) and not torch.equal(bias[0, :, 1, 2], bias[0, :, 1, 7])
    mean = adapter(stem="conv")(batch("other"))
    assert mean.tokens_BLD.shape == (1, 1 + 13, 32) and mean.positions_BLP[0, 1].tolist() == [0, -1]


def test_a_gap_is_not_a_flat_line() -> None:
    stem = PatchStem(width=8, patch=5)
    signal, valid = torch.zeros(1, 10), torch.ones(1, 10, dtype=torch.bool)
    gap = valid.clone()
    gap[0, 2:4] = False
    whole, part = stem(signal, valid), stem(signal, gap)
    assert not torch.allclose(whole[0, 0], part[0, 0], atol=1e-3) and torch.equal(whole[0, 1], part[0, 1])
    expected = stem.projection(torch.cat((signal[0, :5], gap[0, :5].float())))
    torch.testing.assert_close(part[0, 0], expected)


def test_the_convolutional_stem_equals_its_layers() -> None:
    torch.manual_seed(0)
    stem = ConvStem(width=8, channels=6, strides=(5, 2, 1, 3)).double()
    signal, valid = torch.randn(3, 120).double(), torch.ones(3, 120, dtype=torch.bool)
    hidden = torch.stack((signal, valid.double()), 1)
    for layer, norm, stride in zip(stem.layers, stem.norms, (5, 2, 1, 3), strict=True):
        windows = nn.functional.pad(hidden, ((stride + 2) // 2, 2 * stride)).unfold(2, 2 * stride + 1, stride)
        steps = hidden.shape[2] // stride
        hidden = torch.einsum("rclk,ock->rlo", windows[:, :, :steps], layer.weight) + layer.bias
        hidden = nn.functional.gelu(norm(hidden)).transpose(1, 2)
    torch.testing.assert_close(stem(signal, valid), stem.projection(hidden.transpose(1, 2)))
    assert stem(signal, valid).shape == (3, 4, 8) and stem.stride == 30


@pytest.mark.parametrize("options", STEMS)
def test_what_is_masked_is_not_seen(options: dict) -> None:
    model = adapter(**options)
    inputs = batch("typical")
    whole = model(inputs)
    keep = torch.zeros_like(whole.valid_BL)
    count = 12 if model.lead_tokens else 1
    keep[:, : 1 + 4 * count] = True
    part = model(inputs, keep_BL=keep)
    changed = inputs | {"signal_BCT": inputs["signal_BCT"].clone()}
    changed["signal_BCT"][:, :, 4 * model.stem.stride :] += 1.0
    assert torch.equal(model(changed, keep_BL=keep).tokens_BLD, part.tokens_BLD)
    assert part.tokens_BLD.shape[1] == 1 + 4 * count
    everything = model(inputs, keep_BL=torch.ones_like(keep))
    torch.testing.assert_close(everything.tokens_BLD, whole.tokens_BLD)


@pytest.mark.parametrize("options", STEMS)
def test_gradients_reach_all_parameters(options: dict) -> None:
    model = adapter(**options)
    sequence = model(batch(*VARIANTS))
    total = (sequence.tokens_BLD * torch.randn(32)).sum()
    (total + sum((bias * torch.randn_like(bias)).sum() for bias in sequence.bias)).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


def test_heights_matter() -> None:
    """Millivolts reach the tokens: nothing normalises a recording by itself."""
    model = adapter()
    inputs = batch("typical")
    louder = inputs | {"signal_BCT": 1.5 * inputs["signal_BCT"]}
    assert (model(louder).tokens_BLD - model(inputs).tokens_BLD).abs().max() > 0.05


def test_time_features() -> None:
    features = time_features(torch.tensor([0, 3]), width=6)
    assert features[0].tolist() == [0, 0, 0, 1, 1, 1]
    for i in range(3):
        angle = 3 / 10_000 ** (2 * i / 6)
        assert features[1, i] == pytest.approx(math.sin(angle)) and features[1, 3 + i] == pytest.approx(math.cos(angle))


@pytest.mark.parametrize("name", ["slot_patch", "slot_conv"])
def test_the_configs_give_a_model_that_embeds(name: str) -> None:
    config = read(Path(__file__).parents[1] / "configs" / f"{name}.py")
    options = dict(config["processor"]["ecg"])
    transform = get_catalog().component("transform", options.pop("type"))(
        **{key: value for key, value in options.items() if key != "modality"}
    )
    model = OmniModel(
        ModelConfig(width=32, num_layers=1, num_heads=4, ffn_width=64, embedding_width=8,
                    slots=dict(config["model"]["slots"]),
                    adapters={"ecg": dict(config["model"]["adapters"]["ecg"])})
    ).eval()  # fmt: skip
    inputs = transform.collate([transform(sample(variant), training=True) for variant in VARIANTS])
    with torch.no_grad():
        assert torch.isfinite(model.encode("ecg", inputs)).all()


def test_wrong_inputs_and_settings_are_named() -> None:
    model = adapter()
    inputs = batch("typical")
    for change, words in (
        ({"signal_BCT": inputs["signal_BCT"][0]}, "do not fit"),
        ({"valid_BCT": inputs["valid_BCT"][:, :3]}, "do not fit"),
        ({"valid_BCT": torch.zeros_like(inputs["valid_BCT"])}, "Recording 0.*no recorded sample"),
    ):
        with pytest.raises(InputError, match=words):
            model(inputs | change)
    with pytest.raises(InputError, match="ecg_basic"):
        model({"wave_BT": torch.zeros(1, 99)})
    for options in (dict(stem="mel"), dict(relative_bias="some"), dict(patch=0), dict(scale_mv=0), dict(width=33),
                    dict(stem="conv", conv_strides=())):  # fmt: skip
        with pytest.raises(ConfigError):
            adapter(**options)
