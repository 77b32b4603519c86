"""What trains and what does not; LoRA; projectors; features that are remembered."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from hf_fixture import checkpoint

from omni.core.model import ModelConfig, OmniModel
from omni.data.processor import Processor
from omni.engine.feature_cache import build_feature_table
from omni.engine.freeze import apply_freeze
from omni.errors import ConfigError, InputError, WeightsError
from omni.types import Sample

TEXTS = ["a red bird", "two green parrots in a tree", "snow"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("bert"), "bert")


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("vit"), "vit")


def build(folder: str, *, seed: int = 0, modality: str = "hf_text", **adapter) -> OmniModel:
    config = ModelConfig(
        width=16,
        num_layers=1,
        num_heads=2,
        ffn_width=32,
        embedding_width=8,
        slots={"slot": modality},
        adapters={modality: {"encoder": {"path": folder}, **adapter}},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return OmniModel(config)


def texts(folder: str) -> tuple[Processor, dict[str, torch.Tensor]]:
    processor = Processor({"slot": {"modality": "hf_text", "path": folder}})
    return processor, processor.collate_slot("slot", [processor.process_value("slot", text) for text in TEXTS])


def train(model: OmniModel, inputs: dict[str, torch.Tensor], steps: int = 3) -> None:
    """As the engine does: every parameter that the freeze list leaves, with weight decay."""
    apply_freeze(model, [])
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    model.train()
    for step in range(steps):
        torch.manual_seed(step)
        optimizer.zero_grad()
        (model.encode("slot", inputs) - 1).pow(2).sum().backward()
        optimizer.step()


def changed(model: OmniModel, before: dict[str, torch.Tensor]) -> set[str]:
    prefix = "adapters.hf_text.encoder."
    after = model.state_dict()
    return {
        name.removeprefix(prefix)
        for name in before
        if name.startswith(prefix) and not torch.equal(before[name], after[name])
    }


def test_frozen_is_frozen_and_has_no_dropout(bert):
    model = build(bert)
    _, inputs = texts(bert)
    adapter = model.adapters["hf_text"]
    before = copy.deepcopy(model.state_dict())
    adapter.eval()
    still = adapter._fresh(inputs)[0]
    train(model, inputs)
    assert not changed(model, before)
    assert model.training and adapter.training and not any(m.training for m in adapter.encoder.modules())
    assert torch.equal(adapter._fresh(inputs)[0], still) and not still.requires_grad
    assert any(not torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_last_layers_train(bert):
    model = build(bert, train=1)
    _, inputs = texts(bert)
    before = copy.deepcopy(model.state_dict())
    train(model, inputs)
    names = changed(model, before)
    assert names and all(name.startswith("encoder.layer.1.") for name in names)
    encoder = model.adapters["hf_text"].encoder
    assert encoder.encoder.layer[1].attention.self.dropout.training
    assert not encoder.embeddings.dropout.training and not encoder.encoder.layer[0].attention.self.dropout.training


def test_all_of_it_trains(bert):
    model = build(bert, train="all")
    _, inputs = texts(bert)
    before = copy.deepcopy(model.state_dict())
    train(model, inputs)
    floating = {name for name, _ in model.adapters["hf_text"].encoder.named_parameters()}
    assert changed(model, before) == floating and "embeddings.word_embeddings.weight" in floating


def test_lora_trains_only_its_matrices_and_is_saved(bert):
    plain, model = build(bert).eval(), build(bert, lora={"r": 2, "targets": ["query", "value"]}).eval()
    _, inputs = texts(bert)
    with torch.no_grad():
        first, second = (each.adapters["hf_text"]._fresh(inputs)[0] for each in (plain, model))
    assert torch.equal(first, second)  # the matrices start without effect
    before = copy.deepcopy(model.state_dict())
    train(model, inputs)
    names = changed(model, before)
    matrices = {f"lora_{side}" for side in "AB"}
    assert len(names) == 2 * 2 * 2 and all(matrices & set(name.split(".")) for name in names)
    assert all("query" in name or "value" in name for name in names)
    again = OmniModel(ModelConfig.from_dict(json.loads(json.dumps(model.config.to_dict())))).eval()
    again.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(again.encode("slot", inputs), model.eval().encode("slot", inputs))


@pytest.mark.parametrize("kind", ["linear", "mlp", "token"])
@pytest.mark.parametrize("summary", ["mean", "class", "pooler"])
def test_every_parameter_of_a_projector_is_used(bert, kind, summary):
    model = build(bert, summary=summary, tokens="summary", projector={"type": kind, "hidden": 8}).train()
    _, inputs = texts(bert)
    sequence = model.tokenize("slot", inputs)
    assert sequence.tokens_BLD.shape == (3, 1, 16)
    (sequence.tokens_BLD * torch.randn(3, 1, 16)).sum().backward()
    idle = [name for name, p in model.adapters["hf_text"].named_parameters() if p.grad is None or not p.grad.any()]
    assert not idle


def test_the_token_projector_is_the_published_one(vit):
    """Mean of every patch's map plus the class token's own map; a map is a linear one plus an MLP of the norm."""
    model = build(vit, modality="hf_vision", projector="token", tokens="summary").eval()
    adapter = model.adapters["hf_vision"]
    pixels = torch.randn(2, 3, 32, 32)
    states = adapter.encoder(pixel_values=pixels).last_hidden_state

    def head(part, value):
        value = torch.nn.functional.layer_norm(value, (32,), part.norm.weight, part.norm.bias)
        return part.linear(value) + part.mlp[2](torch.nn.functional.gelu(part.mlp[0](value)))

    wanted = head(adapter.projector.tokens, states[:, 1:]).mean(1) + head(adapter.projector.summary, states[:, 0])
    found = model.tokenize("slot", {"pixels_BCHW": pixels}).tokens_BLD[:, 0]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tokens", ["all", "summary"])
def test_remembered_features_are_the_same_and_come_from_memory(bert, tokens):
    plain, model = build(bert, tokens=tokens).eval(), build(bert, tokens=tokens, remember_mb=1).eval()
    processor, inputs = texts(bert)
    adapter, calls = model.adapters["hf_text"], []
    adapter.encoder.register_forward_hook(lambda *rest: calls.append(1))
    with torch.no_grad():
        wanted = plain.encode("slot", inputs)
        torch.testing.assert_close(model.encode("slot", inputs), wanted, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(model.encode("slot", inputs), wanted, atol=1e-6, rtol=1e-5)
        assert len(calls) == 1 and len(adapter._memory) == 3
        mixed = processor.collate_slot("slot", [processor.process_value("slot", t) for t in ("new words", TEXTS[1])])
        torch.testing.assert_close(model.encode("slot", mixed), plain.encode("slot", mixed), atol=1e-5, rtol=1e-5)
        assert len(calls) == 2
        adapter.encoder.embeddings.word_embeddings.weight.mul_(2)
        plain.adapters["hf_text"].encoder.embeddings.word_embeddings.weight.mul_(2)
        torch.testing.assert_close(model.encode("slot", inputs), plain.encode("slot", inputs), atol=1e-6, rtol=1e-5)
        assert len(calls) == 3
    with pytest.raises(ConfigError, match="trains cannot be kept"):
        build(bert, train=1, remember_mb=1)


def test_the_engines_feature_table_takes_a_frozen_tower(bert, tmp_path):
    model = build(bert)
    processor, inputs = texts(bert)
    samples = [Sample(id=text, values={"slot": text}) for text in TEXTS]
    with pytest.raises(ConfigError, match="adapters.hf_text.projector"):
        build_feature_table(model, samples, processor, "slot", quiet=True)
    apply_freeze(model, ["*"])
    table = build_feature_table(model, samples, processor, "slot", quiet=True, folder=tmp_path)
    with torch.no_grad():
        wanted = model.eval().encode_slot("slot", inputs).pooled["slot"]
    torch.testing.assert_close(table.pooled_KD, wanted, atol=1e-5, rtol=1e-5)
    assert model.config.adapters["hf_text"]["encoder"]["sha256"]  # other weights are another table


def test_an_adapter_of_this_plugin_serves_slots_of_others(vit):
    config = ModelConfig(
        width=16,
        num_layers=1,
        num_heads=2,
        ffn_width=32,
        embedding_width=8,
        slots={"photo": "image"},
        adapters={"image": {"type": "hf_vision", "encoder": {"path": vit}}},
    )
    from omni_plugin_image.io import sample

    processor = Processor({"photo": {"modality": "image", "type": "hf_image", "path": vit}})
    inputs = processor.collate_slot("photo", [processor.process_value("photo", sample())])
    assert OmniModel(config).encode("photo", inputs).shape == (1, 8)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"train": 3}, "1 to 2"),
        ({"train": "some"}, "'none', 'all'"),
        ({"train": 1, "lora": {"r": 2}}, "else frozen"),
        ({"lora": {"rank": 2}}, "no setting 'rank'"),
        ({"lora": {"targets": ["querry"]}}, "querry"),
        ({"summary": "last"}, "not known"),
        ({"tokens": "none"}, "not known"),
        ({"projector": {"type": "conv"}}, "not known"),
        ({"projector": {"width": 3}}, "no setting 'width'"),
        ({"encoder": {"path": "no/such-folder"}}, "nothing is fetched"),
        ({"encoder": {"folder": "x"}}, "no setting 'folder'"),
        ({"encoder": {}}, "neither path nor config"),
        ({"encoder": "no/such-folder"}, "is a dictionary"),
        ({"encoder": {"config": {"model_type": "bert"}}, "train": "none"}, "without a checkpoint"),
    ],
)
def test_what_cannot_be_meant_is_refused(bert, settings, reason):
    with pytest.raises(ConfigError, match=reason):
        build(bert, **settings)


def test_another_kind_and_idle_summaries_are_refused(bert, tmp_path):
    with pytest.raises(ConfigError, match="hf_text"):
        build(bert, modality="hf_vision", summary="mean")
    siglip = checkpoint(tmp_path, "siglip")
    with pytest.raises(ConfigError, match="no class token"):
        build(siglip, modality="hf_vision", summary="class")
    model = build(siglip, modality="hf_text")
    with pytest.raises(InputError, match="pad_to=32"):
        model.encode("slot", {"ids_BL": torch.ones(1, 4).long(), "valid_BL": torch.ones(1, 4).bool()})


def test_weights_that_were_never_read_are_not_used(bert, tmp_path):
    import shutil

    folder = shutil.copytree(bert, tmp_path / "bert")
    model = build(str(folder))
    _, inputs = texts(bert)
    shutil.rmtree(folder)
    again = OmniModel(ModelConfig.from_dict(model.config.to_dict()))
    with pytest.raises(WeightsError, match="never read"):
        again.encode("slot", inputs)
    again.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(again.eval().encode("slot", inputs), model.eval().encode("slot", inputs))


def test_pickled_and_incomplete_weights_are_refused(bert, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(bert, tmp_path / "bert")
    state = load_file(folder / "model.safetensors")
    name = next(name for name in state if "layer.0" in name)
    save_file({key: value for key, value in state.items() if key != name}, folder / "model.safetensors")
    with pytest.raises(WeightsError, match="do not fit"):
        build(str(folder))
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"holds no model.safetensors"):
        build(str(folder))
