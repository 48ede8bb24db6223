"""Compilation settings that every kernel shares, and the threads that run kernels on blocks of an image.

Blocks run on Python threads (kernels release the GIL) and not on Numba's own threading layers: those abort the
process when two Python threads call them at once, or after a fork, as data loaders do.
"""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import numba
from numba.core import config

Function = TypeVar("Function", bound=Callable[..., Any])

_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def kernel(function: Function) -> Function:
    """Compile a function with Numba: cached on disk, without the GIL.

    Numba's cache looks at the file of the function alone: after a change of a kernel that kernels of other files
    call, delete the ``*.nbi`` and ``*.nbc`` files in ``__pycache__``.
    """
    return cast(Function, numba.njit(cache=True, nogil=True)(function))


def thread_count() -> int:
    """Return how many threads kernels may use: ``NUMBA_NUM_THREADS``, and never more than torch's, which loaders lower.

    ``numba.get_num_threads`` is not asked: it starts Numba's threads, which sets the number of torch's as well, and
    with it the last digits of a training.
    """
    count = int(vars(config)["NUMBA_NUM_THREADS"])
    torch = sys.modules.get("torch")
    return min(count, torch.get_num_threads()) if torch is not None else count


def for_each_block(block: Callable[[int, int], object], count: int, threads: int | None = None) -> None:
    """Call ``block(first, last)`` so that every number in ``range(count)`` is covered once, on several threads.

    Parameters
    ----------
    block
        A call of a compiled kernel; it must write nothing that another block reads or writes.
    count
        How many units of work there are.
    threads
        How many threads to use; by default as many as :func:`thread_count` allows.
    """
    threads = min(count, thread_count() if threads is None else threads)
    if threads <= 1:
        block(0, count)
        return
    bounds = [count * part // threads for part in range(threads + 1)]
    pool = _pool(threads - 1)
    futures = [pool.submit(block, bounds[part], bounds[part + 1]) for part in range(1, threads)]
    block(bounds[0], bounds[1])
    for future in futures:
        future.result()


def _pool(workers: int) -> ThreadPoolExecutor:
    """Return this process's pool; a forked child gets its own, because threads do not survive a fork."""
    key = (os.getpid(), workers)
    if key not in _pools:
        _pools[key] = ThreadPoolExecutor(workers, thread_name_prefix="shapewright")
    return _pools[key]
