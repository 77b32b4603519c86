"""omni embed, index, search, eval, zoo: through the command line, on the tests' own modalities."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from omni.cli import app
from omni.errors import ConfigError, InputError, OmniError


@pytest.fixture
def model(toy_plugin, tmp_path):
    from toy_models import toy_predictor

    predictor = toy_predictor(("multilinear", "left", "right", "word"), ("cosine", "left", "word"))
    return predictor.save(tmp_path / "model")


@pytest.fixture
def stripes(tmp_path):
    (tmp_path / "stripes").mkdir()
    for index in range(4):
        np.save(tmp_path / f"stripes/{index}.npy", np.sin(np.arange(8, dtype=np.float32) * (index + 1)))
    (tmp_path / "stripes/notes.txt").write_text("not a stripe")
    return tmp_path / "stripes"


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_embed_folder_strings_and_lines(model, stripes, tmp_path):
    import omni

    (tmp_path / "words.txt").write_text("dog\n\nhorse\n")
    run("embed", model, "--left", stripes, "--word", "cat", f"@{tmp_path / 'words.txt'}", "-o", tmp_path / "out.npz")
    out = np.load(tmp_path / "out.npz")
    assert out["left_ids"].tolist() == [str(stripes / f"{i}.npy") for i in range(4)]
    assert out["word_ids"].tolist() == ["cat", "dog", "horse"]
    expected = omni.load(model, device="cpu").encode(left=[stripes / f"{i}.npy" for i in range(4)])
    np.testing.assert_allclose(out["left"], expected["left"].numpy(), atol=1e-6)


def test_embed_manifest_to_safetensors(model, stripes, tmp_path):
    from safetensors import safe_open

    rows = [{"id": "a", "left": "stripes/0.npy", "word": "cat"}, {"id": "b", "word": "dog"}]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run("embed", model, "--manifest", tmp_path / "m.jsonl", "-o", tmp_path / "out.safetensors")
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        assert json.loads(file.metadata()["ids"]) == ["a", "b"]
        assert file.get_tensor("left").isnan().all(1).tolist() == [False, True]
        assert not file.get_tensor("word").isnan().any()
    assert not list(tmp_path.glob(".*tmp*"))


def test_index_then_search(model, stripes, tmp_path):
    import omni

    run("index", model, "--left", stripes, "-o", tmp_path / "gallery")
    query = stripes / "2.npy"
    found = json.loads(run("search", tmp_path / "gallery", "--right", query, "--word", "cat", "-k", 3, "--json"))
    loaded = omni.load(model, device="cpu")
    paths = [str(stripes / f"{i}.npy") for i in range(4)]
    scores = loaded.similarity(left=paths, right=query, word="cat")[:, 0, 0]
    order = scores.argsort(descending=True)[:3]
    assert [row["id"] for row in found] == [paths[i] for i in order]
    assert [row["score"] for row in found] == pytest.approx(scores[order].tolist(), abs=1e-5)
    same = run("search", tmp_path / "gallery", "--query", f"right={query}", "--query", "word=cat", "-k", 3, "--json")
    assert json.loads(same) == found
    table = run("search", tmp_path / "gallery", "--word", "cat", "-k", 2)
    assert "score" in table and ".npy" in table.replace("\n", "").replace("│", "").replace(" ", "")


def test_index_a_manifest_with_metadata(model, stripes, tmp_path):
    rows = [{"id": f"row {i}", "left": f"stripes/{i}.npy", "colour": "red"} for i in range(3)] + [{"id": "none"}]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run("index", model, "--manifest", tmp_path / "m.jsonl", "--slot", "left", "-o", tmp_path / "gallery")
    found = json.loads(run("search", tmp_path / "gallery", "--word", "cat", "--json"))
    assert {row["id"] for row in found} == {"row 0", "row 1", "row 2"}
    assert found[0]["metadata"]["colour"] == "red" and found[0]["metadata"]["left"].endswith(".npy")


def test_mistakes_are_explained(model, stripes, tmp_path):
    out = ("-o", tmp_path / "out.npz")
    with pytest.raises(InputError, match=r"unknown slot 'picture'.*left \(stripe\)"):
        run("embed", model, "--picture", "a.png", *out)
    with pytest.raises(InputError, match="model comes first"):
        run("embed", "--left", stripes, *out)
    with pytest.raises(InputError, match="--left has no value"):
        run("embed", model, "--left", *out)
    with pytest.raises(InputError, match="belongs to no slot"):
        run("embed", model, "a.npy", *out)
    with pytest.raises(InputError, match="must end with .npz"):
        run("embed", model, "--word", "cat", "-o", tmp_path / "out.txt")
    with pytest.raises(InputError, match="either"):
        run("embed", model, *out)
    with pytest.raises(InputError, match=r"no file in .* ends with one of \.npy"):
        run("embed", model, "--left", model, *out)
    run("index", model, "--left", stripes, "-o", tmp_path / "gallery")
    with pytest.raises(OmniError, match=r"do not mean anything.*left \+ word \(cosine\)"):
        run("search", tmp_path / "gallery", "--right", stripes / "0.npy")
    with pytest.raises(InputError, match="2 values"):
        run("search", tmp_path / "gallery", "--word", "cat", "dog")
    with pytest.raises(InputError, match="Name a query"):
        run("search", tmp_path / "gallery")
    assert not (tmp_path / "out.npz").exists()


def test_eval_on_a_data_set_by_name_and_on_a_manifest(model, stripes, tmp_path):
    rows = [{"left": f"stripes/{i}.npy", "right": f"stripes/{3 - i}.npy", "word": "abcd"[i]} for i in range(4)]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    facts = json.loads(run("eval", model, "--dataset", tmp_path / "m.jsonl", "-k", "1,2", "--json"))
    assert facts["query"] == ["right", "word"] and facts["target"] == "left" and facts["candidates"] == 4
    assert set(facts["controls"]) == {"right", "word"} and facts["r1"] <= facts["r2"]
    assert "R@1" in run("eval", model, "--dataset", tmp_path / "m.jsonl", "--query", "word", "--target", "left")
    with pytest.raises(ConfigError, match="whole numbers"):
        run("eval", model, "--dataset", tmp_path / "m.jsonl", "-k", "one")


def test_eval_on_a_data_set_by_name(toy_plugin, tmp_path):
    from toy_models import toy_predictor

    folder = toy_predictor(("cosine", "stripe", "word"), slots={"stripe": "stripe", "word": "word"}).save(
        tmp_path / "m"
    )
    facts = json.loads(run("eval", folder, "--dataset", "toy_pairs", "-o", "split=val", "--json"))
    assert facts["label"] == "class" and facts["candidates"] == 4 and facts["queries"] == 8
    facts = json.loads(run("eval", folder, "--dataset", "toy_pairs", "--label", "none", "--json"))
    assert facts["candidates"] == 8 and facts["score"] == "cosine" and not facts["controls"]
    with pytest.raises(ConfigError, match="no setting 'splitt'.*Did you mean 'split'"):
        run("eval", folder, "--dataset", "toy_pairs", "-o", "splitt=val")


def test_zoo_list_and_show(toy_plugin):
    from test_zoo import zoo_plugin

    from omni.plugin import catalog
    from omni.plugin.specs import ModelEntry

    entry = ModelEntry(name="toy-recipe", recipe="omni train toy.py", modalities=("word",), summary="To be trained")
    catalog.register(zoo_plugin(entry), "toy_zoo")
    assert "toy-recipe" in run("zoo", "list", "toy-*")
    (row,) = json.loads(run("zoo", "list", "toy-*", "--json"))
    assert row["name"] == "toy-recipe" and row["plugin"] == "toy_zoo"
    assert "omni train toy.py" in run("zoo", "show", "toy-recipe")
    assert "No model matches" in run("zoo", "list", "nothing-*")


def test_torch_stays_unloaded_for_help():
    import subprocess
    import sys

    code = (
        "import sys\nfrom omni.cli import main\n"
        "try:\n    main(['search', '--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'numpy', 'faiss'} & set(sys.modules), 'loaded'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "SLOT" in done.stdout, done.stderr
