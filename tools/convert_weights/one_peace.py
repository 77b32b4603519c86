"""Published ONE-PEACE weights -> omni's state dict and ModelConfig.

    python -m tools.convert_weights.one_peace one-peace.pt folder/ [--parity published] [--decoder-heads 12]

Every parameter is either carried over, or dropped because its name says that nobody uses it, or an error. Sizes are
read from the shapes. One relative-position table for all layers and one a layer both work, and so do the old names.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from omni.core.config import ModelConfig
from omni.core.model import OmniModel
from omni.core.positions import AbsolutePositions2d
from omni.errors import WeightsError

PATCH = 16
HEAD_WIDTH = 64
MODALITIES = ("text", "image", "audio")
# Constants of the code, and parameters that its forward pass never reads.
UNUSED = re.compile(
    r"\.rp_bucket$|\.position_idx$|\.version$|\.mask_embedding$|^decoder_wrapper\.\w+_adapter\.cls_embedding$"
)
OLD_NAMES = (
    (re.compile(r"\.rel_pos_table\.weight$"), ".rel_pos_table_list.0.weight"),
    (re.compile(r"\.layer_norms\.0\."), ".self_attn_layer_norm."),
    (re.compile(r"\.layer_norms\.1\."), ".final_layer_norm."),
)
# Published name -> omni's name. "@n" numbers the parts of a tensor that omni stores as one.
_BLOCK = (
    (r"self_attn\.q_proj\.weight", "attention.qkv_weight@0"),
    (r"self_attn\.k_proj\.weight", "attention.qkv_weight@1"),
    (r"self_attn\.v_proj\.weight", "attention.qkv_weight@2"),
    (r"self_attn\.(q|v)_proj\.bias", r"attention.\1_bias"),
    (r"self_attn\.ln\.(weight|bias)", r"attention.norm.\1"),
    (r"self_attn\.out_proj\.(weight|bias)", r"attention.out.\1"),
    (r"self_attn_layer_norm\.(weight|bias)", r"attention_norm.\1"),
    (r"final_layer_norm\.(weight|bias)", r"ffn_norm.\1"),
    (r"gamma_1", "attention_scale"),
    (r"gamma_2", "ffn_scale"),
    (r"(\w+)_ffn\.0\.wi_(0|1)\.weight", r"experts.\1.gate_up_weight@\2"),
    (r"(\w+)_ffn\.2\.(weight|bias)", r"experts.\1.norm.\2"),
    (r"(\w+)_ffn\.3\.(weight|bias)", r"experts.\1.out.\2"),
)
_ADAPTER = (
    (r"(\w+)_adapter\.cls_embedding", r"adapters.\1.class_token"),
    (r"(\w+)_adapter\.rel_pos_table_list\.(\d+)\.weight", r"adapters.\1.bias.tables.\2"),
    (r"(text)_adapter\.embed_tokens\.weight", r"adapters.\1.embedding.weight"),
    (r"(text)_adapter\.embed_positions\.weight", r"adapters.\1.positions.weight"),
    (r"(image)_adapter\.pos_embed", r"adapters.\1.positions.weight"),
    (r"(image)_adapter\.embed_images\.0\.(weight|bias)", r"adapters.\1.stem.conv1.\2"),
    (r"(image)_adapter\.embed_images\.1\.layer_norm\.(weight|bias)", r"adapters.\1.stem.norm1.\2"),
    (r"(image)_adapter\.embed_images\.3\.(weight|bias)", r"adapters.\1.stem.conv2.\2"),
    (r"(image)_adapter\.embed_images\.4\.layer_norm\.(weight|bias)", r"adapters.\1.stem.norm2.\2"),
    (r"(image)_adapter\.embed_images\.6\.(weight|bias)", r"adapters.\1.stem.conv3.\2"),
    (r"(audio)_adapter\.cls_pos_embed", r"adapters.\1.class_position"),
    (r"(audio)_adapter\.embed_audios\.0\.conv_layers\.(\d+)\.0\.weight", r"adapters.\1.stem.layers.\2.weight"),
    (r"(audio)_adapter\.embed_audios\.0\.conv_layers\.(\d+)\.2\.1\.(\w+)", r"adapters.\1.stem.layers.\2.norm.\3"),
    (r"(audio)_adapter\.embed_audios\.2\.(weight|bias)", r"adapters.\1.stem.norm.\2"),
    (r"(audio)_adapter\.embed_audios\.3\.(weight|bias)", r"adapters.\1.stem.projection.\2"),
    (r"(audio)_adapter\.embed_positions\.(\d+)\.0\.(weight|bias)", r"adapters.\1.positions.layers.{\2-1}.\3"),
)
_REST = (
    (r"logit_scale", "logit_scale.log_scale"),
    (r"(\w+)_proj\.(weight|bias)", r"projections.\1.map.\2"),
    (r"encoder_wrapper\.fusion_model\.(\w+)_layer_norm\.(weight|bias)", r"core.final_norms.\1.\2"),
    (r"decoder_wrapper\.fusion_model\.(\w+)_layer_norm\.(weight|bias)", r"denoiser.core.final_norms.\1.\2"),
    (r"(\w+)_mask_token", r"denoiser.mask_tokens.\1"),
    (r"decoder_(\w+)_embed\.(weight|bias)", r"denoiser.embeds.\1.\2"),
    (r"(\w+)_mask_head\.(weight|bias)", r"denoiser.outs.\1.\2"),
    (r"decoder_wrapper\.(\w+)_adapter\.(?:embed_positions\.weight|pos_embed)", r"denoiser.positions.\1.weight"),
)
_LAYER = r"{}_wrapper\.fusion_model\.layers\.(?P<layer>\d+)\."
RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    *((re.compile(pattern), name) for pattern, name in _REST),
    *((re.compile(r"encoder_wrapper\." + pattern), name) for pattern, name in _ADAPTER),
    *(
        (re.compile(_LAYER.format(side) + pattern), f"{core}.layers.{{layer}}." + name)
        for side, core in (("encoder", "core"), ("decoder", "denoiser.core"))
        for pattern, name in _BLOCK
    ),
)


@dataclass(kw_only=True)
class Converted:
    """A model's config, its state dict, and the names of what was dropped."""

    config: ModelConfig
    state: dict[str, Tensor]
    dropped: list[str]


def convert(
    published: Mapping[str, Tensor], *, parity: str = "default", decoder_heads: int | None = None
) -> Converted:
    """Rename, join and check a published state dict.

    Args:
        published: in the published key scheme, of a pretraining or retrieval model with any of its modalities.
        parity: of the ModelConfig; "published" keeps the published faults.
        decoder_heads: H of the decoder, which no shape tells; default: heads of width 64.

    Raises:
        WeightsError: a parameter that nobody takes, or one that is missing; the message lists them all.
    """
    published = {_new_name(name): value for name, value in published.items()}
    dropped = sorted(name for name in published if UNUSED.search(name))
    used = {name: value for name, value in published.items() if name not in dropped}
    config = read_config(used, parity=parity, decoder_heads=decoder_heads)
    state = _rename(used)
    _match_grid(state)
    with torch.device("meta"):
        expected = {name: value.shape for name, value in OmniModel(config).state_dict().items()}
    missing, unknown = sorted(set(expected) - set(state)), sorted(set(state) - set(expected))
    if missing or unknown:
        raise WeightsError(f"The weights do not fit: missing {_listing(missing)}; without a place {_listing(unknown)}.")
    for name, shape in expected.items():
        if state[name].numel() != shape.numel():
            raise WeightsError(f"{name} has the shape {tuple(state[name].shape)}, expected {tuple(shape)}.")
        state[name] = state[name].reshape(shape).contiguous()
    return Converted(config=config, state={name: state[name] for name in expected}, dropped=dropped)


def read_config(published: Mapping[str, Tensor], *, parity: str, decoder_heads: int | None) -> ModelConfig:
    """The ModelConfig that the shapes of a state dict (new names, unused parameters taken out) tell."""
    core = "encoder_wrapper.fusion_model."
    modalities = [name for name in MODALITIES if f"{core}layers.0.{name}_ffn.2.weight" in published]
    if not modalities:
        raise WeightsError("These are no ONE-PEACE weights: encoder_wrapper.fusion_model.layers.0 has no *_ffn.")
    width = published[f"{core}layers.0.self_attn.q_proj.weight"].shape[0]
    tables = [value for name, value in published.items() if ".rel_pos_table_list." in name]
    num_layers = _count(published, core + r"layers\.(\d+)\.")
    gamma = published.get(f"{core}layers.0.gamma_1")
    readers: dict[str, Callable[[Mapping[str, Tensor], int], dict]] = {
        "text": _text_options,
        "image": _image_options,
        "audio": _audio_options,
    }
    adapters = {}
    for name in modalities:
        adapters[name] = readers[name](published, width)
        found = _count(published, rf"encoder_wrapper\.{name}_adapter\.rel_pos_table_list\.(\d+)\.")
        if found not in (0, 1, num_layers):
            raise WeightsError(f"{name} has {found} relative-position tables for {num_layers} layers.")
        adapters[name]["relative_bias"] = "none" if not found else "shared" if found == 1 else "per_layer"
    return ModelConfig(
        width=width,
        num_layers=num_layers,
        num_heads=tables[0].shape[1] if tables else width // HEAD_WIDTH,
        ffn_width=published[f"{core}layers.0.{modalities[0]}_ffn.2.weight"].shape[0],
        slots={name: name for name in modalities},
        adapters=adapters,
        embedding_width=published.get(f"{modalities[0]}_proj.weight", torch.empty(width, 0)).shape[0],
        layer_scale=None if gamma is None else 1e-6,
        decoder=_decoder_options(published, modalities, decoder_heads),
        parity=parity,
    )


def _text_options(published: Mapping[str, Tensor], width: int) -> dict:
    prefix = "encoder_wrapper.text_adapter."
    table = published.get(f"{prefix}rel_pos_table_list.0.weight")
    return {
        "vocab_size": published[f"{prefix}embed_tokens.weight"].shape[0],
        "max_length": published[f"{prefix}embed_positions.weight"].shape[0],
        "bucket": 256 if table is None else table.shape[0] // 2 - 1,
    }


def _image_options(published: Mapping[str, Tensor], width: int) -> dict:
    prefix = "encoder_wrapper.image_adapter."
    table = published.get(f"{prefix}rel_pos_table_list.0.weight")
    grid = _grid(published[f"{prefix}pos_embed"]) if table is None else (_root(table.shape[0] - 3) + 1) // 2
    return {"stem": "hmlp", "patch_size": PATCH, "image_size": PATCH * grid}


def _audio_options(published: Mapping[str, Tensor], width: int) -> dict:
    prefix = "encoder_wrapper.audio_adapter."
    table = published.get(f"{prefix}rel_pos_table_list.0.weight")
    position = published[f"{prefix}embed_positions.1.0.weight"]
    return {
        "stem": "wave",
        "conv_width": published[f"{prefix}embed_audios.2.weight"].shape[0],
        "position_layers": _count(published, re.escape(prefix) + r"embed_positions\.(\d+)\."),
        "position_kernel": position.shape[2],
        "position_groups": width // position.shape[1],
        "bucket": 512 if table is None else table.shape[0] // 2 - 1,
    }


def _decoder_options(published: Mapping[str, Tensor], modalities: Iterable[str], heads: int | None) -> dict | None:
    core = "decoder_wrapper.fusion_model."
    if f"{core}layers.0.self_attn.q_proj.weight" not in published:
        return None
    width = published[f"{core}layers.0.self_attn.q_proj.weight"].shape[0]
    positions = {}
    for name in modalities:
        grid = published.get(f"decoder_wrapper.{name}_adapter.pos_embed")
        table = published.get(f"decoder_wrapper.{name}_adapter.embed_positions.weight")
        if grid is not None:
            positions[name] = {"grid": [_grid(grid)] * 2}
        elif table is not None:
            positions[name] = {"max_length": table.shape[0]}
    ffn = next(value for name, value in published.items() if name.startswith(core) and name.endswith("_ffn.2.weight"))
    return {
        "width": width,
        "num_layers": _count(published, core + r"layers\.(\d+)\."),
        "num_heads": heads or max(1, width // HEAD_WIDTH),
        "ffn_width": ffn.shape[0],
        "positions": positions,
    }


def _rename(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """omni's names, parts joined; an unknown name keeps its own and is found missing a place later."""
    state: dict[str, Tensor] = {}
    parts: dict[str, dict[int, Tensor]] = {}
    for name, value in published.items():
        target = target_name(name)
        if "@" in target:
            target, _, number = target.partition("@")
            parts.setdefault(target, {})[int(number)] = value
        else:
            state[target] = value
    for target, pieces in parts.items():
        state[target] = torch.cat([pieces[number] for number in sorted(pieces)])
    return state


def target_name(name: str) -> str:
    """omni's name of a published parameter, "@n" appended for part n of a joined tensor; unknown names unchanged."""
    for pattern, template in RULES:
        match = pattern.fullmatch(name)
        if match is None:
            continue
        shift = 1 if "layer" in match.re.groupindex else 0  # the named group is the first
        numbered = re.sub(r"\\(\d)", lambda digit, shift=shift: f"\\{int(digit[1]) + shift}", template)
        target = match.expand(numbered).replace("{layer}", match.groupdict().get("layer") or "")
        return re.sub(r"\{(\d+)-1\}", lambda place: str(int(place[1]) - 1), target)
    return name


def _match_grid(state: dict[str, Tensor]) -> None:
    """Absolute positions of pictures at the grid of the bias table, where fine-tuning has made that one larger; the
    published code reads them there in every forward pass, by the same interpolation."""
    table, name = state.get("adapters.image.bias.tables.0"), "adapters.image.positions.weight"
    if table is None or name not in state:
        return
    old, new = _grid(state[name]), (_root(table.shape[0] - 3) + 1) // 2
    if old != new:
        positions = AbsolutePositions2d(width=state[name].shape[1], grid=(old, old)).to(state[name].dtype)
        positions.weight.data.copy_(state[name])
        state[name] = positions(new, new)[0].detach()


def _new_name(name: str) -> str:
    for pattern, replacement in OLD_NAMES:
        name = pattern.sub(replacement, name)
    return name


def _count(published: Mapping[str, Tensor], pattern: str) -> int:
    return len({match[1] for match in map(re.compile(pattern).match, published) if match})


def _root(number: int) -> int:
    root = round(number**0.5)
    if root * root != number:
        raise WeightsError(f"A table of {number} entries is no square grid.")
    return root


def _grid(positions: Tensor) -> int:
    return _root(positions.shape[0] - 1)


def _listing(names: list[str]) -> str:
    return ", ".join(names) or "nothing"


def load_published(path: Path) -> dict[str, Tensor]:
    """A state dict from .safetensors or a checkpoint; nothing but tensors and plain values is unpickled.

    Raises:
        WeightsError: the file cannot be read so.
    """
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        raise WeightsError(
            f"{path} cannot be read with weights_only=True ({error}). If it is a raw pickle that you trust, save its "
            "tensors as safetensors first."
        ) from error
    return dict(found.get("model", found))


def main() -> None:
    """Command line."""
    from safetensors.torch import save_file

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parity", choices=("default", "published"), default="default")
    parser.add_argument("--decoder-heads", type=int)
    options = parser.parse_args()
    done = convert(load_published(options.weights), parity=options.parity, decoder_heads=options.decoder_heads)
    options.folder.mkdir(parents=True, exist_ok=True)
    save_file(done.state, options.folder / "model.safetensors")
    (options.folder / "config.json").write_text(json.dumps({"model": done.config.to_dict()}, indent=1))
    count = sum(value.numel() for value in done.state.values())
    print(f"{options.folder}: {count:,} parameters; dropped, as nobody uses them: {_listing(done.dropped)}")


if __name__ == "__main__":
    main()
