"""Lazy registries: what exists is asked of the catalog, building imports one module, mmengine finds our scope."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from mmengine.config import Config, ConfigDict
from mmengine.registry import DATASETS as ROOT_DATASETS
from mmengine.registry import DefaultScope

from omni import registry
from omni.errors import ConfigError, MissingDependencyError, UnknownComponentError
from omni.plugin import DatasetSpec, ModalitySpec, ObjectiveSpec
from omni.plugin.catalog import register, reset
from omni.registry import ADAPTERS, DATASETS, HOOKS, METRICS, MODELS, OBJECTIVES, OPTIMIZERS, PARAM_SCHEDULERS
from tests.plugin.distributions import write_distribution
from tests.plugin.test_manager import make_plugin

MODULE = """
class Thing:
    def __init__(self, *, size, colour="red"):
        self.size, self.colour = size, colour
class Numbers:
    def __init__(self, count=3):
        self.count = count
    def __len__(self):
        return self.count
    def __getitem__(self, index):
        return {"number": index}
"""


@pytest.fixture
def things(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An objective "thing", a data set "numbers", and a modality whose module is broken."""
    (tmp_path / "things_module.py").write_text(MODULE)
    (tmp_path / "things_broken.py").write_text("import not_installed_anywhere\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    objective = ObjectiveSpec(name="thing", target="things_module:Thing", aliases=("object",))
    numbers = DatasetSpec(name="numbers", target="things_module:Numbers", modalities=(("a", "b"),))
    modality = ModalitySpec(
        name="fragile", target="things_broken:Adapter", loader="json:loads", transform="t", sample="json:dumps"
    )
    hooks = dict(omni_objectives=[objective], omni_datasets=[numbers], omni_modalities=[modality])
    yield register(make_plugin("things", **hooks), "things")
    sys.modules.pop("things_module", None)


@pytest.mark.parametrize("name", ["json", "os", "json.decoder", "omni.json", "torch", "mmengine", "omni.registry"])
@pytest.mark.parametrize("which", ["MODELS", "DATASETS", "ADAPTERS", "OBJECTIVES", "HOOKS"])
def test_a_module_is_never_an_answer(which: str, name: str) -> None:
    reg = getattr(registry, which)
    with pytest.raises(UnknownComponentError):
        reg.get(name)
    assert name not in reg


def test_importing_registries_loads_no_torch() -> None:
    code = "import sys, omni.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_first_build_imports_one_module(things: Any) -> None:
    assert "things_module" not in sys.modules
    built = OBJECTIVES.build(dict(type="thing", size=3))
    assert (type(built).__module__, built.size, built.colour) == ("things_module", 3, "red")
    assert OBJECTIVES.get("object") is OBJECTIVES.get("thing") is OBJECTIVES.get("omni.thing")
    assert "thing" in OBJECTIVES and "things_broken" not in sys.modules


def test_a_broken_target_hurts_only_itself(things: Any) -> None:
    with pytest.raises(MissingDependencyError, match="The modality 'fragile' .*'not_installed_anywhere'"):
        ADAPTERS.get("fragile")
    assert OBJECTIVES.build(dict(type="thing", size=1)).size == 1


def test_wrong_settings_are_explained(things: Any) -> None:
    with pytest.raises(ConfigError, match="objective 'thing' has no setting 'color'. Did you mean 'colour'"):
        OBJECTIVES.build(dict(type="thing", size=3, color="blue"))
    with pytest.raises(ConfigError, match="objective 'thing' needs the setting 'size'"):
        OBJECTIVES.build(dict(type="thing"))
    with pytest.raises(ConfigError, match="built from a dictionary with a 'type'"):
        OBJECTIVES.build(dict(size=3))
    with pytest.raises(UnknownComponentError, match="No objective 'thinf'.*Did you mean 'thing'"):
        OBJECTIVES.build(dict(type="thinf"))
    with pytest.raises(ConfigError, match="named by a string"):
        OBJECTIVES.get(3)  # type: ignore[arg-type]


def test_every_registry_explains_what_is_no_component(things: Any) -> None:
    """Data sets, which have an mmengine root, as objectives, which have none; and mmengine's own machinery."""
    named = {"numbers": DATASETS, "thing": OBJECTIVES, "AdamW": OPTIMIZERS, "StepLR": PARAM_SCHEDULERS}
    for name, reg in named.items():
        with pytest.raises(ConfigError, match=f"from '{name}'. Write dict"):
            reg.build(name)
        with pytest.raises(ConfigError, match="Did you mean 'type'"):
            reg.build(dict(tpye=name))
        for nothing in (None, 3, {}):
            with pytest.raises(ConfigError, match="dictionary with a 'type'"):
                reg.build(nothing)
        for odd in (3, None, ["a"]):
            with pytest.raises(ConfigError, match="named by a string"):
                reg.build(dict(type=odd))
        with pytest.raises(UnknownComponentError, match=f"Did you mean '{name}'"):
            reg.build(dict(type=name + "z"))
        with pytest.raises(UnknownComponentError, match=f"Did you mean '{name}'"):
            reg.get(name + "z")
    numbers = DATASETS.build(dict(type="numbers"))
    with pytest.raises(ConfigError, match="What is built, use as it is"):
        DATASETS.build(numbers)
    with pytest.raises(ConfigError, match="dataset 'numbers' has no setting 'cuont'. Did you mean 'count'"):
        DATASETS.build(dict(type="numbers", cuont=3))
    with pytest.raises(ConfigError, match="optimizer 'AdamW' has no setting 'bettas'. Did you mean 'betas'"):
        OPTIMIZERS.build(dict(type="AdamW", params=[], bettas=1))
    with pytest.raises(ConfigError, match="needs the setting 'params'"):
        OPTIMIZERS.build(dict(type="AdamW"))


def test_what_can_be_built_from(things: Any) -> None:
    import torch

    kind = DATASETS.get("numbers")
    for config in (dict(type="numbers", count=4), MappingProxyType(dict(type="numbers", count=4)),
                   ConfigDict(type="numbers", count=4), Config(dict(type="numbers", count=4)),
                   dict(type=kind, count=4), dict(type="numbers", count=4, _scope_="omni")):  # fmt: skip
        assert len(DATASETS.build(config)) == 4
    assert len(DATASETS.build(dict(type="numbers"), count=5)) == 5  # as for registries without a root
    assert len(DATASETS.build(dict(type="numbers"), default_args=dict(count=6))) == 6
    assert len(DATASETS.build(dict(type="numbers", count=4), default_args=dict(count=6))) == 4
    weight = torch.nn.Parameter(torch.zeros(2))
    made = OPTIMIZERS.build(MappingProxyType(dict(type="SGD", lr=0.5)), default_args=dict(params=[weight]))
    assert isinstance(made, torch.optim.SGD) and made.param_groups[0]["lr"] == 0.5
    steps = dict(type="StepLR", step_size=2, convert_to_iter_based=True, by_epoch=True)
    schedule = PARAM_SCHEDULERS.build(steps, default_args=dict(optimizer=made, epoch_length=10))
    assert schedule.step_size == 20
    both = MODELS.build([dict(type="torch.nn.Linear", in_features=2, out_features=3), dict(type="torch.nn.ReLU")])
    assert both(torch.ones(1, 2)).shape == (1, 3)


def test_settings_that_are_handed_on_are_checked_too() -> None:
    class Base:
        def __init__(self, *, width: int, depth: int = 1) -> None: ...

    class Thing(Base):
        def __init__(self, *, colour: str = "red", **rest: Any) -> None:
            super().__init__(**rest)

    class Open:
        def __init__(self, **anything: Any) -> None: ...

    check = registry.check_arguments
    check(Thing, dict(width=3, colour="blue"), what="a thing")
    with pytest.raises(ConfigError, match="a thing has no setting 'widht'. Did you mean 'width'"):
        check(Thing, dict(widht=3), what="a thing")
    check(Open, dict(whatever=1), what="an open thing")


def test_mmengine_roots_reach_ours_by_scope(things: Any) -> None:
    with DefaultScope.overwrite_default_scope("omni"):
        assert len(ROOT_DATASETS.build(dict(type="numbers", count=5))) == 5
    assert len(ROOT_DATASETS.build(dict(type="omni.numbers"))) == 3
    with DefaultScope.overwrite_default_scope("omni"), pytest.raises(UnknownComponentError, match="mean 'numbers'"):
        ROOT_DATASETS.build(dict(type="nombers"))


def test_mmengines_own_classes_stay_reachable() -> None:
    import torch

    assert OPTIMIZERS.get("AdamW") is torch.optim.AdamW
    assert OPTIMIZERS.get("mmengine.AdamW") is torch.optim.AdamW
    assert HOOKS.get("EMAHook").__name__ == "EMAHook"
    assert MODELS.get("torch.nn.Linear") is torch.nn.Linear
    with pytest.raises(UnknownComponentError, match="Did you mean 'EMAHook'"):
        HOOKS.get("EMAHok")
    with pytest.raises(UnknownComponentError, match="Did you mean 'EMAHook'"):
        HOOKS.get("mmengine.EMAHok")
    with pytest.raises(UnknownComponentError, match="Did you mean 'omni'"):
        HOOKS.get("onmi.EMAHook")
    with pytest.raises(UnknownComponentError):
        OPTIMIZERS.get("omni.AdamW")


def test_a_class_registered_by_hand_is_built_and_not_listed() -> None:
    class Mine:
        pass

    MODELS.register_module(name="by_hand", module=Mine)
    try:
        assert isinstance(MODELS.build(dict(type="by_hand")), Mine)
    finally:
        MODELS.module_dict.pop("by_hand")


def test_a_new_catalog_forgets_old_names(things: Any) -> None:
    assert OBJECTIVES.get("thing")
    reset()
    with pytest.raises(UnknownComponentError):
        OBJECTIVES.get("thing")


def test_runner_with_our_scope(things: Any, tmp_path: Path) -> None:
    """The stock Runner builds data sets, hooks and optimizers under default_scope="omni" and trains."""
    import torch
    from mmengine.model import BaseModel
    from mmengine.runner import Runner

    class Line(BaseModel):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def forward(self, number: Any, mode: str = "loss") -> dict[str, Any]:
            return {"loss": (self.weight - torch.as_tensor(number, dtype=torch.float32)).square().mean()}

    MODELS.register_module(name="line_for_test", module=Line)
    try:
        runner = Runner(
            model=dict(type="line_for_test"),
            work_dir=str(tmp_path / "work"),
            default_scope="omni",
            experiment_name="scope",
            train_dataloader=dict(
                batch_size=3,
                dataset=dict(type="numbers", count=6),
                sampler=dict(type="DefaultSampler", shuffle=False),
                collate_fn=dict(type="default_collate"),
            ),
            train_cfg=dict(by_epoch=False, max_iters=2),
            optim_wrapper=dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.1)),
            log_level="ERROR",
        )
        runner.train()
        assert float(runner.model.weight) == pytest.approx(0.2 + 0.1 * 2 * (4 - 0.2))
    finally:
        MODELS.module_dict.pop("line_for_test")


def _names_in_worker(queue: Any) -> None:
    from omni.registry import DATASETS

    queue.put(len(DATASETS.build(dict(type="numbers", count=4))))


def test_spawned_workers_find_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh process builds by name what an installed plugin brings, and what a one-file plugin brings."""
    (tmp_path / "things_module.py").write_text(MODULE)
    plugin = (
        "from omni.plugin import DatasetSpec, PluginInfo, hookimpl\n"
        "@hookimpl\ndef omni_plugin_info():\n    return PluginInfo(name='{name}')\n"
        "@hookimpl\ndef omni_datasets():\n"
        "    return [DatasetSpec(name='{data}', target='things_module:Numbers', modalities=())]\n"
    )
    write_distribution(tmp_path, "installed", plugin.format(name="installed", data="numbers"))
    (tmp_path / "single_file_numbers.py").write_text(plugin.format(name="single_file_numbers", data="single"))
    monkeypatch.setenv("OMNI_PLUGIN_FILES", str(tmp_path / "single_file_numbers.py"))
    monkeypatch.syspath_prepend(str(tmp_path))
    reset()
    assert len(DATASETS.build(dict(type="single"))) == 3
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    worker = context.Process(target=_names_in_worker, args=(queue,))
    worker.start()
    assert queue.get(timeout=60) == 4
    worker.join(60)
    assert worker.exitcode == 0
    for name in ("things_module", "single_file_numbers"):
        sys.modules.pop(name, None)
    assert METRICS.kind == "metric"
