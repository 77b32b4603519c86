"""Approximate kinds: chosen by size, told, near enough to exact, filters and deletions respected, on disk and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from omni.errors import ConfigError
from omni.index import Index
from omni.index.ann import choose_kind
from omni.types import TrainedGroup

E, N = 16, 3000
GROUP = [TrainedGroup(slots=("a", "q"), score="cosine")]


def made(kind="auto"):
    index = Index(slot="a", width=E, unit=True, trained_groups=GROUP, kind=kind)
    centres = torch.randn(40, E, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(N, E, generator=torch.Generator().manual_seed(1))
    gallery = F.normalize(centres[torch.arange(N) % 40] + 0.3 * noise, dim=1)
    index.add(gallery, metadata=[{"half": row % 2, "row": row} for row in range(N)])
    queries = F.normalize(gallery[::100] + 0.1 * torch.randn(30, E, generator=torch.Generator().manual_seed(2)), dim=1)
    return index, gallery, queries


def recall(rows, expected):
    return np.mean([len(set(ours) & set(theirs)) / len(theirs) for ours, theirs in zip(rows, expected, strict=True)])


def test_the_choice_by_size_is_told():
    kinds = [choose_kind(count, 256).kind for count in (10, 200_000, 200_001, 2_000_000, 2_000_001)]
    assert kinds == ["flat", "flat", "hnsw", "hnsw", "ivfpq"]
    assert choose_kind(10, 256, "hnsw").kind == "hnsw"
    with pytest.raises(ConfigError, match="No index kind 'hsnw'. Did you mean 'hnsw'"):
        Index(slot="a", width=E, kind="hsnw")
    with pytest.raises(ConfigError, match="ivfpq learns .* needs 256 or more, not 20"):
        choose_kind(20, 256, "ivfpq")
    index, *_ = made()
    assert "flat (3,000 x 16: up to 200,000 every item is compared" in index.describe()


@pytest.mark.parametrize("kind", ["hnsw", "ivfpq"])
def test_approximate_kinds(kind, tmp_path):
    index, gallery, queries = made(kind)
    exact = (queries @ gallery.T).topk(10)
    index.save(tmp_path / "gallery")
    opened = Index.open(tmp_path / "gallery")
    assert f"a {kind} (3,000 x 16)" in opened.describe() and opened.verify() == []
    scores, rows = opened.search_rows({"q": queries}, k=10)
    assert recall(rows, exact.indices.numpy()) > 0.9
    np.testing.assert_allclose(scores, np.take_along_axis((queries @ gallery.T).numpy(), rows, 1), atol=1e-5)
    assert (opened.search_rows({"q": queries}, k=10, exact=True)[1] == exact.indices.numpy()).mean() > 0.99

    with Index.open(tmp_path / "gallery", write=True) as writer:
        gone = exact.indices[:, 0].unique().tolist()
        writer.delete([str(row) for row in gone])
        writer.add(-gallery[:5], ids=[f"new {row}" for row in range(5)], metadata=[{"half": 0, "row": -1}] * 5)
    assert opened.refresh() and kind in opened.describe()  # neither rebuilds the structure
    names = [r.id for results in opened.search_embeddings({"q": queries}, k=10) for r in results]
    assert not set(names) & {str(row) for row in gone}
    assert opened.search_embeddings({"q": -gallery[:1]}, k=1)[0][0].id == "new 0"
    for where, test in (("half = 1", lambda m: m["half"] == 1), ("row = 0..40", lambda m: 0 <= m["row"] <= 40)):
        for results in opened.search_embeddings({"q": queries[:3]}, k=5, where=where):
            assert len(results) == 5 and all(test(r.metadata) for r in results)

    with Index.open(tmp_path / "gallery", write=True) as writer:
        writer.compact(kind="flat")
    assert opened.refresh() and kind not in opened.describe() and len(opened) == N - len(gone) + 5


def test_a_kind_that_cannot_be_built_changes_nothing():
    index, *_ = made()
    index.delete(where="row >= 100")
    with pytest.raises(ConfigError, match="needs 256 or more"):
        index.compact(kind="ivfpq")
    assert index.kind == "auto" and len(index) == 100
