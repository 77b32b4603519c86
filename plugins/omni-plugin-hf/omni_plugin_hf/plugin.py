"""What this plugin provides. Imports no torch: targets are strings, imported when they are first built."""

from __future__ import annotations

from omni.plugin import ModalitySpec, PluginInfo, TransformSpec, hookimpl

IMAGES = "omni_plugin_hf.transforms:HfImage"
TEXTS = "omni_plugin_hf.transforms:HfText"
SOUNDS = "omni_plugin_hf.transforms:HfSound"


@hookimpl
def omni_plugin_info() -> PluginInfo:
    return PluginInfo(name="hf", summary="Hugging Face encoders as towers: frozen, trained in part, or with LoRA")


@hookimpl
def omni_modalities() -> list[ModalitySpec]:
    """They claim no endings of files: a .png is a picture, and which encoder reads it has to be said."""
    return [
        ModalitySpec(
            name="hf_vision",
            target="omni_plugin_hf.adapters:HfVisionAdapter",
            loader="omni_plugin_image.io:load",
            transform="hf_vision_basic",
            sample="omni_plugin_image.io:sample",
            layout="1d",
            summary="Pictures through a vision encoder of transformers (ViT, DINOv2, CLIP, SigLIP ...)",
        ),
        ModalitySpec(
            name="hf_text",
            target="omni_plugin_hf.adapters:HfTextAdapter",
            loader="omni.builtin.text.io:load",
            transform="hf_text_basic",
            sample="omni.builtin.text.io:sample",
            layout="1d",
            literal_strings=True,
            summary="Text through an encoder of transformers (BERT, XLM-R, CLIP, SigLIP ...)",
        ),
        ModalitySpec(
            name="hf_audio",
            target="omni_plugin_hf.adapters:HfAudioAdapter",
            loader="omni_plugin_audio.io:load",
            transform="hf_audio_basic",
            sample="omni_plugin_audio.io:sample",
            layout="1d",
            summary="Sound through an encoder of transformers (wav2vec 2.0, Whisper, AST, CLAP ...)",
        ),
    ]


@hookimpl
def omni_transforms() -> list[TransformSpec]:
    """Each twice: for the modalities of this plugin, and for those of others whose adapter is set to one of ours."""
    kinds = (
        ("hf_vision_basic", IMAGES, "hf_vision", "transform"),
        ("hf_image", IMAGES, "image", "transform"),
        ("hf_text_basic", TEXTS, "hf_text", "tokenizer"),
        ("hf_words", TEXTS, "text", "tokenizer"),
        ("hf_audio_basic", SOUNDS, "hf_audio", "transform"),
        ("hf_sound", SOUNDS, "audio", "transform"),
    )
    return [
        TransformSpec(
            name=name,
            target=target,
            modality=modality,
            role=role,
            summary=f"The preprocessor that belongs to an encoder of transformers, for slots of {modality}",
        )
        for name, target, modality, role in kinds
    ]
