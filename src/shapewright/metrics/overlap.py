"""Overlap and volume of two binary masks.

All functions take masks of one shape, ``(y, x)`` or ``(z, y, x)``, as NumPy arrays or torch tensors, and return a
Python float that is never NaN. For label maps compare with the label first (``pred == 2``), or use
:func:`shapewright.metrics.evaluate`, which does every label at once.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import AnyArray, as_binary, check_spacing, check_spatial_dims
from shapewright.metrics._masks import binary_pair


def _count(mask: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))


def _ratio(part: float, whole: float) -> float:
    """Return part / whole; two empty masks agree perfectly."""
    return part / whole if whole else 1.0


def dice(pred: AnyArray, truth: AnyArray) -> float:
    """Return the Dice coefficient 2 |P and T| / (|P| + |T|), from 0 to 1.

    Convention: both masks empty, 1; one empty, 0. ``1 - scipy.spatial.distance.dice`` of the flattened masks where
    that is defined.

    Parameters
    ----------
    pred, truth
        Binary masks of one shape, ``(y, x)`` or ``(z, y, x)``.

    Raises
    ------
    InputError
        Masks that are not binary, differ in shape, or do not have 2 or 3 axes.

    References
    ----------
    L. R. Dice, Measures of the amount of ecologic association between species, Ecology 26, 1945.

    Examples
    --------
    >>> dice(np.array([[1, 1, 0]]), np.array([[0, 1, 1]]))
    0.5
    """
    p, t = binary_pair(pred, truth)
    return _ratio(2 * _count(p & t), _count(p) + _count(t))


def iou(pred: AnyArray, truth: AnyArray) -> float:
    """Return the intersection over union (Jaccard index) |P and T| / |P or T|, from 0 to 1.

    Convention: both masks empty, 1; one empty, 0. It orders results as Dice does: IoU = Dice / (2 - Dice).

    Parameters
    ----------
    pred, truth
        Binary masks of one shape, ``(y, x)`` or ``(z, y, x)``.

    Raises
    ------
    InputError
        Masks that are not binary, differ in shape, or do not have 2 or 3 axes.

    Examples
    --------
    >>> round(iou(np.array([[1, 1, 0]]), np.array([[0, 1, 1]])), 4)
    0.3333
    """
    p, t = binary_pair(pred, truth)
    return _ratio(_count(p & t), _count(p | t))


def volume(mask: AnyArray, *, spacing: Sequence[float] | float | None = None) -> float:
    """Return the volume of a mask in mm³, or of a 2D mask its area in mm².

    Parameters
    ----------
    mask
        Binary mask ``(y, x)`` or ``(z, y, x)``.
    spacing
        Pixel size in mm, one value per axis; ``None`` means 1 mm.

    Examples
    --------
    >>> volume(np.ones((2, 3), bool), spacing=(1.0, 0.5))
    3.0
    """
    binary = as_binary(mask, "mask")
    return _count(binary) * math.prod(check_spacing(spacing, check_spatial_dims(None, binary.shape)))


def relative_error_percent(pred: float, truth: float) -> float:
    """Return 100 (pred - truth) / truth; 0 where both are 0, and +100 where only the truth is."""
    if truth == 0:
        return 0.0 if pred == 0 else 100.0
    return 100.0 * (pred / truth - 1.0)


def volume_error_percent(pred: AnyArray, truth: AnyArray) -> float:
    """Return the signed volume error 100 (|P| - |T|) / |T| in percent; positive where too much was segmented.

    Convention: both masks empty, 0; prediction empty, -100; truth empty and prediction not, +100 (the ratio has no
    value there; +100 is the counterpart of a missed object).

    Parameters
    ----------
    pred, truth
        Binary masks of one shape, ``(y, x)`` or ``(z, y, x)``.

    Examples
    --------
    >>> volume_error_percent(np.array([[1, 1, 1]]), np.array([[0, 1, 1]]))
    50.0
    """
    p, t = binary_pair(pred, truth)
    return relative_error_percent(_count(p), _count(t))
