"""Run by test_large.py in a process of its own: 100,000 queries against 100,000 candidates under a memory limit.

    python large_case.py COUNT WIDTH LIMIT_MIB

Prints JSON: seconds, the peak of resident memory, and the numbers, some of them beside a float64 reference.
"""

from __future__ import annotations

import json
import resource
import sys
import time

COUNT, WIDTH, LIMIT_MIB = (int(value) for value in sys.argv[1:])
resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_MIB * 2**20,) * 2)  # data beyond this cannot be had: MemoryError

import torch  # noqa: E402

from omni.evaluation import EncodedSamples, RetrievalSettings, measure_direction, measure_geometry  # noqa: E402
from omni.metrics.neighbours import nearest_neighbours  # noqa: E402
from omni.scoring import Score  # noqa: E402

SHOWN = 100
NOISE = 4.5  # beside numbers of unit size: some queries are found first, most are not


def peak_kib() -> int:
    """Largest resident memory of this program; ru_maxrss would begin with that of the process that started it."""
    with open("/proc/self/status") as file:
        return int(file.read().split("VmHWM:")[1].split()[0])


class Scores:
    """Of a model the part that measuring from embeddings asks: the score, and no learnt missing embeddings."""

    def score(self, slots, *, target=None):
        return Score(kind="cosine", slots=tuple(slots))

    def missing_embeddings(self):
        return {}


def main():
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randn(COUNT, WIDTH, generator=generator)
    captions = torch.randn(COUNT, WIDTH, generator=generator).mul_(NOISE).add_(pictures)
    everyone = torch.arange(COUNT)
    encoded = EncodedSamples(
        ids=[str(number) for number in range(COUNT)],
        targets=[{} for _ in range(COUNT)],
        embeddings={"picture": pictures, "caption": captions},
        rows={"picture": everyone, "caption": everyone},
    )
    found, seconds = {}, {}
    for query, target in (("caption", "picture"), ("picture", "caption")):
        start = time.perf_counter()
        result = measure_direction(Scores(), encoded, None, [query], target, RetrievalSettings(label=None))
        seconds[result.title] = time.perf_counter() - start
        found[result.title] = result.to_dict()
    start = time.perf_counter()
    geometry = measure_geometry(Scores(), encoded).to_dict()
    seconds["geometry"] = time.perf_counter() - start
    start = time.perf_counter()
    labels = everyone % 10
    half = COUNT // 2
    neighbours = nearest_neighbours(pictures[:half], labels[:half], captions[half:], labels[half:], classes=10)
    seconds["neighbours"] = time.perf_counter() - start
    print(
        json.dumps(
            {
                "seconds": seconds,
                "peak_mib": peak_kib() / 1024,
                "retrieval": found,
                "reference": reference(captions, pictures),
                "uniformity": [slot["uniformity"] for slot in geometry["slots"]],
                "alignment": geometry["pairs"][0]["alignment"],
                "top1": float((neighbours.rank_N == 1).double().mean()),
            }
        )
    )


def reference(queries, candidates):
    """Ranks of the first queries by float64 products, a query at a time, beside the measured ones."""
    from omni.metrics.ranks import Positives, rank_positives

    everyone = torch.arange(SHOWN)
    unit = [torch.nn.functional.normalize(value, dim=1) for value in (queries[:SHOWN], candidates)]
    measured = rank_positives(*unit, Positives.from_labels(everyone, torch.arange(len(candidates)))).best_Q
    slow = []
    for number in range(SHOWN):
        scores = torch.cat([part.double() @ unit[0][number].double() for part in unit[1].split(4096)])
        slow.append(1 + int((scores >= scores[number]).sum()) - 1)
    return {"measured": measured.tolist(), "slow": slow}


main()
