"""Signed distance maps of masks and of label images."""

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import Array, as_binary, check_spacing, check_spatial_dims, same_kind
from shapewright.errors import InputError, unknown
from shapewright.geometry._distance_kernels import row_costs, signed_column_costs
from shapewright.geometry._threads import in_threads
from shapewright.geometry.distance import as_labels, axis_costs, column_blocks

Convention = Literal["half", "plain", "kervadec"]
CONVENTIONS: tuple[Convention, ...] = ("half", "plain", "kervadec")
EMPTY = ("zero", "infinite")


def signed_distance(
    mask: Array,
    *,
    spacing: Sequence[float] | float | None = None,
    spatial_dims: int | None = None,
    convention: Convention = "half",
    empty: Literal["zero", "infinite"] = "zero",
) -> Array:
    """Return the signed Euclidean distance to the boundary of a mask: negative inside, positive outside.

    Parameters
    ----------
    mask
        Binary mask ``[*leading, *spatial]``: bool, or integers 0 and 1; NumPy array or torch tensor.
    spacing
        Pixel size in mm, one value per spatial axis ((z,) y, x) or one for all; ``None`` means 1.
    spatial_dims
        How many trailing axes are space, 2 or 3; all of them by default. Each leading index is an image of its own.
    convention
        Where the zero level lies. With ``d_out`` the distance of an outside pixel to the nearest inside pixel, and
        ``d_in`` the reverse:

        ``"half"``
            ``d_out - h`` outside and ``-(d_in - h)`` inside, ``h = 0.5 * min(spacing)``: the zero level runs between
            the pixels. The default, because it is closest to the distance to the true contour.
        ``"plain"``
            ``d_out`` outside and ``-d_in`` inside: a jump across the boundary.
        ``"kervadec"``
            ``d_out`` outside and ``-(d_in - 1)`` inside, the shift being 1 whatever the spacing: the maps of
            [1]_ and of MONAI's ``BoundaryLoss``. Structures up to two pixels thick are zero inside.
    empty
        The map of a mask without foreground or without background, which has no boundary: ``"zero"`` everywhere (the
        default: it adds nothing to a loss), or ``"infinite"``, +inf for an empty and -inf for a full mask.

    Returns
    -------
    array or tensor, float32, the shape of ``mask``
        Signed distance in mm.

    Raises
    ------
    InputError
        ``mask`` is not binary; ``spacing``, ``spatial_dims``, ``convention`` or ``empty`` is not one of the accepted.

    Notes
    -----
    *Convention.* ``"plain"`` equals ``distance_transform_edt(~mask, sampling=spacing) -
    distance_transform_edt(mask, sampling=spacing)`` of SciPy wherever the mask has both kinds of pixels.
    Pixels outside the image have no influence: compute the map of a whole volume before cropping patches from it.

    References
    ----------
    .. [1] H. Kervadec et al., "Boundary loss for highly unbalanced segmentation", MIDL 2019 and Medical Image
       Analysis 67, 2021.

    Examples
    --------
    >>> mask = np.array([[0, 0, 1, 1, 1, 0]], dtype=bool)
    >>> signed_distance(mask)
    array([[ 1.5,  0.5, -0.5, -1.5, -0.5,  0.5]], dtype=float32)
    >>> signed_distance(mask, convention="kervadec")
    array([[ 2.,  1.,  0., -1.,  0.,  1.]], dtype=float32)
    """
    binary = as_binary(mask, "mask")
    dims = check_spatial_dims(spatial_dims, binary.shape)
    steps = check_spacing(spacing, dims)
    _check_names(convention, empty)
    maps = _signed(binary.view(np.uint8), np.ones(1, np.uint8), steps, convention, empty)
    return same_kind(maps.reshape(binary.shape), mask)


def class_distance_maps(
    labels: Array,
    num_classes: int,
    *,
    spacing: Sequence[float] | float | None = None,
    spatial_dims: int | None = None,
    convention: Convention = "half",
) -> Array:
    """Return the signed distance map of every class of a label image.

    Parameters
    ----------
    labels
        Integer labels ``[*leading, *spatial]``; NumPy array or torch tensor. Values that are not a class (an ignore
        label, say) are outside of every class.
    num_classes
        Number of classes; the classes are ``0 ... num_classes - 1``.
    spacing, spatial_dims, convention
        As in :func:`signed_distance`.

    Returns
    -------
    array or tensor, float32 ``[*leading, num_classes, *spatial]``
        ``[..., k, :, :]`` is the signed distance of ``labels == k``; zero where that class is absent or covers the
        image.

    Raises
    ------
    InputError
        ``labels`` is not integer, ``num_classes`` is not positive, or an argument of :func:`signed_distance` is wrong.

    Examples
    --------
    >>> labels = np.array([[0, 0, 1, 1, 2, 2]])
    >>> class_distance_maps(labels, num_classes=3)[1]
    array([[ 1.5,  0.5, -0.5, -0.5,  0.5,  1.5]], dtype=float32)
    """
    array = as_labels(labels, "labels")
    if num_classes < 1:
        raise InputError(f"num_classes must be at least 1; got {num_classes}")
    dims = check_spatial_dims(spatial_dims, array.shape)
    steps = check_spacing(spacing, dims)
    _check_names(convention, "zero")
    if num_classes - 1 > np.iinfo(array.dtype).max:
        array = array.astype(np.int64)
    classes = np.arange(num_classes, dtype=array.dtype)
    return same_kind(_signed(array, classes, steps, convention, "zero"), labels)


def _check_names(convention: str, empty: str) -> None:
    if convention not in CONVENTIONS:
        raise unknown("convention", convention, CONVENTIONS)
    if empty not in EMPTY:
        raise unknown("value of empty", empty, EMPTY)


def _signed(
    labels: NDArray[Any],
    classes: NDArray[Any],
    spacing: tuple[float, ...],
    convention: Convention,
    empty: str,
) -> NDArray[np.float32]:
    """Return the signed distances [*leading, K, *spatial] of the K classes of labels [*leading, *spatial]."""
    dims = len(spacing)
    leading, spatial = labels.shape[:-dims], labels.shape[-dims:]
    shape = (prod(leading) * len(classes), *spatial)
    costs = [axis_costs(length, step, squared=True) for length, step in zip(spatial, spacing, strict=True)]
    maps = np.empty(shape, np.float32)

    rows = (prod(leading), len(classes), prod(spatial[:-1]), spatial[-1])
    lines = np.ascontiguousarray(labels).reshape(rows[0], *rows[2:])
    kernel = partial(row_costs, lines, classes, costs[-1], True, maps.reshape(rows), None)
    in_threads(kernel, prod(rows[:-1]), maps.size)

    half = 0.5 * min(spacing)
    shifts = {"half": (half, half), "plain": (0.0, 0.0), "kervadec": (1.0, 0.0)}[convention]
    for axis in reversed(range(dims - 1)):
        columns = (prod(shape[: axis + 1]), shape[axis + 1], prod(shape[axis + 2 :]))
        kernel = partial(signed_column_costs, maps.reshape(columns), costs[axis], axis == 0, *shifts)
        in_threads(kernel, column_blocks(columns), maps.size)
    if empty == "zero" and maps.size:
        without_boundary = np.isinf(maps.reshape(len(maps), -1)[:, 0])
        maps[without_boundary] = 0
    return maps.reshape(*leading, len(classes), *spatial)
