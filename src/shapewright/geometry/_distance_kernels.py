"""Exact distances, one axis after another.

A distance that combines its coordinate differences by a sum or a maximum can be minimised one axis at a time. Along
the last axis, two scans count the steps to the background (:func:`row_costs`). Along every other axis, pixel ``y`` of
a column takes the smallest of ``cost[|y - j|]`` combined with the value of pixel ``j``, a lower envelope
(:func:`lower_envelope`).

The envelope is found by divide and conquer: the best ``j`` never decreases with ``y`` (the costs are totally
monotone), so the pixels half-way between those already done need only look between the best ``j`` of their neighbours.
This needs n log n steps where the classical stack of parabolas needs n, but the steps of 64 neighbouring columns are
the same and run as vector instructions, which the stack cannot.

``cost[k]`` is what a difference of ``k`` pixels adds along an axis: ``(k * spacing)**2`` for the Euclidean distance,
``k * spacing`` for the Chebyshev and taxicab distances. The last one, for the length of the axis, is infinite. All
values are float32, in which squares of whole numbers are exact up to 2**24.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

LANES = 64
"""Columns that are worked on together: four cache lines, eight vector registers."""

TOGETHER = 4
"""Rows that are worked on together."""

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


@njit(cache=True, nogil=True)
def row_costs(
    labels: NDArray[Any],
    classes: NDArray[Any],
    cost: NDArray[Any],
    signed: bool,
    out: NDArray[Any],
    source: Ints | None,
    first: int,
    last: int,
) -> None:
    """Write the cost of the distance along the row to the nearest pixel that is not of the class.

    ``labels`` is [N, rows, X] and ``out`` [N, K, rows, X] for the K ``classes``; the tasks are the N * K * rows rows
    of ``out``. Pixels that are not of the class get 0 or, if ``signed``, minus the cost to the nearest pixel that is.
    ``source``, of the shape of ``out``, receives the column of the nearest pixel that is not of the class, -1 if there
    is none.
    """
    _, count, rows, width = out.shape
    inside, outside = np.empty((TOGETHER, width), np.int32), np.empty((TOGETHER, width), np.int32)
    for start in range(first, last, TOGETHER):
        tasks = min(TOGETHER, last - start)
        for i in range(tasks):
            n, k, y = (start + i) // (count * rows), (start + i) // rows % count, (start + i) % rows
            for x in range(width):
                inside[i, x] = width if labels[n, y, x] == classes[k] else 0
            if signed:
                for x in range(width):
                    outside[i, x] = width - inside[i, x]
        _steps_to_zero(inside)
        if signed:
            _steps_to_zero(outside)
        for i in range(tasks):
            n, k, y = (start + i) // (count * rows), (start + i) // rows % count, (start + i) % rows
            for x in range(width):
                value = cost[inside[i, x]]
                out[n, k, y, x] = value - cost[outside[i, x]] if signed else value
            if source is not None:
                for x in range(width):
                    steps = inside[i, x]
                    left = x >= steps and inside[i, x - steps] == 0
                    source[n, k, y, x] = -1 if steps == width else (x - steps if left else x + steps)


@njit(cache=True, nogil=True)
def doubled_row_costs(
    mask: NDArray[np.uint8],
    none: Any,
    cost: Floats | None,
    out: NDArray[Any],
    most: NDArray[Any] | None,
    first: int,
    last: int,
) -> None:
    """Write the cost of the distance along the row to the nearest 0 of ``mask`` [rows, X], uint8 of 0 and 1.

    As :func:`row_costs` for one class without source, but nothing in a row waits for its neighbour: after the pixels
    1, 2, 4, ... steps away were looked at, every distance below twice as many steps is right, and the whole row is one
    vector loop. ``none`` stands for no such pixel, and for one that is as far or farther; its integer type, which holds
    twice its value, is counted in. Without ``cost``, the number of steps is written. ``most`` [rows] receives the
    largest number of steps in each row. The tasks are the rows.
    """
    width = mask.shape[1]
    padded, shifted = np.full(3 * width, none), np.full(3 * width, none)
    steps, further, least = padded[width : 2 * width], shifted[width : 2 * width], padded[width : 2 * width].copy()
    for y in range(first, last):
        row, costs = mask[y], out[y]
        full, some = np.uint8(1), np.uint8(0)
        for x in range(width):
            full &= row[x]
            some |= row[x]
        if not some:
            costs[:] = 0
            if most is not None:
                most[y] = 0
            continue
        for x in range(width):
            steps[x] = none if row[x] else 0
            further[x] = steps[x] + 1
        reach, longest = width if full else 1, steps[0]
        while reach < width:
            left, right = shifted[width - reach : 2 * width - reach], shifted[width + reach : 2 * width + reach]
            for x in range(width):
                value, before, after = steps[x], left[x], right[x]
                value = value if value < before else before
                least[x] = value if value < after else after
            longest = least[0]
            for x in range(width):
                steps[x] = least[x]
                further[x] = least[x] + 2 * reach
                longest = longest if longest > least[x] else least[x]
            reach = width if longest < 2 * reach else 2 * reach
        for x in range(width):
            costs[x] = steps[x] if cost is None else cost[steps[x]]
        if most is not None:
            most[y] = longest


@njit(cache=True, nogil=True)
def _steps_to_zero(steps: Ints) -> None:
    """Replace every value of four rows by the distance to the row's nearest 0; the width stands for none.

    Each value waits for its neighbour's, so that four rows side by side take hardly longer than one.
    """
    width = steps.shape[1]
    for back in range(2):
        a = b = c = d = width
        for i in range(width):
            x = width - 1 - i if back else i
            a, b = min(a + 1, steps[0, x]), min(b + 1, steps[1, x])
            c, d = min(c + 1, steps[2, x]), min(d + 1, steps[3, x])
            steps[0, x], steps[1, x], steps[2, x], steps[3, x] = a, b, c, d


@njit(cache=True, nogil=True)
def lower_envelope(
    values: Floats, lanes: int, cost: Floats, largest: bool, best: Floats, where: Ints, low: Ints, high: Ints
) -> None:
    """Write ``best[y] = min over j of values[j] + cost[|y - j|]`` and its ``j`` in ``where``, in each of the lanes.

    The sum is a maximum if ``largest``. ``low`` and ``high`` are scratch: the least and the greatest ``j`` of a row.
    """
    length = values.shape[0]
    bits, cost_bits = values.view(np.int32), cost.view(np.int32)  # ordered as the values, which are not negative
    stride = 2
    while stride <= length:
        stride *= 2
    while stride > 1:
        half = stride // 2
        for y in range(half - 1, length, stride):
            top = np.int32(0)
            for lane in range(lanes):
                top = max(top, bits[y, lane])
            begin = low[y - half] if y >= half else 0
            end = high[y + half] if y + half < length else length - 1
            while begin < y and cost_bits[y - begin] > top:
                begin += 1
            while end > y and cost_bits[end - y] > top:
                end -= 1
            for lane in range(lanes):
                best[y, lane] = np.float32(np.inf)
                where[y, lane] = begin
            for j in range(begin, end + 1):
                step = cost[abs(y - j)]
                index = np.int32(j)
                for lane in range(lanes):
                    value = values[j, lane]
                    value = (value if value > step else step) if largest else value + step
                    closer = value < best[y, lane]
                    where[y, lane] = index if closer else where[y, lane]
                    best[y, lane] = value if closer else best[y, lane]
            least, greatest = where[y, 0], where[y, 0]
            for lane in range(lanes):
                least, greatest = min(least, where[y, lane]), max(greatest, where[y, lane])
            low[y], high[y] = least, greatest
        stride = half


@njit(cache=True, nogil=True)
def column_costs(
    costs: Floats, cost: Floats, largest: bool, root: bool, source: Ints | None, first: int, last: int
) -> None:
    """Replace each column of ``costs`` [N, length, X] by its lower envelope; its square root if ``root``.

    The tasks are the N * ceil(X / LANES) blocks of columns. ``source``, of the shape of ``costs``, receives the
    position along the column from which each minimum comes.
    """
    _, length, width = costs.shape
    blocks = (width + LANES - 1) // LANES
    shape = (length, min(LANES, width))
    values, best, where = np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape, np.int32)
    low, high = np.empty(length, np.int32), np.empty(length, np.int32)
    for task in range(first, last):
        n, start = task // blocks, task % blocks * LANES
        lanes = min(LANES, width - start)
        for y in range(length):
            for lane in range(lanes):
                values[y, lane] = costs[n, y, start + lane]
        lower_envelope(values, lanes, cost, largest, best, where, low, high)
        for y in range(length):
            for lane in range(lanes):
                costs[n, y, start + lane] = np.sqrt(best[y, lane]) if root else best[y, lane]
            if source is not None:
                for lane in range(lanes):
                    source[n, y, start + lane] = where[y, lane]


@njit(cache=True, nogil=True)
def signed_column_costs(
    costs: Floats, cost: Floats, finish: bool, shift_in: float, shift_out: float, first: int, last: int
) -> None:
    """Do as :func:`column_costs` (by sums) for positive and for negative values apart: each counts 0 for the other.

    If ``finish``, turn the costs into signed distances, negative where the costs are positive, each moved towards
    zero by its shift.
    """
    _, length, width = costs.shape
    blocks = (width + LANES - 1) // LANES
    shape = (length, min(LANES, width))
    values, where = np.empty(shape, np.float32), np.empty(shape, np.int32)
    inside, outside = np.empty(shape, np.float32), np.empty(shape, np.float32)
    low, high = np.empty(length, np.int32), np.empty(length, np.int32)
    for task in range(first, last):
        n, start = task // blocks, task % blocks * LANES
        lanes = min(LANES, width - start)
        for y in range(length):
            for lane in range(lanes):
                values[y, lane] = max(costs[n, y, start + lane], np.float32(0))
        lower_envelope(values, lanes, cost, False, inside, where, low, high)
        for y in range(length):
            for lane in range(lanes):
                values[y, lane] = max(-costs[n, y, start + lane], np.float32(0))
        lower_envelope(values, lanes, cost, False, outside, where, low, high)
        for y in range(length):
            for lane in range(lanes):
                if finish:
                    near_in, near_out = np.sqrt(inside[y, lane]), np.sqrt(outside[y, lane])
                    costs[n, y, start + lane] = shift_in - near_in if near_in > 0 else near_out - shift_out
                else:
                    costs[n, y, start + lane] = inside[y, lane] - outside[y, lane]


@njit(cache=True, nogil=True)
def follow_sources(sources: Ints, out: Ints, first: int, last: int) -> None:
    """Turn the source along each axis into the coordinates of the nearest pixel.

    Both are [N, dims, Z, Y, X] with dims 2 (then Z is 1) or 3; the tasks are the N * Z planes.
    """
    _, dims, depth, height, width = sources.shape
    for task in range(first, last):
        n, z = task // depth, task % depth
        for y in range(height):
            for x in range(width):
                from_z = sources[n, 0, z, y, x] if dims == 3 else z
                from_y = sources[n, dims - 2, from_z, y, x]
                if dims == 3:
                    out[n, 0, z, y, x] = from_z
                out[n, dims - 2, z, y, x] = from_y
                out[n, dims - 1, z, y, x] = sources[n, dims - 1, from_z, from_y, x]
