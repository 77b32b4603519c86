"""Tiny architectures for adapters that are given no encoder: they start anew and train like any other part."""

from __future__ import annotations

from typing import Any

from omni.builtin.text.vocabulary import END_ID, PAD_ID, VOCAB_SIZE

_SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
IMAGE_SIZE = 32
DEFAULT_ENCODERS: dict[str, dict[str, Any]] = {
    "vision": {"model_type": "vit", "image_size": IMAGE_SIZE, "patch_size": 8, **_SMALL},
    "text": {
        "model_type": "bert",
        "vocab_size": VOCAB_SIZE,
        "pad_token_id": PAD_ID,
        "eos_token_id": END_ID,
        "max_position_embeddings": 512,
        **_SMALL,
    },
    "audio": {
        "model_type": "wav2vec2",
        "conv_dim": [16] * 7,
        "feat_extract_norm": "layer",
        "do_stable_layer_norm": True,
        "num_conv_pos_embeddings": 8,
        "num_conv_pos_embedding_groups": 2,
        "mask_time_prob": 0.0,
        "mask_feature_prob": 0.0,
        "layerdrop": 0.0,
        **_SMALL,
    },
}
