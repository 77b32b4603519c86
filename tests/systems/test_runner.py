"""Experiments: results are kept by code, config and seed; the verdict over seeds; the command line."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from omni.cli import app
from omni.errors import ConfigError, UnknownComponentError
from omni.plugin import catalog
from omni.systems.experiment import ExperimentResult, Finding, SeedRun, Verdict
from omni.systems.runner import result_key, run_experiment
from tests.systems import toy_experiment
from tests.systems.toy_experiment import MEASURED, SeedIsSmall


@pytest.fixture(autouse=True)
def toy(tmp_path, monkeypatch):
    monkeypatch.setenv("OMNI_HOME", str(tmp_path))
    catalog.reset()
    catalog.register(toy_experiment, "toy_systems")
    MEASURED.clear()
    yield
    catalog.reset()


def quiet(line: str) -> None: ...


def seed_run(seed: int, *holds: bool) -> SeedRun:
    findings = tuple(Finding(name="x", value=1.0, bound=0.0, holds=value) for value in holds)
    return SeedRun(seed=seed, measured={"x": float(seed)}, findings=findings, seconds=0.0)


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ([(True,), (True, True)], Verdict.HOLDS),
        ([(False,), (True, False)], Verdict.FAILS),
        ([(True, True), (True, False)], Verdict.UNSTABLE),
        ([(True,), ()], Verdict.UNSTABLE),
    ],
)
def test_verdict_over_seeds(outcomes, verdict):
    runs = tuple(seed_run(seed, *holds) for seed, holds in enumerate(outcomes))
    assert ExperimentResult(slug="x", full=False, runs=runs).verdict is verdict


def test_summary_is_mean_and_sample_deviation():
    result = ExperimentResult(slug="x", full=False, runs=(seed_run(1, True), seed_run(3, True)))
    assert result.summary() == {"x": (2.0, pytest.approx(2**0.5))}
    again = SeedRun.from_dict(json.loads(json.dumps(result.to_dict()["runs"][0])))
    assert again == result.runs[0]


def test_results_are_reused_and_only_new_seeds_measured():
    first = run_experiment("small_seeds", seeds=(1, 2), log=quiet)
    second = run_experiment("small_seeds", seeds=(1, 2, 30), log=quiet)
    assert MEASURED == [1, 2, 30] and first.reused == 0 and second.reused == 2
    assert [run.measured["seed"] for run in second.runs] == [1.0, 2.0, 30.0]
    assert first.verdict is Verdict.HOLDS and second.verdict is Verdict.UNSTABLE
    run_experiment("small_seeds", seeds=(1,), force=True, log=quiet)
    assert MEASURED == [1, 2, 30, 1]


def test_another_config_is_measured_again(monkeypatch):
    run_experiment("small_seeds", seeds=(5,), log=quiet)
    monkeypatch.setattr(SeedIsSmall, "bound", 3)
    assert run_experiment("small_seeds", seeds=(5,), log=quiet).verdict is Verdict.FAILS
    assert run_experiment("small_seeds", seeds=(5,), full=True, log=quiet).verdict is Verdict.HOLDS
    assert MEASURED == [5, 5, 5]


def test_key_changes_with_the_source_of_any_file_of_a_package(tmp_path, monkeypatch):
    (tmp_path / "keyed_package").mkdir()
    (tmp_path / "keyed_package/__init__.py").write_text("")
    inner = tmp_path / "keyed_package/inner.py"
    inner.write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(SeedIsSmall, "depends_on", ("keyed_package",))
    before = result_key(SeedIsSmall(), {"a": 1}, 0)
    assert result_key(SeedIsSmall(), {"a": 1}, 0) == before != result_key(SeedIsSmall(), {"a": 1}, 1)
    inner.write_text("x = 2\n")
    assert result_key(SeedIsSmall(), {"a": 1}, 0) != before


def test_list_show_and_run_for_programs():
    cli = CliRunner()
    listed = json.loads(cli.invoke(app, ["systems", "list", "--json"]).stdout)
    assert {"symile", "one_peace", "valor", "small_seeds", "only_told"} <= {row["slug"] for row in listed}
    shown = json.loads(cli.invoke(app, ["systems", "show", "small_seeds", "--json"]).stdout)
    assert shown["rule"] == SeedIsSmall.rule and shown["components"] == ["objective:info_nce"]
    good = cli.invoke(app, ["systems", "run", "small_seeds", "--seeds", "3,4", "--json"])
    assert good.exit_code == 0 and json.loads(good.stdout)["verdict"] == "holds"
    bad = cli.invoke(app, ["systems", "run", "small_seeds", "--seeds", "4,40", "--json"])
    assert bad.exit_code == 1 and json.loads(bad.stdout)["verdict"] == "unstable" and MEASURED == [3, 4, 40]
    printed = cli.invoke(app, ["systems", "run", "small_seeds", "--seeds", "40"])
    assert printed.exit_code == 1 and "does not hold" in printed.stdout and "seed below the bound" in printed.stdout


def test_what_cannot_run_is_explained():
    with pytest.raises(UnknownComponentError, match="no experiment"):
        run_experiment("only_told", log=quiet)
    with pytest.raises(UnknownComponentError, match="Did you mean 'small_seeds'"):
        run_experiment("smal_seeds", log=quiet)
    result = CliRunner().invoke(app, ["systems", "run", "small_seeds", "--seeds", "1,b"])
    assert isinstance(result.exception, ConfigError) and "1,b" in str(result.exception)
