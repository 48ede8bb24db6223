"""Thinning of binary images by removing simple pixels, layer by layer.

In each iteration the pixels of the present border that are no end points are candidates. They are visited in
subfields: 4 in 2D, 8 in 3D, by the parity of their coordinates. Two pixels of a subfield are never neighbours, so a
candidate that is simple when its subfield's turn comes can be removed whatever happens to the others: the result is
that of removing a whole subfield at once, it keeps the topology, and it does not depend on the order of visits.
Only pixels whose neighbourhood has changed are tested again.

Reference: Németh, Kardos and Palágyi, "Topology preserving 3D thinning algorithms using four and eight subfields",
ICIAR 2010, and "2D parallel thinning and shrinking based on sufficient conditions for topology preservation", Acta
Cybernetica 20, 2011.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.boolean._jit import kernel

INTERIOR, BORDER = 1, 2
CHANGED = np.uint32(1 << 31)  # in a code: a neighbour has changed since the pixel was last tested


@kernel
def _codes(image: Any, offsets: Any) -> Any:
    """Return every pixel's neighbours as the bits of an integer, in raster order, the first in the highest bit.

    The image is flat, with a margin of one pixel, whose own codes stay incomplete: they are not used.
    """
    codes = np.zeros(image.size, np.uint32)
    margin = offsets[-1]
    for start in range(margin, image.size - margin, 4096):  # short enough to stay in the first cache
        stop = min(start + 4096, image.size - margin)
        here = codes[start:stop]
        for k in range(offsets.size):
            bit = np.uint32(1 << (offsets.size - 1 - k))
            there = image[start + offsets[k] : stop + offsets[k]]
            for i in range(here.size):
                here[i] |= bit if there[i] else np.uint32(0)
    return codes


@kernel
def _is_simple(code: Any, side: int, first: Any, second: Any, third: Any) -> Any:
    """Look up whether the neighbours of a code make a pixel simple; ``side`` of them are in the outer portions."""
    code = np.int64(code & ~CHANGED)
    state = first[code >> (2 * side - 1)]
    state = second[state, (code >> side) & ((1 << (side - 1)) - 1)]
    return third[state, code & ((1 << side) - 1)] != 0


@kernel
def _remove(image: Any, at: int, codes: Any, offsets: Any) -> None:
    """Remove a pixel from the image and from the codes of its neighbours, which are marked as changed."""
    image[at] = 0
    for k in range(offsets.size):
        # Seen from the neighbour, the pixel lies the other way.
        codes[at + offsets[k]] = (codes[at + offsets[k]] ^ np.uint32(1 << k)) | CHANGED


@kernel
def _has_one_neighbour(code: Any) -> Any:
    neighbours = code & ~CHANGED
    return neighbours != 0 and neighbours & (neighbours - np.uint32(1)) == 0


@kernel
def _has_no_interior_neighbour(image: Any, at: int, offsets: Any) -> bool:
    interior = 0
    for k in range(offsets.size):
        interior += image[at + offsets[k]] == INTERIOR
    return interior == 0


@kernel
def _mark_border(image: Any, sides: Any) -> Any:
    """Mark the set pixels that have an unset neighbour by a side; return room for all set pixels, and their number."""
    border = np.empty(np.count_nonzero(image), np.int64)
    count = 0
    for at in range(image.size):
        if image[at]:
            for k in range(sides.size):
                if image[at + sides[k]] == 0:
                    image[at] = BORDER
                    border[count] = at
                    count += 1
                    break
    return border, count


@kernel
def thin_padded(
    image: NDArray[np.uint8],
    subfield: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    sides: NDArray[np.int64],
    first: NDArray[np.uint16],
    second: NDArray[np.uint16],
    third: NDArray[np.uint8],
    surface: bool,
    iterations: int,
) -> None:
    """Thin a flat image of zeros and ones with a margin of zeros in place.

    ``offsets`` are the flat offsets of all neighbours in raster order, ``sides`` of those that share a side;
    ``subfield`` gives each pixel's subfield; ``iterations`` below 0 means until nothing changes.
    """
    side = (offsets.size + 1) // 3
    subfields = 4 if offsets.size == 8 else 8
    codes = _codes(image, offsets)
    border, count = _mark_border(image, sides)
    fields = np.empty(border.size, np.int64)
    for i in range(count):
        codes[border[i]] |= CHANGED
    removed = 1
    while removed > 0 and iterations != 0:
        iterations -= 1
        sizes = np.zeros(subfields + 1, np.int64)
        kept = 0
        for i in range(count):
            at = border[i]
            if image[at]:
                border[kept] = at
                kept += 1
                is_end = _has_no_interior_neighbour(image, at, offsets) if surface else _has_one_neighbour(codes[at])
                field = subfields if is_end else np.int64(subfield[at])
                if not is_end:
                    sizes[field + 1] += 1
                fields[kept - 1] = field
        count = kept
        candidates = _sorted_by_subfield(border, fields, sizes, count)
        removed = 0
        exposed = count
        for field in range(subfields):
            for i in range(sizes[field], sizes[field + 1]):
                at = candidates[i]
                if codes[at] & CHANGED == 0:  # as when it was last tested
                    continue
                codes[at] &= ~CHANGED
                if not _is_simple(codes[at], side, first, second, third):
                    continue
                _remove(image, at, codes, offsets)
                removed += 1
                for k in range(sides.size):
                    neighbour = at + sides[k]
                    if image[neighbour] == INTERIOR:
                        image[neighbour] = BORDER
                        border[exposed] = neighbour
                        exposed += 1
        count = exposed


@kernel
def _sorted_by_subfield(border: Any, field: Any, sizes: Any, count: int) -> Any:
    """Return the candidates, those of one subfield together; ``sizes`` becomes where each subfield starts."""
    for k in range(1, sizes.size):
        sizes[k] += sizes[k - 1]
    fill = sizes.copy()
    candidates = np.empty(sizes[-1], np.int64)
    for i in range(count):
        if field[i] < sizes.size - 1:
            candidates[fill[field[i]]] = border[i]
            fill[field[i]] += 1
    return candidates


@kernel
def thin_in_order(
    image: NDArray[np.uint8],
    order: NDArray[np.int64],
    fixed: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    first: NDArray[np.uint16],
    second: NDArray[np.uint16],
    third: NDArray[np.uint8],
    keep_ends: bool,
) -> None:
    """Visit the pixels of a flat padded image in an order and remove those that are simple, until none is left.

    ``fixed`` pixels stay, and with ``keep_ends`` pixels that have one neighbour when they are visited.
    """
    side = (offsets.size + 1) // 3
    codes = _codes(image, offsets)
    waiting = order.copy()
    count = waiting.size
    removed = 1
    while removed > 0:
        kept = 0
        removed = 0
        for i in range(count):
            at = waiting[i]
            if fixed[at] or (keep_ends and _has_one_neighbour(codes[at])):
                continue
            if _is_simple(codes[at], side, first, second, third):
                _remove(image, at, codes, offsets)
                removed += 1
            else:
                waiting[kept] = at
                kept += 1
        count = kept
