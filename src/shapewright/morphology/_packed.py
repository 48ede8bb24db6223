"""Exact dilation and erosion of packed images."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.boolean._bits import aligned_pixels, shifted_pair
from shapewright.boolean._blocks import (
    Cut,
    as_plane_offset,
    as_planes,
    cut,
    inner_range,
    load_bits,
    load_words,
    store_bits,
    store_words,
)
from shapewright.boolean._jit import for_each_block, kernel
from shapewright.boolean.packed import PackedImage
from shapewright.morphology._plan import ADD, PAIR, RESULT, SOURCE, plan, step_table
from shapewright.morphology.elements import Offsets

Words = NDArray[np.uint64]
Pixels = NDArray[np.uint8]

THREADED_WORK = 1 << 20  # words times passes; below, starting threads costs more than the work


def union_of_shifts(image: PackedImage, offsets: Offsets, *, outside: bool, complement: bool) -> PackedImage:
    """Return where any pixel at the offsets is set; with ``complement``, where all of them are.

    The second is the first on the complement, complemented; ``outside`` is the value before that.
    """
    out = np.empty_like(image.words)
    planes = as_planes(image.shape, image.spatial_dims)
    if 0 not in planes:
        words, goal = image.words.reshape(*planes[:3], -1), out.reshape(*planes[:3], -1)
        sizes, steps = _prepared(offsets, planes)
        beyond = outside != complement
        _for_each_block(
            lambda *units: _run_words(words, goal, steps, sizes, beyond, complement, *units), planes, sizes, steps
        )
    return image.with_words(out)


def union_of_shifts_of_pixels(
    image: NDArray[np.bool_], offsets: Offsets, *, outside: bool, complement: bool
) -> NDArray[np.bool_]:
    """Do the same from and to boolean arrays, packing each block as it is loaded."""
    out = aligned_pixels(image.shape)
    planes = as_planes(image.shape, offsets.spatial_dims)
    if 0 not in planes:
        pixels, goal = np.ascontiguousarray(image).reshape(-1).view(np.uint8), out.reshape(-1).view(np.uint8)
        sizes, steps = _prepared(offsets, planes)
        beyond = outside != complement
        _for_each_block(
            lambda *units: _run_pixels(pixels, goal, planes, steps, sizes, beyond, complement, *units),
            planes,
            sizes,
            steps,
        )
    return out


def _for_each_block(
    run: Callable[[int, int], None], planes: tuple[int, int, int, int], sizes: Cut, steps: NDArray[np.int64]
) -> None:
    work = sizes.size * sizes.blocks * planes[0] * len(steps)
    for_each_block(run, planes[0] * sizes.blocks, None if work > THREADED_WORK else 1)


@lru_cache(maxsize=256)
def _prepared(offsets: Offsets, planes: tuple[int, int, int, int]) -> tuple[Cut, NDArray[np.int64]]:
    """Return how to cut images of a shape, and the passes of an element on the blocks."""
    points = frozenset(as_plane_offset(pixel) for pixel in offsets.pixels)
    sizes = cut(planes, points, 64)
    return sizes, step_table(plan(points), sizes)


# Two kernels and not one, so that a first call compiles only what it needs. ``beyond`` is the value outside the image
# after complementing.


@kernel
def _run_words(words: Words, out: Words, steps: Any, cut: Cut, beyond: bool, flip: bool, first: int, last: int) -> None:
    """Run the passes on the blocks ``first`` to ``last``, from words to words."""
    buffers = np.empty((max(steps[:, 1].max(), RESULT) + 1) * cut.size, np.uint64)
    source = buffers[SOURCE * cut.size : (SOURCE + 1) * cut.size]
    result = buffers[RESULT * cut.size : (RESULT + 1) * cut.size]
    for unit in range(first, last):
        load_words(words, unit, cut, beyond, flip, unit > first and unit % cut.blocks != 0, source)
        run_passes(buffers, steps, cut)
        store_words(result, unit, cut, flip, out)


@kernel
def _run_pixels(
    pixels: Pixels, out: Pixels, shape: Any, steps: Any, cut: Cut, beyond: bool, flip: bool, first: int, last: int
) -> None:
    """Run the passes on the blocks ``first`` to ``last``, from pixels to pixels."""
    buffers = np.empty((max(steps[:, 1].max(), RESULT) + 1) * cut.size, np.uint64)
    source = buffers[SOURCE * cut.size : (SOURCE + 1) * cut.size]
    result = buffers[RESULT * cut.size : (RESULT + 1) * cut.size]
    for unit in range(first, last):
        load_bits(pixels, shape, unit, cut, beyond, flip, unit > first and unit % cut.blocks != 0, source)
        run_passes(buffers, steps, cut)
        store_bits(result, unit, cut, flip, out, shape)


@kernel
def run_passes(buffers: Any, steps: Any, cut: Cut) -> None:
    """Compute the result's buffer from the source's."""
    size = cut.size
    start, stop = inner_range(cut)
    result = buffers[RESULT * size : (RESULT + 1) * size]
    kept = np.uint64(0)  # the first addition overwrites what the block before has left
    for s in range(steps.shape[0]):
        source = buffers[steps[s, 2] * size : (steps[s, 2] + 1) * size]
        if steps[s, 0] == PAIR:
            target = buffers[steps[s, 1] * size : (steps[s, 1] + 1) * size]
            _pair(source, target, steps[s, 4], steps[s, 5])
            continue
        if steps[s, 0] == ADD:
            _add(source, result, steps[s, 3], steps[s, 4:], start, stop, kept)
        else:
            _add_shifted(source, result, steps[s, 4], steps[s, 5], start, stop, kept)
        kept = ~np.uint64(0)


@kernel
def _add(source: Any, result: Any, count: int, distances: Any, start: int, stop: int, kept: Any) -> None:
    """Add up to four shifts of the source by whole words to what is ``kept`` of a range of the result."""
    n = stop - start
    target = result[start:stop]
    at0, at1 = start + (distances[0] >> 6), start + (distances[1] >> 6)
    at2, at3 = start + (distances[2] >> 6), start + (distances[3] >> 6)
    a, b, c, d = source[at0 : at0 + n], source[at1 : at1 + n], source[at2 : at2 + n], source[at3 : at3 + n]
    if count == 1:
        for i in range(n):
            target[i] = (target[i] & kept) | a[i]
    elif count == 2:
        for i in range(n):
            target[i] = (target[i] & kept) | a[i] | b[i]
    else:
        for i in range(n):
            target[i] = (target[i] & kept) | (a[i] | b[i]) | (c[i] | d[i])


@kernel
def _add_shifted(source: Any, result: Any, first: int, second: int, start: int, stop: int, kept: Any) -> None:
    """Add two shifts of the source by any number of bits to what is ``kept`` of a range of the result."""
    n = stop - start
    target = result[start:stop]
    at_a, at_b = start + (first >> 6), start + (second >> 6)
    a, b = source[at_a : at_a + n + 1], source[at_b : at_b + n + 1]
    shift_a, shift_b = np.uint64(first & 63), np.uint64(second & 63)
    for i in range(n):
        added = shifted_pair(a[i], a[i + 1], shift_a) | shifted_pair(b[i], b[i + 1], shift_b)
        target[i] = (target[i] & kept) | added


@kernel
def _pair(source: Any, target: Any, first: int, second: int) -> None:
    """Write the union of two shifts of the source, wherever both lie in the buffer."""
    start = max(0, -(min(first, second) >> 6))
    stop = source.size - max(0, (max(first, second) >> 6) + 1)
    n = stop - start
    goal = target[start:stop]
    at_a, at_b = start + (first >> 6), start + (second >> 6)
    a, b = source[at_a : at_a + n + 1], source[at_b : at_b + n + 1]
    shift_a, shift_b = np.uint64(first & 63), np.uint64(second & 63)
    if shift_a == 0 and shift_b == 0:
        for i in range(n):
            goal[i] = a[i] | b[i]
    elif at_a == at_b:  # the most frequent: both from the same words, which are then loaded once
        for i in range(n):
            goal[i] = shifted_pair(a[i], a[i + 1], shift_a) | shifted_pair(a[i], a[i + 1], shift_b)
    elif shift_a == 0:
        for i in range(n):
            goal[i] = a[i] | shifted_pair(b[i], b[i + 1], shift_b)
    else:
        for i in range(n):
            goal[i] = shifted_pair(a[i], a[i + 1], shift_a) | shifted_pair(b[i], b[i + 1], shift_b)
