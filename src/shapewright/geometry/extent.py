"""The sides of an object's bounding box, and how single pixels change them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import Array, as_binary, check_spacing, check_spatial_dims, same_kind


def extents(mask: Array, *, spacing: Sequence[float] | float | None = None, spatial_dims: int | None = None) -> Array:
    """Return the sides of the smallest box along the axes that holds the foreground.

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
    array or tensor, float32 ``[*leading, spatial_dims]``
        Length in mm along each axis, outer faces of the pixels included; 0 for an empty mask.

    Raises
    ------
    InputError
        ``mask`` is not binary, or ``spacing`` or ``spatial_dims`` does not fit.

    Notes
    -----
    *Convention.* The difference of the ``bbox`` of ``skimage.measure.regionprops``, times the spacing.

    Examples
    --------
    >>> mask = np.zeros((9, 9), dtype=bool)
    >>> mask[2:7, 3:6] = True
    >>> extents(mask, spacing=(1, 0.5))
    array([5. , 1.5], dtype=float32)
    """
    binary = as_binary(mask, "mask")
    dims = check_spatial_dims(spatial_dims, binary.shape)
    steps = check_spacing(spacing, dims)
    sides = [(_ends(_counts(binary, axis, dims) > 0) * step) for axis, step in enumerate(steps)]
    return same_kind(np.stack(sides, axis=-1).astype(np.float32), mask)


def flip_extents(
    mask: Array, *, spacing: Sequence[float] | float | None = None, spatial_dims: int | None = None
) -> Array:
    """Return for every pixel the :func:`extents` of the mask in which that pixel alone is flipped, exactly.

    Parameters
    ----------
    mask, spacing, spatial_dims
        As in :func:`extents`.

    Returns
    -------
    array or tensor, float32 ``[*leading, spatial_dims, *spatial]``
        Lengths in mm.

    Raises
    ------
    InputError
        As :func:`extents`.

    Notes
    -----
    The extent along an axis depends on which of its positions hold foreground. A background pixel occupies its
    position; a foreground pixel frees its own if it is alone there.

    Examples
    --------
    >>> flip_extents(np.array([[0, 1, 1, 0, 0]]))[1]
    array([[3., 1., 1., 3., 4.]], dtype=float32)
    """
    binary = as_binary(mask, "mask")
    dims = check_spatial_dims(spatial_dims, binary.shape)
    steps = check_spacing(spacing, dims)
    return same_kind(_flipped(binary, steps), mask)


def _flipped(mask: NDArray[np.bool_], spacing: tuple[float, ...]) -> NDArray[np.float32]:
    """Return the extents after every flip, [*leading, dims, *spatial]."""
    dims = len(spacing)
    leading, lengths = mask.shape[:-dims], mask.shape[-dims:]
    sides = []
    for axis, step in enumerate(spacing):
        counts = _counts(mask, axis, dims)
        one = np.eye(lengths[axis], dtype=bool)
        used = (counts > 0)[..., None, :]
        alone = (counts == 1)[..., None]
        along = (*leading, *(1,) * axis, lengths[axis], *(1,) * (dims - 1 - axis))
        grown = (_ends(used | one) * step).reshape(along)
        shrunk = (_ends(used & ~(one & alone)) * step).reshape(along)
        sides.append(np.where(mask, shrunk, grown).astype(np.float32))
    return np.stack(sides, axis=-dims - 1)


def _counts(mask: NDArray[np.bool_], axis: int, dims: int) -> NDArray[Any]:
    """Return how many foreground pixels lie at each position along a spatial axis, [*leading, length]."""
    counts: NDArray[Any] = mask.sum(axis=tuple(a - dims for a in range(dims) if a != axis))
    return counts


def _ends(used: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the number of positions from the first to the last used one along the last axis; 0 if none is."""
    length = used.shape[-1]
    span = length - used.argmax(axis=-1) - used[..., ::-1].argmax(axis=-1)
    result: NDArray[np.intp] = np.where(used.any(axis=-1), span, 0)
    return result
