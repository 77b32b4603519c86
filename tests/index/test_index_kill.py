"""A writer that is killed at any moment leaves the state before its change or after it, never anything else."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch

from omni.index import Index

KILLS = 40
E = 8

WRITER = """
    import json, random, sys
    import numpy as np, torch
    from omni.index import Index

    place, seed, log = sys.argv[1], int(sys.argv[2]), open(sys.argv[3], "a")
    rng = random.Random(seed)

    def vector(name):
        return np.random.default_rng(int(name)).standard_normal(8).astype(np.float32)

    index = Index.open(place, write=True)
    number = 0
    while True:
        ids = set(index.ids)
        act = rng.choice(["add", "add", "delete", "replace", "compact"])
        new = [str(seed * 100_000 + number * 10 + i) for i in range(rng.randint(1, 9))]
        old = rng.sample(sorted(ids), min(len(ids), rng.randint(1, 9)))
        if act == "add":
            after = ids | set(new)
        elif act == "delete" and old:
            after = ids - set(old)
        elif act == "replace" and old:
            after = ids | set(new)
            new = new + old
        else:
            act, after = "compact", ids
        # what is about to happen is in the log before it is done
        log.write(json.dumps([sorted(ids), sorted(after)]) + chr(10))
        log.flush()
        if act in ("add", "replace"):
            rows = np.stack([vector(name) for name in new])
            index.add(torch.from_numpy(rows), ids=new, metadata=[{"id": n} for n in new], replace=act == "replace")
        elif act == "delete":
            index.delete(old)
        else:
            index.compact(kind=rng.choice(["flat", "hnsw"]))
        number += 1
        if number == 1:
            print("started", flush=True)
"""


def check(place, log):
    """The index is whole, and its items are those before or after the last change that was begun."""
    index = Index.open(place)
    assert index.verify() == []
    ids = index.ids
    assert len(ids) == len(set(ids)) == len(index)
    lines = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    before, after = json.loads(lines[-1])
    assert sorted(ids) in (before, after), (len(ids), len(before), len(after))
    assert [item["id"] for item in index.metadata] == ids
    expected = np.array([np.random.default_rng(int(name)).standard_normal(E) for name in ids], np.float32)
    np.testing.assert_array_equal(index.embeddings().numpy(), expected.reshape(-1, E))
    if ids:
        found = index.search_embeddings({"a": torch.from_numpy(expected[:3])}, k=1, exact=True)
        assert [results[0].id for results in found] == ids[:3]
    return sorted(ids) == after


@pytest.mark.slow
def test_sigkill_at_any_moment(tmp_path):
    place, log = tmp_path / "index", tmp_path / "log.jsonl"
    Index(slot="a", width=E).save(place)
    rng, states = random.Random(0), []
    for number in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(place), str(number), str(log)],
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert process.stdout is not None and process.stdout.readline() == b"started\n"
        reader = Index.open(place)  # while the writer works
        time.sleep(rng.random() * 0.15)
        process.send_signal(signal.SIGKILL)
        process.wait()
        states.append(check(place, log))
        assert len(reader.embeddings()) == len(reader.metadata) == len(reader)  # what it saw, whatever was removed
    assert len(set(states)) == 2, "no kill fell before a commit, or none after it: the moments were not random"
    Index.open(place, write=True).close()
    held = {entry["name"] for entry in json.loads((place / "index.json").read_text())["segments"]}
    assert {path.name for path in place.glob("segments/*")} == held
    assert not list(place.glob(".index.*.tmp"))
