"""Distances to the boundary of the own label, run by run."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from shapewright.geometry._distance_kernels import Floats, lower_envelope


@njit(cache=True, nogil=True)
def label_row_costs(labels: NDArray[Any], cost: Floats, out: Floats, first: int, last: int) -> None:
    """Write the cost of the distance along the row to the nearest pixel of another label; the tasks are the rows."""
    width = labels.shape[1]
    for y in range(first, last):
        end = 0
        while end < width:
            start = end
            while end < width and labels[y, end] == labels[y, start]:
                end += 1
            for x in range(start, end):
                left = x - start + 1 if start > 0 else width
                right = end - x if end < width else width
                out[y, x] = cost[min(left, right)]


@njit(cache=True, nogil=True)
def label_column_costs(labels: NDArray[Any], costs: Floats, cost: Floats, root: bool, first: int, last: int) -> None:
    """Replace each run of equal labels in each column of ``costs`` [N, length, X] by its lower envelope.

    The pixels next to the run count 0; those beyond them are farther than they are. The tasks are the N * X columns.
    """
    _, length, width = costs.shape
    values, best = np.empty((length + 2, 1), np.float32), np.empty((length + 2, 1), np.float32)
    where = np.empty((length + 2, 1), np.int32)
    low, high = np.empty(length + 2, np.int32), np.empty(length + 2, np.int32)
    for task in range(first, last):
        n, x = task // width, task % width
        end = 0
        while end < length:
            start = end
            while end < length and labels[n, end, x] == labels[n, start, x]:
                values[end - start + 1, 0] = costs[n, end, x]
                end += 1
            values[0, 0] = 0 if start > 0 else np.inf
            values[end - start + 1, 0] = 0 if end < length else np.inf
            lower_envelope(values[: end - start + 2], 1, cost, False, best, where, low, high)
            for y in range(start, end):
                value = best[y - start + 1, 0]
                costs[n, y, x] = np.sqrt(value) if root else value
