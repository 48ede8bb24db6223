"""Soft erosion and dilation: the product of the probabilities at given offsets, and its gradient.

The erosion by n pixels is the product of n probabilities, each once; the dilation is one minus the product of the
complements. For independent pixels both are exact expectations. Kernels read neighbours where they lie: memory is a
few copies of a block, whatever the element.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import is_tensor
from shapewright.boolean import Expression, all_of, any_of, pixel
from shapewright.boolean._blocks import (
    CHUNK,
    Cut,
    aligned,
    as_plane_offset,
    as_planes,
    cut,
    flat_distances,
    inner_range,
    load_pixels,
    store_pixels,
)
from shapewright.boolean._jit import for_each_block, kernel
from shapewright.boolean.filter import on_gpu
from shapewright.morphology.elements import Offsets

_THREADED_WORK = 1 << 22  # pixels times offsets; below, starting threads costs more than the work


def soft_erosion(image: Any, offsets: Offsets, outside: float) -> Any:
    """Return the product of an image's probabilities at the offsets, the same kind out as in."""
    if not is_tensor(image):
        computed = image if image.dtype in (np.float32, np.float64) else image.astype(np.float32)
        return forward(computed, offsets, outside).astype(image.dtype, copy=False)
    if image.device.type != "cpu" and not on_gpu(image):
        from shapewright.boolean._soft import evaluate_with_torch

        return evaluate_with_torch(conjunction(offsets), image, outside)
    from shapewright.morphology import _torch_operators

    return _torch_operators.product(image, offsets, outside)


def soft_dilation(image: Any, offsets: Offsets, outside: float) -> Any:
    """Return one minus the product of the complements at the offsets."""
    return 1 - soft_erosion(1 - image, offsets, 1 - outside)


def forward(image: NDArray[Any], offsets: Offsets, outside: float) -> NDArray[Any]:
    """Return the product on a float32 or float64 array."""
    return _run(_product, offsets, (np.ascontiguousarray(image),), outside)


def backward(image: NDArray[Any], upstream: NDArray[Any], offsets: Offsets, outside: float) -> NDArray[Any]:
    """Return the gradient with respect to the image, given the one with respect to the result."""
    return _run(_product_gradient, offsets, (np.ascontiguousarray(image), np.ascontiguousarray(upstream)), outside)


@lru_cache(maxsize=64)
def conjunction(offsets: Offsets) -> Expression:
    """Return the expression of the erosion."""
    return all_of(pixel(*offset) for offset in offsets.pixels)


@lru_cache(maxsize=64)
def disjunction(offsets: Offsets) -> Expression:
    """Return the expression of the dilation by the mirrored element."""
    return any_of(pixel(*offset) for offset in offsets.pixels)


def _run(run: Callable[..., Any], offsets: Offsets, arrays: tuple[NDArray[Any], ...], outside: float) -> NDArray[Any]:
    out = np.empty_like(arrays[0])
    if not out.size:
        return out
    planes = as_planes(out.shape, offsets.spatial_dims)
    sizes, distances = _prepared(offsets, planes, len(arrays))
    views = [array.reshape(planes) for array in (*arrays, out)]
    threads = None if out.size * len(distances) > _THREADED_WORK else 1
    for_each_block(lambda *units: run(*views, distances, sizes, outside, *units), planes[0] * sizes.blocks, threads)
    return out


@lru_cache(maxsize=256)
def _prepared(offsets: Offsets, planes: tuple[int, int, int, int], margins: int) -> tuple[Cut, NDArray[np.int64]]:
    """Return how to cut images of a shape, and the distances of an element's pixels in the blocks."""
    points = [as_plane_offset(offset) for offset in offsets.pixels]
    sizes = cut(planes, points, 1, margins)
    return sizes, flat_distances(sizes, points, 1)


@kernel
def _product(image: Any, out: Any, distances: Any, cut: Cut, outside: float, first: int, last: int) -> None:
    flat, result = aligned(cut.size, image), aligned(cut.size, image)
    start, stop = inner_range(cut)
    for unit in range(first, last):
        load_pixels(image, unit, cut, outside, flat)
        for base in range(start, stop, CHUNK):
            at = np.uint64(base)
            for i in range(np.uint64(CHUNK)):
                result[at + i] = image.dtype.type(1)
            _multiply(flat, base, distances, result)
        store_pixels(result, unit, cut, out)


@kernel
def _multiply(flat: Any, base: int, distances: Any, result: Any) -> None:
    """Multiply a chunk of the result by the values at the distances, four at a time."""
    at = np.uint64(base)
    fours = distances.size // 4 * 4
    for k in range(0, fours, 4):
        a, b = np.uint64(base + distances[k]), np.uint64(base + distances[k + 1])
        c, d = np.uint64(base + distances[k + 2]), np.uint64(base + distances[k + 3])
        for i in range(np.uint64(CHUNK)):
            result[at + i] *= (flat[a + i] * flat[b + i]) * (flat[c + i] * flat[d + i])
    for k in range(fours, distances.size):
        a = np.uint64(base + distances[k])
        for i in range(np.uint64(CHUNK)):
            result[at + i] *= flat[a + i]


@kernel
def _product_gradient(
    image: Any, upstream: Any, out: Any, distances: Any, cut: Cut, outside: float, first: int, last: int
) -> None:
    """Compute the gradient without dividing by zero.

    A pixel that is not zero receives the products of the neighbourhoods it is in, divided by its value. A zero pixel
    receives something only from neighbourhoods in which it is the one zero: the product of the others.
    """
    zero, one = image.dtype.type(0), image.dtype.type(1)
    tiny = image.dtype.type(1e-30)  # smaller values count as zeros: dividing by them could overflow
    flat, received = aligned(cut.size, image), aligned(cut.size, image)
    without_zero = aligned(cut.size, image)  # gradient times product, where the neighbourhood has no zero
    with_one_zero = aligned(cut.size, image)  # gradient times product of the rest, where it has one
    total = aligned(CHUNK, image)
    start, stop = inner_range(cut)
    beside = cut.margin // 2 * cut.plane + cut.guard // 2
    for unit in range(first, last):
        load_pixels(upstream, unit, cut, 0.0, received)
        load_pixels(image, unit, cut, outside, flat)
        without_zero[:] = zero
        with_one_zero[:] = zero
        zeros = _zeros_inside(flat, unit, cut, image.shape, outside < tiny, tiny)
        for base in range(start - beside, stop + beside, CHUNK):
            if zeros:
                _products_with_zeros(flat, base, distances, received, without_zero, with_one_zero)
            else:
                at = np.uint64(base)
                for i in range(np.uint64(CHUNK)):
                    without_zero[at + i] = received[at + i]
                _multiply(flat, base, distances, without_zero)
        for base in range(start, stop, CHUNK):
            at = np.uint64(base)
            _sum_mirrored(without_zero, base, distances, total)
            for i in range(np.uint64(CHUNK)):
                received[at + i] = total[i] / (flat[at + i] if flat[at + i] >= tiny else one)
            if zeros:
                _sum_mirrored(with_one_zero, base, distances, total)
                for i in range(np.uint64(CHUNK)):
                    received[at + i] = received[at + i] if flat[at + i] >= tiny else total[i]
        store_pixels(received, unit, cut, out)


@kernel
def _zeros_inside(flat: Any, unit: int, cut: Cut, shape: Any, outside_is_zero: bool, tiny: Any) -> int:
    """Count the zeros of a block that are pixels of the image.

    Those outside need no care: a neighbourhood with one has the product 0, and gives the pixels of the image nothing.
    """
    zeros = 0
    for i in range(np.uint64(flat.size)):
        zeros += flat[i] < tiny
    if outside_is_zero:
        first = (unit % cut.blocks) * cut.planes - cut.margin
        planes = min(first + cut.planes + 2 * cut.margin, shape[1]) - max(first, 0)
        zeros -= flat.size - planes * shape[2] * shape[3]
    return zeros


@kernel
def _products_with_zeros(
    flat: Any, base: int, distances: Any, received: Any, without_zero: Any, with_one_zero: Any
) -> None:
    """Multiply the gradients of a chunk by their products without zeros, kept apart by the number of zeros."""
    zero, one = flat.dtype.type(0), flat.dtype.type(1)
    tiny = flat.dtype.type(1e-30)
    product = np.empty(CHUNK, flat.dtype)
    count = np.empty(CHUNK, flat.dtype)
    at = np.uint64(base)
    for i in range(np.uint64(CHUNK)):
        product[i] = received[at + i]
        count[i] = zero
    for distance in distances:
        source = np.uint64(base + distance)
        for i in range(np.uint64(CHUNK)):
            is_zero = flat[source + i] < tiny
            product[i] *= one if is_zero else flat[source + i]
            count[i] += one if is_zero else zero
    for i in range(np.uint64(CHUNK)):
        without_zero[at + i] = product[i] if count[i] == zero else zero
        with_one_zero[at + i] = product[i] if count[i] == one else zero


@kernel
def _sum_mirrored(values: Any, base: int, distances: Any, total: Any) -> None:
    """Sum, for a chunk, the values of all neighbourhoods that a pixel is in."""
    for i in range(np.uint64(CHUNK)):
        total[i] = 0
    fours = distances.size // 4 * 4
    for k in range(0, fours, 4):
        a, b = np.uint64(base - distances[k]), np.uint64(base - distances[k + 1])
        c, d = np.uint64(base - distances[k + 2]), np.uint64(base - distances[k + 3])
        for i in range(np.uint64(CHUNK)):
            total[i] += (values[a + i] + values[b + i]) + (values[c + i] + values[d + i])
    for k in range(fours, distances.size):
        a = np.uint64(base - distances[k])
        for i in range(np.uint64(CHUNK)):
            total[i] += values[a + i]
