"""The manager in process: rollback, order, switches, one-file plugins."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from omni.errors import PluginError
from omni.plugin import CommandSpec, HeadSpec, ModalitySpec, PluginInfo, hookimpl
from omni.plugin.catalog import get_catalog, register, reload
from omni.plugin.discovery import Candidate, Switches, builtin_candidates
from omni.plugin.hookspecs import PROJECT
from omni.plugin.manager import HOOKS, PluginManager
from omni.plugin.specs import HOOK_RETURNS
from tests.plugin.distributions import good, run_python, write_distribution


def make_plugin(name: str, **hooks: Any) -> types.ModuleType:
    """A plugin module with an info hook and the given answers."""
    module = types.ModuleType(f"plug_{name}")
    answers = {"omni_plugin_info": PluginInfo(name=name), **hooks}
    for hook, answer in answers.items():

        def implementation(answer: Any = answer) -> Any:
            if isinstance(answer, BaseException):
                raise answer
            return answer

        implementation.__name__ = hook
        setattr(module, hook, hookimpl(implementation))
    return module


def head(name: str, **fields: Any) -> HeadSpec:
    return HeadSpec(name=name, target="json:JSONDecoder", task="test", **fields)


def candidate(plugin: Any, name: str, *, rank: int = 2, distribution: str = "") -> Candidate:
    return Candidate(
        name=name,
        distribution=distribution or f"dist-{name}",
        version="1.0",
        source=name,
        rank=rank,
        load=lambda: plugin,
        by_hand=True,
    )


def test_every_hook_of_the_table_has_a_specification() -> None:
    from omni.plugin import hookspecs

    specified = {name for name in vars(hookspecs) if hasattr(getattr(hookspecs, name), f"{PROJECT}_spec")}
    assert specified == set(HOOKS) and len(HOOKS) == 10


@pytest.mark.parametrize("entry", [entry for entry in HOOK_RETURNS if entry.many], ids=lambda entry: entry.hook)
def test_every_hook_is_asked_and_its_specs_are_found(entry: Any) -> None:
    required = {
        "modality": dict(target="a:b", loader="a:l", transform="t", sample="a:s"),
        "head": dict(target="a:b", task="t"),
        "objective": dict(target="a:b"),
        "transform": dict(target="a:b", modality="m"),
        "dataset": dict(target="a:b", modalities=(("x", "y"),)),
        "metric": dict(target="a:b", task="t"),
        "model": dict(recipe="how to"),
        "system": dict(title="T", year=2024),
        "command": dict(target="a:b"),
    }[entry.spec.kind]
    key = "slug" if entry.spec.kind == "system" else "name"
    spec = entry.spec(**{key: "some_thing", **required})
    status = register(make_plugin("mine", **{entry.hook: [spec]}), "mine")
    assert status.provides == {entry.spec.kind: ["some_thing"]}
    assert get_catalog().get(entry.spec.kind, "some_thing").spec is spec


def test_a_failure_in_a_late_hook_rolls_everything_back() -> None:
    plugin = make_plugin("half", omni_heads=[head("early")], omni_metrics=RuntimeError("late"))
    manager = PluginManager(Switches())
    manager.load_all([candidate(plugin, "half")])
    status = manager.statuses[-1]
    assert (status.state, status.reason) == ("broken", "RuntimeError: late")
    assert "RuntimeError: late" in status.traceback
    assert not any("half" in name for name, _ in manager._pluggy.list_name_plugin())
    with pytest.raises(PluginError, match="late"):
        register(plugin, "half")
    assert not get_catalog().has("head", "early")


def test_keyboard_interrupt_is_not_swallowed() -> None:
    manager = PluginManager(Switches())
    with pytest.raises(KeyboardInterrupt):
        manager.load_all([candidate(make_plugin("stop", omni_heads=KeyboardInterrupt()), "stop")])


def test_a_generator_is_a_list() -> None:
    module = make_plugin("lazy")

    @hookimpl
    def omni_heads():  # noqa: ANN202
        yield head("first")
        yield head("second")

    module.omni_heads = omni_heads
    assert register(module, "lazy").provides == {"head": ["first", "second"]}


def test_a_hook_wrapper_is_refused() -> None:
    module = make_plugin("wraps")

    @hookimpl(wrapper=True)
    def omni_heads():  # noqa: ANN202
        return (yield)

    module.omni_heads = omni_heads
    with pytest.raises(PluginError, match="omni_heads is a hook wrapper"):
        register(module, "wraps")


def test_ranks_decide_component_conflicts() -> None:
    """The better rank stays; a loser does not drag down those it clashes with; equals are both refused."""
    plugins = [
        candidate(make_plugin("core", omni_heads=[head("x")]), "core", rank=0),
        candidate(make_plugin("loser", omni_heads=[head("x"), head("y")]), "loser"),
        candidate(make_plugin("fine", omni_heads=[head("y")]), "fine"),
        candidate(make_plugin("one", omni_heads=[head("z")]), "one"),
        candidate(make_plugin("two", omni_heads=[head("other", aliases=("z",))]), "two"),
    ]
    manager = PluginManager(Switches())
    manager.load_all(plugins)
    states = {status.name: status for status in manager.statuses}
    ok = {name for name, status in states.items() if status.ok}
    assert {"core", "fine"} <= ok and not ok & {"loser", "one", "two"}
    assert "dist-core" in states["loser"].reason and "dist-loser" in states["loser"].reason
    for name in ("one", "two"):
        assert "dist-one" in states[name].reason and "dist-two" in states[name].reason


def test_load_order_is_by_distribution_then_name(tmp_path: Path) -> None:
    for name in ("bbb", "aaa", "ccc"):
        write_distribution(tmp_path, name, good(name), distribution={"bbb": "z-dist", "aaa": "m-dist"}.get(name, "a"))
    code = (
        "from omni.plugin.catalog import get_catalog\n"
        "print(*[s.name for s in get_catalog().plugins if s.distribution in ('a', 'm-dist', 'z-dist')])"
    )
    assert run_python(tmp_path, code).stdout.split() == ["ccc", "aaa", "bbb"]


def test_switches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("alpha", "beta"):
        write_distribution(tmp_path, name, good(name))
    monkeypatch.syspath_prepend(str(tmp_path))

    def states(**environment: str) -> dict[str, str]:
        for variable in ("OMNI_PLUGINS", "OMNI_DISABLE_PLUGINS"):
            monkeypatch.delenv(variable, raising=False)
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        return {status.name: status.state for status in reload().plugins}

    assert {"alpha": "ok", "beta": "ok"}.items() <= states().items()
    assert {"alpha": "ok", "beta": "disabled"}.items() <= states(OMNI_PLUGINS="alpha").items()
    assert {"alpha": "ok", "beta": "disabled"}.items() <= states(OMNI_PLUGINS="omni-plugin-alpha").items()
    assert {"alpha": "disabled", "beta": "ok"}.items() <= states(OMNI_DISABLE_PLUGINS=" alpha ,").items()
    only_builtin = states(OMNI_PLUGINS="")
    builtin = {item.name for item in builtin_candidates()}
    assert {name for name, state in only_builtin.items() if state == "ok"} == builtin
    states(OMNI_DISABLE_PLUGINS="alhpa")
    assert any("'alhpa'" in problem for problem in get_catalog().problems)


def test_one_file_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "my_one_file_plugin.py"
    path.write_text(good("my_one_file_plugin").replace("json:JSONDecoder", "my_one_file_plugin:omni_plugin_info"))
    monkeypatch.setenv("OMNI_PLUGIN_FILES", str(path))
    try:
        status = next(item for item in get_catalog().plugins if item.name == "my_one_file_plugin")
        assert status.ok and status.distribution == f"file {path}"
        assert get_catalog().component("modality", "my_one_file_plugin").__name__ == "omni_plugin_info"
        assert reload().has("modality", "my_one_file_plugin")
    finally:
        sys.modules.pop("my_one_file_plugin", None)
        sys.path.remove(str(tmp_path))


@pytest.mark.parametrize(("name", "reason"), [("json.py", "called like the Python module"), ("gone.py", "not exist")])
def test_one_file_plugin_that_cannot_be(tmp_path: Path, monkeypatch: Any, name: str, reason: str) -> None:
    if name != "gone.py":
        (tmp_path / name).write_text(good("json"))
    monkeypatch.setenv("OMNI_PLUGIN_FILES", str(tmp_path / name))
    status = next(item for item in get_catalog().plugins if item.distribution.startswith("file "))
    assert status.state == "broken" and reason in status.reason
    assert sys.modules["os"] is os and "JSONDecoder" in dir(__import__("json"))


def test_a_broken_one_file_plugin_leaves_no_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_broken_plugin.py").write_text("1 / 0")
    monkeypatch.setenv("OMNI_PLUGIN_FILES", str(tmp_path / "my_broken_plugin.py"))
    status = next(item for item in get_catalog().plugins if item.name == "my_broken_plugin")
    assert status.reason.startswith("ZeroDivisionError")
    assert "my_broken_plugin" not in sys.modules and str(tmp_path) not in sys.path


def test_a_plugin_cannot_take_a_core_verb() -> None:
    from omni.cli.verbs import VERBS

    verb = next(iter(VERBS))
    with pytest.raises(PluginError, match=f"the command '{verb}' is claimed by .* and by omni itself"):
        register(make_plugin("greedy", omni_commands=[CommandSpec(name=verb, target="a:b")]), "greedy")


def test_trace(capfd: pytest.CaptureFixture[str]) -> None:
    PluginManager(Switches(trace=True)).load_all([candidate(make_plugin("seen", omni_heads=[head("h")]), "seen")])
    assert "seen: ok" in capfd.readouterr().err


def test_spec_of_another_layout_is_refused() -> None:
    spec = ModalitySpec(name="m", target="a:b", loader="a:l", transform="t", sample="a:s", layout="5d")
    with pytest.raises(PluginError, match="layout '5d' must be one of"):
        register(make_plugin("odd", omni_modalities=[spec]), "odd")
