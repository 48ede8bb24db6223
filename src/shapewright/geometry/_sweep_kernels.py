"""Chebyshev and taxicab distances in whole steps, by one sweep forth and one back along each axis.

A shortest path to the background runs along the row first, then from line to line: straight down or also diagonally.
So a line takes the smallest of its neighbour line's values plus one, each sweep reads every value a constant number of
times, and nothing in a line waits for its left neighbour: the lines run as vector instructions. Most distances are
short; they are counted in single bytes, of which a vector holds most (:func:`is_near`). Rows in which no pixel is
farther than 1 from the background are done after the first scan.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from shapewright.geometry._distance_kernels import doubled_row_costs

Mask = NDArray[np.uint8]


@njit(cache=True, nogil=True)
def is_near(mask: Mask, side: int) -> bool:
    """Return whether every box of a grid of boxes of that ``side`` in ``mask`` [N, Z, Y, X] holds background.

    A box on the border that the image cuts does not count, unless the whole image is thinner than the box.
    """
    _, depth, height, width = mask.shape
    for n in range(mask.shape[0]):
        for z in range(0, max(1, depth - side + 1), side):
            for y in range(0, max(1, height - side + 1), side):
                for x in range(0, max(1, width - side + 1), side):
                    if _is_full(mask[n, z : z + side, y : y + side, x : x + side]):
                        return False
    return True


@njit(cache=True, nogil=True)
def _is_full(box: Mask) -> bool:
    for z in range(box.shape[0]):
        for y in range(box.shape[1]):
            full = np.uint8(1)
            for x in range(box.shape[2]):
                full &= box[z, y, x]
            if not full:
                return False
    return True


@njit(cache=True, nogil=True)
def plane_steps(
    mask: Mask, none: Any, diagonal: bool, steps: NDArray[Any], most: NDArray[Any], first: int, last: int
) -> None:
    """Write the steps to the background within each plane of ``mask`` [planes, rows, X], ``none`` if it has none.

    ``most`` [planes, rows] receives the largest number of steps within each row. The tasks are the planes.
    """
    _, rows, width = mask.shape
    for plane in range(first, last):
        doubled_row_costs(mask[plane], none, None, steps[plane], most[plane], 0, rows)
        lines = steps[plane].reshape(1, rows, 1, width)
        sweep(lines, most[plane].reshape(1, rows, 1), diagonal, 0, 1)


@njit(cache=True, nogil=True)
def sweep(steps: NDArray[Any], most: NDArray[Any], diagonal: bool, first: int, last: int) -> None:
    """Lower each plane of ``steps`` [N, planes, rows, X], integers, to one more than the planes before and after it.

    If ``diagonal``, to one more than the smallest of the 3 x 3 values there. Rows with ``most`` 1 [N, planes, rows]
    stay as they are: nothing but background is nearer. The tasks are the N images.
    """
    _, planes, rows, width = steps.shape
    reached = np.full(width + 2, np.iinfo(steps.dtype).max, steps.dtype)
    for n in range(first, last):
        for turn in range(2 * (planes - 1)):
            back = turn >= planes - 1
            target = 2 * (planes - 1) - 1 - turn if back else turn + 1
            origin = target + 1 if back else target - 1
            for y in range(rows):
                if most[n, target, y] <= 1:
                    continue
                before, after = (max(y - 1, 0), min(y + 1, rows - 1)) if diagonal else (y, y)
                for x in range(width):
                    a, b, c = steps[n, origin, before, x], steps[n, origin, y, x], steps[n, origin, after, x]
                    least = a if a < b else b
                    reached[x + 1] = (least if least < c else c) + 1
                for x in range(width):
                    value, least = steps[n, target, y, x], reached[x + 1]
                    if diagonal:
                        a, c = reached[x], reached[x + 2]
                        least = least if least < a else a
                        least = least if least < c else c
                    steps[n, target, y, x] = value if value < least else least


@njit(cache=True, nogil=True)
def write_distances(
    steps: NDArray[Any],
    none: Any,
    most: NDArray[Any],
    spacing: np.float32,
    distances: NDArray[np.float32],
    first: int,
    last: int,
) -> None:
    """Write the steps [rows, X] as distances, infinite for ``none``; rows with ``most`` 0 are left alone."""
    for y in range(first, last):
        if most[y] > 0:
            row, out = steps[y], distances[y]
            for x in range(len(row)):
                out[x] = np.float32(np.inf) if row[x] == none else row[x] * spacing
