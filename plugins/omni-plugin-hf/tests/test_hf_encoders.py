"""Each family: tokens and summary are transformers' own, padding changes nothing, a saved model is whole."""

from __future__ import annotations

import pytest
import torch
import transformers as hf
from hf_fixture import checkpoint

from omni.builtin.text.io import sample as text_sample
from omni.core.model import ModelConfig, OmniModel
from omni.data.processor import Processor
from omni.model_folder import load_model_folder, save_model_folder
from omni_plugin_audio.io import sample as audio_sample
from omni_plugin_image.io import sample as image_sample

SAMPLES = {"vision": image_sample, "text": text_sample, "audio": audio_sample}
FAMILIES = [
    ("vit", "vision", "class"),
    ("dinov2", "vision", "class"),
    ("clip", "vision", "pooler"),
    ("siglip", "vision", "pooler"),
    ("bert", "text", "mean"),
    ("xlm-roberta", "text", "mean"),
    ("clip", "text", "pooler"),
    ("siglip", "text", "pooler"),
    ("clap", "text", "pooler"),
    ("ast", "audio", "class"),
    ("clap", "audio", "pooler"),
    ("whisper", "audio", "mean"),
    ("wav2vec2", "audio", "mean"),
    ("wav2vec2-layer", "audio", "mean"),
]
NAMES = [f"{name}-{kind}" for name, kind, _ in FAMILIES]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place, made = tmp_path_factory.mktemp("checkpoints"), {}
    return lambda name: made.setdefault(name, None) or made.update({name: checkpoint(place, name)}) or made[name]


def build(folder: str, kind: str, **adapter) -> tuple[OmniModel, Processor]:
    modality = f"hf_{kind}"
    config = ModelConfig(
        width=16,
        num_layers=1,
        num_heads=2,
        ffn_width=32,
        embedding_width=8,
        slots={"slot": modality},
        adapters={modality: {"encoder": {"path": folder}, **adapter}},
    )
    more = {"pad_to": 32} if kind == "text" and folder.endswith("siglip") else {}
    return OmniModel(config).eval(), Processor({"slot": {"modality": modality, "path": folder, **more}})


def items(processor: Processor, kind: str) -> list[dict[str, torch.Tensor]]:
    words = ("typical", "other", "minimum") if kind != "audio" else ("typical", "other")
    return [processor.process_value("slot", SAMPLES[kind](word)) for word in words]


def reference(folder: str, kind: str, item: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What transformers gives for one item alone: last_hidden_state (L, C) and pooler_output."""
    model = hf.AutoModel.from_pretrained(folder).eval()
    if hasattr(model, f"{kind}_model"):
        model = getattr(model, f"{kind}_model")
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    value = next(item[key] for key in ("pixels_CHW", "ids_L", "wave_T", "spectrum") if key in item)
    with torch.no_grad():
        output = model(**{model.main_input_name: value[None]})
    states = output.last_hidden_state
    states = states[0] if states.dim() == 3 else states[0].flatten(1).T
    pooled = getattr(output, "pooler_output", None)
    return states, None if pooled is None else pooled.flatten()


@pytest.mark.parametrize(("name", "kind", "summary"), FAMILIES, ids=NAMES)
def test_outputs_are_those_of_transformers(folders, name, kind, summary):
    folder = folders(name)
    model, processor = build(folder, kind)
    adapter = model.adapters[f"hf_{kind}"]
    assert adapter.summary == summary and not list(adapter.encoder.parameters())
    found = items(processor, kind)
    with torch.no_grad():
        summary_BC, tokens_BLC, valid_BL = adapter._fresh(processor.collate_slot("slot", found))
    for row, item in enumerate(found):
        states, pooled = reference(folder, kind, item)
        if "valid_F" in item:
            states = states[: -(-int(item["valid_F"].sum()) // 2)]
        wanted = {"class": states[0], "mean": states.mean(0), "pooler": pooled}[summary]
        torch.testing.assert_close(summary_BC[row], wanted, atol=1e-5, rtol=1e-5)
        tokens = states[1:] if summary == "class" else states
        torch.testing.assert_close(tokens_BLC[row][valid_BL[row]], tokens, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("name", "kind", "summary"), FAMILIES, ids=NAMES)
def test_padding_changes_nothing(folders, name, kind, summary):
    model, processor = build(folders(name), kind)
    found = items(processor, kind)
    with torch.no_grad():
        together = model.encode("slot", processor.collate_slot("slot", found))
        for row, item in enumerate(found):
            alone = model.encode("slot", processor.collate_slot("slot", [item]))[0]
            torch.testing.assert_close(together[row], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("name", "kind", "summary"), FAMILIES, ids=NAMES)
def test_a_saved_model_needs_the_checkpoint_no_more(folders, tmp_path, name, kind, summary):
    import shutil

    folder = shutil.copytree(folders(name), tmp_path / name)
    model, processor = build(str(folder), kind)
    inputs = processor.collate_slot("slot", items(processor, kind))
    with torch.no_grad():
        before = model.encode("slot", inputs)
    saved = save_model_folder(tmp_path / "saved", model, processor)
    shutil.rmtree(folder)
    loaded = load_model_folder(saved)
    again = loaded.processor.collate_slot("slot", items(loaded.processor, kind))
    assert inputs.keys() == again.keys() and all(torch.equal(inputs[key], again[key]) for key in inputs)
    with torch.no_grad():
        assert torch.equal(loaded.model.encode("slot", again), before)
    assert {path.suffix for path in saved.rglob("*") if path.is_file()} <= {".json", ".safetensors", ".md", ".jinja"}
