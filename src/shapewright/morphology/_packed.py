"""Exact dilation and erosion of packed images."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.boolean._bits import aligned_pixels, shifted_pair
from shapewright.boolean._blocks import (
    Cut,
    aligned,
    as_plane_offset,
    as_planes,
    cut,
    load_bits,
    load_words,
    store_bits,
    store_words,
)
from shapewright.boolean._jit import for_each_block, kernel
from shapewright.boolean.packed import PackedImage
from shapewright.morphology._plan import ADD, ADD_SHIFTED, RESULT, SOURCE, plan, step_table
from shapewright.morphology.elements import Offsets

Words = NDArray[np.uint64]
Pixels = NDArray[np.uint8]
Steps = NDArray[np.uint64]

THREADED_WORK = 1 << 20  # words times passes; below, starting threads costs more than the work


def union_of_shifts(image: PackedImage, offsets: Offsets, *, outside: bool, complement: bool) -> PackedImage:
    """Return where any pixel at the offsets is set; with ``complement``, where all of them are.

    The second is the first on the complement, complemented; ``outside`` is the value before that.
    """
    out = np.empty_like(image.words)
    planes = as_planes(image.shape, image.spatial_dims)
    if 0 not in planes:
        words, goal = image.words.reshape(*planes[:3], -1), out.reshape(*planes[:3], -1)
        sizes, steps, count = _prepared(offsets, planes)
        beyond = outside != complement
        _for_each_block(
            lambda *units: _run_words(words, goal, steps, count, sizes, beyond, complement, *units),
            planes,
            sizes,
            steps,
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
        sizes, steps, count = _prepared(offsets, planes)
        beyond = outside != complement
        _for_each_block(
            lambda *units: _run_pixels(pixels, goal, planes, steps, count, sizes, beyond, complement, *units),
            planes,
            sizes,
            steps,
        )
    return out


def _for_each_block(
    run: Callable[[int, int], None], planes: tuple[int, int, int, int], sizes: Cut, steps: Steps
) -> None:
    work = sizes.size * sizes.blocks * planes[0] * len(steps)
    for_each_block(run, planes[0] * sizes.blocks, None if work > THREADED_WORK else 1)


@lru_cache(maxsize=256)
def _prepared(offsets: Offsets, planes: tuple[int, int, int, int]) -> tuple[Cut, Steps, int]:
    """Return how to cut images of a shape, the passes of an element on the blocks, and how many buffers they use."""
    points = frozenset(as_plane_offset(pixel) for pixel in offsets.pixels)
    sizes = cut(planes, points, 64)
    steps = step_table(plan(points), sizes)
    return sizes, steps, 1 + max(RESULT, int(steps[:, 1].max()))


# Two kernels and not one, so that a first call compiles only what it needs. ``beyond`` is the value outside the image
# after complementing.


@kernel
def _run_words(
    words: Words, out: Words, steps: Any, count: int, cut: Cut, beyond: bool, flip: bool, first: int, last: int
) -> None:
    """Run the passes on the blocks ``first`` to ``last``, from words to words."""
    buffers = aligned(count * cut.size, steps).reshape(count, cut.size)
    source, result = buffers[SOURCE], buffers[RESULT]
    for unit in range(first, last):
        load_words(words, unit, cut, beyond, flip, unit > first and unit % cut.blocks != 0, source)
        run_passes(buffers, steps)
        store_words(result, unit, cut, flip, out)


@kernel
def _run_pixels(
    pixels: Pixels,
    out: Pixels,
    shape: Any,
    steps: Any,
    count: int,
    cut: Cut,
    beyond: bool,
    flip: bool,
    first: int,
    last: int,
) -> None:
    """Run the passes on the blocks ``first`` to ``last``, from pixels to pixels."""
    buffers = aligned(count * cut.size, steps).reshape(count, cut.size)
    source, result = buffers[SOURCE], buffers[RESULT]
    for unit in range(first, last):
        load_bits(pixels, shape, unit, cut, beyond, flip, unit > first and unit % cut.blocks != 0, source)
        run_passes(buffers, steps)
        store_bits(result, unit, cut, flip, out, shape)


@kernel
def run_passes(buffers: Any, steps: Any) -> None:
    """Compute the result's buffer from the source's; all indices are unsigned, as in the table of the passes."""
    for s in range(steps.shape[0]):
        kind, target, source = steps[s, 0], buffers[steps[s, 1]], buffers[steps[s, 2]]
        to, n = steps[s, 3], steps[s, 4] - steps[s, 3]
        a, b, c, d = to + steps[s, 5], to + steps[s, 6], to + steps[s, 7], to + steps[s, 8]
        a_next, b_next = a + np.uint64(1), b + np.uint64(1)
        shift_a, shift_b, kept = steps[s, 9], steps[s, 10], steps[s, 11]
        if kind == ADD and b == d:  # one or two
            for i in range(n):
                target[to + i] = (target[to + i] & kept) | source[a + i] | source[b + i]
        elif kind == ADD:
            for i in range(n):
                added = source[a + i] | source[b + i] | source[c + i] | source[d + i]
                target[to + i] = (target[to + i] & kept) | added
        elif kind == ADD_SHIFTED:
            for i in range(n):
                added = shifted_pair(source[a + i], source[a_next + i], shift_a)
                added |= shifted_pair(source[b + i], source[b_next + i], shift_b)
                target[to + i] = (target[to + i] & kept) | added
        elif shift_a == 0 and shift_b == 0:
            for i in range(n):
                target[to + i] = source[a + i] | source[b + i]
        elif a == b:  # the most frequent: both from the same words, which are then loaded once
            for i in range(n):
                low, high = source[a + i], source[a_next + i]
                target[to + i] = shifted_pair(low, high, shift_a) | shifted_pair(low, high, shift_b)
        elif shift_a == 0:
            for i in range(n):
                target[to + i] = source[a + i] | shifted_pair(source[b + i], source[b_next + i], shift_b)
        else:
            for i in range(n):
                added = shifted_pair(source[a + i], source[a_next + i], shift_a)
                target[to + i] = added | shifted_pair(source[b + i], source[b_next + i], shift_b)
