"""Shards for the tests, written by the standard library's tarfile."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np


def stripe_bytes(number, size=8):
    buffer = io.BytesIO()
    np.save(buffer, np.full(size, number, np.float32))
    return buffer.getvalue()


def add(archive, name, content, **info):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for key, value in info.items():
        setattr(member, key, value)
    archive.addfile(member, io.BytesIO(content))


def write_shard(path, numbers, *, format=tarfile.USTAR_FORMAT, key="s{:04d}"):
    """Samples of the given numbers: a stripe, a word, metadata with the number; every third without its word."""
    with tarfile.open(path, "w", format=format) as archive:
        for number in numbers:
            name = key.format(number)
            add(archive, f"{name}.left.npy", stripe_bytes(number))
            if number % 3:
                add(archive, f"{name}.txt", LETTERS[number % 26].encode() + b"ab")
            add(archive, f"{name}.json", json.dumps({"number": number, "class": number % 5}).encode())


def write_shards(folder, sizes):
    """Shards of these sizes; samples are numbered through."""
    folder.mkdir(parents=True, exist_ok=True)
    start = 0
    for index, size in enumerate(sizes):
        write_shard(folder / f"part-{index:03d}.tar", range(start, start + size))
        start += size
    return folder


LETTERS = "abcdefghijklmnopqrstuvwxyz"
SLOTS = {"slots": {"left": "left.npy", "word": "txt"}, "modalities": {"left": "stripe"}}
