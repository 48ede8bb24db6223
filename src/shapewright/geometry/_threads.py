"""Run a kernel over a range of independent tasks, on threads where the work is worth them."""

from collections.abc import Callable

from shapewright.boolean._jit import for_each_block, thread_count

WORTH_A_THREAD = 1 << 17
"""Pixels below which starting a thread costs more than it saves."""


def in_threads(kernel: Callable[[int, int], object], tasks: int, pixels: int) -> None:
    """Call ``kernel(first, last)`` on consecutive parts of ``range(tasks)``, which together touch ``pixels``."""
    for_each_block(kernel, tasks, threads=max(1, min(thread_count(), pixels // WORTH_A_THREAD)))
