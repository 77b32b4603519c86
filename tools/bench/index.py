"""Many queries at a time through an omni index, against the flat search of faiss itself: same vectors, same threads.

faiss multiplies matrices only from a number of queries on that is one of its settings, and compares one by one below.
The peer of the target is faiss as it is installed; a second row gives the faster of that and of faiss told to multiply
always.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from tools.bench.timing import interleave, row

SIZES = ((100_000, 256), (100_000, 768), (20_000, 256))
BATCHES, K, REPEATS = (16, 64, 256, 1024), 10, 5
TARGET = ">= 3 where a product wins"


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


def _compare(index: Any, bare: Any, queries: torch.Tensor) -> list[dict[str, Any]]:
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
    ours_s, best_s = min(first_s, second_s), min(default_s, tuned_s)
    title = f"search {index.embeddings().shape[0]:,} x {index.width}, {len(array)} queries / faiss flat"
    about = {"threads": torch.get_num_threads(), "faiss_default_s": default_s, "faiss_product_s": tuned_s}
    return [
        row(f"{title}, as installed", first_s, default_s, target=TARGET, reached=default_s / first_s >= 3) | about,
        row(f"{title}, faster setting", ours_s, best_s, target="(told)", reached=best_s / ours_s >= 3) | about,
    ]


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
        for batch in BATCHES:
            made += _compare(index, bare, queries[:batch])
    return made
