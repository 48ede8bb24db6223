"""Boundary IoU: the intersection over union of the inner boundary bands of two masks."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import AnyArray, check_spacing
from shapewright.errors import InputError
from shapewright.geometry import distance_transform
from shapewright.metrics._masks import ROUNDING, binary_pair
from shapewright.metrics.overlap import iou
from shapewright.metrics.surface import image_diagonal

SHARE_OF_DIAGONAL = 0.02


def default_band_width(diagonal: float, spacing: tuple[float, ...]) -> float:
    """Return the width of the band in mm: 2 % of the image's diagonal, and at least one pixel along every axis."""
    return max(SHARE_OF_DIAGONAL * diagonal, *spacing)


def _inner_band(mask: NDArray[np.bool_], spacing: tuple[float, ...], width: float) -> NDArray[np.bool_]:
    """Return the pixels of the mask within ``width`` mm of the background, which begins outside the image."""
    depth = distance_transform(np.pad(mask, 1), spacing=spacing)
    inner = (slice(1, -1),) * mask.ndim
    return mask & (depth[inner] <= width * ROUNDING)


def band_iou(pred: NDArray[np.bool_], truth: NDArray[np.bool_], spacing: tuple[float, ...], width: float) -> float:
    """Return the boundary IoU of two boolean masks; they may be cut to a box that holds both."""
    return iou(_inner_band(pred, spacing, width), _inner_band(truth, spacing, width))


def boundary_iou(
    pred: AnyArray,
    truth: AnyArray,
    *,
    width: float | None = None,
    spacing: Sequence[float] | float | None = None,
) -> float:
    """Return the boundary IoU, from 0 to 1.

    Each mask is reduced to the band of its pixels that are within ``width`` of its boundary, and the bands are
    compared by intersection over union. For large objects this sees errors of the contour that the plain IoU drowns
    in the interior; for objects thinner than twice the band it is the plain IoU.

    Convention: the depth of a pixel is the distance in mm from its centre to the nearest background pixel's centre,
    and outside the image is background: ``scipy.ndimage.distance_transform_edt(np.pad(mask, 1), spacing)``. Both masks
    empty, 1; one empty, 0.

    Parameters
    ----------
    pred, truth
        Binary masks of one shape, ``(y, x)`` or ``(z, y, x)``.
    width
        Width of the band in mm. ``None`` is 2 % of the image's diagonal as in the paper, and at least the longest
        side of a pixel, so that the band is nowhere interrupted.
    spacing
        Pixel size in mm, one value per axis; ``None`` means 1 mm.

    Raises
    ------
    InputError
        Masks that are not binary, differ in shape, or do not have 2 or 3 axes; a spacing or width that is not positive,
        or a width below the longest side of a pixel.

    References
    ----------
    B. Cheng et al., Boundary IoU: improving object-centric image segmentation evaluation, CVPR 2021.

    Examples
    --------
    >>> truth = np.zeros((40, 40), bool)
    >>> truth[5:35, 5:35] = True
    >>> pred = np.roll(truth, 1, axis=1)
    >>> round(iou(pred, truth), 3), round(boundary_iou(pred, truth, width=2), 3)
    (0.935, 0.6)
    """
    p, t = binary_pair(pred, truth)
    mm = check_spacing(spacing, p.ndim)
    if width is None:
        width = default_band_width(image_diagonal(p.shape, mm), mm)
    elif not width >= max(mm):
        raise InputError(f"width must be at least the longest side of a pixel, {max(mm)} mm; got {width}")
    return band_iou(p, t, mm, width)
