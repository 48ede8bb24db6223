"""Measurements of the objects of an image, one row per object."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import AnyArray, as_numpy, check_spacing
from shapewright.errors import InputError
from shapewright.geometry.components import connected_components
from shapewright.geometry.distance import distance_transform


@dataclass(frozen=True)
class ObjectRow:
    """One object of :func:`object_table`.

    Attributes
    ----------
    label
        Its label.
    size
        Number of pixels.
    volume
        Volume in mm³; in 2D the area in mm².
    box
        Slices, one per axis: ``image[row.box]`` is the smallest box that holds the object.
    centroid
        Mean position of its pixel centres, in pixels.
    feret
        Largest Feret diameter in mm: the greatest distance between two points of the object, a pixel being a box.
    inscribed_radius
        Distance in mm from its deepest pixel's centre to the nearest pixel centre outside the object.
    """

    label: int
    size: int
    volume: float
    box: tuple[slice, ...]
    centroid: tuple[float, ...]
    feret: float
    inscribed_radius: float


def object_table(labels: AnyArray, *, spacing: Sequence[float] | float | None = None) -> list[ObjectRow]:
    """Return size, box, centroid, Feret diameter and inscribed radius of every object.

    Convention: ``skimage.measure.regionprops`` for label, size, box and centroid. The Feret diameter is that of the
    pixels as boxes, so a single square pixel of 1 mm has sqrt(2) mm. Outside the image is background, so an object at
    the border is inscribed as one in the middle; a single pixel has its shortest side as inscribed radius.

    Parameters
    ----------
    labels
        Label map ``(y, x)`` or ``(z, y, x)`` of integers, 0 the background, each other value one object, connected or
        not. A boolean mask is split into its connected components first.
    spacing
        Pixel size in mm, one value per axis; ``None`` means 1 mm.

    Returns
    -------
    list of ObjectRow
        In the order of the labels; empty where there are none.

    Raises
    ------
    InputError
        Not an image of 2 or 3 axes, floating-point or negative labels, a spacing that is not positive.

    Examples
    --------
    >>> mask = np.zeros((8, 8), bool)
    >>> mask[1:4, 1:5] = True
    >>> [row] = object_table(mask, spacing=(2.0, 1.0))
    >>> row.size, row.volume, row.centroid, row.inscribed_radius
    (12, 24.0, (2.0, 2.5), 2.0)
    >>> round(row.feret, 3)  # the diagonal of 6 mm x 4 mm
    7.211
    """
    from scipy import ndimage

    array = as_numpy(labels, "labels")
    if array.ndim not in (2, 3):
        raise InputError(f"labels must be an image with axes (y, x) or (z, y, x); got shape {array.shape}")
    mm = check_spacing(spacing, array.ndim)
    if array.dtype == np.bool_:
        array, _ = connected_components(array)
    elif not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"labels must be integers, or a boolean mask; got {array.dtype}")
    elif array.size and array.min() < 0:
        raise InputError(f"labels must be 0 or positive; got {array.min()}")
    boxes = ndimage.find_objects(array.astype(np.int64, copy=False))
    return [_measure(label, array[box] == label, box, mm) for label, box in enumerate(boxes, start=1) if box]


def _measure(label: int, mask: NDArray[np.bool_], box: tuple[slice, ...], spacing: tuple[float, ...]) -> ObjectRow:
    pixels = np.argwhere(mask)
    starts = [part.start for part in box]
    return ObjectRow(
        label=label,
        size=len(pixels),
        volume=len(pixels) * math.prod(spacing),
        box=box,
        centroid=tuple(float(value) for value in pixels.mean(axis=0) + starts),
        feret=_feret_diameter(mask, spacing),
        inscribed_radius=float(distance_transform(np.pad(mask, 1), spacing=spacing).max()),
    )


def _feret_diameter(mask: NDArray[np.bool_], spacing: tuple[float, ...]) -> float:
    """Return the greatest distance between two corners of pixels; both are corners of the convex hull."""
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import cdist

    lines = np.argwhere(mask.any(axis=-1))
    rows = mask[tuple(lines.T)]
    first, last = rows.argmax(axis=1), rows.shape[1] - rows[:, ::-1].argmax(axis=1)
    ends = np.concatenate([np.column_stack([lines, first]), np.column_stack([lines, last])])
    offsets = np.array([(*offset, 0) for offset in product((0, 1), repeat=mask.ndim - 1)])
    corners = np.unique((ends[:, None] + offsets).reshape(-1, mask.ndim), axis=0) * np.array(spacing)
    extreme = corners[ConvexHull(corners).vertices]
    return max(float(cdist(extreme[i : i + 1000], extreme).max()) for i in range(0, len(extreme), 1000))
