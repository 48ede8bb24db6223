"""Programs on small images: one kernel packs an image, runs every operation on it and unpacks the result.

Small images spend their time between operations: in calls from Python, in arrays made and thrown away, in packing all
images before the first is worked on. Here all values of one image stay in the processor's nearest cache. Each has a
buffer of its own, with the room around the image that the farthest-reaching element needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shapewright.boolean._bits import aligned_pixels, pack_bits
from shapewright.boolean._blocks import Cut, aligned, as_plane_offset, as_planes, cut, load_bits, store_bits
from shapewright.boolean._jit import for_each_block, kernel
from shapewright.boolean.expression import Offset
from shapewright.morphology._packed import THREADED_WORK, run_passes
from shapewright.morphology._plan import RESULT, SOURCE, plan, step_table
from shapewright.morphology.elements import element_offsets

if TYPE_CHECKING:
    from shapewright.morphology.program import Node, Program

_LOAD, _NEIGHBOURHOOD, _UNION, _INTERSECTION, _COMPLEMENT, _STORE = range(6)
_COMBINED = {"union": _UNION, "intersection": _INTERSECTION}
_COLUMNS = 8


class Fused(NamedTuple):
    """A program for images of one size.

    Rows of ``operations`` are (kind, buffer written, buffers read or channel ...), for a neighbourhood (kind, written,
    read, complemented before, complemented after, value outside, first pass, last pass). ``inside`` is set at pixels
    of the image.
    """

    shape: tuple[int, int, int, int]
    sizes: Cut
    inside: NDArray[np.uint64]
    operations: NDArray[np.int64]
    passes: NDArray[np.uint64]
    buffers: int


def fuse(program: Program, shape: tuple[int, ...]) -> Fused | None:
    """Return a program for images ``[..., C, *spatial]``; None of images too large for one block, or sub-sampled."""
    planes = as_planes(shape, program.spatial_dims)
    needed = sorted(program._last_use())
    nodes = {number: program.nodes[number] for number in needed}
    if 0 in planes or any(node.operation == "subsample" for node in nodes.values()):
        return None
    points = {number: _points_read(node) for number, node in nodes.items() if node.element is not None}
    sizes = cut(planes, set().union(*points.values()), 64)
    if sizes.blocks > 1:
        return None
    tables = {number: step_table(plan(read), sizes) for number, read in points.items()}
    passes = np.concatenate([step_table([], sizes), *tables.values()])
    first = 1 + int(passes[:, 1].max(initial=RESULT))  # the buffers before are those of the passes
    buffer = {number: first + place for place, number in enumerate(needed)}
    rows: list[tuple[int, ...]] = []
    begin = 0
    for number, node in nodes.items():
        written, read = buffer[number], [buffer[argument] for argument in node.arguments]
        if node.operation == "input":
            rows.append((_LOAD, written, node.number))
        elif node.operation == "complement":
            rows.append((_COMPLEMENT, written, read[0]))
        elif number in tables:
            end = begin + len(tables[number])
            erodes, anti = node.operation.endswith("erosion"), node.operation.startswith("anti")
            rows.append((_NEIGHBOURHOOD, written, read[0], erodes, erodes != anti, node.outside != erodes, begin, end))
            begin = end
        else:
            kind = _COMBINED[node.operation]
            rows.append((kind, written, read[0], read[-1]))
            rows += [(kind, written, written, other) for other in read[1:-1]]
    rows += [(_STORE, k, buffer[number]) for k, number in enumerate(program.outputs)]
    operations = np.array([(*row, *[0] * (_COLUMNS - len(row))) for row in rows], np.int64)
    return Fused(planes, sizes, _inside(planes, sizes), operations, passes, first + len(needed))


def run(fused: Fused, image: NDArray[np.bool_], channels: int, outputs: int) -> NDArray[np.bool_]:
    """Run a program on ``[N, C, *spatial]``; return ``[N, K, *spatial]``."""
    result = aligned_pixels((len(image), outputs, *image.shape[2:]))
    pixels, goal = np.ascontiguousarray(image).reshape(-1).view(np.uint8), result.reshape(-1).view(np.uint8)
    work = fused.sizes.size * len(image) * (len(fused.passes) + len(fused.operations))
    for_each_block(
        lambda *images: _run(pixels, goal, channels, outputs, *fused, *images),
        len(image),
        None if work > THREADED_WORK else 1,
    )
    return result


def _points_read(node: Node) -> frozenset[Offset]:
    """Return where a dilation or erosion looks, relative to a pixel."""
    assert node.element is not None
    offsets = element_offsets(node.element, None)
    offsets = offsets if node.operation.endswith("erosion") else offsets.mirrored
    return frozenset(as_plane_offset(pixel) for pixel in offsets.pixels)


def _inside(shape: tuple[int, int, int, int], sizes: Cut) -> NDArray[np.uint64]:
    """Return a buffer in which the image's pixels are set."""
    row = pack_bits(np.ones(sizes.width, np.bool_))
    planes = np.zeros((sizes.planes, sizes.plane), np.uint64)
    for r in range(shape[2]):
        planes[: shape[1], r * sizes.row : r * sizes.row + len(row)] = row
    buffer = np.zeros(sizes.size, np.uint64)
    start = sizes.guard + sizes.margin * sizes.plane
    buffer[start : start + planes.size] = planes.reshape(-1)
    return buffer


@kernel
def _run(
    pixels: Any,
    goal: Any,
    channels: int,
    outputs: int,
    shape: Any,
    sizes: Cut,
    inside: Any,
    operations: Any,
    passes: Any,
    buffers: int,
    first: int,
    last: int,
) -> None:
    """Run the operations on the images ``first`` to ``last``."""
    size = sizes.size
    room = aligned(buffers * size, passes).reshape(buffers, size)
    source, result = room[SOURCE], room[RESULT]
    for image in range(first, last):
        for o in range(operations.shape[0]):
            kind, to, at, other = operations[o, 0], operations[o, 1], operations[o, 2], operations[o, 3]
            if kind == _STORE:
                store_bits(room[at], image * outputs + to, sizes, False, goal, shape)
                continue
            written = room[to]
            if kind == _LOAD:
                load_bits(pixels, shape, image * channels + at, sizes, False, False, False, written)
                continue
            read = room[at]
            if kind == _NEIGHBOURHOOD:
                before, after, outside = -np.uint64(other), -np.uint64(operations[o, 4]), -np.uint64(operations[o, 5])
                for k in range(size):
                    source[k] = ((read[k] ^ before) & inside[k]) | (outside & ~inside[k])
                run_passes(room, passes[operations[o, 6] : operations[o, 7]])
                for k in range(size):
                    written[k] = result[k] ^ after
            elif kind == _COMPLEMENT:
                for k in range(size):
                    written[k] = ~read[k]
            else:
                second = room[other]
                if kind == _UNION:
                    for k in range(size):
                        written[k] = read[k] | second[k]
                else:
                    for k in range(size):
                        written[k] = read[k] & second[k]
