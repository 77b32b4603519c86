"""Augmentations by name: what plugins declare, in which order they work, off outside training, saved, checked."""

from __future__ import annotations

import pytest
import torch
from typer.testing import CliRunner

from omni import config as configs
from omni.builtin.text.augment import SpanMask, WordDropout
from omni.builtin.text.tokenizers import BpeTokenizer
from omni.cli.plugins import app, provided
from omni.data.augment import augmentations_for
from omni.data.processor import Processor
from omni.errors import ConfigError, UnknownComponentError
from omni.plugin.catalog import get_catalog

TEXT = "the quick brown fox jumps over the lazy dog and runs away"


def seeded(call, seed=0):
    torch.manual_seed(seed)
    return call()


def text_processor(*augmentations):
    return Processor({"caption": {"modality": "text", "type": "bpe", "augmentations": list(augmentations)}})


@pytest.mark.parametrize(
    ("modality", "names"),
    [
        ("text", {"word_dropout", "span_mask"}),
        ("image", {"image_flip", "image_erase", "image_noise", "image_color"}),
        ("video", {"video_flip", "video_erase", "video_color"}),
        ("audio", {"audio_speed", "audio_eq", "audio_noise", "audio_shift", "audio_mask"}),
        ("ecg", {"ecg_scale", "ecg_noise", "ecg_wander", "ecg_lead_dropout", "ecg_time_mask"}),
        ("xray", {"xray_rotate", "xray_exposure", "xray_noise", "xray_erase"}),
        ("tabular", {"tabular_mask"}),
    ],
)
def test_plugins_declare_theirs_and_are_listed_with_them(modality, names):
    assert names <= set(augmentations_for(modality))
    if modality == "xray":
        assert not any("flip" in name or "mirror" in name for name in augmentations_for(modality))
    (status,) = [item for item in get_catalog().plugins if item.name == modality]
    listed = provided(status)
    assert names <= set(listed["augmentation"]) and names.isdisjoint(listed.get("transform", ()))


def test_in_training_only_and_by_the_seed():
    processor = text_processor({"type": "word_dropout", "share": 0.5}, {"type": "span_mask", "share": 0.3})
    plain = text_processor().process_value("caption", TEXT)
    calm = processor.process_value("caption", TEXT)
    assert all(torch.equal(calm[key], plain[key]) for key in plain)
    drawn = [seeded(lambda: processor.process_value("caption", TEXT, training=True), seed) for seed in (0, 0, 1)]
    assert torch.equal(drawn[0]["ids_L"], drawn[1]["ids_L"])
    assert not torch.equal(drawn[0]["ids_L"], drawn[2]["ids_L"]) and len(drawn[0]["ids_L"]) < len(plain["ids_L"])
    assert text_processor().deterministic("caption") and not processor.deterministic("caption")


def test_they_are_saved_with_the_model_and_need_no_plugin_to_use_it():
    processor = text_processor({"type": "word_dropout", "share": 0.5})
    config = processor.to_config()
    assert config["caption"]["augmentations"] == [{"type": "word_dropout", "share": 0.5}]
    config["caption"]["augmentations"][0]["type"] = "of_a_plugin_that_is_gone"
    again = Processor.from_config(config)
    assert again.process_value("caption", TEXT)["ids_L"].numel()
    assert again.select(["caption"]).augmentations == again.augmentations
    with pytest.raises(UnknownComponentError, match="of_a_plugin_that_is_gone"):
        again.process_value("caption", TEXT, training=True)


def test_training_sees_another_sample_each_epoch(toys_of_text):
    """Tables, which read every sample once, are not used where there is an augmentation."""
    from omni.engine.building import LoaderBuilder
    from omni.engine.stages import split_stages

    config, samples = toys_of_text
    seen = {}
    for augmented in (False, True):
        processor = text_processor(*([{"type": "word_dropout", "share": 0.5}] if augmented else []))
        (stage,) = split_stages({**config, "train_dataloader": {"dataset": samples, "batch_size": 4}})
        loader = LoaderBuilder(stage, None, processor, seed=0, quiet=True).train()
        batches = iter(loader)
        seen[augmented] = [next(batches).inputs["caption"]["ids_BL"].shape[1] for _ in range(6)]
    assert len(set(seen[False])) == 1 and len(set(seen[True])) > 1


@pytest.fixture
def toys_of_text():
    from omni.types import Sample

    samples = [Sample(id=str(index), values={"caption": TEXT}) for index in range(4)]
    return {"objectives": [{"type": "info_nce", "slots": ["a", "b"]}], "train_cfg": {"max_iters": 2}}, samples


@pytest.mark.parametrize(
    ("augmentation", "match"),
    [
        ({"type": "word_dropuot"}, "Did you mean 'word_dropout'"),
        ({"type": "bpe"}, "'bpe' is no augmentation of text. There are .*word_dropout"),
        ({"type": "image_flip"}, "'image_flip' is no augmentation of text"),
        ({"type": "word_dropout", "shar": 0.1}, "'shar'.*Did you mean 'share'"),
        ({"type": "word_dropout", "share": 2}, "word_dropout: share is 2"),
        ({"share": 0.1}, "must be a dictionary with a type"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_training(augmentation, match):
    config = configs.load("omni:configs/examples/three_slots.py", check=False)
    config["processor"]["text"]["augmentations"] = [augmentation]
    with pytest.raises((ConfigError, UnknownComponentError), match=match):
        configs.load(config)
    with pytest.raises(ConfigError, match="'word_dropout' is an augmentation, no transform"):
        Processor({"text": {"type": "word_dropout"}})


def test_words_are_dropped_at_their_share():
    words = " ".join(str(number) for number in range(100))
    torch.manual_seed(0)
    counts = [len(WordDropout(share=0.3).raw(words).split()) for _ in range(200)]
    assert abs(sum(counts) / 200 - 70) < 1.5
    kept = WordDropout(share=1.0).raw(words)
    assert kept in words.split() and WordDropout(share=1.0).raw("one") == "one"
    assert WordDropout(share=0.0).raw("two  spaces") == "two  spaces"


def test_spans_of_whole_words_are_masked():
    item = BpeTokenizer()(" ".join(["extraordinarily"] * 20))
    masked = seeded(lambda: SpanMask(share=0.5, length=5, mask_id=4).tensors(item))
    hidden = masked["ids_L"] == 4
    groups = set(item["groups_L"][hidden].tolist())
    assert len(groups) == 10 and not (hidden & (item["groups_L"] < 0)).any()
    assert all(hidden[item["groups_L"] == group].all() for group in groups)
    short = seeded(lambda: SpanMask(share=0.5, length=5).tensors(item))
    assert torch.equal(short["ids_L"], item["ids_L"][~hidden])
    torch.manual_seed(0)
    shares = [len(SpanMask(share=0.13).tensors(item)["groups_L"].unique()) - 1 for _ in range(300)]
    assert abs(sum(shares) / 300 - 20 * 0.87) < 0.15
    single = BpeTokenizer()("word")
    assert torch.equal(SpanMask(share=1.0).tensors(single)["ids_L"], single["ids_L"])


def test_a_plugin_is_shown_with_what_it_provides():
    shown = CliRunner().invoke(app, ["show", "ecg"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    rows = [("modality", "ecg"), ("augmentation", "ecg_time_mask"), ("transform", "ecg_basic"), ("dataset", "ptb_xl")]
    for words in rows:
        assert any(all(word in line for word in words) for line in shown.output.splitlines()), words
    assert isinstance(CliRunner().invoke(app, ["show", "egc"]).exception, UnknownComponentError)
