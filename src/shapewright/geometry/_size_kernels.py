"""The two nearest background pixels of every pixel, and the object size after every single flip."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@njit(cache=True, nogil=True)
def two_nearest_along(distances: Floats, sources: Ints, cost: Floats, first: int, last: int) -> None:
    """Extend the two nearest sources of each pixel, in the Chebyshev distance, along one more axis.

    ``distances`` and ``sources`` are [N, 2, A, length, B], sorted along the second axis and updated in place; a
    missing source is -1, infinitely far. The tasks are the N * A * B columns. Looking outwards from a pixel ends where
    the axis alone is as far as its second source, so that a pixel costs as many steps as its distance has pixels.
    """
    _, _, above, length, below = distances.shape
    near, near_source = np.empty((length, 2), np.float32), np.empty((length, 2), np.int64)
    for task in range(first, last):
        n, a, b = task // (above * below), task // below % above, task % below
        for y in range(length):
            for rank in range(2):
                near[y, rank] = distances[n, rank, a, y, b]
                near_source[y, rank] = sources[n, rank, a, y, b]
        for y in range(length):
            d1, d2 = near[y, 0], near[y, 1]
            s1, s2 = near_source[y, 0], near_source[y, 1]
            step = 1
            while step < length and cost[step] < d2:
                for other in (y - step, y + step):
                    if other < 0 or other >= length:
                        continue
                    for rank in range(2):
                        distance = max(near[other, rank], cost[step])
                        if distance < d1:
                            d1, d2, s1, s2 = distance, d1, near_source[other, rank], s1
                        elif distance < d2:
                            d2, s2 = distance, near_source[other, rank]
                step += 1
            distances[n, 0, a, y, b], distances[n, 1, a, y, b] = d1, d2
            sources[n, 0, a, y, b], sources[n, 1, a, y, b] = s1, s2


@njit(cache=True, nogil=True)
def flipped_radii(
    distances: Floats,
    sources: Ints,
    levels: Floats,
    spacing: NDArray[np.float64],
    full: float,
    out: Floats,
    first: int,
    last: int,
) -> None:
    """Write the largest distance to the background after the flip of each pixel.

    ``distances`` and ``sources`` are [N, 2, Z, Y, X], ``out`` is [N, Z, Y, X] and ``levels`` holds all values that a
    distance can take, in rising order. ``full`` is the result for an image that the flip leaves without background.
    The tasks are the N images.
    """
    _, _, depth, height, width = distances.shape
    boxes = np.empty((len(levels), 3, 2), np.int64)
    for n in range(first, last):
        d1, d2, s1 = distances[n, 0], distances[n, 1], sources[n, 0].reshape(-1)
        grown = out[n].reshape(-1)
        grown[:] = 0
        boxes[:, :, 0], boxes[:, :, 1] = max(depth, height, width), -1
        top = 0
        for z in range(depth):
            for y in range(height):
                for x in range(width):
                    level = np.searchsorted(levels, d1[z, y, x])
                    top = max(top, level)
                    for axis, position in enumerate((z, y, x)):
                        boxes[level, axis, 0] = min(boxes[level, axis, 0], position)
                        boxes[level, axis, 1] = max(boxes[level, axis, 1], position)
                    source = s1[(z * height + y) * width + x]
                    if source >= 0 and d1[z, y, x] < d2[z, y, x]:
                        grown[source] = max(grown[source], d2[z, y, x])
        for level in range(top - 1, -1, -1):
            for axis in range(3):
                boxes[level, axis, 0] = min(boxes[level, axis, 0], boxes[level + 1, axis, 0])
                boxes[level, axis, 1] = max(boxes[level, axis, 1], boxes[level + 1, axis, 1])
        for z in range(depth):
            for y in range(height):
                for x in range(width):
                    if d1[z, y, x] > 0:
                        out[n, z, y, x] = _radius_with_hole(boxes, levels, top, spacing, (z, y, x))
                    elif np.isinf(out[n, z, y, x]):
                        out[n, z, y, x] = full
                    else:
                        out[n, z, y, x] = max(out[n, z, y, x], levels[top])


@njit(cache=True, nogil=True)
def _radius_with_hole(
    boxes: Ints, levels: Floats, top: int, spacing: NDArray[np.float64], hole: tuple[int, int, int]
) -> np.float32:
    """Return the largest distance to the background if the pixel ``hole`` becomes background.

    That is the maximum over the levels r of min(r, farthest pixel from the hole at the distance r or more). The first
    rises with r and the second, which only depends on the bounding box of those pixels, falls: bisection.
    """
    low, high = 0, top + 1  # the level low is at most the farthest distance, the level high is not
    while high - low > 1:
        middle = (low + high) // 2
        if _farthest(boxes[middle], spacing, hole) >= levels[middle]:
            low = middle
        else:
            high = middle
    if high > top:
        return np.float32(levels[low])
    return np.float32(max(levels[low], _farthest(boxes[high], spacing, hole)))


@njit(cache=True, nogil=True)
def _farthest(box: Ints, spacing: NDArray[np.float64], pixel: tuple[int, int, int]) -> np.float32:
    """Return the Chebyshev distance from a pixel to the farthest pixel of a box."""
    farthest = np.float32(0)
    for axis, position in enumerate(pixel):
        difference = max(position - box[axis, 0], box[axis, 1] - position)
        farthest = max(farthest, np.float32(difference * spacing[axis]))
    return farthest
