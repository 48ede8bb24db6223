"""The thinning of ``_thinning`` as a polynomial on probabilities, with its gradient.

One iteration on an image x: candidates c = border and not end, computed on x; then for each subfield s in turn
``x <- x (1 - c S(x))`` on the pixels of s, where S is the exact probability that the neighbours make a pixel simple.
On 0 and 1 that is the binary thinning.

Pixels are stored by subfield, so that each step works on long ranges; a neighbour of a subfield's pixel lies at a
constant distance in another subfield's range. The gradient needs one image per iteration: a pixel changes once in an
iteration, so the states between its steps are put together from the images before and after.

Threads share the images, or where those are fewer the blocks of a range. Gradients reach into the neighbouring blocks:
every other block is done first, so that no two threads write to one place, and sums have one order.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import is_tensor
from shapewright.boolean import Expression, Filter, all_of, at_least, pixel
from shapewright.boolean._blocks import CHUNK, aligned
from shapewright.boolean._jit import for_each_block, kernel, thread_count
from shapewright.boolean._machine import polynomial, pull_back
from shapewright.boolean._program import program
from shapewright.morphology.simple import simple_expression

Floats = NDArray[Any]

_BLOCK = 1 << 13  # items; smaller blocks would cost more to hand out than they take
_THREADED_GATES = 1 << 22  # pixels of a subfield times gates; below, starting threads costs more than the work


class Rule(NamedTuple):
    """A program, as in ``boolean._program``, and the distances of its pixels in the layout of one image shape."""

    gates: NDArray[np.int64]
    slots: int
    gradients: NDArray[np.int64]
    places: int
    distances: NDArray[np.int64]  # [subfields, pixels]


class Rules(NamedTuple):
    """The two programs of a thinning, and the layout of one image shape."""

    candidate: Rule
    simple: Rule
    starts: NDArray[np.int64]  # first item of every subfield's range
    length: int  # items in a range, a multiple of the chunk
    size: int  # items in a buffer
    block: int  # items in a block of a range, more than neighbours of its two ends are apart
    blocks: int  # blocks in a range


def soft_skeleton(image: Any, spatial_dims: int, iterations: int) -> Any:
    """Return the polynomial of the thinning on an image of probabilities, the same kind out as in."""
    if is_tensor(image):
        from shapewright.morphology import _torch_operators

        return _torch_operators.skeleton(image, spatial_dims, iterations)
    computed = image if image.dtype in (np.float32, np.float64) else image.astype(np.float32)
    return forward(computed, spatial_dims, iterations)[0].astype(image.dtype, copy=False)


def forward(image: Floats, spatial_dims: int, iterations: int) -> tuple[Floats, Floats]:
    """Return the thinned image and the images before every iteration, [images, iterations + 1, size]."""
    volumes, rules = _prepared(image, spatial_dims, reuse_slots=True)
    history = np.zeros((len(volumes), iterations + 1, rules.size), image.dtype)
    _by_subfield(volumes, history[:, 0], rules, into_ranges=True)

    def thin(first: int, last: int, threads: int | None) -> None:
        part = history[first:last]
        for iteration in range(iterations):
            part[:, iteration + 1] = part[:, iteration]
            for field in range(len(rules.starts)):
                step = partial(_thin_field, part, rules, iteration, field)
                for_each_block(step, len(part) * rules.blocks, threads)

    _on_threads(thin, len(volumes), rules)
    out = np.empty_like(volumes)
    _by_subfield(out, history[:, -1], rules, into_ranges=False)
    return out.reshape(image.shape), history


def backward(upstream: Floats, history: Floats, spatial_dims: int) -> Floats:
    """Return the gradient with respect to the image, given the one with respect to the result."""
    volumes, rules = _prepared(upstream, spatial_dims, reuse_slots=False)
    received = np.zeros((len(volumes), rules.size), upstream.dtype)
    _by_subfield(volumes, received, rules, into_ranges=True)

    def thin_backwards(first: int, last: int, threads: int | None) -> None:
        gradient, part = received[first:last], history[first:last]
        seed = np.zeros_like(gradient)  # the gradients of the candidates
        fields = range(len(rules.starts))
        for iteration in reversed(range(history.shape[1] - 1)):
            state = part[:, iteration + 1].copy()
            for field, odd in itertools.product(reversed(fields), (0, 1)):
                step = partial(_thin_field_backwards, part, state, gradient, seed, rules, iteration, field, odd)
                for_each_block(step, len(part) * ((rules.blocks + 1 - odd) // 2), threads)
            for field, odd in itertools.product(fields, (0, 1)):
                step = partial(_candidates_backwards, part, gradient, seed, rules, iteration, field, odd)
                for_each_block(step, len(part) * ((rules.blocks + 1 - odd) // 2), threads)

    _on_threads(thin_backwards, len(volumes), rules)
    out = np.empty_like(volumes)
    _by_subfield(out, received, rules, into_ranges=False)
    return out.reshape(upstream.shape)


def _on_threads(run: Callable[[int, int, int | None], None], images: int, rules: Rules) -> None:
    """Run on ranges of images, one thread each, or where they are few and large on all with all threads."""
    if images < thread_count() and rules.length * len(rules.simple.gates) > _THREADED_GATES:
        run(0, images, None)
    else:
        for_each_block(lambda first, last: run(first, last, 1), images)


def history_shape(shape: Sequence[int], spatial_dims: int) -> tuple[int, int]:
    """Return how many images a shape holds, and the size of the buffer of one; sizes may be symbolic."""
    leading = len(shape) - spatial_dims
    return math.prod(shape[:leading]), _layout(shape[leading:])[2]


def _layout(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return the sizes of the room between two ranges, of a range and of a buffer."""
    halves = [size // 2 + 2 for size in shape]
    length = (math.prod(halves) + CHUNK - 1) // CHUNK * CHUNK
    guard = sum(math.prod(halves[axis + 1 :]) for axis in range(len(halves))) + CHUNK
    return guard, length, guard + 2 ** len(halves) * (length + guard)


def _prepared(image: Floats, spatial_dims: int, *, reuse_slots: bool) -> tuple[Floats, Rules]:
    shape = image.shape[image.ndim - spatial_dims :]
    return np.ascontiguousarray(image).reshape(-1, *shape), _rules(shape, reuse_slots)


def _by_subfield(volumes: Floats, buffers: Floats, rules: Rules, *, into_ranges: bool) -> None:
    """Copy images into their layout by subfield, or back."""
    shape = volumes.shape[1:]
    halves = [size // 2 + 2 for size in shape]
    for number, parity in enumerate(itertools.product((0, 1), repeat=len(shape))):
        start = rules.starts[number]
        grid = buffers[:, start : start + int(np.prod(halves))].reshape(-1, *halves)
        counts = [(size - p + 1) // 2 for size, p in zip(shape, parity, strict=True)]
        inside = grid[(slice(None), *(slice(1, 1 + count) for count in counts))]
        pixels = volumes[(slice(None), *(slice(p, None, 2) for p in parity))]
        if into_ranges:
            inside[...] = pixels
        else:
            pixels[...] = inside


@lru_cache(maxsize=8)
def _rules(shape: tuple[int, ...], reuse_slots: bool) -> Rules:
    dims = len(shape)
    halves = [size // 2 + 2 for size in shape]
    strides = [int(np.prod(halves[axis + 1 :])) for axis in range(dims)]
    guard, length, size = _layout(shape)
    parities = list(itertools.product((0, 1), repeat=dims))
    starts = np.array([guard + number * (length + guard) for number in range(len(parities))], np.int64)

    def rule(expression: Expression) -> Rule:
        of = program(expression, reuse_slots)
        table = np.zeros((len(parities), len(of.offsets)), np.int64)
        for number, parity in enumerate(parities):
            for k, offset in enumerate(of.offsets):
                moved = [p + step for p, step in zip(parity, offset, strict=True)]
                other = parities.index(tuple(m % 2 for m in moved))
                flat = sum((m // 2) * stride for m, stride in zip(moved, strides, strict=True))
                table[number, k] = starts[other] - starts[number] + flat
        return Rule(of.gates, of.slots, of.gradients, of.places, table)

    apart = 2 * sum(strides) + CHUNK
    block = (max(apart, _BLOCK) + CHUNK - 1) // CHUNK * CHUNK
    blocks = (length + block - 1) // block
    return Rules(rule(_candidate(dims)), rule(simple_expression(dims)), starts, length, size, block, blocks)


@lru_cache(maxsize=2)
def _candidate(dims: int) -> Expression:
    """Return: an unset neighbour by a side, and not exactly one set neighbour; as its expectation."""
    around = [pixel(*step) for step in itertools.product((-1, 0, 1), repeat=dims) if any(step)]
    sides = [neighbour for neighbour in around if sum(map(abs, neighbour.offset)) == 1]
    end = at_least(1, around) & ~at_least(2, around)
    return Filter(~all_of(sides) & ~end).diagram.expression


@kernel
def _any(values: Any, base: int) -> bool:
    """Say whether any value of a chunk is other than 0: most chunks of a sharp map need no work."""
    found = False
    for i in range(np.uint64(CHUNK)):
        found |= values[np.uint64(base) + i] != 0
    return found


@kernel
def _range_of(rules: Rules, field: int, block: int) -> tuple[int, int]:
    """Return the items of a block of a subfield's range."""
    start = rules.starts[field] + block * rules.block
    return start, min(start + rules.block, rules.starts[field] + rules.length)


@kernel
def _thin_field(history: Any, rules: Rules, iteration: int, field: int, first: int, last: int) -> None:
    """Thin the pixels of a subfield, in the blocks ``first`` to ``last`` of all images."""
    values = aligned(max(rules.candidate.slots, rules.simple.slots) * CHUNK, history)
    of_candidate = np.uint64(rules.candidate.gates[-1, 1] * CHUNK)
    of_simple = np.uint64(rules.simple.gates[-1, 1] * CHUNK)
    share = np.empty(CHUNK, history.dtype)
    for unit in range(first, last):
        image = unit // rules.blocks
        before, state = history[image, iteration], history[image, iteration + 1]
        start, stop = _range_of(rules, field, unit % rules.blocks)
        for base in range(start, stop, CHUNK):
            if not _any(before, base):
                continue
            at = np.uint64(base)
            polynomial(before, base, rules.candidate.gates, rules.candidate.distances[field], values)
            for i in range(np.uint64(CHUNK)):
                share[i] = before[at + i] * values[of_candidate + i]
            if _any(share, 0):
                polynomial(state, base, rules.simple.gates, rules.simple.distances[field], values)
                for i in range(np.uint64(CHUNK)):
                    state[at + i] -= share[i] * values[of_simple + i]


@kernel
def _thin_field_backwards(
    history: Any,
    states: Any,
    gradients: Any,
    seeds: Any,
    rules: Rules,
    iteration: int,
    field: int,
    odd: int,
    first: int,
    last: int,
) -> None:
    """Undo a step on the even or ``odd`` blocks ``first`` to ``last`` of all images, and hand its gradients back.

    Those with respect to the candidates are kept as ``seeds``.
    """
    values = aligned(max(rules.candidate.slots, rules.simple.slots) * CHUNK, history)
    adjoint = aligned(rules.simple.places * CHUNK, history)
    adjoint[:] = 0
    of_candidate = np.uint64(rules.candidate.gates[-1, 1] * CHUNK)
    of_simple = np.uint64(rules.simple.gates[-1, 1] * CHUNK)
    candidate, share = np.empty(CHUNK, history.dtype), np.empty(CHUNK, history.dtype)
    in_image = (rules.blocks + 1 - odd) // 2
    for unit in range(first, last):
        image = unit // in_image
        before, state, gradient, seed = history[image, iteration], states[image], gradients[image], seeds[image]
        start, stop = _range_of(rules, field, 2 * (unit % in_image) + odd)
        for base in range(start, stop, CHUNK):
            at = np.uint64(base)
            for i in range(np.uint64(CHUNK)):
                state[at + i] = before[at + i]
                seed[at + i] = 0
            if not _any(gradient, base):
                continue
            polynomial(before, base, rules.candidate.gates, rules.candidate.distances[field], values)
            for i in range(np.uint64(CHUNK)):
                candidate[i] = values[of_candidate + i]
                share[i] = gradient[at + i] * before[at + i]
            if not (_any(candidate, 0) or _any(share, 0)):
                continue
            polynomial(state, base, rules.simple.gates, rules.simple.distances[field], values)
            for i in range(np.uint64(CHUNK)):
                gradient[at + i] -= gradient[at + i] * candidate[i] * values[of_simple + i]
                seed[at + i] = -share[i] * values[of_simple + i]
                adjoint[i] = -share[i] * candidate[i]
            _pull_back(rules.simple, field, values, adjoint, base, gradient)


@kernel
def _candidates_backwards(
    history: Any,
    gradients: Any,
    seeds: Any,
    rules: Rules,
    iteration: int,
    field: int,
    odd: int,
    first: int,
    last: int,
) -> None:
    """Add the gradients that reach the image through the candidates, on even or ``odd`` blocks of all images."""
    values = aligned(rules.candidate.slots * CHUNK, history)
    adjoint = aligned(rules.candidate.places * CHUNK, history)
    adjoint[:] = 0
    in_image = (rules.blocks + 1 - odd) // 2
    for unit in range(first, last):
        image = unit // in_image
        before, gradient, seed = history[image, iteration], gradients[image], seeds[image]
        start, stop = _range_of(rules, field, 2 * (unit % in_image) + odd)
        for base in range(start, stop, CHUNK):
            if _any(seed, base):
                polynomial(before, base, rules.candidate.gates, rules.candidate.distances[field], values)
                for i in range(np.uint64(CHUNK)):
                    adjoint[i] = seed[np.uint64(base) + i]
                _pull_back(rules.candidate, field, values, adjoint, base, gradient)


@kernel
def _pull_back(rule: Rule, field: int, values: Any, adjoint: Any, base: int, received: Any) -> None:
    """Add to ``received`` the gradient of a program on a chunk, given that of its results, at the start of adjoint."""
    if _any(adjoint, 0):
        pull_back(rule.gates, rule.gradients, rule.distances[field], values, adjoint, base, received)
