"""Pools of threads in which torch uses its share of the cores."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import torch

_SETTING = threading.Lock()


def torch_pool(workers: int, name: str, *, threads: int = 1) -> ThreadPoolExecutor:
    """A pool whose threads run torch's operations on few cores, so that they do not fight for them.

    Args:
        workers: threads of the pool.
        name: their names begin with it.
        threads: cores that torch uses in each.
    """
    return ThreadPoolExecutor(workers, thread_name_prefix=name, initializer=_use_cores, initargs=(threads,))


def _use_cores(threads: int) -> None:
    """torch's number of threads belongs to each thread, but the number set last is also that of threads to come: a
    thread that ends at once puts that back."""
    with _SETTING:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        restore = threading.Thread(target=torch.set_num_threads, args=(before,))
        restore.start()
        restore.join()
