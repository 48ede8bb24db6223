"""Run a kernel over a range of independent tasks, on as many threads as Numba is set to use.

Kernels that release the interpreter's lock are called from plain Python threads rather than compiled with
``parallel=True``: they can then run in the forked workers of a data loader, and several at the same time.
"""

import threading
from collections.abc import Callable
from itertools import pairwise

import numba

WORTH_A_THREAD = 1 << 17
"""Pixels below which starting a thread costs more than it saves."""


def in_threads(kernel: Callable[[int, int], object], tasks: int, pixels: int) -> None:
    """Call ``kernel(first, last)`` on consecutive parts of ``range(tasks)``, which together touch ``pixels``."""
    parts = min(tasks, pixels // WORTH_A_THREAD)
    parts = min(parts, numba.get_num_threads()) if parts > 1 else 1  # asking starts Numba's own threads
    bounds = [tasks * part // parts for part in range(parts + 1)]
    threads = [threading.Thread(target=kernel, args=part) for part in pairwise(bounds[1:])]
    for thread in threads:
        thread.start()
    kernel(0, bounds[1])
    for thread in threads:
        thread.join()
