"""Random numbers as a function of what they are for, not of what was drawn before: so resuming is exact."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from omni.data.shuffling import mix

__all__ = ["generator", "mix", "preserved_rng", "seed_everything"]


def seed_everything(*parts: int | str) -> None:
    """Seed Python's, numpy's and torch's global generators (all devices) by ``mix(*parts)``."""
    seed = mix(*parts)
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    # torch.manual_seed would queue a call, with its stack as text, for every kind of device that is not in use
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


def generator(*parts: int | str) -> torch.Generator:
    """A fresh CPU generator seeded by ``mix(*parts)``."""
    return torch.Generator().manual_seed(mix(*parts))


@contextmanager
def preserved_rng(devices: list[int] | None = None) -> Iterator[None]:
    """Put the global generators of Python, numpy and torch back afterwards."""
    python, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=devices if devices is not None else _cuda_devices()):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy_state)


def _cuda_devices() -> list[int]:
    return [torch.cuda.current_device()] if torch.cuda.is_available() and torch.cuda.is_initialized() else []
