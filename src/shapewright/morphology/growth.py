"""Growing a region pixel by pixel without ever changing its topology."""

import heapq
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import as_binary, check_spatial_dims
from shapewright.boolean._jit import kernel
from shapewright.errors import InputError
from shapewright.morphology.simple import lookup_tables


def grow_homotopic(
    seeds: NDArray[Any], within: NDArray[Any], priority: NDArray[Any] | None = None
) -> NDArray[np.bool_]:
    """Return the seeds grown into a mask by pixels that change no component, hole, tunnel or cavity.

    A pixel is added only if the grown region keeps its topology whichever way pixels are said to touch: with object
    and background as 8- and 4-connected and as 4- and 8-connected (26 and 6, 6 and 26 in 3D). From one seed the result
    is one piece by sides, without holes, tunnels or cavities.

    Parameters
    ----------
    seeds
        Binary mask ``[*spatial]``, 2D or 3D: where to start.
    within
        Binary mask of the same shape: pixels that may be added.
    priority
        Numbers of the same shape; among the pixels that can be added the one with the **lowest** comes first. None
        takes raster order.

    Returns
    -------
    array
        bool, contains ``seeds``. No pixel of ``within`` could be added to it any more.

    Raises
    ------
    InputError
        The shapes differ, the masks are not binary or not 2D or 3D.

    Notes
    -----
    *Convention.* Outside the image is background. No seed gives no region.

    Examples
    --------
    >>> ring = np.ones((5, 5), bool)
    >>> ring[2, 2] = False
    >>> seed = np.zeros((5, 5), bool)
    >>> seed[0, 0] = True
    >>> int(ring.sum()), int(grow_homotopic(seed, ring).sum())  # the ring stays open
    (24, 22)
    """
    start, target = as_binary(seeds, "seeds"), as_binary(within, "within")
    dims = check_spatial_dims(None, start.shape)
    order = np.zeros(start.shape) if priority is None else np.asarray(priority, np.float64)
    if target.shape != start.shape or order.shape != start.shape:
        raise InputError(
            f"within and priority must have the shape of seeds, {start.shape}; got {target.shape} and {order.shape}"
        )
    padded = np.pad(start, 1).astype(np.uint8)
    strides = np.array(padded.strides)
    offsets = np.array([np.dot(o, strides) for o in np.ndindex(*(3,) * dims)]) - strides.sum()
    offsets = offsets[offsets != 0]
    sides = np.array([offset for offset in offsets if np.abs(offset) in strides])
    flat = padded.ravel()
    _grow(flat, np.pad(target, 1).ravel(), np.pad(order, 1).ravel(), offsets, sides, *lookup_tables(dims))
    return flat.reshape(padded.shape)[(slice(1, -1),) * dims].astype(np.bool_)


@kernel
def _grow(
    image: Any, within: Any, priority: Any, offsets: Any, sides: Any, first: Any, second: Any, third: Any
) -> None:
    """Grow a flat padded image in place; a pixel that cannot be added waits until a neighbour has been."""
    side = (offsets.size + 1) // 3
    full: Any = (np.int64(1) << offsets.size) - 1
    waiting: Any = [(0.0, np.int64(0))]
    waiting.pop()
    queued = np.zeros(image.size, np.uint8)
    for at in range(image.size):
        if image[at]:
            for k in range(sides.size):
                there = at + sides[k]
                if within[there] and not image[there] and not queued[there]:
                    queued[there] = 1
                    heapq.heappush(waiting, (priority[there], there))
    while len(waiting) > 0:
        _, at = heapq.heappop(waiting)
        queued[at] = 0
        code: Any = np.int64(0)
        for k in range(offsets.size):
            code = code << 1 | np.int64(image[at + offsets[k]])
        simple = True
        for turn in range(2):
            seen = code if turn == 0 else full ^ code
            state = first[seen >> (2 * side - 1)]
            state = second[state, (seen >> side) & ((1 << (side - 1)) - 1)]
            simple = simple and third[state, seen & ((1 << side) - 1)] != 0
        if not simple:
            continue
        image[at] = 1
        for k in range(offsets.size):
            there = at + offsets[k]
            if within[there] and not image[there] and not queued[there]:
                queued[there] = 1
                heapq.heappush(waiting, (priority[there], there))
