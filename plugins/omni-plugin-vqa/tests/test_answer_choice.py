"""The head of a closed list, and a model that answers from Python and from the shell."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import omni
from omni.core.model import ModelConfig, OmniModel
from omni.data.processor import Processor
from omni.errors import ConfigError, InputError, OmniError
from omni.inference import OmniPredictor
from omni.types import CoreOutput
from omni_plugin_vqa.choice import AnswerChoice

ANSWERS = ["yes", "no", "red"]


def output(batch=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(batch, 5, 16, generator=generator)
    valid = torch.ones(batch, 5, dtype=torch.bool)
    return CoreOutput(hidden_BLD=hidden, valid_BL=valid, spans={"a": slice(0, 5)}, pooled={"a": hidden[:, 0]})


def head(**settings):
    torch.manual_seed(0)
    return AnswerChoice(width=16, answers=ANSWERS, **settings).eval()


def test_a_fresh_head_always_answers():
    made = head()
    logits = made(output()).values["logits_BK"].detach()
    found = made.predict(output())
    assert [item.value for item in found] == [ANSWERS[i] for i in logits.argmax(1).tolist()]
    for item, row in zip(found, logits.softmax(1), strict=True):
        assert item.score == pytest.approx(float(row.max())) and sum(item.details["scores"].values()) == pytest.approx(
            1
        )


def test_below_the_threshold_it_says_so_and_still_tells_the_likeliest():
    made = head()
    made.threshold.fill_(1.1)
    assert all(item.value is None and item.details["answer"] in ANSWERS for item in made.predict(output()))
    assert all(item.value in ANSWERS for item in made.predict(output(), abstain=False))


def test_calibration_is_saved_and_keeps_the_wanted_accuracy():
    made = head()
    generator = torch.Generator().manual_seed(1)
    logits = 4 * torch.randn(500, 3, generator=generator)
    labels = torch.distributions.Categorical(logits=logits / 3).sample()
    found = made.calibrate(logits, labels, accuracy=0.9)
    chances = (logits / made.temperature).softmax(1).max(1)
    kept = chances.values >= made.threshold
    assert 0 < found.coverage < 1 and (chances.indices == labels)[kept].float().mean() >= 0.9
    other = head()
    other.load_state_dict(made.state_dict())
    assert other.threshold == made.threshold and other.temperature == made.temperature != 1
    made.calibrate(logits, labels)
    assert made.threshold == 0


def test_choices_share_the_chance():
    made = head()
    found = made.predict(output(), choices=["red", "yes"])
    assert all(set(item.details["scores"]) == {"red", "yes"} for item in found)
    assert all(sum(item.details["scores"].values()) == pytest.approx(1, abs=1e-6) for item in found)
    with pytest.raises(InputError, match="blue"):
        made.predict(output(), choices=["blue"])
    with pytest.raises(InputError, match="num_beams"):
        made.predict(output(), num_beams=3)


def test_answers_must_be_a_list():
    with pytest.raises(ConfigError, match="list of texts"):
        AnswerChoice(width=16, answers="yes")


@pytest.fixture(scope="module")
def predictor():
    config = ModelConfig(
        width=16, num_layers=1, num_heads=2, ffn_width=16, embedding_width=8,
        slots={"image": "image", "asked": "text"},
        adapters={"image": {"stem": "hmlp", "image_size": 32}},
        heads={"vqa": {"type": "answer_choice", "answers": ANSWERS, "question": "asked"}},
    )  # fmt: skip
    torch.manual_seed(0)
    processor = Processor({"image": {"modality": "image", "size": 32}, "asked": {"modality": "text", "type": "bpe"}})
    return OmniPredictor(OmniModel(config), processor)


def test_a_model_answers(predictor):
    pictures = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    found = predictor.answer("is it red?", image=pictures)
    assert len(found) == 2 and found[0].score != found[1].score
    other = predictor.answer(["is it red?", "what is it?"], image=pictures)
    assert other[0].score == pytest.approx(found[0].score, abs=1e-6) and other[1].score != found[1].score
    assert predictor.answer("is it red?")[0].value in ANSWERS
    with pytest.raises(InputError, match="second time"):
        predictor.answer("is it red?", asked="what?", image=pictures[0])
    with pytest.raises(InputError, match="differ in length"):
        predictor.answer(["a", "b", "c"], image=pictures)
    with pytest.raises(OmniError, match="no head for captioning.*vqa"):
        predictor.caption(image=pictures)
    with pytest.raises(OmniError, match="no head 'vpa'"):
        predictor.answer("a?", image=pictures, head="vpa")


def test_the_command_answers(predictor, tmp_path):
    from omni.cli.tasks import answer_app

    folder = predictor.save(tmp_path / "model")
    Image.new("RGB", (32, 32), "red").save(tmp_path / "red.png")
    asked = [str(folder), "is it red?", "--image", str(tmp_path / "red.png")]
    done = CliRunner().invoke(answer_app, [*asked, "--json", "--choice", "yes", "--choice", "no"])
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)
    expected = omni.load(folder).answer("is it red?", image=str(tmp_path / "red.png"), choices=["yes", "no"])
    assert row["value"] == expected[0].value and row["score"] == pytest.approx(expected[0].score)
    table = CliRunner().invoke(answer_app, asked)
    assert table.exit_code == 0 and row["inputs"]["image"][-7:] in table.stdout.replace("\n", "")
