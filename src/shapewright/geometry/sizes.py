"""The size of an object in the sense of its largest inscribed box, and how single pixels change it."""

from collections.abc import Sequence
from functools import partial
from math import prod

import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import Array, as_binary, check_spacing, check_spatial_dims, same_kind
from shapewright.geometry._size_kernels import flipped_radii, two_nearest_along
from shapewright.geometry._threads import in_threads
from shapewright.geometry.distance import axis_costs, distance_transform


def object_size(
    mask: Array, *, spacing: Sequence[float] | float | None = None, spatial_dims: int | None = None
) -> Array:
    """Return twice the largest Chebyshev distance from a foreground pixel to the background.

    This is about the side of the largest box (square, cube) that fits into the foreground [1]_.

    Parameters
    ----------
    mask
        Binary mask ``[*leading, *spatial]``: bool, or integers 0 and 1; NumPy array or torch tensor.
    spacing
        Pixel size in mm, one value per spatial axis ((z,) y, x) or one for all; ``None`` means 1.
    spatial_dims
        How many trailing axes are space, 2 or 3; all of them by default. Each leading index is an image of its own.

    Returns
    -------
    array or tensor, float32 ``[*leading]``
        Size in mm: 0 for an empty mask, and twice the image's longest side for a mask without any background pixel,
        more than for any other mask.

    Raises
    ------
    InputError
        ``mask`` is not binary, or ``spacing`` or ``spatial_dims`` does not fit.

    Notes
    -----
    *Convention.* ``2 * scipy.ndimage.distance_transform_cdt(mask, "chessboard").max()`` with unit spacing. The border
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
    distances = distance_transform(binary, metric="chebyshev", spacing=steps, spatial_dims=dims)
    radii = np.asarray(distances.max(axis=tuple(range(-dims, 0)), initial=0))
    radii[np.isinf(radii)] = _full_radius(binary.shape[-dims:], steps)
    return same_kind(np.asarray(2 * radii), mask).reshape(binary.shape[:-dims])


def flip_sizes(
    mask: Array, *, spacing: Sequence[float] | float | None = None, spatial_dims: int | None = None
) -> Array:
    """Return for every pixel the :func:`object_size` of the mask in which that pixel alone is flipped, exactly.

    Parameters
    ----------
    mask, spacing, spatial_dims
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
      bounding boxes of the nested sets {k: d1(k) >= r} give.

    The time is proportional to the number of pixels, times the logarithm of the number of different distances; the
    two nearest sources add one step per foreground pixel and pixel of its distance.

    Examples
    --------
    >>> mask = np.array([[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]])
    >>> flip_sizes(mask)[2]
    array([4., 2., 2., 2., 4.], dtype=float32)
    """
    binary = as_binary(mask, "mask")
    dims = check_spatial_dims(spatial_dims, binary.shape)
    steps = check_spacing(spacing, dims)
    return same_kind(2 * _flipped_radii(binary, steps), mask)


def two_nearest_sources(
    mask: Array, *, spacing: Sequence[float] | float | None = None, spatial_dims: int | None = None
) -> tuple[Array, Array]:
    """Return the two nearest background pixels of every pixel, and their Chebyshev distances.

    Parameters
    ----------
    mask, spacing, spatial_dims
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
    distances, sources = _two_nearest(binary, check_spacing(spacing, dims))
    return same_kind(distances, mask), same_kind(sources, mask)


def _two_nearest(mask: NDArray[np.bool_], spacing: tuple[float, ...]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the distances and the sources, [*leading, 2, *spatial]."""
    dims = len(spacing)
    leading, spatial = mask.shape[:-dims], mask.shape[-dims:]
    count = prod(leading)
    images = mask.reshape(count, *spatial)
    distances = np.full((count, 2, *spatial), np.inf, np.float32)
    distances[:, 0][~images] = 0
    sources = np.full((count, 2, *spatial), -1, np.int64)
    sources[:, 0] = np.where(images, -1, np.arange(prod(spatial)).reshape(spatial))
    for axis in reversed(range(dims)):
        lines = (count, 2, prod(spatial[:axis]), spatial[axis], prod(spatial[axis + 1 :]))
        costs = _costs(spatial[axis], spacing[axis])
        kernel = partial(two_nearest_along, distances.reshape(lines), sources.reshape(lines), costs)
        in_threads(kernel, count * lines[2] * lines[4], images.size)
    shape = (*leading, 2, *spatial)
    return distances.reshape(shape), sources.reshape(shape)


def _flipped_radii(mask: NDArray[np.bool_], spacing: tuple[float, ...]) -> NDArray[np.float32]:
    """Return the largest distance to the background after the flip of each pixel."""
    dims = len(spacing)
    spatial = mask.shape[-dims:]
    volumes = (prod(mask.shape[:-dims]), prod(spatial[:-2]), *spatial[-2:])
    distances, sources = _two_nearest(mask, spacing)
    levels = [_costs(length, step) for length, step in zip(spatial, spacing, strict=True)]
    radii = np.empty(volumes, np.float32)
    kernel = partial(
        flipped_radii,
        distances.reshape(volumes[0], 2, *volumes[1:]),
        sources.reshape(volumes[0], 2, *volumes[1:]),
        np.unique(np.concatenate(levels)),
        np.array((1.0,) * (3 - dims) + spacing),
        _full_radius(spatial, spacing),
        radii,
    )
    in_threads(kernel, volumes[0], radii.size)
    return radii.reshape(mask.shape)


def _costs(length: int, spacing: float) -> NDArray[np.float32]:
    return axis_costs(length, spacing, squared=False)


def _full_radius(spatial: tuple[int, ...], spacing: tuple[float, ...]) -> float:
    """Return the radius of a mask without background: the longest side, one pixel more than any other mask's."""
    return max(length * step for length, step in zip(spatial, spacing, strict=True))
