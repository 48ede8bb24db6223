"""The kernels that run a program of gates over an image, a chunk of items at a time.

Each gate is one loop over a chunk, long enough to amortise its dispatch and short enough that the chunks of all live
gates stay in the first cache. The loops have a constant length, so the compiler turns them into vector instructions.
Indices are unsigned: signed ones would be tested for negative values in every loop.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.boolean._bits import shifted_pair
from shapewright.boolean._blocks import (
    CHUNK,
    Cut,
    aligned,
    inner_range,
    load_pixels,
    load_words,
    store_pixels,
    store_words,
)
from shapewright.boolean._gates import (
    and_adjoint,
    not_adjoint,
    or_adjoint,
    soft_and,
    soft_not,
    soft_or,
    soft_where,
    soft_xor,
    where_adjoint,
    xor_adjoint,
)
from shapewright.boolean._jit import kernel

LOAD, CONSTANT, NOT, AND, OR, XOR, WHERE = range(7)


@kernel
def run_words(
    words: NDArray[np.uint64],
    out: NDArray[np.uint64],
    gates: NDArray[np.int64],
    slots: int,
    distances: NDArray[np.int64],
    cut: Cut,
    outside: bool,
    first: int,
    last: int,
) -> None:
    """Run a program on the packed blocks ``first`` to ``last``; ``distances`` are in bits."""
    flat, result = aligned(cut.size, words), aligned(cut.size, words)
    values = aligned(slots * CHUNK, words)
    start, stop = inner_range(cut)
    final = np.uint64(gates[-1, 1] * CHUNK)
    for unit in range(first, last):
        continues = unit > first and unit % cut.blocks != 0
        load_words(words, unit, cut, outside, False, continues, flat)
        for base in range(start, stop, CHUNK):
            for g in range(gates.shape[0]):
                code = gates[g, 0]
                t, a = np.uint64(gates[g, 1] * CHUNK), np.uint64(gates[g, 2] * CHUNK)
                b, c = np.uint64(gates[g, 3] * CHUNK), np.uint64(gates[g, 4] * CHUNK)
                if code == LOAD:
                    distance = distances[gates[g, 2]]
                    at = np.uint64(base + (distance >> 6))
                    shift = np.uint64(distance & 63)
                    for i in range(np.uint64(CHUNK)):
                        values[t + i] = shifted_pair(flat[at + i], flat[at + i + np.uint64(1)], shift)
                elif code == CONSTANT:
                    constant = np.uint64(0) - np.uint64(gates[g, 2])
                    for i in range(np.uint64(CHUNK)):
                        values[t + i] = constant
                elif code == NOT:
                    for i in range(np.uint64(CHUNK)):
                        values[t + i] = ~values[a + i]
                elif code == AND:
                    for i in range(np.uint64(CHUNK)):
                        values[t + i] = values[a + i] & values[b + i]
                elif code == OR:
                    for i in range(np.uint64(CHUNK)):
                        values[t + i] = values[a + i] | values[b + i]
                elif code == XOR:
                    for i in range(np.uint64(CHUNK)):
                        values[t + i] = values[a + i] ^ values[b + i]
                else:
                    for i in range(np.uint64(CHUNK)):
                        values[t + i] = values[c + i] ^ (values[a + i] & (values[b + i] ^ values[c + i]))
            for i in range(np.uint64(CHUNK)):
                result[np.uint64(base) + i] = values[final + i]
        store_words(result, unit, cut, False, out)


@kernel
def polynomial(flat: Any, base: int, gates: Any, distances: Any, values: Any) -> None:
    """Evaluate the polynomial of a program on the pixels ``base`` to ``base + CHUNK`` of a buffer."""
    for g in range(gates.shape[0]):
        code = gates[g, 0]
        t, a = np.uint64(gates[g, 1] * CHUNK), np.uint64(gates[g, 2] * CHUNK)
        b, c = np.uint64(gates[g, 3] * CHUNK), np.uint64(gates[g, 4] * CHUNK)
        if code == WHERE:
            soft_where(values, t, a, b, c)
        elif code == AND:
            soft_and(values, t, a, b, c)
        elif code == OR:
            soft_or(values, t, a, b, c)
        elif code == NOT:
            soft_not(values, t, a, b, c)
        elif code == XOR:
            soft_xor(values, t, a, b, c)
        elif code == LOAD:
            at = np.uint64(base + distances[gates[g, 2]])
            for i in range(np.uint64(CHUNK)):
                values[t + i] = flat[at + i]
        else:
            constant = values.dtype.type(gates[g, 2])
            for i in range(np.uint64(CHUNK)):
                values[t + i] = constant


@kernel
def pull_back(gates: Any, gradients: Any, distances: Any, values: Any, adjoint: Any, base: int, received: Any) -> None:
    """Run a program backwards, from the gradient of the last gate, in place 0, to those of the pixels.

    Those are added to ``received`` where the pixels were loaded from. Every place of ``adjoint`` is left at 0.
    """
    for g in range(gates.shape[0] - 1, -1, -1):
        code = gates[g, 0]
        a, b, c = np.uint64(gates[g, 2] * CHUNK), np.uint64(gates[g, 3] * CHUNK), np.uint64(gates[g, 4] * CHUNK)
        t, to_a = np.uint64(gradients[g, 0] * CHUNK), np.uint64(gradients[g, 1] * CHUNK)
        to_b, to_c = np.uint64(gradients[g, 2] * CHUNK), np.uint64(gradients[g, 3] * CHUNK)
        if code == WHERE:
            where_adjoint(values, adjoint, a, b, c, t, to_a, to_b, to_c)
        elif code == AND:
            and_adjoint(values, adjoint, a, b, c, t, to_a, to_b, to_c)
        elif code == OR:
            or_adjoint(values, adjoint, a, b, c, t, to_a, to_b, to_c)
        elif code == NOT:
            not_adjoint(values, adjoint, a, b, c, t, to_a, to_b, to_c)
        elif code == XOR:
            xor_adjoint(values, adjoint, a, b, c, t, to_a, to_b, to_c)
        else:
            if code == LOAD:  # a constant's gradient goes nowhere
                at = np.uint64(base + distances[gates[g, 2]])
                for i in range(np.uint64(CHUNK)):
                    received[at + i] += adjoint[t + i]
            for i in range(np.uint64(CHUNK)):
                adjoint[t + i] = 0


@kernel
def run_forward(
    image: Any, out: Any, gates: Any, slots: int, distances: Any, cut: Cut, outside: float, first: int, last: int
) -> None:
    """Evaluate the polynomial of a program on the blocks ``first`` to ``last`` of a floating-point image."""
    flat, result = aligned(cut.size, image), aligned(cut.size, image)
    values = aligned(slots * CHUNK, image)
    start, stop = inner_range(cut)
    final = np.uint64(gates[-1, 1] * CHUNK)
    for unit in range(first, last):
        load_pixels(image, unit, cut, outside, flat)
        for base in range(start, stop, CHUNK):
            polynomial(flat, base, gates, distances, values)
            for i in range(np.uint64(CHUNK)):
                result[np.uint64(base) + i] = values[final + i]
        store_pixels(result, unit, cut, out)


@kernel
def run_backward(
    image: Any,
    upstream: Any,
    out: Any,
    gates: Any,
    slots: int,
    gradients: Any,
    places: int,
    distances: Any,
    cut: Cut,
    outside: float,
    first: int,
    last: int,
) -> None:
    """Compute the gradient with respect to the image; the cut's margin is twice the filter's reach."""
    flat, received, gradient = aligned(cut.size, image), aligned(cut.size, image), aligned(cut.size, image)
    values = aligned(slots * CHUNK, image)
    adjoint = aligned(places * CHUNK, image)
    adjoint[:] = 0
    start, stop = inner_range(cut)
    beside = cut.margin // 2 * cut.plane  # results there depend on pixels of the block
    for unit in range(first, last):
        load_pixels(image, unit, cut, outside, flat)
        load_pixels(upstream, unit, cut, 0.0, received)
        gradient[:] = 0
        for base in range(start - beside, stop + beside, CHUNK):
            polynomial(flat, base, gates, distances, values)
            for i in range(np.uint64(CHUNK)):
                adjoint[i] = received[np.uint64(base) + i]
            pull_back(gates, gradients, distances, values, adjoint, base, gradient)
        store_pixels(gradient, unit, cut, out)
