"""Named sizes, and the published size counted two ways."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import pytest
import torch

from omni.core.config import ModelConfig
from omni.core.model import OmniModel
from omni.core.sizes import SIZES, size
from omni.errors import ConfigError
from tests.core import one_peace_case as published
from tools.convert_weights.one_peace import UNUSED, convert

MODALITIES = ("text", "image", "audio")
CONFIG = Path(__file__).parents[2] / "configs" / "one_peace_4b.py"
KERNELS = (10, 3, 3, 3, 3, 2, 2)


def block_shapes(prefix: str, width: int, ffn: int, scaled: bool) -> dict[str, tuple[int, ...]]:
    """One block in the published key scheme."""
    shapes = {f"self_attn.{name}.weight": (width, width) for name in ("q_proj", "k_proj", "v_proj", "out_proj")}
    shapes |= {f"self_attn.{name}.bias": (width,) for name in ("q_proj", "v_proj", "out_proj")}
    for norm in ("self_attn.ln", "self_attn_layer_norm", "final_layer_norm"):
        shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    if scaled:
        shapes |= {"gamma_1": (width,), "gamma_2": (width,)}
    for name in MODALITIES:
        shapes |= {f"{name}_ffn.0.wi_{number}.weight": (ffn, width) for number in (0, 1)}
        shapes |= {f"{name}_ffn.2.weight": (ffn,), f"{name}_ffn.2.bias": (ffn,)}
        shapes |= {f"{name}_ffn.3.weight": (width, ffn), f"{name}_ffn.3.bias": (width,)}
    return {prefix + name: shape for name, shape in shapes.items()}


def stack_shapes(side: str, width: int, ffn: int, layers: int) -> dict[str, tuple[int, ...]]:
    """The blocks and last norms of the encoder or the decoder."""
    core = f"{side}_wrapper.fusion_model."
    shapes: dict[str, tuple[int, ...]] = {f"{core}version": (1,)}
    for layer in range(layers):
        shapes |= block_shapes(f"{core}layers.{layer}.", width, ffn, scaled=side == "encoder")
    for name in MODALITIES:
        shapes |= {f"{core}{name}_layer_norm.{kind}": (width,) for kind in ("weight", "bias")}
    return shapes


def adapter_shapes(width: int, heads: int, words: int, grid: int, conv: int, buckets: tuple[int, int]) -> dict:
    """The three adapters of the encoder."""
    quarter, ids = width // 4, 2 * buckets[1] + 2
    text = {"embed_tokens.weight": (words, width), "embed_positions.weight": (514, width)}
    text |= {"cls_embedding": (1, 1, width), "rel_pos_table_list.0.weight": (2 * buckets[0] + 2, heads)}
    image = {
        "cls_embedding": (1, 1, width),
        "pos_embed": (grid * grid + 1, width),
        "position_idx": (grid * grid + 1,),
        "rp_bucket": (grid * grid + 1, grid * grid + 1),
        "rel_pos_table_list.0.weight": ((2 * grid - 1) ** 2 + 3, heads),
        "embed_images.0.weight": (quarter, 3, 4, 4),
        "embed_images.3.weight": (quarter, quarter, 2, 2),
        "embed_images.6.weight": (width, quarter, 2, 2),
        "embed_images.6.bias": (width,),
    }
    for number in ("0.bias", "3.bias", *(f"{n}.layer_norm.{kind}" for n in (1, 4) for kind in ("weight", "bias"))):
        image[f"embed_images.{number}"] = (quarter,)
    audio = {"cls_embedding": (1, 1, width), "cls_pos_embed": (1, 1, width), "mask_embedding": (1, width)}
    audio["rel_pos_table_list.0.weight"] = (ids, heads)
    for index, kernel in enumerate(KERNELS):
        audio[f"embed_audios.0.conv_layers.{index}.0.weight"] = (conv, 1 if index == 0 else conv, kernel)
        audio |= {f"embed_audios.0.conv_layers.{index}.2.1.{kind}": (conv,) for kind in ("weight", "bias")}
    audio |= {"embed_audios.2.weight": (conv,), "embed_audios.2.bias": (conv,)}
    audio |= {"embed_audios.3.weight": (width, conv), "embed_audios.3.bias": (width,)}
    for layer in range(1, 6):
        audio |= {f"embed_positions.{layer}.0.weight": (width, width // 16, 19)}
        audio |= {f"embed_positions.{layer}.0.bias": (width,)}
    parts = {"text": text, "image": image, "audio": audio}
    return {f"encoder_wrapper.{m}_adapter.{name}": shape for m, part in parts.items() for name, shape in part.items()}


def published_shapes(
    *, width: int, ffn: int, layers: int, heads: int, words: int, grid: int, conv: int, buckets: tuple[int, int],
    decoder: tuple[int, int, int],
) -> dict[str, tuple[int, ...]]:  # fmt: skip
    """Every tensor of a published pretraining checkpoint with all three modalities, but two constants of the code."""
    small, small_ffn, small_layers = decoder
    shapes = stack_shapes("encoder", width, ffn, layers) | stack_shapes("decoder", small, small_ffn, small_layers)
    shapes |= adapter_shapes(width, heads, words, grid, conv, buckets) | {"logit_scale": ()}
    for name in MODALITIES:
        shapes |= {f"{name}_proj.weight": (width, width), f"{name}_proj.bias": (width,)}
        shapes |= {f"{name}_mask_token": (1, small)}
        shapes |= {f"decoder_{name}_embed.weight": (small, width), f"decoder_{name}_embed.bias": (small,)}
        shapes |= {f"{name}_mask_head.weight": (width, small), f"{name}_mask_head.bias": (width,)}
        shapes[f"decoder_wrapper.{name}_adapter.cls_embedding"] = (1, 1, small)
    shapes["decoder_wrapper.text_adapter.embed_positions.weight"] = (514, small)
    shapes["decoder_wrapper.image_adapter.pos_embed"] = (grid * grid + 1, small)
    shapes["decoder_wrapper.image_adapter.position_idx"] = (grid * grid + 1,)
    shapes["decoder_wrapper.audio_adapter.embed_positions.weight"] = (1026, small)
    shapes["decoder_wrapper.audio_adapter.mask_embedding"] = (1, small)
    return shapes


def test_the_shapes_are_those_of_the_published_code() -> None:
    """The scheme above, at the size of the reference numbers, is exactly their state dict."""
    scheme = published_shapes(
        width=32, ffn=48, layers=3, heads=4, words=101, grid=4, conv=16, buckets=(16, 16), decoder=(16, 24, 2)
    )
    assert scheme == {name: tuple(value.shape) for name, value in published.published_state().items()}


def test_the_4b_config_has_the_published_parameters() -> None:
    """On the meta device: the config builds what the converter reads from the shapes, and the counts agree."""
    scheme = published_shapes(
        width=1536, ffn=6144, layers=40, heads=24, words=50264, grid=16, conv=512, buckets=(256, 512),
        decoder=(768, 2048, 2),
    )  # fmt: skip
    config = ModelConfig.from_dict(runpy.run_path(str(CONFIG))["model"])
    with torch.device("meta"):
        model = OmniModel(config)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == sum(math.prod(shape) for name, shape in scheme.items() if not UNUSED.search(name))
    assert 3.8e9 < count < 4.2e9
    done = convert({name: torch.empty(shape, device="meta") for name, shape in scheme.items()})
    assert done.config == ModelConfig.from_dict(config.to_dict() | {"drop_path": 0.0})  # no weight tells the drop path


@pytest.mark.parametrize("name", list(SIZES))
def test_sizes(name: str) -> None:
    """Heads of 32 to 64, F = 4 D; a model of each can be laid out."""
    options = size(name)
    assert options["width"] % options["num_heads"] == 0 and 32 <= options["width"] // options["num_heads"] <= 64
    assert options["ffn_width"] == 4 * options["width"]
    with torch.device("meta"):
        OmniModel(ModelConfig(**options, slots={"text": "text"}, embedding_width=64))


def test_unknown_size_gets_a_suggestion() -> None:
    """A typo."""
    with pytest.raises(ConfigError, match="tiny"):
        size("tinny")
