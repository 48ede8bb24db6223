"""Thinning, skeletons and distance-ordered thinning: shapes reduced while their topology is kept by construction."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import AnyArray, Array, as_binary, as_numpy, check_spatial_dims, same_kind, shape_of
from shapewright.boolean._jit import for_each_block
from shapewright.boolean.filter import check_iterations, check_probabilities, is_floating
from shapewright.boolean.packed import PackedImage, pack
from shapewright.errors import InputError, unknown
from shapewright.morphology import _thinning
from shapewright.morphology.simple import lookup_tables

Kind = Literal["curve", "surface"]


def skeletonize(
    image: Any, *, iterations: int | None = None, kind: Kind = "curve", spatial_dims: int | None = None
) -> Any:
    """Return the skeleton: the set thinned to curves, or in 3D to surfaces, with the same topology.

    Parameters
    ----------
    image
        bool, integers 0 and 1, floating point in [0, 1], or a packed image; any leading axes. Outside counts as not
        set.
    iterations
        How many layers to remove at most; by default until nothing changes. Floating-point images need a number of
        layers, by default a quarter of the shortest spatial axis and at most 10.
    kind
        ``"curve"`` keeps the ends of curves, ``"surface"`` (3D) also surfaces and their rims.
    spatial_dims
        How many trailing axes are space; by default all of an image with 2 or 3 axes.

    Returns
    -------
    The same kind. On floating point the polynomial of the same thinning, differentiable: in each step a pixel keeps
    the share ``1 - candidate * simple`` of its probability, where ``simple`` is the exact probability that it is a
    simple point. On the values 0 and 1 it is the binary skeleton.

    Raises
    ------
    InputError
        Values outside [0, 1] or NaN; surfaces in 2D or on floating point; iterations below 1.

    Notes
    -----
    *Convention*: sets are 8-connected (26 in 3D), complements 4-connected (6 in 3D), as in
    ``skimage.morphology.skeletonize``; the skeletons themselves differ between algorithms by a pixel. Components,
    holes, tunnels and cavities are kept, solid objects become curves and never vanish.

    References
    ----------
    Németh, Kardos and Palágyi, "2D parallel thinning and shrinking based on sufficient conditions for topology
    preservation", Acta Cybernetica 20, 2011. Guzzi et al., "Differentiable soft morphological filters for medical
    image segmentation", MICCAI 2024 (thinning as a polynomial).

    Examples
    --------
    >>> bar = np.zeros((5, 9), bool)
    >>> bar[1:4, 1:8] = True
    >>> skeletonize(bar).astype(int)[2]
    array([0, 0, 1, 1, 1, 1, 1, 0, 0])
    """
    dims = _checked(image, iterations, kind, spatial_dims)
    if isinstance(image, PackedImage):
        return pack(_thin_binary(image.unpack(), dims, iterations, kind), spatial_dims=dims)
    if is_floating(image):
        if kind == "surface":
            raise InputError("kind must be 'curve' for floating-point images; surfaces are kept on binary images only")
        check_probabilities(image, "image")
        from shapewright.morphology import _soft_skeleton

        if 0 in image.shape:
            return image + 0
        layers = iterations or max(1, min(10, min(image.shape[-dims:]) // 4))
        return _soft_skeleton.soft_skeleton(image, dims, layers)
    return _thin_binary(image, dims, iterations, kind)


def thin(image: Any, iterations: int, *, kind: Kind = "curve", spatial_dims: int | None = None) -> Any:
    """Remove at most a number of layers: :func:`skeletonize` with ``iterations``.

    Examples
    --------
    >>> square = np.zeros((7, 7), bool)
    >>> square[1:6, 1:6] = True
    >>> thin(square, 1).sum() < square.sum()
    np.True_
    """
    return skeletonize(image, iterations=iterations, kind=kind, spatial_dims=spatial_dims)


def homotopic_thinning(
    image: Array,
    order: AnyArray,
    *,
    keep: AnyArray | None = None,
    keep_ends: bool = False,
    spatial_dims: int | None = None,
) -> Array:
    """Remove simple pixels of a binary image in the order of a map, for example a distance from the border.

    Parameters
    ----------
    image
        bool or integers 0 and 1; any leading axes.
    order
        A number for every pixel, same shape: small ones are visited first, ties in raster order.
    keep
        Pixels that must stay, such as the centres of maximal balls.
    keep_ends
        Whether pixels with a single neighbour at the time of their visit stay, which gives curves.
    spatial_dims
        As in :func:`skeletonize`.

    Notes
    -----
    Without ``keep`` and ``keep_ends`` every component without holes, tunnels and cavities shrinks to one pixel.

    Examples
    --------
    >>> disk = np.hypot(*np.mgrid[-4:5, -4:5]) < 4
    >>> homotopic_thinning(disk, np.hypot(*np.mgrid[-4:5, -4:5]) * -1).sum()
    np.int64(1)
    """
    binary = as_binary(image, "image")
    dims = check_spatial_dims(spatial_dims, binary.shape)
    rank = as_numpy(order, "order")
    fixed = np.zeros(binary.shape, bool) if keep is None else as_binary(keep, "keep")
    if rank.shape != binary.shape or fixed.shape != binary.shape:
        raise InputError(f"order and keep must have the image's shape {binary.shape}; got {rank.shape}, {fixed.shape}")
    if np.isnan(rank).any():
        raise InputError("order must not hold NaN")
    out = binary.copy()
    shape = binary.shape[len(binary.shape) - dims :]
    offsets, _, _ = _flat_neighbours(shape)
    inner = (slice(1, -1),) * dims
    flat_index = np.arange(int(np.prod([n + 2 for n in shape]))).reshape([n + 2 for n in shape])[inner]
    for index in np.ndindex(*binary.shape[: len(binary.shape) - dims]):
        padded = np.pad(binary[index].astype(np.uint8), 1)
        inside = binary[index]
        visits = flat_index[inside][np.argsort(rank[index][inside], kind="stable")]
        stays = np.pad(fixed[index], 1).reshape(-1)
        _thinning.thin_in_order(padded.reshape(-1), visits, stays, offsets, *lookup_tables(dims), keep_ends)
        out[index] = padded[inner].astype(bool)
    return same_kind(out, image)


def _checked(image: Any, iterations: int | None, kind: str, spatial_dims: int | None) -> int:
    dims = check_spatial_dims(getattr(image, "spatial_dims", spatial_dims), shape_of(image, "image"))
    if kind not in ("curve", "surface"):
        raise unknown("kind", str(kind), ("curve", "surface"))
    if kind == "surface" and dims == 2:
        raise InputError("kind must be 'curve' in 2D; surfaces exist in 3D")
    check_iterations(iterations)
    return dims


def _thin_binary(image: Any, dims: int, iterations: int | None, kind: str) -> Any:
    binary = as_binary(image, "image")
    shape = binary.shape[len(binary.shape) - dims :]
    out = np.zeros(binary.shape, bool)
    if binary.size:
        volumes, results = binary.reshape(-1, *shape), out.reshape(-1, *shape)
        offsets, sides, subfield = _flat_neighbours(shape)
        tables = lookup_tables(dims)
        inner = (slice(1, -1),) * dims

        def block(first: int, last: int) -> None:
            for number in range(first, last):
                padded = np.pad(volumes[number].astype(np.uint8), 1)
                _thinning.thin_padded(
                    padded.reshape(-1), subfield, offsets, sides, *tables, kind == "surface", iterations or -1
                )
                results[number] = padded[inner] != 0

        for_each_block(block, len(volumes))
    return same_kind(out, image)


@lru_cache(maxsize=8)
def _flat_neighbours(shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Return, for an image padded by one pixel, all neighbours, those that share a side, and every pixel's subfield."""
    padded = [size + 2 for size in shape]
    strides = np.cumprod([1, *padded[:0:-1]])[::-1]
    steps = np.array([step for step in itertools.product((-1, 0, 1), repeat=len(shape)) if any(step)])
    offsets = (steps * strides).sum(axis=1).astype(np.int64)
    sides = offsets[np.abs(steps).sum(axis=1) == 1]
    parity = np.meshgrid(*(np.arange(-1, size + 1) % 2 for size in shape), indexing="ij", sparse=True)
    subfield = sum(p << (len(shape) - 1 - axis) for axis, p in enumerate(parity))
    return offsets, sides, np.ascontiguousarray(np.broadcast_to(subfield, padded), dtype=np.uint8).reshape(-1)
