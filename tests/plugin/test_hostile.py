"""Hostile plugins, as real distributions in a fresh process: each is reported for what it is, everything else works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.plugin.distributions import HEAD, MODALITY, good, run_omni, run_python, statuses, write_distribution

HOSTILE = {
    "raises": ("import no_such_module_anywhere\n", "broken", "ModuleNotFoundError: No module named 'no_such_module"),
    "divides": ("1 / 0\n", "broken", "ZeroDivisionError"),
    "exits": ("import sys\nsys.exit('bye')\n", "broken", "SystemExit: bye"),
    "syntax": ("def (:\n", "broken", "SyntaxError"),
    "mistyped": (
        HEAD + "@hookimpl\ndef omni_modalitys():\n    return []\n",
        "broken",
        "unknown hook omni_modalitys; did you mean omni_modalities?",
    ),
    "unmarked": (HEAD + "def omni_heads():\n    return []\n", "broken", "omni_heads is not marked with @hookimpl"),
    "with_arguments": (HEAD + "@hookimpl\ndef omni_heads(what):\n    return []\n", "broken", "omni_heads"),
    "hook_raises": (
        HEAD + "@hookimpl\ndef omni_heads():\n    raise RuntimeError('not today')\n",
        "broken",
        "RuntimeError: not today",
    ),
    "hook_exits": (HEAD + "@hookimpl\ndef omni_heads():\n    raise SystemExit(3)\n", "broken", "SystemExit: 3"),
    "returns_none": (HEAD + "@hookimpl\ndef omni_heads():\n    pass\n", "broken", "omni_heads returned NoneType"),
    "returns_text": (HEAD + "@hookimpl\ndef omni_heads():\n    return 'head'\n", "broken", "omni_heads returned str"),
    "returns_one": (
        HEAD + "@hookimpl\ndef omni_heads():\n    return HeadSpec(name='a', target='a:b', task='c')\n",
        "broken",
        "omni_heads returned one HeadSpec; it must return a list",
    ),
    "wrong_spec": (
        HEAD + "@hookimpl\ndef omni_heads():\n    return [MetricSpec(name='a', target='a:b', task='c')]\n",
        "broken",
        "omni_heads returned a list with a MetricSpec; it must hold HeadSpec only",
    ),
    "text_for_tuple": (
        HEAD + "@hookimpl\ndef omni_heads():\n    return [HeadSpec(name='a', target='a:b', task='c', aliases='xyz')]\n",
        "broken",
        "aliases must be a tuple, not str",
    ),
    "bad_target": (
        HEAD + "@hookimpl\ndef omni_heads():\n    return [HeadSpec(name='a', target='a.b', task='c')]\n",
        "broken",
        "target 'a.b' must look like 'package.module:Object'",
    ),
    "twice": (
        HEAD + "@hookimpl\ndef omni_heads():\n    return [HeadSpec(name='a', target='a:b', task='c')] * 2\n",
        "broken",
        "provides the head 'a' twice",
    ),
    "future": (
        HEAD.replace("name={name!r}", "name={name!r}, api=99") + MODALITY,
        "incompatible",
        "needs plugin api 99, this omni supports 1",
    ),
    "no_info": ("from omni.plugin import hookimpl\n", "broken", "omni_plugin_info is missing"),
    "other_name": (HEAD.replace("{name!r}", "'somebody'"), "broken", "its PluginInfo is called 'somebody'"),
}


@pytest.fixture(scope="module")
def hostile_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them installed at once, between two good ones."""
    folder = tmp_path_factory.mktemp("hostile")
    for name, (code, _, _) in HOSTILE.items():
        write_distribution(folder, name, code.replace("{name!r}", repr(name)))
    write_distribution(folder, "aaa_first", good("aaa_first"))
    write_distribution(folder, "zzz_last", good("zzz_last"))
    write_distribution(folder, "Not-Legal", good("Not-Legal"), distribution="illegal-name")
    write_distribution(folder, "chatty", "print('hello from chatty')\n" + good("chatty"))
    write_distribution(folder, "malformed", good("malformed"), entries="[omni]\nthis line has no equals sign\n")
    return folder


@pytest.fixture(scope="module")
def found(hostile_folder: Path) -> dict:
    return statuses(hostile_folder)


@pytest.mark.parametrize("name", HOSTILE)
def test_each_is_reported_for_what_it_is(found: dict, name: str) -> None:
    _, state, reason = HOSTILE[name]
    status = found[f"omni-plugin-{name}"]
    assert status["status"] == state
    assert reason in status["reason"]


def test_illegal_name_is_not_even_imported(found: dict) -> None:
    assert found["illegal-name"]["status"] == "broken"
    assert "illegal plugin name 'Not-Legal'" in found["illegal-name"]["reason"]
    assert found["illegal-name"]["api"] is None


def test_malformed_entry_points_hurt_only_their_distribution(found: dict) -> None:
    assert found["omni-plugin-malformed"]["status"] == "broken"
    assert "entry_points.txt cannot be read" in found["omni-plugin-malformed"]["reason"]


def test_torch_at_discovery_is_noted(tmp_path: Path) -> None:
    write_distribution(tmp_path, "heavy", "import torch\n" + good("heavy"))
    status = statuses(tmp_path)["omni-plugin-heavy"]
    assert status["status"] == "ok", status["reason"]
    assert any("imports torch at discovery" in note for note in status["notes"])


def test_output_is_held_back_and_reported(found: dict) -> None:
    assert found["omni-plugin-chatty"]["status"] == "ok"
    assert found["omni-plugin-chatty"]["printed"] == "hello from chatty"
    assert any("prints while it is loaded" in note for note in found["omni-plugin-chatty"]["notes"])


def test_everything_else_still_works(found: dict, hostile_folder: Path) -> None:
    for name in ("aaa_first", "zzz_last"):
        assert found[f"omni-plugin-{name}"]["status"] == "ok"
    plain = run_python(hostile_folder, "import omni; print(*omni.list_modalities())")
    assert plain.returncode == 0, plain.stderr
    assert {"aaa_first", "zzz_last", "chatty"} <= set(plain.stdout.split())
    assert not {"future", "other_name"} & set(plain.stdout.split())


def test_builtins_are_untouched(found: dict) -> None:
    from omni.builtin import BUILTIN_PLUGINS

    names = {module.rpartition(".")[2] for module in BUILTIN_PLUGINS}
    everything = run_omni(Path.cwd(), "plugins", "list", "--json", OMNI_PLUGINS="")
    builtin = [item for item in json.loads(everything.stdout)["plugins"] if item["distribution"] == "omni (built-in)"]
    assert {item["name"] for item in builtin if item["status"] == "ok"} == names


def test_the_command_line_lists_them_all(hostile_folder: Path) -> None:
    done = run_omni(hostile_folder, "plugins", "list")
    assert done.returncode == 0, done.stderr
    assert "hello from chatty" not in done.stdout.replace("note:", "").split("provides")[0]
    for name in (*HOSTILE, "aaa_first", "zzz_last"):
        assert name in done.stdout
    help_text = run_omni(hostile_folder, "--help")
    assert help_text.returncode == 0 and "plugins" in help_text.stdout and "hello" not in help_text.stdout


def test_check_shows_the_traceback_and_fails(hostile_folder: Path) -> None:
    done = run_omni(hostile_folder, "plugins", "check", "divides")
    assert done.returncode == 1
    assert "1 / 0" in done.stdout and "ZeroDivisionError" in done.stdout


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"OMNI_STRICT_PLUGINS": "1"}, "OMNI_STRICT_PLUGINS is set"),
        ({"OMNI_STRICT_PLUGINS": "1", "OMNI_PLUGINS": "divides"}, "ZeroDivisionError"),
        ({"OMNI_STRICT_PLUGINS": "1", "OMNI_PLUGINS": "chatty"}, "prints while it is loaded"),
    ],
)
def test_strict_raises_at_once(hostile_folder: Path, environment: dict[str, str], expected: str) -> None:
    done = run_python(hostile_folder, "import omni; omni.list_modalities()", **environment)
    assert done.returncode != 0
    assert "PluginError" in done.stderr and expected in done.stderr


def test_a_plugin_keeps_its_log_handler(tmp_path: Path) -> None:
    """What is held back while loading must not swallow what the plugin logs later."""
    write_distribution(tmp_path, "logs", "import logging\nlogging.basicConfig()\n" + good("logs"))
    code = "import omni, logging; omni.list_modalities(); logging.warning('later')"
    assert "later" in run_python(tmp_path, code).stderr


@pytest.mark.parametrize("claimed", ["name", "component"])
def test_two_strangers_that_claim_one_name_are_both_refused(tmp_path: Path, claimed: str) -> None:
    second = "ours" if claimed == "name" else "yours"
    write_distribution(tmp_path, "ours", good("ours"), distribution="first-dist")
    write_distribution(
        tmp_path, second, HEAD.format(name=second) + MODALITY.format(name="ours"), distribution="second-dist"
    )
    found = statuses(tmp_path)
    for distribution in ("first-dist", "second-dist"):
        assert found[distribution]["status"] == "broken"
        assert "first-dist" in found[distribution]["reason"] and "second-dist" in found[distribution]["reason"]
    assert statuses(tmp_path, OMNI_DISABLE_PLUGINS="second-dist")["first-dist"]["status"] == "ok"


def test_the_curated_distribution_keeps_its_name(tmp_path: Path) -> None:
    write_distribution(tmp_path, "m3mini", HEAD.format(name="m3mini"), distribution="aaa-impostor")
    write_distribution(tmp_path, "m3mini", HEAD.format(name="m3mini"), distribution="omni-plugin-m3mini", version="9")
    found = statuses(tmp_path, OMNI_PLUGINS="m3mini")
    assert found["omni-plugin-m3mini"]["status"] == "ok"
    assert found["aaa-impostor"]["status"] == "broken"
    assert "omni-plugin-m3mini" in found["aaa-impostor"]["reason"]


def test_repeated_entry_points_of_one_distribution_count_once(tmp_path: Path) -> None:
    entries = "[omni]\ntwin = plug_omni_plugin_twin\ntwin = plug_omni_plugin_twin\n"
    write_distribution(tmp_path, "twin", good("twin"), entries=entries)
    done = run_omni(tmp_path, "plugins", "list", "--json")
    twins = [item for item in json.loads(done.stdout)["plugins"] if item["name"] == "twin"]
    assert [item["status"] for item in twins] == ["ok"]
