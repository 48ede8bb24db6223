"""The two nearest background pixels of every pixel, and the object size after every single flip."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@njit(cache=True, nogil=True)
def two_nearest_along(distances: Floats, sources: Ints, cost: Floats, largest: bool, first: int, last: int) -> None:
    """Extend the two nearest sources of each pixel along one more axis.

    ``distances`` and ``sources`` are [N, 2, A, length, B], sorted along the second axis and updated in place; a
    missing source is -1, infinitely far. The axis adds its ``cost`` or, if ``largest``, the greater of both counts.
    The tasks are the N * A * B columns. Looking outwards from a pixel ends where the axis alone is as far as its second
    source, so that a pixel costs as many steps as its distance has pixels.
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
                        before = near[other, rank]
                        distance = max(before, cost[step]) if largest else before + cost[step]
                        if distance < d1:
                            d1, d2, s1, s2 = distance, d1, near_source[other, rank], s1
                        elif distance < d2:
                            d2, s2 = distance, near_source[other, rank]
                step += 1
            distances[n, 0, a, y, b], distances[n, 1, a, y, b] = d1, d2
            sources[n, 0, a, y, b], sources[n, 1, a, y, b] = s1, s2


@njit(cache=True, nogil=True)
def grow(d1: Floats, d2: Floats, source: Ints, full: float, out: Floats) -> None:
    """Write, for each background pixel, the largest distance to the background after it became foreground.

    All are [pixels]; ``d1`` and ``d2`` are the distances of each pixel's two nearest sources, ``source`` the nearest.
    """
    largest = np.float32(0)
    out[:] = 0
    for pixel in range(len(d1)):
        largest = max(largest, d1[pixel])
        if source[pixel] >= 0 and d1[pixel] < d2[pixel]:
            out[source[pixel]] = max(out[source[pixel]], d2[pixel])
    for pixel in range(len(d1)):
        out[pixel] = full if np.isinf(out[pixel]) else max(out[pixel], largest)


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
        d1 = distances[n, 0]
        grow(d1.reshape(-1), distances[n, 1].reshape(-1), sources[n, 0].reshape(-1), full, out[n].reshape(-1))
        boxes[:, :, 0], boxes[:, :, 1] = max(depth, height, width), -1
        top = 0
        for z in range(depth):
            for y in range(height):
                for x in range(width):
                    if d1[z, y, x] == 0:
                        continue  # the box of all pixels is not needed
                    level = np.searchsorted(levels, d1[z, y, x])
                    top = max(top, level)
                    for axis, position in enumerate((z, y, x)):
                        boxes[level, axis, 0] = min(boxes[level, axis, 0], position)
                        boxes[level, axis, 1] = max(boxes[level, axis, 1], position)
        for level in range(top - 1, -1, -1):
            for axis in range(3):
                boxes[level, axis, 0] = min(boxes[level, axis, 0], boxes[level + 1, axis, 0])
                boxes[level, axis, 1] = max(boxes[level, axis, 1], boxes[level + 1, axis, 1])
        for z in range(depth):
            for y in range(height):
                for x in range(width):
                    if d1[z, y, x] > 0:
                        out[n, z, y, x] = _radius_with_hole(boxes, levels, top, spacing, (z, y, x))


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


@njit(cache=True, nogil=True)
def flipped_euclidean_radii(
    distances: Floats, sources: Ints, spacing: NDArray[np.float64], full: float, out: Floats, first: int, last: int
) -> None:
    """Do as :func:`flipped_radii` for the Euclidean distance.

    The nested sets {k: d1(k) >= r} are no longer described by their boxes. A hole instead looks at the pixels from the
    innermost outwards, and stops at the first one that is no farther from the background than the best so far: at once
    for most holes, after the deeper half of the object for one in its middle.
    """
    _, _, depth, height, width = distances.shape
    for n in range(first, last):
        d1 = distances[n, 0].reshape(-1)
        radii = out[n].reshape(-1)
        grow(d1, distances[n, 1].reshape(-1), sources[n, 0].reshape(-1), full, radii)
        inside = np.flatnonzero(d1 > 0)
        inside = inside[np.argsort(-d1[inside])]
        places = np.empty((len(inside), 3), np.float32)
        for rank, pixel in enumerate(inside):
            places[rank, 0] = pixel // (height * width) * spacing[0]
            places[rank, 1] = pixel // width % height * spacing[1]
            places[rank, 2] = pixel % width * spacing[2]
        everywhere = len(inside) > 0 and np.isinf(d1[inside[0]])
        for hole in range(len(inside)):
            z, y, x = places[hole]
            best = np.float32(0)
            if everywhere:
                dz = max(z, np.float32((depth - 1) * spacing[0]) - z)
                dy = max(y, np.float32((height - 1) * spacing[1]) - y)
                dx = max(x, np.float32((width - 1) * spacing[2]) - x)
                best = np.sqrt(dz * dz + dy * dy + dx * dx)
            else:
                for rank in range(len(inside)):
                    reach = d1[inside[rank]]
                    if reach <= best:
                        break
                    dz, dy, dx = places[rank, 0] - z, places[rank, 1] - y, places[rank, 2] - x
                    best = max(best, min(reach, np.sqrt(dz * dz + dy * dy + dx * dx)))
            radii[inside[hole]] = best
