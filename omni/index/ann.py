"""Which faiss structure holds a segment's vectors, and how it is built and asked.

flat: every item is compared; exact. hnsw: a graph of near neighbours over the same vectors (Malkov and Yashunin,
arXiv:1603.09320). ivfpq: cells around centroids, codes of E / 4 bytes (Jegou et al., "Product quantization for nearest
neighbor search", 2011); what it proposes is scored again from the full vectors, so scores are exact in every case.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from omni.errors import ConfigError
from omni.plugin.suggest import did_you_mean
from omni.progress import Progress, show_progress

AUTO, FLAT, HNSW, IVFPQ = "auto", "flat", "hnsw", "ivfpq"
KINDS = (AUTO, FLAT, HNSW, IVFPQ)
FLAT_UP_TO, HNSW_UP_TO = 200_000, 2_000_000
NEIGHBOURS, EF_CONSTRUCTION, EF_SEARCH = 32, 80, 128
CELL_MIN, TRAIN_PER_CELL, PROBED_PART, MIN_PROBED = 39, 64, 1 / 16, 16
CODE_BITS, CODE_WIDTH = 8, 4  # bits of a code, dimensions that share one
RESCORED = 20  # candidates of ivfpq that are scored again, for each that is asked for
CHUNK = 10_000


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The kind of an index, and why."""

    kind: str
    reason: str


def check_kind(kind: str) -> str:
    """The kind itself.

    Raises:
        ConfigError: there is no such kind.
    """
    if kind not in KINDS:
        raise ConfigError(f"No index kind {kind!r}.{did_you_mean(kind, KINDS)} There are: {', '.join(KINDS)}.")
    return kind


def choose_kind(count: int, width: int, asked: str = AUTO) -> Choice:
    """The kind for ``count`` vectors: as asked, or by size.

    Raises:
        ConfigError: an unknown kind, or too few vectors to learn an ivfpq from.
    """
    size = f"{count:,} x {width}"
    least = max(CELL_MIN * 4, 2**CODE_BITS)
    if check_kind(asked) == IVFPQ and count < least:
        raise ConfigError(f"ivfpq learns its codes from the vectors and needs {least} or more, not {count}: use flat.")
    if asked != AUTO:
        return Choice(kind=asked, reason=f"{size}, as asked")
    if count <= FLAT_UP_TO:
        return Choice(kind=FLAT, reason=f"{size}: up to {FLAT_UP_TO:,} every item is compared, which is exact")
    if count <= HNSW_UP_TO:
        return Choice(kind=HNSW, reason=f"{size}: a graph is faster above {FLAT_UP_TO:,}; approximate")
    return Choice(kind=IVFPQ, reason=f"{size}: codes need less memory above {HNSW_UP_TO:,}; approximate")


class Approximate:
    """A faiss structure over the vectors of a flat index, which it shares.

    Args:
        kind: "hnsw" or "ivfpq".
        structure: of faiss; an hnsw's storage is ``flat``.
        flat: all vectors.
    """

    def __init__(self, kind: str, structure: Any, flat: Any) -> None:
        self.kind = kind
        self.structure = structure
        self.flat = flat
        if kind == HNSW:
            structure.storage = flat
            structure.own_fields = False

    @classmethod
    def build(cls, kind: str, flat: Any, vectors_NE: np.ndarray, *, progress: Progress = None) -> Approximate:
        """Build one; minutes for a million vectors."""
        count, width = vectors_NE.shape
        if kind == HNSW:
            made = faiss.IndexHNSWFlat(width, NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
            made.hnsw.efConstruction = EF_CONSTRUCTION
        else:
            cells = max(4, min(count // CELL_MIN, 2 ** round(math.log2(4 * math.sqrt(count)))))
            quantizer = faiss.IndexFlatIP(width)
            made = faiss.IndexIVFPQ(quantizer, width, cells, _codes(width), CODE_BITS, faiss.METRIC_INNER_PRODUCT)
            made.own_fields = True
            quantizer.this.disown()
            made.cp.min_points_per_centroid = made.pq.cp.min_points_per_centroid = 1  # no warnings: see choose_kind
            sample = min(count, max(cells * TRAIN_PER_CELL, CELL_MIN * 2**CODE_BITS))
            rows = np.sort(np.random.default_rng(0).choice(count, sample, replace=False))
            made.train(np.ascontiguousarray(vectors_NE[rows]))
        with show_progress(f"build {kind}", count, progress) as advance:
            for start in range(0, count, CHUNK):
                part = np.ascontiguousarray(vectors_NE[start : start + CHUNK])
                made.add(part)
                advance(len(part))
        if kind == HNSW:
            _drop_storage(made)
        return cls(kind, made, flat)

    def write(self, path: Path) -> None:
        """Write it without the vectors themselves."""
        faiss.write_index(self.structure, str(path), faiss.IO_FLAG_SKIP_STORAGE)

    @classmethod
    def open(cls, kind: str, path: Path, flat: Any) -> Approximate:
        """Map a written one into memory. RuntimeError of faiss: damaged."""
        flags = faiss.IO_FLAG_MMAP_IFC | (faiss.IO_FLAG_SKIP_STORAGE if kind == HNSW else 0)
        return cls(kind, faiss.read_index(str(path), flags), flat)

    def propose(self, queries_QE: np.ndarray, k: int, selector: Any) -> np.ndarray:
        """Rows (Q, K') int64 of candidates, K' >= k where there are so many; -1 where there is none."""
        more = {} if selector is None else {"sel": selector}
        if self.kind == HNSW:
            parameters = faiss.SearchParametersHNSW(efSearch=max(EF_SEARCH, 2 * k), **more)
            return self.structure.search(queries_QE, k, params=parameters)[1]
        probed = max(MIN_PROBED, round(self.structure.nlist * PROBED_PART))
        parameters = faiss.SearchParametersIVF(nprobe=min(probed, self.structure.nlist), **more)
        return self.structure.search(queries_QE, min(RESCORED * k, self.structure.ntotal), params=parameters)[1]


def _drop_storage(made: Any) -> None:
    """Free the vectors that a fresh hnsw holds itself; the flat index's will be its storage."""
    storage = faiss.downcast_index(made.storage)
    made.storage = None
    made.own_fields = False
    storage.this.own(True)  # python's reference is the last one now, and ends here


def _codes(width: int) -> int:
    """Number of codes of a vector: about a quarter of the width, and a divisor of it."""
    return max(part for part in range(1, width + 1) if width % part == 0 and part <= max(1, width // CODE_WIDTH))
