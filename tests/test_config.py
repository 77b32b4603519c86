"""Configs: reading, overrides, unknown keys."""

from __future__ import annotations

import copy

import pytest

from omni import config as configs
from omni.errors import ConfigError, OmniError

BASE = {
    "model": {
        "width": 16, "num_layers": 1, "num_heads": 2, "ffn_width": 24, "embedding_width": 8,
        "slots": {"stripe": "stripe", "word": "word"}, "adapters": {"stripe": {"size": 4}},
    },
    "processor": {"stripe": {"size": 4}, "word": {}},
    "objectives": [{"type": "info_nce", "slots": ["stripe", "word"], "weight": 1.0}],
    "train_dataloader": {"dataset": {"type": "toy_pairs"}, "batch_size": 4},
    "optim_wrapper": {"optimizer": {"type": "AdamW", "lr": 1e-3}},
    "train_cfg": {"max_iters": 10},
}  # fmt: skip


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_bases_merge_and_can_be_replaced(tmp_path):
    write(tmp_path / "base.py", "a = dict(x=1, y=dict(z=2))\nb = [1, 2]\nc = dict(k=1)\n")
    path = write(
        tmp_path / "own.py", "_base_ = 'base.py'\n_n = 3\na = dict(y=dict(z=_n))\nc = dict(_delete_=True, m=2)\n"
    )
    assert configs.load(path, check=False) == {
        "a": {"x": 1, "y": {"z": 3}}, "b": [1, 2], "c": {"m": 2}, "name": "own",
    }  # fmt: skip


def test_packaged_bases_are_found(tmp_path):
    path = write(
        tmp_path / "own.py", "_base_ = ['omni:configs/_base_/runtime.py', 'omni:configs/_base_/schedule.py']\n"
    )
    loaded = configs.load(path, check=False)
    assert loaded["seed"] == 0 and loaded["optim_wrapper"]["optimizer"]["type"] == "AdamW"
    with pytest.raises(ConfigError, match="no such file"):
        configs.load("omni:configs/nothing.py")
    with pytest.raises(ConfigError, match="no such file. Did you mean 'schedule.py'"):
        configs.load("omni:configs/_base_/schedul.py")
    with pytest.raises(ConfigError, match="no package 'no_such_package'"):
        configs.load("no_such_package:configs/nothing.py")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import os\n", "imports something"),
        ("from pathlib import Path\n", "imports something"),
        ("def f():\n    return 1\n", "defines a function"),
        ("a = ().__class__\n", "reads '__class__'"),
        ("a = open('/etc/passwd')\n", "NameError"),
        ("a = \n", "line 1"),
        ("_base_ = 'own.py'\n", "its own `_base_`"),
    ],
)
def test_a_config_only_assigns(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        configs.load(write(tmp_path / "own.py", text), check=False)


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("optim_wrapper.optimizer.lr=3e-4", ("optim_wrapper", "optimizer", "lr"), 3e-4),
        ("objectives.0.weight=2", ("objectives", 0, "weight"), 2),
        ("train_dataloader.slot_dropout.word=0.1", ("train_dataloader", "slot_dropout", "word"), 0.1),
        ("tensorboard=true", ("tensorboard",), True),
        ("ema=None", ("ema",), None),
        ("freeze=['core', \"!core.layers\"]", ("freeze",), ["core", "!core.layers"]),
        ('info={"a": [1, 2.5]}', ("info",), {"a": [1, 2.5]}),
        ("work_dir=/tmp/a=b", ("work_dir",), "/tmp/a=b"),
    ],
)
def test_overrides_are_typed(toy_plugin, text, path, value):
    loaded = configs.load(BASE, overrides=[text])
    for key in path:
        loaded = loaded[key]
    assert loaded == value and type(loaded) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed", "must look like a.b=c"),
        ("objectives.3.weight=1", "a list of 1"),
        ("train_cfg.max_iters.x=1", "has no parts"),
    ],
)
def test_bad_overrides_are_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        configs.load(BASE, overrides=[text], check=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optim_wraper.x=1", r"no key 'optim_wraper'.*Did you mean 'optim_wrapper'"),
        ("model.num_layer=1", r"no key 'num_layer'.*Did you mean 'num_layers'"),
        ("model.adapters.stripe.sise=4", r"no key 'sise'.*Did you mean 'size'"),
        ("processor.stripe.nois=0", r"no setting 'nois'.*Did you mean 'noise'"),
        ("objectives.0.labls=class", r"no setting 'labls'.*Did you mean 'labels'"),
        ("objectives.0.type=info_ncee", r"info_nce"),
        ("train_dataloader.dataset.spl=1", r"no setting 'spl'.*Did you mean 'split'"),
        ("train_dataloader.batchsize=1", r"no key 'batchsize'.*Did you mean 'batch_size'"),
        ("optim_wrapper.optimizer.weigth_decay=1", r"Did you mean 'weight_decay'"),
        ("default_hooks.checkpoint.intervall=1", r"Did you mean 'interval'"),
        ("param_scheduler.type=warmup_cosin", r"warmup_cosin"),
        ("train_cfg.max_iter=1", r"Did you mean 'max_iters'"),
        ("ema.decy=1", r"Did you mean 'decay'"),
        ("export=newest", r"export is 'newest'"),
    ],
)
def test_unknown_keys_are_refused_with_a_suggestion(toy_plugin, text, message):
    with pytest.raises(OmniError, match=message):
        configs.load(BASE, overrides=[text])


def test_stages_are_checked_like_the_rest(toy_plugin):
    config = copy.deepcopy(BASE)
    config["stages"] = [{"name": "a", "freez": ["core"]}]
    with pytest.raises(ConfigError, match=r"stages.0 has no key 'freez'.*Did you mean 'freeze'"):
        configs.load(config)


def test_a_dumped_config_loads_back(toy_plugin, tmp_path):
    loaded = configs.load(BASE)
    configs.dump(loaded, tmp_path / "config.py")
    assert configs.load(tmp_path / "config.py") == {**loaded, "name": "config"}


def test_configs_beside_a_package_are_found_in_its_checkout_only(tmp_path, monkeypatch):
    """An editable install has them beside the package, a wheel inside it."""
    (tmp_path / "beside_package").mkdir()
    (tmp_path / "beside_package/__init__.py").touch()
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/a.py").write_text("seed = 7\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match="no such file"):
        configs.load("beside_package:configs/a.py", check=False)
    (tmp_path / "pyproject.toml").touch()
    assert configs.load("beside_package:configs/a.py", check=False)["seed"] == 7
