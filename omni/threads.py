"""Pools of threads in which torch uses one core each."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import torch

_SETTING = threading.Lock()


def single_threaded_pool(workers: int, name: str) -> ThreadPoolExecutor:
    """A pool whose threads run torch's operations alone, so that several of them do not fight for the cores.

    Args:
        workers: threads.
        name: their names begin with it.
    """
    return ThreadPoolExecutor(workers, thread_name_prefix=name, initializer=_use_one_core)


def _use_one_core() -> None:
    """torch's number of threads belongs to each thread, but the number set last is also that of threads to come: a
    thread that ends at once puts that back."""
    with _SETTING:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        restore = threading.Thread(target=torch.set_num_threads, args=(before,))
        restore.start()
        restore.join()
