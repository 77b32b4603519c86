"""Loading, encoding and scoring with a model, on two modalities of the tests' own."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

import omni
from omni.dtypes import cast_inputs
from omni.errors import ConfigError, InputError, OmniError, UnknownComponentError, WeightsError
from omni.inference import save_model_folder

TRIPLE = ("multilinear", "left", "right", "word")


@pytest.fixture
def predictor(toy_plugin):
    from toy_models import toy_predictor

    return toy_predictor(TRIPLE)


@pytest.fixture
def stripes(tmp_path):
    paths = []
    for index in range(5):
        paths.append(tmp_path / f"{index}.npy")
        np.save(paths[-1], np.sin(np.arange(8 + 4 * index, dtype=np.float32) * (index + 1)))
    return paths


def test_encode_agrees_with_the_model_one_by_one(predictor, stripes):
    found = predictor.encode(left=stripes, word=["cat", "a longer one"], batch_size=2)
    assert found["left"].shape == (5, 16) and found["left"].dtype == torch.float32 and found["word"].shape == (2, 16)
    for row, path in enumerate(stripes):
        inputs = predictor.processor.transforms["left"].collate([predictor.processor.process_value("left", path)])
        with torch.no_grad():
            alone = predictor.model.encode("left", inputs)
        torch.testing.assert_close(found["left"][row], alone[0], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found["left"].norm(dim=1), torch.ones(5))


def test_every_kind_of_value_gives_one_embedding(predictor, stripes):
    expected = predictor.encode(left=stripes[0])["left"]
    assert expected.shape == (1, 16)
    for value in (str(stripes[0]), stripes[0].read_bytes(), np.load(stripes[0]), [stripes[0]], iter([stripes[0]])):
        torch.testing.assert_close(predictor.encode(left=value)["left"], expected)
    assert predictor.encode(word="cat")["word"].shape == (1, 16)
    assert predictor.encode(word=[])["word"].shape == (0, 16)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_order_is_kept_however_many_threads(predictor, workers):
    words = [f"{letter}{letter}" for letter in "abcdefghijk"]
    many = predictor.encode(word=words, batch_size=3, num_workers=workers)["word"]
    single = torch.cat([predictor.encode(word=word)["word"] for word in words])
    torch.testing.assert_close(many, single, atol=1e-6, rtol=1e-5)


def test_missing_values(predictor):
    with pytest.raises(InputError, match=r"Slot 'word', value 1.*allow_missing"):
        predictor.encode(word=["cat", None])
    found = predictor.encode(word=[None, "cat", None], allow_missing=True)["word"]
    assert found.isnan().all(1).tolist() == [True, False, True]
    torch.testing.assert_close(found[1:2], predictor.encode(word="cat")["word"])
    assert predictor.encode(word=[None], allow_missing=True)["word"].isnan().all()


def test_bad_inputs_name_slot_position_and_file(predictor, stripes, tmp_path):
    with pytest.raises(InputError, match=r"Value 1: Slot 'left': no file .*gone\.npy"):
        predictor.encode(left=[stripes[0], tmp_path / "gone.npy"])
    with pytest.raises(InputError, match=r"unknown slot 'picture'.*left \(stripe\), right \(stripe\), word \(word\)"):
        predictor.encode(picture=stripes)
    with pytest.raises(InputError, match="No input"):
        predictor.encode()
    with pytest.raises(ConfigError, match="batch_size=0"):
        predictor.encode(word="cat", batch_size=0)


def test_progress_reports_every_value(predictor, stripes):
    seen = []
    predictor.encode(left=stripes, word=["a", "b"], batch_size=2, progress=lambda *counts: seen.append(counts))
    assert seen[-1] == (7, 7) and [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_similarity_multilinear(predictor, stripes):
    z = predictor.encode(left=stripes[:2], right=stripes[:3], word=["cat", "dog", "a", "b"])
    expected = torch.einsum("ie,je,ke->ijk", z["left"], z["right"], z["word"])
    found = predictor.similarity(left=stripes[:2], right=stripes[:3], word=["cat", "dog", "a", "b"])
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    embedded = predictor.similarity({"left": z["left"], "right": z["right"]}, {"word": z["word"]})
    torch.testing.assert_close(embedded, expected)


def test_similarity_needs_slots_that_were_trained_together(predictor):
    with pytest.raises(OmniError, match=r"left and word do not mean anything.*left \+ right \+ word \(multilinear\)"):
        predictor.similarity(left=[np.zeros(8)], word=["cat"])
    with pytest.raises(InputError, match="bare tensor"):
        predictor.similarity(torch.zeros(1, 16), torch.zeros(1, 16))
    predictor.model.trained_groups = []
    with pytest.raises(OmniError, match="records no trained groups"):
        predictor.similarity(left=[np.zeros(8)], word=["cat"])


@pytest.mark.parametrize("score", ["multilinear", "pair_sum"])
def test_learnt_missing_embedding_stands_in(toy_plugin, stripes, score):
    from toy_models import toy_predictor

    predictor = toy_predictor((score, "left", "right", "word"), norm="layernorm", missing=["right"])
    filler = predictor.missing_embeddings()["right"]
    z = predictor.encode(left=stripes[:2], word=["cat", "dog", "a"])
    if score == "multilinear":
        expected = torch.einsum("ie,e,ke->ik", z["left"], filler, z["word"])
    else:
        expected = z["left"] @ z["word"].T + (z["left"] @ filler)[:, None] + (z["word"] @ filler)[None]
    torch.testing.assert_close(predictor.similarity(left=stripes[:2], word=["cat", "dog", "a"]), expected)


def test_cosine_and_pair_sum(toy_plugin, stripes):
    from toy_models import toy_predictor

    predictor = toy_predictor(("cosine", "left", "word"), ("pair_sum", "left", "right", "word"), norm="layernorm")
    z = predictor.encode(left=stripes[:2], right=stripes[:2], word=["cat", "dog", "a"])
    cosine = torch.nn.functional.cosine_similarity(z["left"][:, None], z["word"][None], dim=-1)
    torch.testing.assert_close(predictor.similarity(left=stripes[:2], word=["cat", "dog", "a"]), cosine)
    total = predictor.similarity({"left": z["left"]}, {"right": z["right"], "word": z["word"]})
    expected = z["left"][1] @ z["right"][0] + z["left"][1] @ z["word"][2] + z["right"][0] @ z["word"][2]
    torch.testing.assert_close(total[1, 0, 2], expected)


def test_save_and_load_give_the_same_numbers(predictor, stripes, tmp_path):
    folder = predictor.save(tmp_path / "model", info={"summary": "A toy.", "license": "Apache-2.0"})
    again = omni.load(folder, device="cpu")
    torch.testing.assert_close(again.encode(left=stripes)["left"], predictor.encode(left=stripes)["left"])
    assert again.trained_groups == predictor.trained_groups and again.info["summary"] == "A toy."
    card = (folder / "README.md").read_text()
    assert "A toy." in card and "left, right, word: multilinear" in card and "omni.load" in card
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors", "README.md", "processor"}
    assert json.loads((folder / "config.json").read_text())["plugins"][0]["name"] == "toy_modalities"
    predictor.save(folder)  # replaces it
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["model"]


def test_saving_never_overwrites_other_things(predictor, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(WeightsError, match="holds other files"):
        predictor.save(tmp_path)
    with pytest.raises(WeightsError, match="is a file"):
        predictor.save(tmp_path / "thesis.tex")
    with pytest.raises(ConfigError, match="plain JSON"):
        predictor.save(tmp_path / "model", info={"when": object()})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_loading_leaves_the_random_state_alone(predictor, tmp_path):
    folder = predictor.save(tmp_path / "model")
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    omni.load(folder)
    torch.testing.assert_close(torch.rand(3), expected)


def test_partial_load(predictor, stripes, tmp_path):
    folder = predictor.save(tmp_path / "model")
    part = omni.load(folder, slots=["word"], device="cpu")
    assert list(part.slots) == ["word"] and "stripe" not in part.model.adapters
    torch.testing.assert_close(part.encode(word="cat")["word"], predictor.encode(word="cat")["word"])
    with pytest.raises(InputError, match="unknown slot 'left'"):
        part.encode(left=stripes)


def test_partial_load_of_what_is_not_there(predictor, tmp_path):
    folder = predictor.save(tmp_path / "model")
    with pytest.raises(WeightsError, match=r"have no slot 'stripe'.*no stripe expert.*trained without"):
        omni.load(folder, slots=["stripe"])
    with pytest.raises(WeightsError, match="Did you mean 'word'"):
        omni.load(folder, slots=["wrod"])
    with pytest.raises(WeightsError, match="no part of the model"):
        omni.load(folder, slots=[])


def test_a_plugin_that_is_gone_is_explained(predictor, tmp_path):
    from omni.plugin import catalog

    folder = predictor.save(tmp_path / "model")
    catalog.reset()
    with pytest.raises(UnknownComponentError, match=r"No modality 'stripe'.*saved with registered in process"):
        omni.load(folder)


def edit_config(folder, change):
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def test_weights_that_do_not_fit(predictor, tmp_path):
    folder = predictor.save(tmp_path / "model")
    edit_config(folder, lambda config: config["model"].update(embedding_width=8))
    with pytest.raises(WeightsError, match=r"wrong shape: .*\(16, 32\) in the file and \(8, 32\) in the model"):
        omni.load(folder)

    def only_stripes(config):
        config["model"]["slots"] = {"left": "stripe"}
        config["processor"].pop("word")

    predictor.save(folder)
    edit_config(folder, only_stripes)
    with pytest.raises(WeightsError, match="unknown to the model: .*word"):
        omni.load(folder)


def test_missing_expert_is_named(toy_plugin, tmp_path):
    from safetensors.torch import load_file, save_file
    from toy_models import toy_predictor

    folder = toy_predictor(missing=["left"]).save(tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    kept = {n: t for n, t in tensors.items() if "word" not in n.split(".") and n != "missing.left"}
    save_file(kept, folder / "model.safetensors")
    with pytest.raises(WeightsError, match="weights have no word expert; .*no learnt missing .* 'left'") as caught:
        omni.load(folder)
    assert "missing: " not in str(caught.value)
    assert omni.load(folder, slots=["right"]).slots == {"right": "stripe"}


def test_damaged_folders(predictor, tmp_path):
    folder = predictor.save(tmp_path / "model")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(WeightsError, match="cannot be read as safetensors"):
        omni.load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="has no model.safetensors"):
        omni.load(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="damaged"):
        omni.load(folder)
    shutil.rmtree(folder)
    with pytest.raises(WeightsError, match="No model folder"):
        omni.load(folder)


def test_dtypes(predictor, stripes, tmp_path):
    folder = save_model_folder(tmp_path / "model", predictor.model, predictor.processor, dtype="fp16")
    reference = predictor.encode(left=stripes, word=["cat"])
    for name, dtype in (("bf16", torch.bfloat16), ("float32", torch.float32), (torch.float32, torch.float32)):
        loaded = omni.load(folder, dtype=name, device="cpu")
        assert loaded.dtype == dtype
        found = loaded.encode(left=stripes, word=["cat"])
        for slot, values in found.items():
            assert values.dtype == torch.float32
            assert torch.nn.functional.cosine_similarity(values, reference[slot]).min() > 0.99
    with pytest.raises(ConfigError, match="'fp8' is not one"):
        omni.load(folder, dtype="fp8")
    with pytest.raises(ConfigError, match="int64"):
        omni.load(folder, dtype=torch.int64)
    with pytest.raises(ConfigError, match="device 'quantum'"):
        omni.load(folder, device="quantum")


def test_token_ids_are_never_cast():
    inputs = {"ids_BL": torch.tensor([[40_001]]), "valid_BL": torch.tensor([[True]]), "x": torch.tensor([1.0])}
    cast = cast_inputs(inputs, torch.device("cpu"), torch.bfloat16)
    assert cast["ids_BL"].dtype == torch.int64 and cast["ids_BL"].item() == 40_001
    assert cast["valid_BL"].dtype == torch.bool and cast["x"].dtype == torch.bfloat16


def test_encode_joint(toy_plugin, stripes):
    from toy_models import toy_predictor

    predictor = toy_predictor(joint=True)
    whole = predictor.encode_joint(left=stripes[:3], word=["cat", "dog", "a"], batch_size=2)
    assert whole.shape == (3, 16)
    torch.testing.assert_close(whole[1], predictor.encode_joint(left=stripes[1], word="dog")[0], atol=1e-5, rtol=1e-4)
    some = predictor.encode_joint(left=[stripes[0], None], word=["cat", "dog"])
    torch.testing.assert_close(some[0], whole[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(some[1], predictor.encode_joint(word="dog")[0], atol=1e-5, rtol=1e-4)
    with pytest.raises(InputError, match="lists differ: left 1, word 2"):
        predictor.encode_joint(left=stripes[0], word=["a", "b"])
    with pytest.raises(InputError, match="none of the slots"):
        predictor.encode_joint(left=[None], word=[None])


def test_encode_joint_needs_a_fused_objective(predictor):
    with pytest.raises(OmniError, match="without a fused objective"):
        predictor.encode_joint(word="cat")


@pytest.mark.parametrize(("dtype", "atol"), [("bf16", 0.05), ("fp16", 0.01)])
def test_whole_models_run_in_half_precision(toy_plugin, stripes, tmp_path, dtype, atol):
    """With LayerScale, which float16 applies to the outputs; loaded in the type, and under autocast."""
    from toy_models import toy_predictor

    import omni

    predictor = toy_predictor(("multilinear", "left", "right", "word"))
    for layer in predictor.model.core.layers:
        for name in ("attention_scale", "ffn_scale"):
            setattr(layer, name, torch.nn.Parameter(torch.full((32,), 0.5)))
    predictor.model.config.layer_scale = 0.5
    folder = predictor.save(tmp_path / "scaled")
    expected = predictor.encode(left=stripes, word=["cat", "dog"])
    half = omni.load(folder, device="cpu", dtype=dtype)
    assert half.dtype in (torch.bfloat16, torch.float16)
    with torch.autocast("cpu", dtype=half.dtype):
        cast = predictor.encode(left=stripes, word=["cat", "dog"])
    for found in (half.encode(left=stripes, word=["cat", "dog"]), cast):
        for slot, value in expected.items():
            assert not torch.equal(found[slot], value)
            torch.testing.assert_close(found[slot].float(), value, atol=atol, rtol=0)
