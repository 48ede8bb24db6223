"""Sizes of an object (its largest inscribed box or ball, its extents), and how single pixels change them."""

from collections.abc import Sequence
from functools import partial
from math import hypot, prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import Array, as_binary, check_spacing, check_spatial_dims, same_kind
from shapewright.errors import unknown
from shapewright.geometry._size_kernels import flipped_euclidean_radii, flipped_radii, two_nearest_along
from shapewright.geometry._threads import in_threads
from shapewright.geometry.distance import axis_costs, distance_transform

SizeMetric = Literal["chebyshev", "euclidean"]
METRICS = ("chebyshev", "euclidean")


def object_size(
    mask: Array,
    *,
    metric: SizeMetric = "chebyshev",
    spacing: Sequence[float] | float | None = None,
    spatial_dims: int | None = None,
) -> Array:
    """Return twice the largest distance from a foreground pixel to the background.

    This is about the side of the largest box (square, cube) that fits into the foreground [1]_ or, in the Euclidean
    metric, the diameter of the largest ball.

    Parameters
    ----------
    mask
        Binary mask ``[*leading, *spatial]``: bool, or integers 0 and 1; NumPy array or torch tensor.
    metric
        ``"chebyshev"`` as in the paper, or ``"euclidean"``.
    spacing
        Pixel size in mm, one value per spatial axis ((z,) y, x) or one for all; ``None`` means 1.
    spatial_dims
        How many trailing axes are space, 2 or 3; all of them by default. Each leading index is an image of its own.

    Returns
    -------
    array or tensor, float32 ``[*leading]``
        Size in mm: 0 for an empty mask, and twice the image's longest side (its diagonal in the Euclidean metric) for
        a mask without any background pixel, more than for any other mask.

    Raises
    ------
    InputError
        ``mask`` is not binary, ``metric`` is unknown, or ``spacing`` or ``spatial_dims`` does not fit.

    Notes
    -----
    *Convention.* ``2 * scipy.ndimage.distance_transform_cdt(mask, "chessboard").max()`` with unit spacing, and
    ``2 * scipy.ndimage.distance_transform_edt(mask, sampling=spacing).max()`` in the Euclidean metric. The border
    of the image is no background: an object that it cuts counts with what may lie beyond.

    References
    ----------
    .. [1] D. Barucic and J. Kybic, "Learning to segment from object sizes", ITAT 2022.

    Examples
    --------
    >>> mask = np.zeros((9, 9), dtype=bool)
    >>> mask[2:7, 3:6] = True
    >>> object_size(mask)
    array(4., dtype=float32)
    """
    binary = as_binary(mask, "mask")
    dims = check_spatial_dims(spatial_dims, binary.shape)
    steps = check_spacing(spacing, dims)
    distances = distance_transform(binary, metric=_known(metric), spacing=steps, spatial_dims=dims)
    radii = np.asarray(distances.max(axis=tuple(range(-dims, 0)), initial=0))
    radii[np.isinf(radii)] = _full_radius(binary.shape[-dims:], steps, metric)
    return same_kind(np.asarray(2 * radii), mask).reshape(binary.shape[:-dims])


def flip_sizes(
    mask: Array,
    *,
    metric: SizeMetric = "chebyshev",
    spacing: Sequence[float] | float | None = None,
    spatial_dims: int | None = None,
) -> Array:
    """Return for every pixel the :func:`object_size` of the mask in which that pixel alone is flipped, exactly.

    Parameters
    ----------
    mask, metric, spacing, spatial_dims
        As in :func:`object_size`.

    Returns
    -------
    array or tensor, float32, the shape of ``mask``
        Sizes in mm.

    Raises
    ------
    InputError
        As :func:`object_size`.

    Notes
    -----
    No distance transform is repeated. With d1 and d2 the distances of a pixel k to its two nearest background pixels
    (:func:`two_nearest_sources`) and D the largest d1, the size is twice

    * for a background pixel j that becomes foreground: max(D, max d2(k) over the k whose only nearest one is j);
    * for a foreground pixel i that becomes background: max over k of min(d1(k), distance of k and i), which the
      bounding boxes of the nested sets {k: d1(k) >= r} give in the Chebyshev metric.

    The time is proportional to the number of pixels, times the logarithm of the number of different distances; the
    two nearest sources add one step per foreground pixel and pixel of its distance. In the Euclidean metric, a pixel
    inside the largest ball looks at the deeper pixels of the object one by one.

    Examples
    --------
    >>> mask = np.array([[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]])
    >>> flip_sizes(mask)[2]
    array([4., 2., 2., 2., 4.], dtype=float32)
    """
    binary = as_binary(mask, "mask")
    dims = check_spatial_dims(spatial_dims, binary.shape)
    steps = check_spacing(spacing, dims)
    return same_kind(2 * _flipped_radii(binary, steps, _known(metric)), mask)


def two_nearest_sources(
    mask: Array,
    *,
    metric: SizeMetric = "chebyshev",
    spacing: Sequence[float] | float | None = None,
    spatial_dims: int | None = None,
) -> tuple[Array, Array]:
    """Return the two nearest background pixels of every pixel, and their distances.

    Parameters
    ----------
    mask, metric, spacing, spatial_dims
        As in :func:`object_size`.

    Returns
    -------
    distances : array or tensor, float32 ``[*leading, 2, *spatial]``
        Nearest first, in mm; infinite where the image has no such pixel. A background pixel is its own nearest.
    sources : array or tensor, int64 ``[*leading, 2, *spatial]``
        Their positions in the flattened image, -1 where there is none; among equally near ones, any.

    Raises
    ------
    InputError
        As :func:`object_size`.

    Examples
    --------
    >>> distances, sources = two_nearest_sources(np.array([[0, 1, 1, 1, 0]]))
    >>> distances[:, 0]
    array([[0., 1., 2., 1., 0.],
           [4., 3., 2., 3., 4.]], dtype=float32)
    >>> sources[0, 0]
    array([0, 0, 0, 4, 4])
    """
    binary = as_binary(mask, "mask")
    dims = check_spatial_dims(spatial_dims, binary.shape)
    distances, sources = _two_nearest(binary, check_spacing(spacing, dims), _known(metric))
    return same_kind(distances, mask), same_kind(sources, mask)


def _known(metric: SizeMetric) -> SizeMetric:
    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    return metric


def _two_nearest(
    mask: NDArray[np.bool_], spacing: tuple[float, ...], metric: SizeMetric
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the distances and the sources, [*leading, 2, *spatial]."""
    dims = len(spacing)
    leading, spatial = mask.shape[:-dims], mask.shape[-dims:]
    count, chebyshev = prod(leading), metric == "chebyshev"
    images = mask.reshape(count, *spatial)
    distances = np.full((count, 2, *spatial), np.inf, np.float32)
    distances[:, 0][~images] = 0
    sources = np.full((count, 2, *spatial), -1, np.int64)
    sources[:, 0] = np.where(images, -1, np.arange(prod(spatial)).reshape(spatial))
    for axis in reversed(range(dims)):
        lines = (count, 2, prod(spatial[:axis]), spatial[axis], prod(spatial[axis + 1 :]))
        costs = axis_costs(spatial[axis], spacing[axis], squared=not chebyshev)
        kernel = partial(two_nearest_along, distances.reshape(lines), sources.reshape(lines), costs, chebyshev)
        in_threads(kernel, count * lines[2] * lines[4], images.size)
    if not chebyshev:
        np.sqrt(distances, out=distances)
    shape = (*leading, 2, *spatial)
    return distances.reshape(shape), sources.reshape(shape)


def _flipped_radii(mask: NDArray[np.bool_], spacing: tuple[float, ...], metric: SizeMetric) -> NDArray[np.float32]:
    """Return the largest distance to the background after the flip of each pixel."""
    dims = len(spacing)
    spatial = mask.shape[-dims:]
    volumes = (prod(mask.shape[:-dims]), prod(spatial[:-2]), *spatial[-2:])
    distances, sources = _two_nearest(mask, spacing, metric)
    by_volume = (volumes[0], 2, *volumes[1:])
    nearest = distances.reshape(by_volume), sources.reshape(by_volume)
    steps, full = np.array((1.0,) * (3 - dims) + spacing), _full_radius(spatial, spacing, metric)
    radii = np.empty(volumes, np.float32)
    if metric == "chebyshev":
        costs = [axis_costs(length, step, squared=False) for length, step in zip(spatial, spacing, strict=True)]
        kernel = partial(flipped_radii, *nearest, np.unique(np.concatenate(costs)), steps, full, radii)
    else:
        kernel = partial(flipped_euclidean_radii, *nearest, steps, full, radii)
    in_threads(kernel, volumes[0], radii.size)
    return radii.reshape(mask.shape)


def _full_radius(spatial: tuple[int, ...], spacing: tuple[float, ...], metric: SizeMetric) -> float:
    """Return the radius of a mask without background: the longest side, or the diagonal; more than any other mask's."""
    sides = [length * step for length, step in zip(spatial, spacing, strict=True)]
    return max(sides) if metric == "chebyshev" else hypot(*sides)
