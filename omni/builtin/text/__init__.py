"""The built-in text modality: adapter, loader, byte-level BPE and tokenizers of Hugging Face folders."""

from __future__ import annotations

from omni.plugin import ModalitySpec, PluginInfo, TransformSpec, hookimpl


@hookimpl
def omni_plugin_info() -> PluginInfo:
    """Who this is."""
    return PluginInfo(name="text", summary="Text: words as byte-level BPE tokens", maturity="beta")


@hookimpl
def omni_modalities() -> list[ModalitySpec]:
    """The text modality."""
    return [
        ModalitySpec(
            name="text",
            target="omni.builtin.text.adapter:TextAdapter",
            loader="omni.builtin.text.io:load",
            transform="bpe",
            sample="omni.builtin.text.io:sample",
            layout="1d",
            extensions=(".txt",),
            literal_strings=True,
            summary="Strings; a Path or bytes are read as UTF-8",
        )
    ]


@hookimpl
def omni_transforms() -> list[TransformSpec]:
    """The two tokenizers."""
    return [
        TransformSpec(
            name="bpe",
            target="omni.builtin.text.tokenizers:BpeTokenizer",
            modality="text",
            role="tokenizer",
            summary="Byte-level BPE, lower-cased, trained on names in 160 languages; or a tokenizer.json of your own",
        ),
        TransformSpec(
            name="hf_tokenizer",
            target="omni.builtin.text.tokenizers:HfTokenizer",
            modality="text",
            role="tokenizer",
            summary="Any tokenizer that transformers.AutoTokenizer reads from a local folder",
            requires=("transformers>=4.50",),
        ),
        TransformSpec(
            name="word_dropout",
            target="omni.builtin.text.augment:WordDropout",
            modality="text",
            role="augment",
            summary="Leaves out words at random",
        ),
        TransformSpec(
            name="span_mask",
            target="omni.builtin.text.augment:SpanMask",
            modality="text",
            role="augment",
            summary="Masks runs of whole words, or takes them out",
        ),
    ]
