"""Many queries at a time through an omni index, against the flat search of faiss itself: same vectors, same threads.

faiss multiplies matrices only above a number of queries that depends on its settings and compares one by one below; so
each size is also measured against faiss told to multiply always, and the faster of the two is the peer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from tools.bench.timing import interleave, row

SIZES = ((100_000, 256), (100_000, 768), (20_000, 256))
BATCHES, K, REPEATS = (16, 64, 256, 1024), 10, 5


@contextmanager
def _blas_from(queries: int) -> Iterator[None]:
    """faiss multiplies matrices from this number of queries on."""
    import faiss

    before = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = queries
    try:
        yield
    finally:
        faiss.cvar.distance_compute_blas_threshold = before


def _compare(index: Any, bare: Any, queries: torch.Tensor) -> dict[str, Any]:
    import faiss

    array = queries.numpy()

    def ours() -> Any:
        return index.search_rows({"text": queries}, k=K)

    def peer(threshold: int) -> Callable[[], Any]:
        def search() -> Any:
            with _blas_from(threshold):
                return bare.search(array, K)

        return search

    default = faiss.cvar.distance_compute_blas_threshold
    (scores, rows), (expected, expected_rows) = ours(), peer(default)()
    assert abs(scores - expected).max() < 1e-4 and (rows == expected_rows).mean() > 0.999, "omni and faiss disagree"
    first_s, default_s = interleave(ours, peer(default), repeats=REPEATS, warmup=1)
    second_s, tuned_s = interleave(ours, peer(1), repeats=REPEATS, warmup=1)
    ours_s, peer_s = min(first_s, second_s), min(default_s, tuned_s)
    name = f"search {index.embeddings().shape[0]:,} x {index.width}, {len(array)} queries / best of faiss flat"
    made = row(name, ours_s, peer_s, target=">= 3", reached=peer_s / ours_s >= 3)
    return {**made, "faiss_default_s": default_s, "faiss_product_s": tuned_s, "threads": torch.get_num_threads()}


def bench_index_batches() -> list[dict[str, Any]]:
    """Batches of several sizes in flat indexes of several sizes, against faiss's IndexFlatIP."""
    import faiss

    from omni.index import Index
    from omni.types import TrainedGroup

    made = []
    for count, width in SIZES:
        generator = torch.Generator().manual_seed(0)
        gallery = torch.nn.functional.normalize(torch.randn(count, width, generator=generator), dim=1)
        queries = torch.nn.functional.normalize(torch.randn(max(BATCHES), width, generator=generator), dim=1)
        group = TrainedGroup(slots=("image", "text"), score="cosine")
        index = Index(slot="image", width=width, unit=True, trained_groups=[group])
        index.add(gallery)
        bare = faiss.IndexFlatIP(width)
        bare.add(gallery.numpy())
        made += [_compare(index, bare, queries[:batch]) for batch in BATCHES]
    return made
