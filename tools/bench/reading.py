"""Shards to samples beside the webdataset library: reading in order and shuffled, and going on near an epoch's end."""

from __future__ import annotations

import io
import itertools
import json
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from omni.data.shards import find_shards, write_shard_index
from omni.data.webdataset import WebDatasetStream
from omni.types import Sample
from tools.bench.timing import interleave, row

SHARDS, SAMPLES, PICTURE_BYTES, BUFFER = 8, 500, 20_000, 1000
SLOTS = {"image": "jpg", "text": "txt"}


def _write(folder: Path, shards: int, samples: int) -> int:
    """Shards of samples with a picture's bytes, a sentence and metadata; returns their number."""
    picture = bytes(range(256)) * (PICTURE_BYTES // 256)
    counts = {}
    for shard in range(shards):
        path = folder / f"part-{shard:04d}.tar"
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
            for sample in range(samples):
                key = f"{shard * samples + sample:08d}"
                for ending, content in (
                    ("jpg", picture),
                    ("txt", f"the sentence of {key}".encode()),
                    ("json", json.dumps({"id": key, "width": 64, "source": "made"}).encode()),
                ):
                    member = tarfile.TarInfo(f"{key}.{ending}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
        counts[path.name] = samples
    write_shard_index(folder, counts)
    return shards * samples


def _ours(folder: Path, *, shuffle: int = 0) -> WebDatasetStream:
    return WebDatasetStream(folder, slots=SLOTS, shuffle=shuffle, seed=0)


def _peer(folder: Path, *, shuffle: int = 0) -> Iterator[Sample]:
    """The library, with its bytes made the same Samples."""
    import webdataset

    names = [str(path) for path in find_shards(folder)]
    source = webdataset.WebDataset(names, shardshuffle=len(names) if shuffle else False, seed=0 if shuffle else None)
    if shuffle:
        source = source.shuffle(shuffle, initial=shuffle)
    for item in source:
        meta = json.loads(item["json"])
        values = {"image": item["jpg"], "text": item["txt"].decode()}
        yield Sample(id=meta.pop("id"), values=values, meta=meta)


def _check(folder: Path, count: int) -> None:
    ours, peer = list(_ours(folder)), list(_peer(folder))
    assert ours == peer and len(ours) == count, "the two readers do not give the same samples"
    shuffled = {sample.id for sample in _ours(folder, shuffle=BUFFER)}
    assert len(shuffled) == count, "shuffling lost samples"


def _last(samples: Iterator[Sample]) -> None:
    for _ in samples:
        pass


def bench_reading_shards(*, shards: int = SHARDS, samples: int = SAMPLES, repeats: int = 7) -> list[dict[str, Any]]:
    """An epoch of small shards from the page cache, opening included: in order, through a shuffle buffer, and going on
    after nine tenths of a shuffled epoch, where the library reads and throws away. The samples are compared first.

    Raises:
        AssertionError: the two do not give the same samples.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        count = _write(folder, shards, samples)
        _check(folder, count)
        passed = count * 9 // 10

        def go_on() -> None:
            stream = _ours(folder, shuffle=BUFFER)
            stream.load_state_dict({**stream.state_dict(), "given": passed})
            _last(iter(stream))

        cases: list[tuple[str, Callable[[], Any], Callable[[], Any], float]] = [
            ("shards in order", lambda: _last(iter(_ours(folder))), lambda: _last(_peer(folder)), 1.5),
            (
                f"shards through a buffer of {BUFFER}",
                lambda: _last(iter(_ours(folder, shuffle=BUFFER))),
                lambda: _last(_peer(folder, shuffle=BUFFER)),
                1.5,
            ),
            (
                "going on at 90 % of a shuffled epoch",
                go_on,
                lambda: _last(itertools.islice(_peer(folder, shuffle=BUFFER), passed, None)),
                5.0,
            ),
        ]
        rows = []
        for title, ours, peer, target in cases:
            ours_s, peer_s = interleave(ours, peer, repeats=repeats, warmup=1)
            read = count - passed if title.startswith("going") else count
            made = row(
                f"{title}, {count} samples, against webdataset",
                ours_s,
                peer_s,
                target=f">= {target:g} x faster",
                reached=peer_s / ours_s >= target,
            )
            rows.append(made | {"samples_per_s": read / ours_s, "peer_samples_per_s": read / peer_s})
    return rows
