"""omni's core against numbers of the published ONE-PEACE code: every layer, fusion, decoder, losses, gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from omni.engine.forward_pass import ForwardPass
from omni.engine.masked_pass import denoise
from omni.errors import WeightsError
from omni.objectives.denoising import denoising_loss
from omni.objectives.functional import info_nce
from omni.types import Batch
from tests.core import one_peace_case as published
from tools.convert_weights import one_peace
from tools.convert_weights.one_peace import convert

SLOTS = {"text": ("text",), "image": ("image",), "audio": ("audio",), "vl": ("text", "image"), "al": ("text", "audio")}
STUDENT_MASKS = {
    "student_text": {"text": "text"},
    "student_image": {"image": "image"},
    "student_audio": {"audio": "audio"},
    "student_vl": {"text": "vl_text", "image": "vl_image"},
    "student_al": {"text": "al_text", "audio": "al_audio"},
}


def close(ours: Tensor, theirs: Tensor, name: str, valid: Tensor | None = None) -> None:
    """Equal to 1e-5, all positions or the valid ones."""
    if valid is not None:
        ours, theirs = ours[valid], theirs[valid]
    torch.testing.assert_close(ours.double(), theirs, atol=1e-5, rtol=0, msg=lambda text: f"{name}: {text}")


@pytest.fixture(scope="module")
def model():
    return published.model()


@pytest.mark.parametrize("name", list(SLOTS))
@torch.no_grad()
def test_encoder(model, name: str) -> None:
    """Adapters, every layer, final norms and features, with padding, alone and fused."""
    given, theirs = published.inputs(), published.case(name)
    for slot in SLOTS[name]:
        sequence = model.tokenize(slot, given[slot])
        assert torch.equal(~sequence.valid_BL, theirs[f"encoder/adapter/{slot}/padding"])
        if len(SLOTS[name]) == 1:
            close(sequence.tokens_BLD, theirs[f"encoder/adapter/{slot}/tokens"], "tokens")
            close(sequence.bias[0], theirs[f"encoder/adapter/{slot}/bias_0"], "bias")
    output = model.fuse({slot: given[slot] for slot in SLOTS[name]}, return_layers=True)
    for index, state in enumerate(output.layers):
        close(state, theirs[f"encoder/layer_{index}"], f"layer {index}")
    close(output.hidden_BLD, theirs["encoder/final"], "final")
    if len(SLOTS[name]) == 1:
        close(model.project(name, output.pooled[name]), theirs["feature"], "feature")


@torch.no_grad()
def test_encoder_in_float32() -> None:
    """The same in the type that people use, relative to the largest entry."""
    small = published.model(dtype=torch.float32)
    for name, slots in SLOTS.items():
        given = published.inputs()
        output = small.fuse({slot: {k: _float(v) for k, v in given[slot].items()} for slot in slots})
        theirs = published.case(name)["encoder/final"]
        assert (output.hidden_BLD.double() - theirs).abs().max() < 1e-5 * theirs.abs().max().clamp(min=1)


@torch.no_grad()
def test_another_image_size(model) -> None:
    """96 pixels in a model made for 64: both position tables are read at the larger grid."""
    theirs = published.case("image_96")
    given = published.inputs(image="src_images_96", rows=slice(0, 1))["image"]
    bias = model.adapters["image"].bias
    close(bias.resized(bias.tables[0], height=6, width=6), theirs["rel_pos_table"], "table")
    output = model.encode_slot("image", given, return_layers=True)
    for index, state in enumerate(output.layers):
        close(state, theirs[f"encoder/layer_{index}"], f"layer {index}")
    close(model.project("image", output.pooled["image"]), theirs["feature"], "feature")
    student = _student(model, {"image": given}, {"image": published.hidden("image_96")})
    close(student["image"].student_BLD, published.case("student_image_96")["mask_head/image"], "student")


@torch.no_grad()
def test_fine_tuned_at_another_size_converts() -> None:
    """A checkpoint whose bias table was already enlarged: absolute positions follow at conversion."""
    state = dict(published.published_state())
    state["encoder_wrapper.image_adapter.rel_pos_table_list.0.weight"] = published.case("image_96")[
        "rel_pos_table"
    ].float()
    del state["encoder_wrapper.image_adapter.rp_bucket"]
    larger = published.model(state=state)
    given = published.inputs(image="src_images_96", rows=slice(0, 1))["image"]
    close(larger.encode("image", given), published.case("image_96")["feature"], "feature")


@pytest.mark.parametrize("slot", ["text", "image", "audio"])
@torch.no_grad()
def test_one_table_a_layer(slot: str) -> None:
    """Position tables of each layer, as fine-tuning makes them."""
    state = dict(published.published_state())
    prefix = "copy_rel_pos_table/"
    state |= {key.removeprefix(prefix): value for key, value in published.variants().items() if key.startswith(prefix)}
    output = published.model(state=state).encode_slot(slot, published.inputs()[slot], return_layers=True)
    theirs = published.case(f"copy_{slot}")
    for index, state in enumerate(output.layers):
        close(state, theirs[f"encoder/layer_{index}"], f"layer {index}")
    close(output.hidden_BLD, theirs["encoder/final"], "final")


@pytest.mark.parametrize("name", list(STUDENT_MASKS))
@torch.no_grad()
def test_student(model, name: str) -> None:
    """Kept tokens through the encoder, mask tokens and positions through the decoder, and back."""
    given, theirs = published.inputs(), published.case(name)
    masks = {slot: published.hidden(mask) for slot, mask in STUDENT_MASKS[name].items()}
    kept = {slot: ~mask & model.tokenize(slot, given[slot]).valid_BL for slot, mask in masks.items()}
    encoded = model.fuse({slot: given[slot] for slot in masks}, keep=kept, return_layers=True)
    valid = encoded.valid_BL
    assert torch.equal(~valid, theirs["encoder/padding"])
    for index, state in enumerate(encoded.layers):
        close(state, theirs[f"encoder/layer_{index}"], f"layer {index}", valid)
    close(encoded.hidden_BLD, theirs["encoder/final"], "final", valid)
    found = _student(model, {slot: given[slot] for slot in masks}, masks)
    for slot in masks:
        close(found[slot].student_BLD, theirs[f"mask_head/{slot}"], slot)


def test_stage_1_loss_and_gradients(model) -> None:
    """Image-text pretraining: five losses, their sum, and gradients through everything."""
    model.zero_grad()
    fp = _forward_pass(model)
    theirs = published.case("stage1")
    losses = {
        "dcl_text": _dcl(fp, {"text": "text"})["text"],
        "dcl_image": _dcl(fp, {"image": "image"})["image"],
        **{f"dcl_vl_{slot}": loss for slot, loss in _dcl(fp, STUDENT_MASKS["student_vl"]).items()},
        "itc": _contrast(fp, "image", "text"),
    }
    for name, loss in losses.items():
        close(loss, theirs[f"{name}_loss"], name)
    weights = {"dcl_text": 0.5, "dcl_image": 1.0, "dcl_vl_text": 0.5, "dcl_vl_image": 0.5, "itc": 1.0}
    total = sum(weights[name] * loss for name, loss in losses.items())
    close(total, theirs["loss"], "total")
    total.backward()
    _compare_gradients(model, "stage1", skip=("audio",))


def test_stage_2_loss_and_gradients(model) -> None:
    """Audio-text pretraining with the published freezing: both audio students learn from the fused audio."""
    model.zero_grad()
    _freeze_for_stage_2(model)
    fp = _forward_pass(model)
    theirs = published.case("stage2")
    fused = _dcl(fp, STUDENT_MASKS["student_al"])
    losses = {
        "dcl_audio": _dcl(fp, {"audio": "audio"}, teacher=("text", "audio"))["audio"],
        "dcl_al_text": fused["text"],
        "dcl_al_audio": fused["audio"],
        "atc": _contrast(fp, "audio", "text"),
    }
    for name, loss in losses.items():
        close(loss, theirs[f"{name}_loss"], name)
    weights = {"dcl_audio": 1.0, "dcl_al_text": 0.5, "dcl_al_audio": 0.5, "atc": 1.0}
    total = sum(weights[name] * loss for name, loss in losses.items())
    close(total, theirs["loss"], "total")
    total.backward()
    _compare_gradients(model, "stage2", skip=("image",))
    model.requires_grad_(True)


@torch.no_grad()
def test_published_padding_leaks_and_default_does_not(model) -> None:
    """The padding test that the default passes is one that the published behaviour fails."""
    correct = published.model(parity="default")
    padded, alone = published.inputs()["audio"], _short_audio()
    short = published.case("audio_short_alone")["feature"]
    close(correct.encode("audio", padded)[1:2], short, "default, padded")
    close(correct.encode("audio", alone), short, "default, alone")
    assert (model.encode("audio", padded)[1:2] - short).abs().max() > 1e-3
    text = {"ids_BL": published.inputs()["text"]["ids_BL"], "valid_BL": published.inputs()["text"]["valid_BL"]}
    theirs = published.case("student_text_short_alone")["mask_head/text"]
    mask = {"text": published.hidden("text")}
    close(_student(correct, {"text": text}, mask)["text"].student_BLD[2:3, :5], theirs, "default decoder, padded")
    assert (_student(model, {"text": text}, mask)["text"].student_BLD[2:3, :5] - theirs).abs().max() > 1e-2


def test_converter_names_what_does_not_fit() -> None:
    """Unused parameters are dropped by name; anything else that is too much or too little is listed."""
    state = dict(published.published_state())
    done = convert(state, decoder_heads=4)
    assert "encoder_wrapper.audio_adapter.mask_embedding" in done.dropped
    assert len(done.state) + len(done.dropped) < len(state)  # joined tensors
    with pytest.raises(WeightsError, match="encoder_wrapper.surprise"):
        convert(state | {"encoder_wrapper.surprise": torch.zeros(1)}, decoder_heads=4)
    with pytest.raises(WeightsError, match="image_adapter.type_embedding"):
        convert(state | {"encoder_wrapper.image_adapter.type_embedding": torch.zeros(1, 1, 32)}, decoder_heads=4)
    del state["text_proj.bias"]
    with pytest.raises(WeightsError, match="projections.text.map.bias"):
        convert(state, decoder_heads=4)


def test_converter_reads_old_names() -> None:
    """Names of earlier releases."""
    state = dict(published.published_state())
    renamed = {
        key.replace("rel_pos_table_list.0.", "rel_pos_table.")
        .replace(".self_attn_layer_norm.", ".layer_norms.0.")
        .replace("layers.1.final_layer_norm.", "layers.1.layer_norms.1."): value
        for key, value in state.items()
    }
    assert set(renamed) != set(state)
    old, new = convert(renamed, decoder_heads=4).state, convert(state, decoder_heads=4).state
    assert old.keys() == new.keys() and all(torch.equal(old[key], new[key]) for key in new)


def _float(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value


def _short_audio() -> dict[str, Tensor]:
    audio = published.inputs()["audio"]
    return {"wave_BT": audio["wave_BT"][1:2, :3200], "valid_BT": audio["valid_BT"][1:2, :3200]}


def _student(model, given: dict, masks: dict[str, Tensor]):
    whole = {slot: model.tokenize(slot, values) for slot, values in given.items()}
    teacher = model.core(whole)
    return denoise(model, given, masked=masks, whole=whole, teacher=teacher)


def _forward_pass(model) -> ForwardPass:
    given = published.inputs()
    present = {slot: torch.ones(3, dtype=torch.bool) for slot in given}
    return ForwardPass(model, Batch(inputs=given, present=present, ids=["a", "b", "c"]))


def _dcl(fp: ForwardPass, masks: dict[str, str], teacher: tuple[str, ...] | None = None) -> dict[str, Tensor]:
    found = fp.masked(tuple(masks), draw=lambda slot, *_: published.hidden(masks[slot]), teacher=teacher)
    return {slot: denoising_loss(tokens) for slot, tokens in found.items()}


def _contrast(fp: ForwardPass, a: str, b: str) -> Tensor:
    values = fp.embedding(a).values_BE, fp.embedding(b).values_BE
    return info_nce(*values, fp.model.logit_scale(), detach_candidates=True)


def _freeze_for_stage_2(model) -> None:
    for name, parameter in model.named_parameters():
        frozen = name.startswith(("adapters.", "core.", "projections.text"))
        parameter.requires_grad_(not frozen or name.startswith("adapters.audio") or ".audio." in name)


def _compare_gradients(model, stage: str, *, skip: tuple[str, ...]) -> None:
    """Every stored gradient, and the norm of every parameter's, in omni's names."""
    theirs = published.case(stage)
    parameters = dict(model.named_parameters())
    names = _names_of(parameters)
    checked = 0
    for key, value in theirs.items():
        if key.startswith("grad/"):
            ours = _published_part(parameters, names, key.removeprefix("grad/"))
            shape = value.shape[1:] if value.ndim else ()
            close(ours.reshape(-1, *shape)[: len(value)] if value.ndim else ours, value, key)
            checked += 1
    assert checked > 10
    for name, norm in zip(published.grad_names(stage), theirs["grad_norm"].tolist(), strict=True):
        if norm < 0 or any(word in name for word in skip):
            continue
        close(_published_part(parameters, names, name).norm(), torch.tensor(norm, dtype=torch.float64), name)


def _names_of(parameters: dict[str, Tensor]) -> dict[str, tuple[str, slice | None]]:
    """Published name -> (omni's name, rows of it)."""
    found = {}
    for name in published.published_state():
        target, _, number = one_peace.target_name(name).partition("@")
        if target not in parameters:
            continue
        size = len(published.published_state()[name]) if number else None
        found[name] = (target, slice(int(number) * size, (int(number) + 1) * size) if number else None)
    return found


def _published_part(parameters: dict[str, Tensor], names: dict, name: str) -> Tensor:
    target, rows = names[name]
    gradient = parameters[target].grad
    assert gradient is not None, f"{target} got no gradient"
    return gradient if rows is None else gradient[rows]
