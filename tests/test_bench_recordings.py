"""The benchmark of digit3: its settings are settings of the configs, and its verdicts can fail."""

from __future__ import annotations

import pytest

from omni.config import load
from omni.config_schema import check_config

pytest.importorskip("omni_plugin_m3mini")
from tools.bench import recordings  # noqa: E402


@pytest.mark.parametrize("name", recordings.OBJECTIVES)
def test_the_settings_are_settings_of_the_configs(name):
    for stage, steps in recordings.STEPS.items():
        changes = recordings.settings(stage, "towers/model", name) if stage == "triples" else recordings.settings(stage)
        config = load(recordings.CONFIGS.format(stage), overrides=changes)
        check_config(config)
        assert config["train_cfg"]["max_iters"] == steps
    assert [item["type"] for item in config["objectives"]] == [name] and config["load_from"] == "towers/model"


def numbers(r1):
    return {"r1": r1, "controls": {"mfcc": {"r1": 0.1}, "text": {"r1": 0.1}}}


def test_the_verdicts():
    def reached(name, *values):
        return recordings.digit_row(name, [numbers(value) for value in values])["reached"]

    assert reached("symile", 0.98, 0.95) and not reached("symile", 0.98, 0.6)
    assert reached("pair_sum", 0.11, 0.09) and not reached("pair_sum", 0.2, 0.2)
    row = recordings.digit_row("joint_pair_sum", [numbers(0.12)])
    assert row["shuffled"] == {"mfcc": 0.1, "text": 0.1} and "0.120 +- 0.000" in row["name"]
