"""Greyscale morphology: the largest and smallest value in a neighbourhood, with gradients.

These order values; :func:`~shapewright.morphology.dilation` and its siblings multiply probabilities. On the values 0
and 1 both agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import AnyArray, as_numpy, is_tensor
from shapewright.boolean._blocks import (
    CHUNK,
    Cut,
    as_plane_offset,
    as_planes,
    cut,
    flat_distances,
    inner_range,
    load_pixels,
    store_pixels,
)
from shapewright.boolean._jit import for_each_block, kernel
from shapewright.boolean.filter import is_floating, repeat
from shapewright.errors import InputError
from shapewright.morphology.elements import Offsets, element_offsets


def grey_dilation(
    image: Any, footprint: AnyArray, *, iterations: int = 1, outside: float = 0, origin: Sequence[int] | None = None
) -> Any:
    """Return the largest value under the mirrored structuring element.

    Parameters
    ----------
    image
        Floating point of any range without NaN; any leading axes.
    footprint, origin
        As in :func:`~shapewright.morphology.erosion`.
    iterations
        How many times.
    outside
        Value of pixels outside the image; ``-inf`` leaves them out.

    Returns
    -------
    The same kind. The gradient of each result goes to the first pixel, in raster order of the element, that has it.

    Notes
    -----
    *Convention*: ``scipy.ndimage.grey_dilation(image, footprint=footprint, mode="constant", cval=outside)``.

    Examples
    --------
    >>> grey_dilation(np.array([[0.1, 0.7, 0.2, 0.0]]), np.ones((1, 3), bool))
    array([[0.7, 0.7, 0.7, 0.2]])
    """
    offsets = element_offsets(footprint, origin).mirrored
    _check(image, offsets, outside)
    return repeat(lambda part: _largest(part, offsets, outside), image, iterations)


def grey_erosion(
    image: Any, footprint: AnyArray, *, iterations: int = 1, outside: float = 0, origin: Sequence[int] | None = None
) -> Any:
    """Return the smallest value under the structuring element; ``outside=inf`` leaves out what is outside.

    Parameters and results are those of :func:`grey_dilation`.

    Notes
    -----
    *Convention*: ``scipy.ndimage.grey_erosion(image, footprint=footprint, mode="constant", cval=outside)``.

    Examples
    --------
    >>> grey_erosion(np.array([[0.5, 0.7, 0.2, 0.9]]), np.ones((1, 3), bool), outside=1)
    array([[0.5, 0.2, 0.2, 0.2]])
    """
    offsets = element_offsets(footprint, origin)
    _check(image, offsets, outside)
    return repeat(lambda part: -_largest(-part, offsets, -outside), image, iterations)


def _check(image: Any, offsets: Offsets, outside: float) -> None:
    if not is_floating(image):
        raise InputError(
            "image of a greyscale operator must be floating point; binary images have erosion and dilation"
        )
    if len(image.shape) < offsets.spatial_dims:
        raise InputError(
            f"image must have at least the footprint's {offsets.spatial_dims} axes; got shape {tuple(image.shape)}"
        )
    if math.isnan(outside) or bool((image != image).any()):
        raise InputError("image and outside of a greyscale operator must not be NaN: it has no place in an order")


def _largest(image: Any, offsets: Offsets, outside: float) -> Any:
    values = as_numpy(image.detach().double() if is_tensor(image) else image, "image")
    sources = _sources(values, offsets, outside)
    if not is_tensor(image):
        return np.append(image.reshape(-1), image.dtype.type(outside))[sources]
    import torch

    extended = torch.cat([image.reshape(-1), image.new_full((1,), outside)])
    return extended[torch.from_numpy(sources).to(image.device)]


def _sources(values: NDArray[Any], offsets: Offsets, outside: float) -> NDArray[np.int64]:
    """Return for every pixel the flat number of the one that has its largest neighbour; outside comes last."""
    sources = np.empty(values.shape, np.int64)
    if not values.size:
        return sources
    computed = np.ascontiguousarray(values, np.float64)
    planes = as_planes(values.shape, offsets.spatial_dims)
    sizes, distances = _prepared(offsets, planes)
    numbers = np.arange(values.size, dtype=np.float64).reshape(planes)  # exact up to 2 ** 53 pixels
    target = np.empty(planes, np.float64)
    for_each_block(
        lambda *units: _run(computed.reshape(planes), numbers, target, distances, sizes, outside, values.size, *units),
        planes[0] * sizes.blocks,
    )
    sources[...] = target.reshape(values.shape)
    return sources


@lru_cache(maxsize=256)
def _prepared(offsets: Offsets, planes: tuple[int, int, int, int]) -> tuple[Cut, NDArray[np.int64]]:
    points = [as_plane_offset(offset) for offset in offsets.pixels]
    sizes = cut(planes, points, 1)
    return sizes, flat_distances(sizes, points, 1)


@kernel
def _run(
    image: Any, numbers: Any, out: Any, distances: Any, cut: Cut, outside: float, beyond: float, first: int, last: int
) -> None:
    flat = np.empty(cut.size, image.dtype)
    number = np.empty(cut.size, image.dtype)
    best = np.empty(CHUNK, image.dtype)
    result = np.empty(cut.size, image.dtype)
    start, stop = inner_range(cut)
    for unit in range(first, last):
        load_pixels(image, unit, cut, outside, flat)
        load_pixels(numbers, unit, cut, beyond, number)
        for base in range(start, stop, CHUNK):
            at = np.uint64(base)
            for i in range(np.uint64(CHUNK)):
                best[i] = -np.inf
                result[at + i] = -1
            for distance in distances:
                source = np.uint64(base + distance)
                for i in range(np.uint64(CHUNK)):
                    value = flat[source + i]
                    is_larger = value > best[i] or result[at + i] < 0  # or the first
                    best[i] = value if is_larger else best[i]
                    result[at + i] = number[source + i] if is_larger else result[at + i]
        store_pixels(result, unit, cut, out)
