"""Exact distance transforms: the distance of every foreground pixel to the nearest background pixel."""

from collections.abc import Sequence
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from shapewright.arrays import Array, as_binary, check_spacing, check_spatial_dims, same_kind
from shapewright.errors import InputError, unknown

Metric = Literal["euclidean", "squared_euclidean", "chebyshev", "taxicab"]
METRICS: tuple[Metric, ...] = ("euclidean", "squared_euclidean", "chebyshev", "taxicab")


@overload
def distance_transform(
    mask: Array,
    *,
    metric: Metric = "euclidean",
    spacing: Sequence[float] | float | None = None,
    spatial_dims: int | None = None,
    outside: int = 1,
    return_indices: Literal[False] = False,
) -> Array: ...


@overload
def distance_transform(
    mask: Array,
    *,
    metric: Metric = "euclidean",
    spacing: Sequence[float] | float | None = None,
    spatial_dims: int | None = None,
    outside: int = 1,
    return_indices: Literal[True],
) -> tuple[Array, Array]: ...


def distance_transform(
    mask: Array,
    *,
    metric: Metric = "euclidean",
    spacing: Sequence[float] | float | None = None,
    spatial_dims: int | None = None,
    outside: int = 1,
    return_indices: bool = False,
) -> Array | tuple[Array, Array]:
    """Return the distance of every foreground pixel to the nearest background pixel, exactly.

    Parameters
    ----------
    mask
        Binary mask ``[*leading, *spatial]``: bool, or integers 0 and 1; NumPy array or torch tensor.
    metric
        ``"euclidean"``, ``"squared_euclidean"``, ``"chebyshev"`` (the largest coordinate difference) or ``"taxicab"``
        (their sum).
    spacing
        Pixel size in mm, one value per spatial axis ((z,) y, x) or one for all; ``None`` means 1. It scales the
        coordinate differences in every metric.
    spatial_dims
        How many trailing axes are space, 2 or 3; all of them by default. Each leading index is an image of its own.
    outside
        What the pixels outside the image are: ``1`` foreground (the default: the border has no influence) or ``0``
        background (the distance to the border counts as well).
    return_indices
        Also return where the nearest background pixel is.

    Returns
    -------
    distances : array or tensor, float32, the shape of ``mask``
        Zero on the background.
    indices : array or tensor, int32 ``[*leading, spatial_dims, *spatial]``, only with ``return_indices``
        Coordinates of a nearest background pixel; among equally near ones, any. A background pixel points to itself.

    Raises
    ------
    InputError
        ``mask`` is not binary; ``spacing``, ``spatial_dims``, ``metric`` or ``outside`` is not one of the accepted.

    Notes
    -----
    *Convention.* The same as ``scipy.ndimage.distance_transform_edt(mask, sampling=spacing)`` and, with unit spacing,
    ``distance_transform_cdt(mask, "chessboard" | "taxicab")``. A mask without any background pixel has no distance:
    the result is infinite everywhere, and the indices are -1. (SciPy returns the distance to a point outside the
    corner, or -1.)

    Examples
    --------
    >>> mask = np.array([[0, 1, 1, 1, 0], [0, 1, 1, 1, 1]], dtype=bool)
    >>> distance_transform(mask, metric="chebyshev")
    array([[0., 1., 2., 1., 0.],
           [0., 1., 2., 1., 1.]], dtype=float32)
    >>> distance_transform(mask, spacing=(1.0, 0.5))[1]
    array([0.      , 0.5     , 1.      , 1.118034, 1.      ], dtype=float32)
    """
    binary = as_binary(mask, "mask")
    dims = check_spatial_dims(spatial_dims, binary.shape)
    steps = check_spacing(spacing, dims)
    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    if outside not in (0, 1):
        raise InputError(f"outside must be 0 (background) or 1 (foreground); got {outside!r}")
    images: NDArray[np.bool_] = binary.reshape(-1, *binary.shape[-dims:])
    distances = np.empty(images.shape, np.float32)
    indices = np.empty((len(images), dims, *images.shape[1:]), np.int32)
    inner = (slice(1, -1),) * dims
    for image, distance, index in zip(images, distances, indices, strict=True):
        far, where = _transform(np.pad(image, 1, constant_values=bool(outside)), metric, steps)
        distance[...] = far[inner]
        index[...] = where[(slice(None), *inner)] - 1
    if not return_indices:
        return same_kind(distances.reshape(binary.shape), mask)
    found = indices.reshape(*binary.shape[:-dims], dims, *binary.shape[-dims:])
    return same_kind(distances.reshape(binary.shape), mask), same_kind(found, mask)


def _transform(
    mask: NDArray[np.bool_], metric: Metric, spacing: tuple[float, ...]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Distances and indices of one image."""
    if mask.all():
        return np.full(mask.shape, np.inf), np.zeros((mask.ndim, *mask.shape), np.int32)
    if metric.endswith("euclidean"):
        distances, indices = ndimage.distance_transform_edt(mask, sampling=spacing, return_indices=True)
        return (distances if metric == "euclidean" else distances**2), indices
    if len(set(spacing)) > 1:
        raise InputError(f"spacing must be the same on every axis for the metric {metric!r}; got {spacing}")
    chamfer: Any = "chessboard" if metric == "chebyshev" else "taxicab"
    distances, indices = ndimage.distance_transform_cdt(mask, chamfer, return_indices=True)
    return distances * spacing[0], indices
