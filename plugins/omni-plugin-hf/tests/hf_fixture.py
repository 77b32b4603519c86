"""Checkpoints of tiny random encoders with their preprocessors, as transformers writes them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import torch
import transformers as hf
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from omni.builtin.text.vocabulary import BPE_FILE

SMALL = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)
PICTURE = dict(image_size=32, patch_size=16)
NUM_TOKENS = 1024
WORDS = dict(vocab_size=NUM_TOKENS, pad_token_id=1, bos_token_id=0, eos_token_id=2)
CONV = dict(conv_dim=[16] * 7, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2)
CLAP_AUDIO = dict(
    patch_embeds_hidden_size=8, depths=[1, 1], num_attention_heads=[2, 2], hidden_size=16, spec_size=64, window_size=4
)

CONFIGS = {
    "vit": lambda: hf.ViTConfig(**SMALL, **PICTURE),
    "dinov2": lambda: hf.Dinov2Config(**SMALL, **PICTURE),
    "clip": lambda: hf.CLIPConfig(
        text_config=SMALL | WORDS | dict(max_position_embeddings=64), vision_config=SMALL | PICTURE, projection_dim=16
    ),
    "siglip": lambda: hf.SiglipConfig(
        text_config=SMALL | WORDS | dict(max_position_embeddings=32), vision_config=SMALL | PICTURE
    ),
    "bert": lambda: hf.BertConfig(**SMALL, **WORDS, hidden_dropout_prob=0.3),
    "xlm-roberta": lambda: hf.XLMRobertaConfig(**SMALL, **WORDS, max_position_embeddings=64),
    "ast": lambda: hf.ASTConfig(**SMALL, max_length=64, num_mel_bins=32),
    "clap": lambda: hf.ClapConfig(text_config=SMALL | WORDS, audio_config=CLAP_AUDIO, projection_dim=16),
    "whisper": lambda: hf.WhisperConfig(
        d_model=32,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_source_positions=100,
        vocab_size=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=3,
    ),
    "wav2vec2": lambda: hf.Wav2Vec2Config(**SMALL, **CONV, feat_extract_norm="group", mask_time_length=2),
    "wav2vec2-layer": lambda: hf.Wav2Vec2Config(
        **SMALL, **CONV, feat_extract_norm="layer", do_stable_layer_norm=True, mask_time_length=2
    ),
}
IMAGE_SIZES = dict(size={"height": 32, "width": 32})


@cache
def vocabulary() -> str:
    """The first tokens of omni's own vocabulary, as JSON: the whole of it would be read again for every test."""
    made = json.loads(BPE_FILE.read_text(encoding="utf-8"))
    model = made["model"]
    model["vocab"] = kept = {token: number for token, number in model["vocab"].items() if number < NUM_TOKENS}
    model["merges"] = [pair for pair in model["merges"] if "".join(pair) in kept and kept.keys() >= set(pair)]
    return json.dumps(made)


def tokenizer(places: int = 64) -> hf.PreTrainedTokenizerFast:
    marks = dict(pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>")
    base = Tokenizer.from_str(vocabulary())
    base.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return hf.PreTrainedTokenizerFast(tokenizer_object=base, model_max_length=places, **marks)


def preprocessors(name: str) -> list:
    sounds = {
        "ast": lambda: hf.ASTFeatureExtractor(num_mel_bins=32, max_length=64),
        "clap": lambda: hf.ClapFeatureExtractor(max_length_s=1, truncation="rand_trunc", sampling_rate=16000),
        "whisper": lambda: hf.WhisperFeatureExtractor(chunk_length=2),
    }
    if name in sounds:
        return [sounds[name](), tokenizer()] if name == "clap" else [sounds[name]()]
    if name.startswith("wav2vec2"):
        return [hf.Wav2Vec2FeatureExtractor(return_attention_mask=name.endswith("layer"))]
    if name in ("bert", "xlm-roberta"):
        return [tokenizer(60)]
    if name == "clip":
        images = hf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
        return [images, tokenizer()]
    return [hf.ViTImageProcessor(**IMAGE_SIZES), *([tokenizer(32)] if name == "siglip" else [])]


def checkpoint(folder: Path, name: str, *, seed: int = 0) -> str:
    """Write a checkpoint with weights that are not near their start; its folder."""
    place = folder / name
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = hf.AutoModel.from_config(CONFIGS[name]())
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        model.save_pretrained(place)
    for item in preprocessors(name):
        item.save_pretrained(place)
    return str(place)
