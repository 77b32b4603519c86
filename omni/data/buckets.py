"""Batches of samples of like length: less padding, in an order that stays a function of the seed.

Pool sorting: the shuffled order is cut into pools of some batches, each pool is sorted by length and cut into batches,
and the batches are shuffled. Every sample is still seen once an epoch, and batches keep their size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from omni.data.shuffling import mix, permutation
from omni.errors import ConfigError, InputError
from omni.types import Sample

Ticket = TypeVar("Ticket")
POOL = 50  # batches of a pool, unless said


def sample_length(sample: Sample, by: str) -> float:
    """A length that needs no decoding: the number called ``by`` in metadata or targets; otherwise the slot's characters
    (strings), bytes (files and bytes) or entries of its first axis. 0 where the sample has no such thing."""
    for numbers in (sample.meta, sample.targets):
        value = numbers.get(by)
        if isinstance(value, str):
            value = _number(value)
        if isinstance(value, Real):
            return float(value)
    value = sample.values.get(by)
    if value is None:
        return 0.0
    if isinstance(value, Path):
        return float(value.stat().st_size) if value.is_file() else 0.0
    try:
        return float(len(value))
    except TypeError:
        return float(getattr(value, "size", None) or 0) if isinstance(getattr(value, "size", None), int) else 0.0


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def sample_lengths(samples: Iterable[Sample], by: str) -> np.ndarray:
    """(size,) float64 lengths of all samples of a map-style data set.

    Raises:
        ConfigError: no sample has such a length.
    """
    lengths = np.fromiter((sample_length(sample, by) for sample in samples), np.float64)
    if len(lengths) and not lengths.any():
        raise ConfigError(
            f"buckets by {by!r}: no sample has a number, or a slot with a length, of that name. Name a slot, or a "
            "column that holds lengths."
        )
    return lengths


def bucketed_order(order: np.ndarray, lengths: np.ndarray, *, batch: int, pool: int, seed: int | None) -> np.ndarray:
    """The indices of ``order`` rearranged so that every run of ``batch`` of them is of like length.

    Args:
        order: (size,) indices.
        lengths: by index.
        batch: samples of a (global) batch. What is left over stays at the end.
        pool: batches of a pool.
        seed: of the order of the batches; None = pool after pool, short ones first.
    """
    full = len(order) // batch * batch
    pieces = []
    for at in range(0, full, pool * batch):
        chunk = order[at : min(at + pool * batch, full)]
        pieces.append(chunk[np.argsort(lengths[chunk], kind="stable")])
    if not pieces:
        return order
    batches = np.concatenate(pieces).reshape(-1, batch)
    if seed is not None:
        batches = batches[permutation(len(batches), seed)]
    return np.concatenate([batches.reshape(-1), order[full:]])


def bucketed_batches(
    tickets: Iterable[Ticket], length: Any, *, batch: int, pool: int, seed: int, first_pool: int = 0
) -> Iterator[list[Ticket]]:
    """Batches of like length from an endless or ending stream of tickets; the last one may be smaller.

    Args:
        tickets: from the beginning of the pool number ``first_pool`` on.
        length: ticket -> its length.
        batch, pool: as of ``bucketed_order``.
        seed: of the order of a pool's batches.
        first_pool: see above.
    """
    source, number = iter(tickets), first_pool
    while chunk := list(islice(source, pool * batch)):
        lengths = np.array([length(ticket) for ticket in chunk], np.float64)
        order = bucketed_order(np.arange(len(chunk)), lengths, batch=batch, pool=pool, seed=mix(seed, "pool", number))
        for at in range(0, len(order), batch):
            yield [chunk[index] for index in order[at : at + batch]]
        number += 1


def bucket_settings(config: Mapping[str, Any] | None) -> tuple[str, int] | None:
    """(by, pool) of ``dict(by=..., pool=50)``; None without buckets.

    Raises:
        ConfigError: another setting, or a pool that is none.
    """
    if config is None:
        return None
    unknown = set(config) - {"by", "pool"}
    if unknown or "by" not in config:
        what = f"has no setting {sorted(unknown)[0]!r}" if unknown else "needs `by`"
        raise ConfigError(f"buckets {what}: dict(by='a slot or a column of lengths', pool=50).")
    pool = int(config.get("pool", POOL))
    if pool < 1:
        raise ConfigError(f"buckets: pool is {pool}; it is a number of batches.")
    return str(config["by"]), pool


def padding_share(lengths: Sequence[float], batch: int) -> float:
    """The part of a padded batch that is padding, over all full batches of a sequence of lengths."""
    full = len(lengths) // batch * batch
    table = np.asarray(lengths[:full], np.float64).reshape(-1, batch)
    longest = table.max(1, keepdims=True)
    if not longest.sum():
        raise InputError("Lengths of zero have no padding.")
    return float(1 - table.sum() / (longest.sum() * batch))
