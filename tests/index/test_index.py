"""The index: search under each score, ids and metadata, saving and loading, damage."""

from __future__ import annotations

import json

import faiss
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from omni.errors import ConfigError, InputError, OmniError, WeightsError
from omni.index import Index
from omni.types import TrainedGroup

E = 12


def triple_index(score, count=50, missing=None, **settings):
    group = TrainedGroup(slots=("a", "b", "c"), score=score)
    index = Index(slot="a", width=E, trained_groups=[group], missing=missing, **settings)
    gallery = torch.randn(count, E, generator=torch.Generator().manual_seed(1))
    index.add(gallery, ids=[f"item {row}" for row in range(count)], metadata=[{"row": row} for row in range(count)])
    return index, gallery


def queries(count=4):
    generator = torch.Generator().manual_seed(2)
    return {slot: torch.randn(count, E, generator=generator) for slot in ("b", "c")}


@pytest.mark.parametrize("score", ["multilinear", "pair_sum"])
def test_scores_are_those_of_the_definition(score):
    index, a = triple_index(score)
    q = queries()
    if score == "multilinear":
        expected = torch.einsum("ne,qe,qe->qn", a, q["b"], q["c"])
    else:
        expected = q["b"] @ a.T + q["c"] @ a.T + (q["b"] * q["c"]).sum(1, keepdim=True)
    found = index.search_embeddings(q, k=5)
    top = expected.topk(5)
    for row, results in enumerate(found):
        assert [item.id for item in results] == [f"item {i}" for i in top.indices[row]]
        assert [item.rank for item in results] == [1, 2, 3, 4, 5]
        assert [item.metadata["row"] for item in results] == top.indices[row].tolist()
        torch.testing.assert_close(
            torch.tensor([item.score for item in results]), top.values[row], atol=1e-4, rtol=1e-5
        )


def test_cosine_normalises_both_sides():
    index = Index(slot="a", width=E, trained_groups=[TrainedGroup(slots=("a", "b"), score="cosine")])
    gallery = torch.randn(20, E) * torch.logspace(-2, 2, 20)[:, None]
    index.add(gallery)
    query = torch.randn(3, E)
    expected = F.normalize(query, dim=1) @ F.normalize(gallery, dim=1).T
    found = index.search_embeddings({"b": query}, k=20)
    for row in range(3):
        assert [int(item.id) for item in found[row]] == expected[row].argsort(descending=True).tolist()
        assert found[row][0].score == pytest.approx(float(expected[row].max()), abs=1e-5)
    index.add(10 * query[:1], ids=["new"])  # after a search: the unit vectors are made again
    assert index.search_embeddings({"b": query}, k=1)[0][0].id == "new"


@pytest.mark.parametrize("score", ["cosine", "pair_sum"])
def test_pairs_add_up_towards_the_gallery(score):
    groups = [TrainedGroup(slots=pair, score=score) for pair in (("a", "b"), ("c", "a"))]
    index = Index(slot="a", width=E, trained_groups=groups)
    gallery = torch.randn(20, E)
    index.add(gallery)
    q = queries(1)
    if score == "cosine":
        expected = sum(F.cosine_similarity(q[slot], gallery) for slot in "bc")
    else:
        expected = (q["b"] + q["c"])[0] @ gallery.T
    (found,) = index.search_embeddings(q, k=20)
    assert found[0].score == pytest.approx(float(expected.max()), abs=1e-5)
    assert [int(item.id) for item in found] == expected.argsort(descending=True).tolist()


def test_queries_that_mean_nothing_are_refused():
    index, _ = triple_index("multilinear")
    with pytest.raises(OmniError, match=r"b and a do not mean.*a \+ b \+ c \(multilinear\)"):
        index.search_embeddings({"b": torch.randn(1, E)})
    with pytest.raises(OmniError, match=r"No trained slot 'cc'\. Did you mean 'c'\?.*a \+ b \+ c"):
        index.search_embeddings({"cc": torch.randn(1, E), "b": torch.randn(1, E)})
    with pytest.raises(InputError, match="search it with other slots"):
        index.search_embeddings({"a": torch.randn(1, E), "b": torch.randn(1, E)})
    with pytest.raises(InputError, match="needs a query"):
        index.search_embeddings({})


def test_missing_embedding_stands_in():
    filler = torch.randn(E)
    index, a = triple_index("multilinear", missing={"c": filler})
    query = torch.randn(2, E)
    expected = torch.einsum("ne,qe,e->qn", a, query, filler)
    found = index.search_embeddings({"b": query}, k=1)
    assert [results[0].metadata["row"] for results in found] == expected.argmax(1).tolist()


def test_one_query_goes_with_many():
    index, a = triple_index("multilinear")
    q = {"b": torch.randn(1, E), "c": torch.randn(3, E)}
    expected = torch.einsum("ne,e,qe->qn", a, q["b"][0], q["c"]).argmax(1).tolist()
    assert [results[0].metadata["row"] for results in index.search_embeddings(q, k=1)] == expected
    with pytest.raises(InputError, match="differ in length: b 2, c 3"):
        index.search_embeddings({"b": torch.randn(2, E), "c": torch.randn(3, E)})


def test_what_cannot_be_added():
    index, _ = triple_index("pair_sum")
    with pytest.raises(InputError, match="width 12; got the shape"):
        index.add(torch.zeros(2, E + 1))
    with pytest.raises(InputError, match="Row 1 is not finite"):
        index.add(torch.tensor([[0.0] * E, [float("nan")] * E]))
    with pytest.raises(InputError, match="'item 3' is there twice"):
        index.add(torch.zeros(1, E), ids=["item 3"])
    with pytest.raises(InputError, match="'x' is there twice"):
        index.add(torch.zeros(2, E), ids=["x", "x"])
    with pytest.raises(InputError, match="1 ids for 2 values"):
        index.add(torch.zeros(2, E), ids=["x"])
    with pytest.raises(InputError, match="2 metadata for 1 values"):
        index.add(torch.zeros(1, E), metadata=[{}, {}])
    assert len(index) == 50 and "item 3" in index and "x" not in index


def test_k_and_emptiness():
    index, _ = triple_index("pair_sum", count=3)
    assert len(index.search_embeddings(queries(1), k=10)[0]) == 3
    with pytest.raises(ConfigError, match="k=0"):
        index.search_embeddings(queries(1), k=0)
    with pytest.raises(InputError, match="empty"):
        Index(slot="a", width=E).search_embeddings(queries(1))
    with pytest.raises(InputError, match="not finite"):
        index.search_embeddings({"b": torch.full((1, E), float("nan")), "c": torch.zeros(1, E)})


def test_save_and_load(tmp_path):
    index, gallery = triple_index("multilinear", missing={"c": torch.randn(E)})
    index.add(torch.zeros(1, E), ids=["line\u2028separator\nnew line"], metadata=[{"é": [1, None]}])
    index.save(tmp_path / "gallery")
    again = Index.load(tmp_path / "gallery")
    assert again.ids == index.ids and again.metadata == index.metadata and again.trained_groups == index.trained_groups
    torch.testing.assert_close(again.embeddings()[:50], gallery)
    q = queries()
    assert again.search_embeddings(q, k=7) == index.search_embeddings(q, k=7)
    assert again.search_embeddings({"b": q["b"]}) == index.search_embeddings({"b": q["b"]})
    again.add(torch.ones(1, E), ids=["more"])
    again.save(tmp_path / "gallery")
    assert len(Index.load(tmp_path / "gallery")) == 52
    assert [path.name for path in tmp_path.iterdir()] == ["gallery"]
    with pytest.raises(OmniError, match="does not know its model"):
        again.search(b="x", c="y")


def test_damage_and_foreign_folders(tmp_path):
    index, _ = triple_index("multilinear")
    place = tmp_path / "gallery"
    for name, damage, told in (
        ("items.jsonl", lambda path: path.write_bytes(path.read_bytes()[:-9]), "damaged.*items.jsonl.*bytes, not"),
        ("vectors-0.faiss", lambda path: path.write_bytes(b"no"), "damaged.*vectors-0.faiss"),
        ("vectors-0.faiss", lambda path: path.write_bytes(b"n" * path.stat().st_size), "damaged.*vectors-0.faiss"),
        ("starts.npy", lambda path: path.unlink(), "damaged.*starts.npy"),
    ):
        index.save(place)
        (path,) = place.glob(f"segments/*/{name}")
        damage(path)
        with pytest.raises(WeightsError, match=told):
            Index.load(place)
    for text, told in (("{", "damaged"), ("{}", "damaged: 'format'"), ('{"format": 2}', "lacks kind, missing, model")):
        index.save(place)
        (place / "index.json").write_text(text)
        with pytest.raises(WeightsError, match=told):
            Index.load(place)
        (place / "index.json").unlink()
    with pytest.raises(InputError, match="is no index"):
        Index.load(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="no index.*; name another folder"):
        index.save(tmp_path)
    with pytest.raises(InputError, match="is a file"):
        index.save(tmp_path / "notes.txt")
    for bad in (object(), float("nan")):
        with pytest.raises(InputError, match="'new' must be plain JSON"):
            index.add(torch.zeros(1, E), ids=["new"], metadata=[{"when": bad}])
    assert len(index) == 50


def test_bytes_that_changed_are_found(tmp_path):
    index, _ = triple_index("multilinear")
    index.save(tmp_path / "gallery")
    assert Index.load(tmp_path / "gallery").verify() == []
    (path,) = (tmp_path / "gallery").glob("segments/*/vectors-0.faiss")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert Index.load(tmp_path / "gallery").verify() == [str(path)]


def test_through_the_model(toy_plugin, tmp_path):
    from toy_models import toy_predictor

    predictor = toy_predictor(("multilinear", "left", "right", "word"))
    predictor.save(tmp_path / "model")
    import omni

    model = omni.load(tmp_path / "model", device="cpu")
    paths = []
    for row in range(6):
        paths.append(str(tmp_path / f"{row}.npy"))
        np.save(paths[-1], np.sin(np.arange(12, dtype=np.float32) * (row + 1)))
    index = model.index(left=paths, metadata=[{"n": row} for row in range(6)])
    assert index.ids == paths
    query = np.ones(8, np.float32)
    scores = model.similarity(left=paths, right=[query], word=["cat"])[:, 0, 0]
    results = index.search(right=query, word="cat", k=6)
    assert [item.metadata["n"] for item in results] == scores.argsort(descending=True).tolist()
    many = index.search(right=query, word=["cat", "dog"], k=2)
    assert len(many) == 2 and [item.id for item in many[0]] == [item.id for item in results[:2]]

    index.save(tmp_path / "gallery")
    opened = Index.load(tmp_path / "gallery")  # finds the model by itself
    assert opened.search(right=query, word="cat", k=6) == results
    other = toy_predictor(("multilinear", "left", "right", "word"))
    with torch.no_grad():
        next(other.model.core.parameters()).add_(1.0)
    with pytest.raises(ConfigError, match="did not make the index of 'left'"):
        Index.load(tmp_path / "gallery", model=other)
    half = omni.load(tmp_path / "model", slots=["right", "word"], dtype="bf16", device="cpu")
    assert Index.load(tmp_path / "gallery", model=half).search(right=query, word="cat", k=1)

    with pytest.raises(InputError, match="differ in length: left 6, word 1"):
        model.index(left=paths, word=["a"])
    with pytest.raises(InputError, match="2 ids for 6 values"):
        model.index(left=paths, ids=["a", "b"])
    assert model.index(word=["a", "a"]).ids == ["0", "1"]


def test_faiss_file_is_readable_by_faiss_alone(tmp_path):
    index, gallery = triple_index("pair_sum")
    index.save(tmp_path / "gallery")
    (path,) = (tmp_path / "gallery").glob("segments/*/vectors-0.faiss")
    plain = faiss.read_index(str(path))
    np.testing.assert_array_equal(plain.reconstruct_n(0, 50), gallery.numpy())
    assert json.loads((tmp_path / "gallery/index.json").read_text())["slots"] == ["a"]


def write_format_1(folder, gallery, group):
    """A folder as omni 0.1 wrote it first."""
    folder.mkdir()
    flat = faiss.IndexFlatIP(E)
    flat.add(gallery.numpy())
    faiss.write_index(flat, str(folder / "vectors.faiss"))
    items = [{"id": f"item {row}", "metadata": {"row": row}} for row in range(len(gallery))]
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    about = {"omni": "0.1.0", "format": 1, "slot": "a", "width": E, "count": len(gallery), "unit": False}
    about |= {"trained_groups": [group.to_dict()], "missing": {}, "model": None, "probe": []}
    (folder / "index.json").write_text(json.dumps(about))


def test_the_old_format_opens_and_is_brought_up_to_date(tmp_path):
    index, gallery = triple_index("multilinear")
    place = tmp_path / "old"
    write_format_1(place, gallery, index.trained_groups[0])
    old = Index.load(place)
    assert old.ids == index.ids and old.metadata == index.metadata
    assert old.search_embeddings(queries(), k=7) == index.search_embeddings(queries(), k=7)
    with Index.open(place, write=True) as writer:
        writer.add(torch.ones(1, E), ids=["more"])
    assert sorted(path.name for path in place.iterdir()) == ["index.json", "segments", "writer.lock"]
    again = Index.load(place)
    assert again.ids == [*index.ids, "more"]
    assert old.search_embeddings(queries(), k=7) == index.search_embeddings(queries(), k=7)  # as it was opened
    (place / "index.json").write_text(json.dumps({**json.loads((place / "index.json").read_text()), "format": 3}))
    with pytest.raises(InputError, match="has format 3.*reads up to format 2.*newer omni"):
        Index.load(place)
    write_format_1(tmp_path / "short", gallery, index.trained_groups[0])
    lines = (tmp_path / "short/items.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "short/items.jsonl").write_text("".join(lines[:-1]))
    with pytest.raises(WeightsError, match="damaged: 50 vectors of width 12, 49 items"):
        Index.load(tmp_path / "short")
