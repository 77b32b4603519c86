"""On disk: changes are whole and at once, one writer, readers that keep what they see, leftovers removed."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from omni.errors import InputError, OmniError, WeightsError
from omni.index import Index
from omni.index.store import Store
from omni.types import TrainedGroup

E = 8
GROUP = [TrainedGroup(slots=("a", "q"), score="cosine")]


def rows(count, seed=0):
    return torch.randn(count, E, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def place(tmp_path):
    index = Index(slot="a", width=E, trained_groups=GROUP)
    index.add(rows(20), ids=[f"item {row}" for row in range(20)], metadata=[{"row": row} for row in range(20)])
    return index.save(tmp_path / "gallery")


def test_add_delete_replace_compact(place):
    with Index.open(place, write=True) as writer:
        writer.add(rows(5, seed=1), ids=[f"new {row}" for row in range(5)])
        assert Index.open(place).ids[-1] == "new 4"
        assert writer.delete(["item 3", "new 0"]) == 2
        assert len(Index.open(place)) == 23 and "item 3" not in Index.open(place)
        with pytest.raises(InputError, match="no item 'itm 4'. Did you mean 'item 4'"):
            writer.delete(["itm 4"])
        with pytest.raises(InputError, match="no item 'item 3'"):
            writer.delete("item 3")
        with pytest.raises(InputError, match="'item 4' is there twice"):
            writer.add(rows(1), ids=["item 4"])
        writer.add(torch.ones(2, E), ids=["item 4", "item 3"], metadata=[{"again": 1}] * 2, replace=True)
        assert len(writer) == 24
        before = Index.open(place)
        writer.compact()
        after = Index.open(place)
    assert after.ids == before.ids and after.metadata == before.metadata
    assert torch.equal(after.embeddings(), before.embeddings()) and "1 segments" in after.describe()
    assert after.embeddings()[after.ids.index("item 4")].tolist() == [1.0] * E
    assert after.metadata[after.ids.index("item 4")] == {"again": 1}
    query = {"q": rows(3, seed=5)}
    ours, theirs = (i.search_embeddings(query, k=24) for i in (before, after))
    assert [[r.id for r in results] for results in ours] == [[r.id for r in results] for results in theirs]


def test_many_small_adds_make_few_segments(tmp_path):
    index = Index(slot="a", width=E)
    gallery = rows(200)
    for row in range(200):
        index.add(gallery[row : row + 1], ids=[f"n{row}"])
        if row % 10 == 9:
            index.delete(f"n{row - 5}")
    kept = [row for row in range(200) if row % 10 != 4]
    assert index.ids == [f"n{row}" for row in kept] and torch.equal(index.embeddings(), gallery[kept])
    assert int(index.describe().split(" segments")[0].split()[-1]) < 12
    assert all(name in index for name in index.ids) and "n4" not in index
    scores, places = index.search_rows({"a": gallery[kept]}, k=1)
    assert places[:, 0].tolist() == list(range(len(kept)))


def test_readers_keep_what_they_see(place):
    reader, later = Index.open(place), Index.open(place)
    query = {"q": rows(2, seed=3)}
    seen = reader.search_embeddings(query, k=20)
    with Index.open(place, write=True) as writer:
        assert not reader.refresh()
        writer.add(rows(10, seed=4), ids=[f"n{row}" for row in range(10)])
        assert later.refresh() and len(later) == 30
        writer.delete(where="row < 10")
        writer.compact()
        writer.delete("n0")
    assert reader.search_embeddings(query, k=20) == seen  # its files are gone from the folder
    assert reader.ids == [f"item {row}" for row in range(20)] and reader.metadata[19] == {"row": 19}
    assert reader.refresh() and len(reader) == 19 and not reader.refresh()
    assert later.refresh() and later.ids == reader.ids
    reader.add(rows(1), ids=["mine"])  # in memory
    Index.open(place, write=True).close()
    with Index.open(place, write=True) as writer:
        writer.delete("n1")
    with pytest.raises(InputError, match="in memory only"):
        reader.refresh()
    with pytest.raises(InputError, match="is in memory"):
        Index(slot="a", width=E).refresh()


def test_one_writer(place):
    writer = Index.open(place, write=True)
    code = f"""
        from omni.index import Index
        from omni.errors import OmniError
        assert len(Index.open({str(place)!r})) == 20
        made = Index(slot="a", width=8)
        for act in (lambda: Index.open({str(place)!r}, write=True), lambda: made.save({str(place)!r})):
            try:
                act()
            except OmniError as error:
                print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.stdout.count("Another process is writing the index") == 2, done.stderr
    with pytest.raises(OmniError, match="Another process is writing"):
        Index.open(place, write=True)
    writer.add(rows(1), ids=["still mine"])
    writer.close()
    assert Index.open(place, write=True).delete("still mine") == 1


def test_leftovers_of_a_dead_writer_are_removed(place):
    (place / "segments/0123456789abcdef").mkdir()
    (place / "deleted-0123456789abcdef.npy").write_bytes(b"half")
    (place / ".index.0123456789abcdef.tmp").write_text("{")
    (place / "notes.txt").write_text("mine")
    assert len(Index.open(place)) == 20 and (place / "segments/0123456789abcdef").exists()  # a reader removes nothing
    Index.open(place, write=True).close()
    assert sorted(path.name for path in place.iterdir()) == ["index.json", "notes.txt", "segments", "writer.lock"]
    assert len(list((place / "segments").iterdir())) == 1


def test_a_write_that_fails_leaves_what_was(place, monkeypatch):
    with Index.open(place, write=True) as writer:
        for name in ("_replace_manifest", "_write_deleted"):
            with monkeypatch.context() as patched:
                patched.setattr(Store, name, lambda *a: (_ for _ in ()).throw(OSError(28, "No space left on device")))
                with pytest.raises(InputError, match="No space left"):
                    writer.add(rows(3), ids=list("xyz"))
            assert len(writer) == 20 and "x" not in writer and Index.open(place).ids == writer.ids
        writer.add(rows(3), ids=list("xyz"))
        assert len(writer) == 23 == len(Index.open(place)) and "x" in writer


def test_a_file_that_is_gone_is_damage_unless_a_writer_replaced_it(place, monkeypatch):
    old = json.loads((place / "index.json").read_text())
    with Index.open(place, write=True) as writer:
        writer.compact()
    read, told = Store.read, [old]
    monkeypatch.setattr(Store, "read", lambda self: told.pop() if told else read(self))
    assert len(Store(place).open()[1]) == 1  # the first manifest was already replaced
    monkeypatch.undo()
    for path in place.glob("segments/*/items.jsonl"):
        path.unlink()
    with pytest.raises(WeightsError, match="damaged: FileNotFoundError"):
        Index.open(place)


def test_create(tmp_path, toy_plugin):
    from toy_models import toy_predictor

    predictor = toy_predictor(("multilinear", "left", "right", "word"), ("cosine", "left", "word"))
    with Index.create(tmp_path / "new", predictor, slots=["left", "word"]) as index:
        assert len(Index.open(tmp_path / "new")) == 0
        width = predictor.model.config.embedding_width
        index.add({"left": torch.randn(3, width), "word": torch.full((3, width), float("nan"))}, ids=list("abc"))
        assert Index.open(tmp_path / "new").ids == list("abc")
    with pytest.raises(InputError, match="There is an index"):
        Index.create(tmp_path / "new", predictor, slot="left")
    empty = Index.open(tmp_path / "new", write=True)
    empty.delete(list("abc"))
    empty.compact()
    assert len(empty) == 0 == len(Index.open(tmp_path / "new"))
    built = predictor.index(word=["cat", None, "dog"], left=[np.arange(8.0), np.ones(8), None])
    assert len(built) == 3 and built.slots == ("word", "left")
    assert built.embeddings("left").isnan().all(1).tolist() == [False, False, True]
    assert {r.slot for r in built.search(word="cat", k=3, target="left")} == {"left"}
    assert built.search(word="cat", k=1, target="word")[0].score == pytest.approx(1, abs=1e-4)
    assert len(built.search(word="cat", exclude={"word": "dog"}, target="left")) == 2
