"""Chebyshev and taxicab distances in whole steps, by one sweep forth and one back along each axis.

A shortest path to the background runs along the row first, then from line to line: straight down or also diagonally.
So a line takes the smallest of its neighbour line's values plus one, each sweep reads every value a constant number of
times, and nothing in a line waits for its left neighbour: the lines run as vector instructions.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def sweep(steps: NDArray[Any], diagonal: bool, first: int, last: int) -> None:
    """Lower each plane of ``steps`` [N, planes, rows, X], integers, to one more than the planes before and after it.

    If ``diagonal``, to one more than the smallest of the 3 x 3 values there. The tasks are the N images.
    """
    _, planes, rows, width = steps.shape
    reached = np.full(width + 2, np.iinfo(steps.dtype).max, steps.dtype)
    zero = steps.dtype.type(0)
    for n in range(first, last):
        for turn in range(2 * (planes - 1)):
            back = turn >= planes - 1
            target = 2 * (planes - 1) - 1 - turn if back else turn + 1
            origin = target + 1 if back else target - 1
            for y in range(rows):
                any_bit = zero
                for x in range(width):
                    any_bit = steps.dtype.type(any_bit | steps[n, target, y, x])
                if any_bit == 0:
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
