"""Exact distance transforms: the distance of every foreground pixel to the nearest background pixel."""

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import (
    AnyArray,
    Array,
    as_binary,
    as_numpy,
    check_spacing,
    check_spatial_dims,
    same_kind,
    shape_of,
)
from shapewright.errors import InputError, unknown
from shapewright.geometry._distance_kernels import LANES, column_costs, doubled_row_costs, follow_sources, row_costs
from shapewright.geometry._label_kernels import label_column_costs, label_row_costs
from shapewright.geometry._sweep_kernels import is_near, plane_steps, sweep, write_distances
from shapewright.geometry._threads import in_threads

if TYPE_CHECKING:
    from torch import Tensor

Metric = Literal["euclidean", "squared_euclidean", "chebyshev", "taxicab"]
_BYTE = np.iinfo(np.uint8).max // 2
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
        With ``outside=0`` a coordinate can be -1 or the length of its axis.

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

    The result is exact up to the rounding of float32 in every metric; with unit spacing, squares are exact up to 2**24.
    The time hardly depends on how far the background is: of the order of n log n for each line of n pixels. Large
    images use ``NUMBA_NUM_THREADS`` threads, or as many as torch if it has fewer; the result does not depend on their
    number. A tensor on another device than the CPU is transformed there.

    Examples
    --------
    >>> mask = np.array([[0, 1, 1, 1, 0], [0, 1, 1, 1, 1]], dtype=bool)
    >>> distance_transform(mask, metric="chebyshev")
    array([[0., 1., 2., 1., 0.],
           [0., 1., 2., 1., 1.]], dtype=float32)
    >>> distance_transform(mask, spacing=(1.0, 0.5))[1]
    array([0.      , 0.5     , 1.      , 1.118034, 1.      ], dtype=float32)
    """
    dims = check_spatial_dims(spatial_dims, shape_of(mask, "mask"))
    steps = check_spacing(spacing, dims)
    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    if outside not in (0, 1):
        raise InputError(f"outside must be 0 (background) or 1 (foreground); got {outside!r}")
    if not isinstance(mask, np.ndarray) and mask.device.type != "cpu":
        result: Array | tuple[Array, Array] = _on_device(mask, metric, steps, outside, return_indices)
        return result
    binary = as_binary(mask, "mask")
    leading, spatial = binary.shape[:-dims], binary.shape[-dims:]
    images = np.ascontiguousarray(binary).reshape(prod(leading), *spatial)
    if outside == 0:
        images = np.pad(images, [(0, 0)] + [(1, 1)] * dims)
    distances, indices = _transform(images, metric, steps, return_indices)
    if outside == 0:
        inner: tuple[slice, ...] = (slice(1, -1),) * dims
        distances = distances[:, *inner]
        indices = None if indices is None else indices[:, :, *inner] - 1
    if indices is None:
        return same_kind(distances.reshape(binary.shape), mask)
    return same_kind(distances.reshape(binary.shape), mask), same_kind(indices.reshape(*leading, dims, *spatial), mask)


def _on_device(mask: "Tensor", metric: Metric, spacing: tuple[float, ...], outside: int, return_indices: bool) -> Any:
    """Do as :func:`distance_transform` on the tensor's own device."""
    from torch.nn.functional import pad

    from shapewright.geometry._torch_distance import as_binary_tensor, transform

    dims = len(spacing)
    leading, spatial = mask.shape[:-dims], mask.shape[-dims:]
    images = as_binary_tensor(mask, "mask").reshape(-1, *spatial)
    if outside == 0:
        images = pad(images, [1, 1] * dims)
    distances, indices = transform(images, metric, spacing, return_indices)
    if outside == 0:
        inner: tuple[slice, ...] = (slice(1, -1),) * dims
        distances = distances[:, *inner]
        indices = None if indices is None else indices[:, :, *inner] - 1
    distances = distances.reshape(mask.shape)
    return distances if indices is None else (distances, indices.reshape(*leading, dims, *spatial))


def column_blocks(shape: tuple[int, int, int]) -> int:
    """Return the number of tasks of a column kernel for costs of the shape [N, length, X]."""
    return shape[0] * -(-shape[2] // LANES)


def axis_costs(length: int, spacing: float, *, squared: bool) -> NDArray[np.float32]:
    """Return what differences of 0 ... ``length`` - 1 pixels along an axis add to the distance, and then infinity."""
    differences = np.arange(length + 1) * spacing
    costs = (differences**2 if squared else differences).astype(np.float32)
    costs[length] = np.inf
    return costs


def _transform(
    images: NDArray[np.bool_], metric: Metric, spacing: tuple[float, ...], with_indices: bool
) -> tuple[NDArray[np.float32], NDArray[np.int32] | None]:
    """Return the distances of the images [N, *spatial], and where the nearest pixels are, [N, dims, *spatial]."""
    squared = metric.endswith("euclidean")
    if not squared and not with_indices and len(set(spacing)) == 1:
        return _whole_steps(images, spacing[0], diagonal=metric == "chebyshev"), None
    shape, dims = images.shape, len(spacing)
    costs = [axis_costs(length, step, squared=squared) for length, step in zip(shape[1:], spacing, strict=True)]
    sources = np.empty((dims, *shape), np.int32) if with_indices else None
    distances = _along_rows(images, costs[-1], None if sources is None else sources[-1])
    for axis in reversed(range(dims - 1)):
        columns = (prod(shape[: axis + 1]), shape[axis + 1], prod(shape[axis + 2 :]))
        source = None if sources is None else sources[axis].reshape(columns)
        root = axis == 0 and metric == "euclidean"
        kernel = partial(column_costs, distances.reshape(columns), costs[axis], metric == "chebyshev", root, source)
        in_threads(kernel, column_blocks(columns), distances.size)
    return distances, None if sources is None else _nearest(sources, images)


def _whole_steps(images: NDArray[np.bool_], spacing: float, *, diagonal: bool) -> NDArray[np.float32]:
    """Return the distances in straight, or also diagonal, steps of the same length to the background."""
    shape = images.shape
    count, *_, height, width = shape
    volumes = images.view(np.uint8).reshape(count, prod(shape[1:-2]), height, width)
    planes = volumes.reshape(prod(shape[:-2]), height, width)
    none = _no_path(volumes, len(shape) - 1, diagonal=diagonal)
    steps, most = np.empty(planes.shape, none.dtype), np.empty(planes.shape[:2], none.dtype)
    in_threads(partial(plane_steps, planes, none, diagonal, steps, most), len(planes), steps.size)
    if len(shape) == 4:
        in_threads(partial(sweep, steps.reshape(shape), most.reshape(shape[:-1]), diagonal), count, steps.size)
    distances = np.zeros((most.size, width), np.float32)
    rows = steps.reshape(distances.shape), none, most.reshape(-1)
    in_threads(partial(write_distances, *rows, np.float32(spacing), distances), len(distances), distances.size // 8)
    return distances.reshape(shape)


def _no_path(volumes: NDArray[np.uint8], dims: int, *, diagonal: bool) -> Any:
    """Return a number of steps that no pixel of [N, Z, Y, X] is from its background, of the narrowest integer type.

    Twice the number fits into the type. A pixel that is r or more steps from the background has a box of foreground
    around it: r pixels each way for diagonal steps, of which the border may cut one side, the dims-th part otherwise.
    Of a grid of boxes half as long, one lies within.
    """
    longest = sum(volumes.shape[1:])
    reach = _BYTE - 1 if diagonal else (_BYTE - 1) // dims
    if longest <= _BYTE or is_near(volumes, (reach + 2) // 2):
        return np.uint8(min(longest, _BYTE))
    return np.int16(longest) if 2 * longest <= np.iinfo(np.int16).max else np.int32(longest)


def _along_rows(images: NDArray[np.bool_], cost: NDArray[Any], source: NDArray[np.int32] | None) -> NDArray[Any]:
    """Return the cost of the distance along the last axis, and write the column it comes from into ``source``."""
    costs = np.empty(images.shape, cost.dtype)
    rows, width = prod(images.shape[:-1]), images.shape[-1]
    labels = images.view(np.uint8).reshape(rows, width)
    if source is None:
        none = np.int16(width) if 2 * width <= np.iinfo(np.int16).max else np.int32(width)
        kernel = partial(doubled_row_costs, labels, none, cost, costs.reshape(rows, width), None)
    else:
        whole, foreground = (1, 1, rows, width), np.ones(1, np.uint8)
        kernel = partial(row_costs, labels[None], foreground, cost, False, costs.reshape(whole), source.reshape(whole))
    in_threads(kernel, rows, costs.size)
    return costs


def _without_background(images: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.array([image.all() for image in images], bool)


def _nearest(sources: NDArray[np.int32], images: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return where the nearest background pixels are, [N, dims, *spatial], from the sources along each axis."""
    dims, count, *spatial = sources.shape
    planes = (count, dims, prod(spatial[:-2]), *spatial[-2:])
    by_image = np.ascontiguousarray(np.moveaxis(sources, 0, 1)).reshape(planes)
    nearest = np.empty_like(by_image)
    in_threads(partial(follow_sources, by_image, nearest), planes[0] * planes[2], images.size)
    nearest = nearest.reshape(count, dims, *spatial)
    nearest[_without_background(images)] = -1
    return nearest


def label_distance(
    labels: Array, *, spacing: Sequence[float] | float | None = None, spatial_dims: int | None = None
) -> Array:
    """Return the Euclidean distance of every pixel to the nearest pixel of another label, exactly.

    All labels are done in one pass, however many there are; zero is a label like any other.

    Parameters
    ----------
    labels
        Integer labels ``[*leading, *spatial]``; NumPy array or torch tensor.
    spacing, spatial_dims
        As in :func:`distance_transform`.

    Returns
    -------
    array or tensor, float32, the shape of ``labels``
        Distance in mm, at least ``min(spacing)``; infinite in an image with a single label.

    Raises
    ------
    InputError
        ``labels`` is not integer, or ``spacing`` or ``spatial_dims`` does not fit.

    Notes
    -----
    *Convention.* The sum over the labels k of ``scipy.ndimage.distance_transform_edt(labels == k, sampling=spacing)``.

    Examples
    --------
    >>> label_distance(np.array([[1, 1, 1, 2, 2, 0, 0]]))
    array([[3., 2., 1., 1., 1., 1., 2.]], dtype=float32)
    """
    array = as_labels(labels, "labels")
    dims = check_spatial_dims(spatial_dims, array.shape)
    return same_kind(_label_distance(array, check_spacing(spacing, dims)), labels)


def as_labels(value: AnyArray, name: str) -> NDArray[Any]:
    """Return integer or boolean labels as an integer array."""
    array = as_numpy(value, name)
    if array.dtype == np.bool_:
        return array.view(np.uint8)
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"{name} must be integers; got {array.dtype}")
    return array


def _label_distance(labels: NDArray[Any], spacing: tuple[float, ...]) -> NDArray[np.float32]:
    dims = len(spacing)
    shape = (prod(labels.shape[:-dims]), *labels.shape[-dims:])
    labels_in_order = np.ascontiguousarray(labels)
    distances = np.empty(labels.shape, np.float32)
    rows = (prod(shape[:-1]), shape[-1])
    cost = axis_costs(shape[-1], spacing[-1], squared=True)
    kernel = partial(label_row_costs, labels_in_order.reshape(rows), cost, distances.reshape(rows))
    in_threads(kernel, rows[0], distances.size)
    for axis in reversed(range(dims - 1)):
        columns = (prod(shape[: axis + 1]), shape[axis + 1], prod(shape[axis + 2 :]))
        cost = axis_costs(columns[1] + 2, spacing[axis], squared=True)  # a run's neighbours on both sides count
        kernel = partial(
            label_column_costs, labels_in_order.reshape(columns), distances.reshape(columns), cost, axis == 0
        )
        in_threads(kernel, columns[0] * columns[2], distances.size)
    return distances
