"""Connected operators: they keep or drop whole components and never move a boundary."""

from __future__ import annotations

import heapq
import itertools
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import AnyArray, Array, as_binary, as_numpy, check_spatial_dims, is_tensor, same_kind, shape_of
from shapewright.boolean._jit import for_each_block, kernel
from shapewright.boolean.filter import check_probabilities, is_floating
from shapewright.errors import InputError
from shapewright.morphology.elements import connectivity as neighbourhood


def reconstruction(marker: Any, mask: Any, *, connectivity: int | None = None, spatial_dims: int | None = None) -> Any:
    """Return the components of a mask that a marker touches.

    Parameters
    ----------
    marker, mask
        Two images of one shape and kind: binary, or floating point in [0, 1]; any leading axes.
    connectivity
        4 or 8 in 2D (default 4), 6, 18 or 26 in 3D (default 6).
    spatial_dims
        How many trailing axes are space; by default all of an image with 2 or 3 axes.

    Returns
    -------
    The same kind. On floating point the greyscale reconstruction: the highest level at which a pixel is connected to
    the marker below the mask. Each result is the value of one pixel of the marker or mask, which receives its gradient.

    Notes
    -----
    *Convention*: ``scipy.ndimage.binary_propagation(marker & mask, structure, mask)``; on floating point
    ``skimage.morphology.reconstruction(numpy.minimum(marker, mask), mask, footprint=structure)``.

    Examples
    --------
    >>> mask = np.array([[1, 1, 0, 1, 1]], bool)
    >>> reconstruction(np.array([[1, 0, 0, 0, 0]], bool), mask).astype(int)
    array([[1, 1, 0, 0, 0]])
    """
    dims = check_spatial_dims(spatial_dims, shape_of(mask, "mask"))
    if shape_of(marker, "marker") != tuple(mask.shape):
        raise InputError(f"marker and mask must have one shape; got {tuple(marker.shape)} and {tuple(mask.shape)}")
    if is_floating(marker) != is_floating(mask) or is_tensor(marker) != is_tensor(mask):
        raise InputError("marker and mask must be of one kind, both binary or both floating point")
    steps = _steps(dims, connectivity)
    if is_floating(mask):
        check_probabilities(marker, "marker")
        check_probabilities(mask, "mask")
        return _grey_reconstruction(marker, mask, dims, steps)
    inside = as_binary(mask, "mask")
    return same_kind(_flooded(as_binary(marker, "marker") & inside, inside, dims, steps), mask)


def fill_holes(image: Any, *, connectivity: int | None = None, spatial_dims: int | None = None) -> Any:
    """Fill the parts of the background that are not connected to the image's border.

    Parameters
    ----------
    image
        bool, integers 0 and 1, or floating point in [0, 1]; any leading axes.
    connectivity
        Of the background: 4 or 8 in 2D (default 4), 6, 18 or 26 in 3D (default 6).
    spatial_dims
        As in :func:`reconstruction`, whose greyscale form gives the result on floating point.

    Notes
    -----
    *Convention*: ``scipy.ndimage.binary_fill_holes(image)``.

    Examples
    --------
    >>> ring = np.ones((3, 3), bool)
    >>> ring[1, 1] = False
    >>> fill_holes(ring).all()
    np.True_
    """
    dims = check_spatial_dims(spatial_dims, shape_of(image, "image"))
    background = 1 - image if is_floating(image) else ~as_binary(image, "image")
    on_border = np.zeros(tuple(image.shape), bool)
    for axis in range(-dims, 0):
        view = np.moveaxis(on_border, axis, 0)
        view[:1] = view[-1:] = True
    if not is_floating(image):
        reached = reconstruction(on_border & background, background, connectivity=connectivity, spatial_dims=dims)
        return same_kind(~reached, image)
    border = same_kind(on_border.astype(np.float32), image)
    weights = border.astype(image.dtype) if isinstance(image, np.ndarray) else border.to(image.dtype)
    return 1 - reconstruction(background * weights, background, connectivity=connectivity, spatial_dims=dims)


def area_opening(image: Array, area: int, *, connectivity: int | None = None, spatial_dims: int | None = None) -> Array:
    """Remove the components with fewer than a number of pixels.

    Parameters
    ----------
    image
        bool or integers 0 and 1; any leading axes.
    area
        The smallest number of pixels that is kept.
    connectivity, spatial_dims
        As in :func:`reconstruction`.

    Notes
    -----
    *Convention*: ``skimage.morphology.area_opening(image, area)`` on binary images.

    Examples
    --------
    >>> area_opening(np.array([[1, 0, 1, 1, 0]], bool), 2).astype(int)
    array([[0, 0, 1, 1, 0]])
    """
    if is_floating(image):
        raise InputError("image of an area opening must be binary; threshold it first, as in probabilities > 0.5")
    dims = check_spatial_dims(spatial_dims, shape_of(image, "image"))
    steps = _steps(dims, connectivity)
    inside = as_binary(image, "image")
    if isinstance(area, bool) or not isinstance(area, int | np.integer) or area < 0:
        raise InputError(f"area must be a whole number of pixels, at least 0; got {area!r}")
    return same_kind(_flooded(np.zeros_like(inside), inside, dims, steps, keep_from=max(int(area), 1)), image)


@lru_cache(maxsize=8)
def _steps(dims: int, connectivity: int | None) -> tuple[tuple[int, ...], ...]:
    """Return the neighbours' steps of a connectivity."""
    element = neighbourhood({2: 4, 3: 6}[dims] if connectivity is None else connectivity, dims)
    steps = itertools.product((-1, 0, 1), repeat=dims)
    return tuple(step for step in steps if any(step) and element[tuple(s + 1 for s in step)])


def _flat_steps(padded: tuple[int, ...], steps: tuple[tuple[int, ...], ...]) -> NDArray[np.int64]:
    strides = np.cumprod([1, *padded[:0:-1]])[::-1]
    flat: NDArray[np.int64] = (np.array(steps) * strides).sum(axis=1).astype(np.int64)
    return flat


def _flooded(
    marker: NDArray[np.bool_],
    mask: NDArray[np.bool_],
    dims: int,
    steps: tuple[tuple[int, ...], ...],
    keep_from: int = 0,
) -> NDArray[np.bool_]:
    """Return the components that the marker touches, or with ``keep_from`` those of at least so many pixels."""
    out = np.zeros(mask.shape, bool)
    if not mask.size:
        return out
    shape = mask.shape[mask.ndim - dims :]
    markers, masks, results = marker.reshape(-1, *shape), mask.reshape(-1, *shape), out.reshape(-1, *shape)
    flat = _flat_steps(tuple(size + 2 for size in shape), steps)
    inner = (slice(1, -1),) * dims

    def block(first: int, last: int) -> None:
        for number in range(first, last):
            state = np.pad(masks[number].astype(np.uint8), 1)
            if keep_from:
                _keep_large(state.reshape(-1), flat, keep_from)
            else:
                _flood(state.reshape(-1), np.flatnonzero(np.pad(markers[number], 1)), flat)
            results[number] = state[inner] == 2

    for_each_block(block, len(masks))
    return out


@kernel
def _flood(state: Any, seeds: Any, steps: Any) -> None:
    """Turn 1 into 2 wherever a seed is reached through 1; the image is flat with a margin of 0."""
    stack = np.empty(state.size, np.int64)
    for seed in seeds:
        _flood_one(state, seed, steps, stack)


@kernel
def _flood_one(state: Any, seed: int, steps: Any, stack: Any) -> int:
    """Flood from one seed; return how many pixels turned, which are the first entries of the stack."""
    if state[seed] != 1:
        return 0
    state[seed] = 2
    stack[0] = seed
    done, count = 0, 1
    while done < count:
        at = stack[done]
        done += 1
        for k in range(steps.size):
            neighbour = at + steps[k]
            if state[neighbour] == 1:
                state[neighbour] = 2
                stack[count] = neighbour
                count += 1
    return count


@kernel
def _keep_large(state: Any, steps: Any, area: int) -> None:
    """Turn 1 into 2 in components of at least ``area`` pixels, into 0 in others."""
    stack = np.empty(state.size, np.int64)
    for seed in range(state.size):
        count = _flood_one(state, seed, steps, stack)
        if count < area:
            for i in range(count):
                state[stack[i]] = 0


def _grey_reconstruction(marker: Any, mask: Any, dims: int, steps: tuple[tuple[int, ...], ...]) -> Any:
    """Return, at every pixel, the value of the marker's or mask's pixel that determines it."""
    seeds, ceiling = as_numpy(_computable(marker), "marker"), as_numpy(_computable(mask), "mask")
    shape = ceiling.shape[ceiling.ndim - dims :]
    sources = np.empty((ceiling.size // max(int(np.prod(shape)), 1), int(np.prod(shape))), np.int64)
    flat = _flat_steps(tuple(size + 2 for size in shape), steps)
    index = np.pad(np.arange(int(np.prod(shape))).reshape(shape), 1, constant_values=-1).reshape(-1)
    pairs = zip(seeds.reshape(-1, *shape), ceiling.reshape(-1, *shape), strict=True) if ceiling.size else ()
    for number, (seed, top) in enumerate(pairs):
        low, high = np.pad(np.minimum(seed, top), 1).reshape(-1), np.pad(top, 1).reshape(-1)
        local = _winners(low, high, index, flat, np.pad(seed <= top, 1).reshape(-1))
        # Local numbers are pixels of the marker, then of the mask; turn them into numbers in the whole arrays.
        in_mask, pixel = np.divmod(local, len(local))
        sources[number] = in_mask * ceiling.size + number * len(local) + pixel
    return _gathered(marker, mask, sources)


def _computable(image: AnyArray) -> AnyArray:
    if is_tensor(image):
        return image.detach().double()  # type: ignore[union-attr]
    return image.astype(np.float64, copy=False)  # type: ignore[union-attr]


def _gathered(marker: Any, mask: Any, sources: NDArray[np.int64]) -> Any:
    if not is_tensor(mask):
        return np.concatenate([marker.reshape(-1), mask.reshape(-1)])[sources].reshape(mask.shape)
    import torch

    both = torch.cat([marker.reshape(-1), mask.reshape(-1)])
    return both[torch.from_numpy(sources).to(mask.device)].reshape(mask.shape)


@kernel
def _winners(low: Any, high: Any, index: Any, steps: Any, from_marker: Any) -> Any:
    """Return the source of every pixel's level, highest levels first, as paths of least loss."""
    count = 0
    for at in range(index.size):
        count += index[at] >= 0
    sources = np.full(count, -1, np.int64)
    queue: Any = [(-low[0], np.int64(0), np.int64(0))]
    queue.clear()
    for at in range(index.size):
        if index[at] >= 0:
            heapq.heappush(queue, (-low[at], at, index[at] if from_marker[at] else count + index[at]))
    while len(queue) > 0:
        negative, at, source = heapq.heappop(queue)
        if sources[index[at]] >= 0:
            continue
        sources[index[at]] = source
        for k in range(steps.size):
            neighbour = at + steps[k]
            if index[neighbour] >= 0 and sources[index[neighbour]] < 0 and -low[neighbour] > negative:
                if -high[neighbour] > negative:
                    heapq.heappush(queue, (-high[neighbour], neighbour, count + index[neighbour]))
                else:
                    heapq.heappush(queue, (negative, neighbour, source))
    return sources
