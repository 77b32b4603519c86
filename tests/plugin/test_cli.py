"""The command line: lazy verbs, errors in one line, doctor, one-file plugins, verbs of plugins."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from omni.cli.verbs import VERBS
from omni.plugin.catalog import resolve_target
from tests.plugin.distributions import HEAD, good, run_omni, run_python, write_distribution

COMMAND = """
@hookimpl
def omni_commands():
    return [CommandSpec(name="say-hello", target="hello_cli:hello", summary="Greets.")]
"""


def test_help_is_light_and_quick(tmp_path: Path) -> None:
    code = (
        "import sys, omni.cli\n"
        "try:\n    omni.cli.main(['--help'])\n"
        "except SystemExit as stop:\n"
        "    print('loaded', *[m for m in ('torch', 'mmengine', 'transformers', 'numpy') if m in sys.modules])\n"
        "    raise\n"
    )
    started = time.perf_counter()
    done = run_python(tmp_path, code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("loaded")
    assert time.perf_counter() - started < 2.0
    for verb, row in VERBS.items():
        assert verb in done.stdout and row.summary.split()[0] in done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_listed_verb_works(verb: str) -> None:
    """Its target exists, and its help can be shown."""
    import typer
    from typer.testing import CliRunner

    from omni.cli.lazy import load_command

    assert resolve_target(VERBS[verb].target) is not None
    command = load_command(verb, VERBS[verb].target)
    assert command.name == verb
    from omni.cli import app

    shown = CliRunner().invoke(app, [verb, "--help"])
    assert shown.exit_code == 0 and isinstance(app, typer.Typer), shown.output


def test_unknown_verb_and_version(tmp_path: Path) -> None:
    done = run_omni(tmp_path, "plugin")
    assert done.returncode == 2
    assert done.stderr == "omni: No verb 'plugin'. Did you mean 'plugins'? See: omni --help\n"
    from omni import __version__

    assert run_omni(tmp_path, "--version").stdout.strip() == __version__


def test_an_omni_error_is_one_line(tmp_path: Path) -> None:
    done = run_omni(tmp_path, "plugins", "check", "no_such_plugin")
    assert done.returncode == 2
    assert done.stderr.startswith("omni: No plugin 'no_such_plugin'. Installed: ")
    assert "Traceback" not in done.stderr and done.stderr.count("\n") == 1
    loud = run_omni(tmp_path, "--debug", "plugins", "check", "no_such_plugin")
    assert loud.returncode != 0 and "Traceback" in loud.stderr and "UnknownComponentError" in loud.stderr


def test_verbs_of_plugins(tmp_path: Path) -> None:
    write_distribution(tmp_path, "greeter", HEAD.format(name="greeter") + COMMAND)
    code = "def hello(name: str, loud: bool = False):\n    print('hello', name, loud)\n"
    (tmp_path / "hello_cli.py").write_text(code)
    assert "Greets." in run_omni(tmp_path, "--help").stdout
    done = run_omni(tmp_path, "say-hello", "you", "--loud")
    assert (done.returncode, done.stdout.strip()) == (0, "hello you True"), done.stderr


def test_a_verb_whose_module_is_broken_hurts_only_itself(tmp_path: Path) -> None:
    write_distribution(tmp_path, "greeter", HEAD.format(name="greeter") + COMMAND)
    (tmp_path / "hello_cli.py").write_text("1 / 0\n")
    assert run_omni(tmp_path, "--help").returncode == 0
    done = run_omni(tmp_path, "say-hello")
    assert done.returncode == 2 and "hello_cli:hello cannot be imported: ZeroDivisionError" in done.stderr


def test_one_file_plugin_option(tmp_path: Path) -> None:
    (tmp_path / "my_plugin.py").write_text(good("my_plugin"))
    done = run_omni(tmp_path, "--plugin", "my_plugin.py", "plugins", "list", "--json")
    mine = [item for item in json.loads(done.stdout)["plugins"] if item["name"] == "my_plugin"]
    assert [item["status"] for item in mine] == ["ok"]
    (tmp_path / "my_bad_plugin.py").write_text("import nothing_like_this\n")
    done = run_omni(tmp_path, "--plugin", "my_bad_plugin.py", "plugins", "list")
    assert done.returncode == 2
    assert "my_bad_plugin.py is broken: ModuleNotFoundError" in done.stderr and done.stderr.count("\n") == 1


def test_strict_mode_and_plugins_list(tmp_path: Path) -> None:
    """Under OMNI_STRICT_PLUGINS the list, which is there to show what is wrong, still shows it."""
    write_distribution(tmp_path, "raises", "1 / 0\n")
    done = run_omni(tmp_path, "plugins", "list", OMNI_STRICT_PLUGINS="1")
    assert done.returncode == 0 and "ZeroDivisionError" in done.stdout
    assert run_omni(tmp_path, "--help", OMNI_STRICT_PLUGINS="1").returncode == 0


def test_doctor(tmp_path: Path) -> None:
    done = run_omni(tmp_path, "doctor", "--json", OMNI_HOME=str(tmp_path / "cache"))
    findings = json.loads(done.stdout)
    assert any(item["area"] == "cache" and item["value"].startswith(str(tmp_path / "cache")) for item in findings)
    assert done.returncode == 0, [item for item in findings if item["level"] == "fault"]
    assert {"python", "packages", "torch", "plugins", "decoders", "cache"} <= {item["area"] for item in findings}
    assert any(item["name"] == "torch" and item["value"] for item in findings)
    write_distribution(tmp_path, "raises", "1 / 0\n")
    done = run_omni(tmp_path, "doctor")
    assert done.returncode == 1 and "ZeroDivisionError" in done.stdout


def test_module_and_script_are_the_same(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("omni")
    if not script.exists():
        pytest.skip("omni-core is on the path but not installed")
    direct = subprocess.run([script, "--version"], capture_output=True, text=True)
    assert direct.stdout == run_omni(tmp_path, "--version").stdout
