"""The report as tables, JSON and a page, from Python and from ``omni eval``."""

from __future__ import annotations

import base64
import json
import re
import sys
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner
from worlds import Captions, Classes

from omni.cli import app
from omni.errors import ConfigError, InputError, MissingDependencyError, OmniError
from omni.evaluation import Plan, RetrievalSettings, ZeroShotSettings, run_plan
from omni.evaluation.report import chance_recall

PLAN = Plan(
    every_direction=True,
    zero_shot=ZeroShotSettings(slots=("left",), prompts="word", templates=("a {}", "{}")),
    linear=("left",),
    knn=("left", "right"),
    geometry=True,
)


@pytest.fixture
def report(predictor):
    data = Classes()
    del data.rows[5].values["right"]
    names = {"model_name": "a <model>", "dataset_name": "waves & words"}
    return run_plan(predictor, data, PLAN, train=Classes("train", 60), progress=False, **names)


def test_everything_is_in_the_json(report):
    facts = json.loads(json.dumps(report.to_dict()))
    assert len(facts["retrieval"]) == 5 and [item["left_out"] for item in facts["retrieval"]] == [1, 1, 1, 0, 0]
    methods = [(item["method"], item["slots"]) for item in facts["classification"]]
    assert methods == [("zero-shot", ["left"]), ("linear probe", ["left"]), ("k-NN", ["left"]), ("k-NN", ["right"])]
    assert [item["samples"] for item in facts["classification"]] == [40, 40, 40, 39]
    assert all(set(item["intervals"]) == {"top1"} for item in facts["classification"])
    assert {slot["slot"] for slot in facts["geometry"]["slots"]} == {"left", "right", "word"}


def test_one_pass_gives_what_single_calls_give(predictor, report):
    from omni.evaluation import evaluate

    alone = evaluate(predictor, Classes(), query=["word"], target="left", progress=False)
    (same,) = [item for item in report.retrieval if item.title == "word -> left"]
    assert same == alone


def test_the_page_stands_alone_and_is_the_same_each_time(report, tmp_path):
    first = report.save_html(tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    assert first == report.save_html(tmp_path / "again.html").read_text(encoding="utf-8")
    assert "a &lt;model&gt; on waves &amp; words" in first and "<model>" not in first
    sources = re.findall(r'src="([^"]+)"', first)
    assert len(sources) == 1 + 4 + 1 + 1  # recall, confusions, spectrum, cosines of the one pair
    for source in sources:
        assert source.startswith("data:image/svg+xml;base64,")
        svg = base64.b64decode(source.split(",")[1]).decode()
        assert ElementTree.fromstring(svg).tag.endswith("svg") and len(svg) > 3000
    assert not re.search(r"<script|<link|href=", first)
    for title, rows in report.tables().items():
        assert title.replace(">", "&gt;") in first and f"<td>{rows[1][1]}</td>" in first


def test_a_page_without_matplotlib_is_refused(report, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"omni-core\[plots\]"):
        report.save_html(tmp_path / "report.html")
    assert not list(tmp_path.iterdir())
    report.print()  # the tables need none


def test_chance_is_that_of_drawing_without_putting_back(predictor):
    from omni.evaluation import evaluate

    one = evaluate(predictor, Captions(), query=["word"], target="left", label=None, ks=(1, 3, 10), progress=False)
    assert one.numbers.candidates == 4
    several = evaluate(
        predictor, Classes(), query=["word"], target="left", candidates="items", ks=(1, 2), progress=False
    )
    found = chance_recall(several)  # ten of forty are right
    assert found[1] == pytest.approx(0.25) and found[2] == pytest.approx(1 - 30 / 40 * 29 / 39)
    assert chance_recall(one)[10] == 1.0


def test_what_a_plan_refuses_before_anything_is_encoded(predictor):
    class Unread:
        def __len__(self):
            raise AssertionError("the data set was read")

    cases = [
        (Plan(retrieval=False), "Nothing is to be measured"),
        (Plan(every_direction=True, target="left"), "name either"),
        (Plan(linear=("left",)), "fitted on training data"),
        (Plan(linear=("lefft",)), "Did you mean 'left'"),
        (Plan(zero_shot=ZeroShotSettings(slots=("right",), prompts="word")), "do not mean anything"),
        (Plan(query=("right",), target="word"), "do not mean anything"),
    ]
    for plan, message in cases:
        with pytest.raises(OmniError, match=message):
            run_plan(predictor, Unread(), plan, train=None if "training" in message else Unread(), progress=False)
    with pytest.raises(ConfigError, match="needs a label"):
        RetrievalSettings(label=None, candidates="classes")


@pytest.fixture
def model(toy_plugin, tmp_path):
    from toy_models import toy_predictor

    predictor = toy_predictor(("cosine", "stripe", "word"), slots={"stripe": "stripe", "word": "word"})
    return predictor.save(tmp_path / "model")


def run(*arguments):
    result = CliRunner().invoke(app, ["eval", *map(str, arguments), "--quiet"])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_measures_everything(model, tmp_path):
    (tmp_path / "classes.txt").write_text("a\nb\n\nc\nd\n")
    (tmp_path / "templates.txt").write_text("the {}\nmy {}\n")
    options = [
        "--dataset",
        "toy_pairs",
        "--every-direction",
        "--geometry",
        "--zero-shot",
        "stripe",
        "--prompts",
        "word",
    ]
    options += ["--classes", tmp_path / "classes.txt", "--template", "{}", "--template", f"@{tmp_path}/templates.txt"]
    options += ["--linear", "stripe,word", "--knn", "stripe", "--neighbours", "1", "--html", tmp_path / "page.html"]
    facts = json.loads(run(model, *options, "--json"))
    assert [(item["query"], item["target"]) for item in facts["retrieval"]] == [
        (["word"], "stripe"),
        (["stripe"], "word"),
    ]
    first, *probes = facts["classification"]
    assert first["settings"]["templates"] == ["{}", "the {}", "my {}"] and first["classes"] == 4
    assert [item["method"] for item in probes] == ["linear probe", "linear probe", "k-NN"]
    assert probes[2]["top1"] == 1.0 and "query" not in facts  # the stripes of both splits are the same
    assert (tmp_path / "page.html").stat().st_size > 10_000
    printed = " ".join(run(model, *options).split())
    for text in ("word -> stripe", "zero-shot: stripe", "Geometry of pairs", "95% interval", "prompts a class 3"):
        assert text in printed


def test_bootstrap_and_seed_options(model):
    base = [model, "--dataset", "toy_pairs", "--label", "none", "--json"]
    first, again, other = (json.loads(run(*base, "--seed", seed)) for seed in (1, 1, 2))
    assert first == again and first["r1"] == other["r1"] and first["intervals"] != other["intervals"]
    assert json.loads(run(*base, "--bootstrap", "0"))["intervals"] == {}
    narrow = json.loads(run(*base, "--confidence", "0.5", "--seed", 1))["intervals"]["map"]
    assert narrow["high"] - narrow["low"] < first["intervals"]["map"]["high"] - first["intervals"]["map"]["low"]
    items = json.loads(run(model, "--dataset", "toy_pairs", "--candidates", "items", "--json"))
    assert items["gallery"] == "items" and items["positives"] == 2.0


def test_mistakes_of_the_command(model, tmp_path):
    (tmp_path / "m.jsonl").write_text('{"word": "a"}\n')
    base = [model, "--dataset", "toy_pairs"]
    with pytest.raises(ConfigError, match="belong to --zero-shot"):
        run(*base, "--template", "{}")
    with pytest.raises(ConfigError, match="name the slot that takes the prompts, one of stripe, word"):
        run(*base, "--zero-shot", "stripe")
    with pytest.raises(InputError, match="needs the classes' names"):
        run(*base, "--zero-shot", "stripe", "--prompts", "word")
    with pytest.raises(InputError, match="cannot be read as lines"):
        run(*base, "--zero-shot", "stripe", "--prompts", "word", "--classes", tmp_path / "none.txt")
    with pytest.raises(ConfigError, match="--train-dataset"):
        run(model, "--dataset", tmp_path / "m.jsonl", "--linear", "word")
    with pytest.raises(ConfigError, match="confidence=2"):
        run(*base, "--confidence", "2")
