"""Reads a model.bin of CTranslate2, and puts Whisper's encoder from it into transformers' own."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import torch
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


def read_variables(path: Path) -> dict[str, np.ndarray]:
    """Name -> array, of the binary format in version 6 (CTranslate2's model_spec.py writes it)."""
    data, at = path.read_bytes(), 0

    def number(kind: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(kind, data, at)
        at += struct.calcsize(kind)
        return value

    def text() -> str:
        nonlocal at
        length = number("<H")
        at += length
        return data[at - length : at - 1].decode()

    assert number("<I") == 6 and text() == "WhisperSpec" and number("<I") == 3
    found = {}
    for _ in range(number("<I")):
        name = text()
        shape = [number("<I") for _ in range(number("<B"))]
        kind, size = DTYPES[number("<B")], number("<I")
        found[name] = np.frombuffer(data, kind, size // np.dtype(kind).itemsize, at).reshape(shape)
        at += size
    return found


def reference_encoder(path: Path, *, frames: int = 3000) -> WhisperEncoder:
    """transformers' encoder of Whisper-tiny.en with the file's weights, for windows of so many frames of 10 ms."""
    found = {name: torch.from_numpy(value.astype(np.float32)) for name, value in read_variables(path).items()}
    config = WhisperConfig(
        d_model=384, encoder_layers=4, encoder_attention_heads=6, encoder_ffn_dim=1536, num_mel_bins=80,
        max_source_positions=frames // 2,
    )  # fmt: skip
    state = {"embed_positions.weight": found["encoder/position_encodings/encodings"][: frames // 2]}
    for name in ("conv1", "conv2"):
        state |= {f"{name}.{kind}": found[f"encoder/{name}/{kind}"] for kind in ("weight", "bias")}
    state |= _norm(found, "encoder/layer_norm", "layer_norm")
    for layer in range(4):
        theirs, ours = f"encoder/layer_{layer}", f"layers.{layer}"
        state |= _norm(found, f"{theirs}/self_attention/layer_norm", f"{ours}.self_attn_layer_norm")
        state |= _norm(found, f"{theirs}/ffn/layer_norm", f"{ours}.final_layer_norm")
        fused = {kind: found[f"{theirs}/self_attention/linear_0/{kind}"].chunk(3) for kind in ("weight", "bias")}
        for place, part in enumerate(("q_proj", "k_proj", "v_proj")):
            state[f"{ours}.self_attn.{part}.weight"] = fused["weight"][place]
            if part != "k_proj":
                state[f"{ours}.self_attn.{part}.bias"] = fused["bias"][place]
        assert not fused["bias"][1].any()  # Whisper's keys have no bias
        for kind in ("weight", "bias"):
            state[f"{ours}.self_attn.out_proj.{kind}"] = found[f"{theirs}/self_attention/linear_1/{kind}"]
            state[f"{ours}.fc1.{kind}"] = found[f"{theirs}/ffn/linear_0/{kind}"]
            state[f"{ours}.fc2.{kind}"] = found[f"{theirs}/ffn/linear_1/{kind}"]
    encoder = WhisperEncoder(config).eval()
    encoder.load_state_dict(state)
    return encoder


def _norm(found: dict[str, torch.Tensor], theirs: str, ours: str) -> dict[str, torch.Tensor]:
    return {f"{ours}.weight": found[f"{theirs}/gamma"], f"{ours}.bias": found[f"{theirs}/beta"]}
