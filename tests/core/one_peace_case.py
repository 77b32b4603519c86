"""The published numbers at a tiny size, and the converted model, for the parity tests."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from omni.core.model import OmniModel
from tools.convert_weights.one_peace import convert

FOLDER = Path(__file__).parents[1] / "data" / "one_peace"


@lru_cache
def published_state() -> dict[str, Tensor]:
    """The state dict in the published key scheme."""
    return load_file(FOLDER / "one_peace_tiny.safetensors")


@lru_cache
def variants() -> dict[str, Tensor]:
    """Weights that replace those of the state dict."""
    return load_file(FOLDER / "one_peace_tiny_variants.safetensors")


@lru_cache
def reference() -> dict[str, Tensor]:
    """Inputs and outputs."""
    return load_file(FOLDER / "one_peace_tiny_io.safetensors")


def grad_names(stage: str) -> list[str]:
    """Order of the gradient norms of a stage."""
    with safe_open(FOLDER / "one_peace_tiny_io.safetensors", "pt") as file:
        return json.loads(file.metadata()[f"{stage}_grad_names"])


def case(name: str) -> dict[str, Tensor]:
    """The outputs of one case, in float64 where they are floats."""
    found = {key.removeprefix(f"{name}/"): value for key, value in reference().items() if key.startswith(f"{name}/")}
    return {key: value.double() if value.is_floating_point() else value for key, value in found.items()}


def model(*, parity: str = "published", state: dict[str, Tensor] | None = None, dtype: torch.dtype = torch.float64):
    """The converted model, in evaluation mode."""
    done = convert(state or published_state(), parity=parity, decoder_heads=4)
    built = OmniModel(done.config)
    built.load_state_dict(done.state)
    return built.to(dtype).eval()


def inputs(*, image: str = "src_images", rows: slice = slice(None)) -> dict[str, dict[str, Tensor]]:
    """What omni's transforms would collate from the published batch."""
    given = case("input")
    ids, silent = given["src_tokens"][rows], given["audio_padding_masks"][rows]
    wave = given["src_audios_i8"][rows].double() / 32
    lengths = torch.full((len(wave),), wave.shape[1])
    lengths[silent.any(1)] = 3200
    return {
        "text": {"ids_BL": ids, "valid_BL": ids != 1},
        "image": {"pixels_BCHW": given[f"{image}_i8"].double()[rows] / 32},
        "audio": {"wave_BT": wave, "valid_BT": torch.arange(wave.shape[1])[None] < lengths[:, None]},
    }


def hidden(name: str) -> Tensor:
    """A published mask, True = masked."""
    return case("input")[f"{name}_mask_indices"]
