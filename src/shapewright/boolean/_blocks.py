"""How an image is cut into blocks with a margin, so that a kernel reads neighbours at constant distances.

An image is seen as [images, planes, rows, row]: for two spatial axes each line of the image is a plane of one row. A
block is a few planes, copied into a flat buffer with room around it that holds the value outside the image. In the
buffer a neighbour lies at the same distance from every pixel, so kernels are plain loops over long flat ranges. A row
is followed by just enough room for the longest reach along x; the end of one row serves as the margin of the next.

The same cut serves words of 64 pixels and floating-point pixels: only the number of items in a row differs.
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shapewright.boolean._bits import pack_rest, pack_whole, unpack_rest, unpack_whole
from shapewright.boolean._jit import kernel
from shapewright.boolean.expression import Offset

CHUNK = 128  # items that a program computes at a time; buffers have this much room at their end
# Items of a block: several buffers of words stay below the size from which the system hands out fresh pages for each
# allocation, which would cost more than the work; floating-point blocks are larger, their margins weigh more.
_BLOCK_WORDS = 2048
_BLOCK_PIXELS = 16384
_LINE = 16  # items of 4 bytes in a line of the cache


class Cut(NamedTuple):
    """The sizes of a block's buffer, in items (words or pixels)."""

    width: int  # pixels in a row of the image
    row: int  # distance of two rows in the buffer
    plane: int  # distance of two planes
    margin: int  # planes before the block, and after it
    guard: int  # items before the first plane that neighbours of margin pixels may reach
    planes: int  # planes in a block
    blocks: int  # blocks in one image
    size: int  # items in a buffer


def cut(shape: tuple[int, ...], offsets: Iterable[Offset], items_per_word: int, margins: int = 1) -> Cut:
    """Return how to cut images of a shape [images, planes, rows, width] for a filter that reads ``offsets``.

    Offsets are (plane, row, x). ``margins`` is how many times the reach is kept around a block: 2 where a kernel
    needs results beside the block as well. The cut depends on the shape alone, never on the number of threads.
    """
    reach = np.abs(np.array([(0, 0, 0), *offsets], dtype=np.int64)).max(axis=0)
    _, planes, rows, width = shape
    row = -(-(width + int(reach[2])) // items_per_word)
    plane = (rows + int(reach[1])) * row
    margin = margins * int(reach[0])
    items = _BLOCK_WORDS if items_per_word > 1 else _BLOCK_PIXELS
    limit = max(4 * margin, 1, items // max(plane, 1))
    blocks = max(1, -(-planes // limit))
    block = -(-planes // blocks)
    guard = int(reach[1]) * row * margins + int(reach[2]) * margins // items_per_word + 2
    guard += -(guard + margin * plane) % _LINE  # the block itself begins with a line of the cache
    size = (block + 2 * margin) * plane + 2 * guard + CHUNK
    size += -size % _LINE
    return Cut(width, row, plane, margin, guard, block, blocks, size)


def flat_distances(cut: Cut, offsets: Iterable[Offset], items_per_word: int) -> NDArray[np.int64]:
    """Return the distance of each offset (plane, row, x) in a buffer; for words, in bits."""
    return np.array(
        [(p * cut.plane + r * cut.row) * items_per_word + x for p, r, x in offsets], dtype=np.int64
    ).reshape(-1)


def as_planes(shape: tuple[int, ...], spatial_dims: int) -> tuple[int, int, int, int]:
    """Return the sizes [images, planes, rows, width] in which an image of any shape is processed."""
    images = math.prod(shape[: len(shape) - spatial_dims])
    if spatial_dims == 2:
        return images, shape[-2], 1, shape[-1]
    return images, shape[-3], shape[-2], shape[-1]


def as_plane_offset(offset: Offset) -> Offset:
    """Return an offset (y, x) or (z, y, x) as (plane, row, x)."""
    return (offset[0], 0, offset[1]) if len(offset) == 2 else offset


@kernel
def aligned(count: int, like: Any) -> Any:
    """Return an array of another's dtype, not filled, from a multiple of 64 bytes on.

    No vector of it lies in two cache lines. Without this the time of a kernel depends on luck, and differs by thread.
    """
    room = np.empty(count + 64 // like.itemsize, like.dtype)
    start = (64 - room.ctypes.data % 64) // like.itemsize
    return room[start : start + count]


@kernel
def _begin_block(unit: int, cut: Cut, continues: bool, beyond: Any, flat: Any) -> tuple[int, int]:
    """Prepare a buffer of words for a block; return the plane of its first margin and the first plane to load.

    Where the buffer ``continues`` from the block before, the planes that both hold are moved and not loaded again.
    """
    kept = 2 * cut.margin if continues else 0
    begin = cut.guard + kept * cut.plane
    if continues:
        distance = np.uint64(cut.planes * cut.plane)
        for k in range(np.uint64(cut.guard), np.uint64(begin)):
            flat[k] = flat[k + distance]
        flat[begin:] = beyond
    else:
        flat[:] = beyond
    first = (unit % cut.blocks) * cut.planes - cut.margin
    return first, max(first + kept, 0)


@kernel
def load_words(
    words: NDArray[np.uint64], unit: int, cut: Cut, outside: bool, flip: bool, continues: bool, flat: Any
) -> None:
    """Copy block ``unit`` with its margins into a flat buffer; ``flip`` complements the pixels, not ``outside``.

    ``continues`` says that the buffer holds the block before, of the same image.
    """
    beyond = np.uint64(0xFFFFFFFFFFFFFFFF) if outside else np.uint64(0)
    inverse = np.uint64(0xFFFFFFFFFFFFFFFF) if flip else np.uint64(0)
    first, new = _begin_block(unit, cut, continues, beyond, flat)
    image = np.uint64(unit // cut.blocks)
    rows, count = words.shape[2], np.uint64(words.shape[3])
    rest = cut.width % 64
    unused = np.uint64(0xFFFFFFFFFFFFFFFF) << np.uint64(rest) if rest else np.uint64(0)
    for p in range(new, min(first + cut.planes + 2 * cut.margin, words.shape[1])):
        for r in range(rows):
            at = np.uint64(cut.guard + (p - first) * cut.plane + r * cut.row)
            for k in range(count):  # by index: a slice would cost as much as the copy of a short row
                flat[at + k] = words[image, np.uint64(p), np.uint64(r), k] ^ inverse
            if rest:
                end = at + count - np.uint64(1)
                flat[end] = (flat[end] & ~unused) | (beyond & unused)


@kernel
def store_words(flat: Any, unit: int, cut: Cut, flip: bool, words: NDArray[np.uint64]) -> None:
    """Copy the block from a flat buffer into the image of words, bits beyond the width cleared."""
    inverse = np.uint64(0xFFFFFFFFFFFFFFFF) if flip else np.uint64(0)
    image = np.uint64(unit // cut.blocks)
    first = (unit % cut.blocks) * cut.planes
    rows, count = words.shape[2], np.uint64(words.shape[3])
    rest = cut.width % 64
    used = ~(np.uint64(0xFFFFFFFFFFFFFFFF) << np.uint64(rest)) if rest else np.uint64(0xFFFFFFFFFFFFFFFF)
    for p in range(first, min(first + cut.planes, words.shape[1])):
        for r in range(rows):
            at = np.uint64(cut.guard + (p - first + cut.margin) * cut.plane + r * cut.row)
            for k in range(count):
                words[image, np.uint64(p), np.uint64(r), k] = flat[at + k] ^ inverse
            words[image, np.uint64(p), np.uint64(r), count - np.uint64(1)] &= used


@kernel
def load_bits(
    pixels: NDArray[np.uint8], shape: Any, unit: int, cut: Cut, outside: bool, flip: bool, continues: bool, flat: Any
) -> None:
    """Pack block ``unit`` of a flat binary image of shape [images, planes, rows, width] into a buffer."""
    beyond = np.uint64(0xFFFFFFFFFFFFFFFF) if outside else np.uint64(0)
    inverse = np.uint64(0xFFFFFFFFFFFFFFFF) if flip else np.uint64(0)
    first, new = _begin_block(unit, cut, continues, beyond, flat)
    image = (unit // cut.blocks) * shape[1]
    stop = min(first + cut.planes + 2 * cut.margin, shape[1])
    for p in range(new, stop):
        for r in range(shape[2]):
            start = ((image + p) * shape[2] + r) * cut.width
            pack_whole(pixels, start, cut.width, inverse, flat, cut.guard + (p - first) * cut.plane + r * cut.row)
    rest = cut.width % 64
    if rest:
        unused = np.uint64(0xFFFFFFFFFFFFFFFF) << np.uint64(rest)
        for p in range(new, stop):
            for r in range(shape[2]):
                start = ((image + p) * shape[2] + r) * cut.width
                at = cut.guard + (p - first) * cut.plane + r * cut.row
                pack_rest(pixels, start, cut.width, inverse, flat, at)
                last = np.uint64(at + cut.width // 64)
                flat[last] = (flat[last] & ~unused) | (beyond & unused)


@kernel
def store_bits(flat: Any, unit: int, cut: Cut, flip: bool, pixels: NDArray[np.uint8], shape: Any) -> None:
    """Unpack the block from a flat buffer into a flat binary image."""
    inverse = np.uint64(0xFFFFFFFFFFFFFFFF) if flip else np.uint64(0)
    image = (unit // cut.blocks) * shape[1]
    first = (unit % cut.blocks) * cut.planes
    stop = min(first + cut.planes, shape[1])
    for p in range(first, stop):
        for r in range(shape[2]):
            at = cut.guard + (p - first + cut.margin) * cut.plane + r * cut.row
            unpack_whole(flat, at, inverse, pixels, ((image + p) * shape[2] + r) * cut.width, cut.width)
    if cut.width % 64:
        for p in range(first, stop):
            for r in range(shape[2]):
                at = cut.guard + (p - first + cut.margin) * cut.plane + r * cut.row
                unpack_rest(flat, at, inverse, pixels, ((image + p) * shape[2] + r) * cut.width, cut.width)


@kernel
def load_pixels(image: Any, unit: int, cut: Cut, outside: float, flat: Any) -> None:
    """Copy block ``unit`` of a floating-point image [images, planes, rows, width] with its margins into a buffer."""
    flat[:] = outside
    index = unit // cut.blocks
    first = (unit % cut.blocks) * cut.planes - cut.margin
    rows, width = image.shape[2], image.shape[3]
    for p in range(max(first, 0), min(first + cut.planes + 2 * cut.margin, image.shape[1])):
        for r in range(rows):
            at = cut.guard + (p - first) * cut.plane + r * cut.row
            for x in range(np.uint64(width)):
                flat[np.uint64(at) + x] = image[index, p, r, x]


@kernel
def store_pixels(flat: Any, unit: int, cut: Cut, image: Any) -> None:
    """Copy the block from a flat buffer into the floating-point image."""
    index = unit // cut.blocks
    first = (unit % cut.blocks) * cut.planes
    rows, width = image.shape[2], image.shape[3]
    for p in range(first, min(first + cut.planes, image.shape[1])):
        for r in range(rows):
            at = cut.guard + (p - first + cut.margin) * cut.plane + r * cut.row
            for x in range(np.uint64(width)):
                image[index, p, r, x] = flat[np.uint64(at) + x]


@kernel
def inner_range(cut: Cut) -> tuple[int, int]:
    """Return the range of a buffer that holds the block itself, without its margins."""
    start = cut.guard + cut.margin * cut.plane
    return start, start + cut.planes * cut.plane
