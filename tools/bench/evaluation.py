"""Retrieval metrics against open_clip's (the whole matrix, sorted) and torchmetrics' (query by query)."""

from __future__ import annotations

import resource
import subprocess
import sys
from typing import Any

import torch
from torch.nn import functional as F

from tools.bench.timing import interleave, row

ITEMS, WIDTH = 6000, 512
QUERIES, CANDIDATES, CLASSES = 400, 4000, 40
LARGE = 100_000


def _pairs(items: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(items, width, generator=generator)
    second = first + 4.0 * torch.randn(items, width, generator=generator)
    return F.normalize(first, dim=1), F.normalize(second, dim=1)


def bench_recall_both_ways() -> dict[str, Any]:
    """Recall at 1, 5, 10 and median rank of pictures and captions both ways; ours gives average precision besides."""
    from open_clip_train.train import get_clip_metrics

    from omni.metrics.ranks import Positives, rank_positives
    from omni.metrics.retrieval import retrieval_numbers

    images, texts = _pairs(ITEMS, WIDTH)
    own = Positives.from_labels(torch.arange(ITEMS), torch.arange(ITEMS))

    def ours() -> list[Any]:
        ranks = [rank_positives(queries, found, own) for queries, found in ((images, texts), (texts, images))]
        return [retrieval_numbers(r.best_Q, candidates=ITEMS, precision_Q=r.precision_Q) for r in ranks]

    def peer() -> dict[str, Any]:
        return get_clip_metrics(images, texts, torch.tensor(1.0))

    for way, numbers in zip(("image_to_text", "text_to_image"), ours(), strict=True):
        assert all(abs(peer()[f"{way}_R@{k}"] - value) < 1e-3 for k, value in numbers.recall.items())
    ours_s, peer_s = interleave(ours, peer, repeats=3, warmup=0)
    name = f"recall both ways, {ITEMS} x {ITEMS} / open_clip"
    return row(name, ours_s, peer_s, target=">= 3", reached=peer_s >= 3 * ours_s)


def bench_average_precision() -> dict[str, Any]:
    """Mean average precision and hit rate with a hundred right candidates a query, beside torchmetrics."""
    from torchmetrics.retrieval import RetrievalHitRate, RetrievalMAP

    from omni.metrics.ranks import Positives, rank_positives

    generator = torch.Generator().manual_seed(0)
    queries = F.normalize(torch.randn(QUERIES, WIDTH, generator=generator), dim=1)
    candidates = F.normalize(torch.randn(CANDIDATES, WIDTH, generator=generator), dim=1)
    labels, of_candidate = torch.arange(QUERIES) % CLASSES, torch.arange(CANDIDATES) % CLASSES

    def ours() -> tuple[float, float]:
        found = rank_positives(queries, candidates, Positives.from_labels(labels, of_candidate))
        return float(found.precision_Q.mean()), float((found.best_Q <= 5).double().mean())

    def peer() -> tuple[float, float]:
        scores = queries @ candidates.T
        right = (labels[:, None] == of_candidate[None]).flatten()
        index = torch.arange(QUERIES)[:, None].expand_as(scores).flatten()
        given = (scores.sigmoid().flatten(), right)
        return float(RetrievalMAP()(*given, index)), float(RetrievalHitRate(top_k=5)(*given, index))

    assert abs(ours()[0] - peer()[0]) < 1e-3
    ours_s, peer_s = interleave(ours, peer, repeats=3, warmup=0)
    name = f"mAP, {QUERIES} x {CANDIDATES}, 100 right each / torchmetrics"
    return row(name, ours_s, peer_s, target=">= 3", reached=peer_s >= 3 * ours_s)


def bench_recall_large() -> dict[str, Any]:
    """100,000 x 100,000 in one process; the peer is the matrix product alone, tile by tile, nothing counted."""
    code = f"from tools.bench.evaluation import large; large({LARGE}, {WIDTH // 2})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours_s, peer_s, peak = (float(value) for value in done.stdout.split())
    ratio, name = ours_s / peer_s, f"recall {LARGE} x {LARGE} / product alone"
    made = row(name, ours_s, peer_s, ratio=ratio, target="<= 2, peak < 2 GiB", reached=ratio <= 2 and peak < 2048)
    return {**made, "peak_mib": peak}


def large(items: int, width: int) -> None:
    """Prints seconds of ranking, seconds of the product alone, and the process's peak of memory in MiB."""
    import time

    from omni.metrics.ranks import COLUMNS, ROWS, Positives, rank_positives

    first, second = _pairs(items, width)
    own = Positives.from_labels(torch.arange(items), torch.arange(items))
    start = time.perf_counter()
    rank_positives(first, second, own)
    middle = time.perf_counter()
    for part in first.split(ROWS):
        for tile in second.split(COLUMNS):
            part @ tile.T
    end = time.perf_counter()
    print(middle - start, end - middle, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
