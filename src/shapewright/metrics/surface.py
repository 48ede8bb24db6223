"""Distances between the surfaces of two masks, in mm, weighted by the area of sub-voxel surface elements.

The surface of a mask is cut into one element per corner of the voxel grid (the piece marching cubes draws between the
voxel centres around that corner); an element has the corner as its position and its area (in 2D, its length) as its
weight. So a wall counts the same however finely its pixels sample it, anisotropic voxels are treated right, and the
distance between identical masks is exactly 0. Positions on grid corners make distances along an axis exact; along other
directions, where the corners around a surface form a thin layer, they come out short by up to half a voxel. Outside
the image is background: where an object touches the border, its surface is there.

These are the elements and positions of DeepMind's ``surface-distance`` package. In 2D all results are equal; in 3D the
percentiles and shares differ in the fourth digit, because elements that are not flat are spanned by other triangles.

**Empty masks** (the same everywhere in this module): both empty is perfect agreement, distance 0 and surface Dice 1;
with one empty every distance is the diagonal of the image in mm and the surface Dice is 0. Nothing is ever NaN.

References
----------
S. Nikolov et al., Clinically applicable segmentation of head and neck anatomy for radiotherapy, J. Med. Internet Res.
23, 2021 (surface Dice, surface elements). W. E. Lorensen, H. E. Cline, Marching cubes, SIGGRAPH 1987.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numba
import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import AnyArray, check_spacing
from shapewright.errors import InputError, unknown
from shapewright.geometry import distance_transform
from shapewright.metrics._elements import element_areas
from shapewright.metrics._masks import ROUNDING, binary_pair, label_boxes, union_box

Pooling = Literal["directed", "pooled"]
Distances = NDArray[np.float64]


def _check_pooling(pooling: str) -> None:
    if pooling not in get_args(Pooling):
        raise unknown("pooling", pooling, get_args(Pooling))


def check_tolerance(tolerance: float) -> None:
    """Raise unless a tolerance is a finite distance of 0 mm or more."""
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise InputError(f"tolerance must be a distance in mm, 0 or more; got {tolerance}")


def _percentile(distances: Distances, areas: Distances, percentile: float) -> float:
    """Return the least distance within which ``percentile`` % of the area lies."""
    if percentile == 100:
        return float(distances.max())
    order = np.argsort(distances)
    covered = np.cumsum(areas[order])
    return float(distances[order[np.searchsorted(covered, covered[-1] * percentile / 100)]])


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Distances between two surfaces both ways; what :func:`surface_distances` returns.

    Attributes
    ----------
    pred_to_truth, truth_to_pred
        For each surface element of one mask, the distance in mm to the nearest element of the other. Where the other
        mask is empty, ``diagonal``.
    pred_areas, truth_areas
        The area of each element in mm² (2D: length in mm).
    diagonal
        Diagonal of the image in mm, the distance to a surface that is not there.
    """

    pred_to_truth: Distances
    truth_to_pred: Distances
    pred_areas: Distances
    truth_areas: Distances
    diagonal: float

    def _empty_value(self) -> float | None:
        """Return the distance where a mask is empty; ``None`` where both have a surface."""
        empties = (self.pred_areas.size == 0) + (self.truth_areas.size == 0)
        return None if empties == 0 else 0.0 if empties == 2 else self.diagonal

    def _all(self) -> tuple[Distances, Distances]:
        """Return the distances and areas of both surfaces as one."""
        return (
            np.concatenate([self.pred_to_truth, self.truth_to_pred]),
            np.concatenate([self.pred_areas, self.truth_areas]),
        )

    def hausdorff(self, percentile: float | None = 95, *, pooling: Pooling = "directed") -> float:
        """Return the (percentile) Hausdorff distance in mm; see :func:`hausdorff_distance`."""
        _check_pooling(pooling)
        percentile = 100 if percentile is None else percentile
        if not 0 < percentile <= 100:
            raise InputError(f"percentile must be above 0 and at most 100, or None for the maximum; got {percentile}")
        empty = self._empty_value()
        if empty is not None:
            return empty
        if pooling == "pooled":
            return _percentile(*self._all(), percentile)
        return max(
            _percentile(self.pred_to_truth, self.pred_areas, percentile),
            _percentile(self.truth_to_pred, self.truth_areas, percentile),
        )

    def average(self, *, pooling: Pooling = "pooled") -> float:
        """Return the average symmetric surface distance in mm; see :func:`average_surface_distance`."""
        _check_pooling(pooling)
        empty = self._empty_value()
        if empty is not None:
            return empty
        pred, truth = self.pred_to_truth @ self.pred_areas, self.truth_to_pred @ self.truth_areas
        pred_area, truth_area = self.pred_areas.sum(), self.truth_areas.sum()
        if pooling == "pooled":
            return float((pred + truth) / (pred_area + truth_area))
        return float(pred / pred_area + truth / truth_area) / 2

    def surface_dice(self, tolerance: float) -> float:
        """Return the share of both surfaces within ``tolerance`` mm of each other; see :func:`surface_dice`."""
        check_tolerance(tolerance)
        empty = self._empty_value()
        if empty is not None:
            return 1.0 if empty == 0 else 0.0
        distances, areas = self._all()
        return float(areas[distances <= tolerance * ROUNDING].sum() / areas.sum())


@numba.njit(cache=True, nogil=True)
def _neighbourhood_codes(padded: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return at every grid corner the code of the 2 x 2 x 2 voxels around it; bits as in ``_elements.VOXELS``."""
    depth, height, width = padded.shape[0] - 1, padded.shape[1] - 1, padded.shape[2] - 1
    codes = np.empty((depth, height, width), np.uint8)
    for z in range(depth):
        for y in range(height):
            a, b = padded[z, y], padded[z, y + 1]
            c, d = padded[z + 1, y], padded[z + 1, y + 1]
            out = codes[z, y]
            for x in range(width):
                low = a[x] | b[x] << 1 | c[x] << 2 | d[x] << 3
                high = a[x + 1] | b[x + 1] << 1 | c[x + 1] << 2 | d[x + 1] << 3
                out[x] = low | high << 4
    return codes


def _surface_codes(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the codes of all grid corners of a mask, its border included: one more along each axis.

    A 2D mask is the cross-section of a prism: with the same slice above and below, the area of an element of depth
    1 mm is the length of the contour in mm.
    """
    padded = np.pad(mask.view(np.uint8), 1)
    if mask.ndim == 2:
        return np.asarray(_neighbourhood_codes(np.stack([padded, padded]))[0])
    return np.asarray(_neighbourhood_codes(padded))


@dataclass(frozen=True)
class _Surface:
    """The surface elements of a mask: where they are on the grid of corners, and their areas."""

    present: NDArray[np.bool_]
    positions: NDArray[np.intp]
    areas: Distances

    @classmethod
    def of(cls, mask: NDArray[np.bool_], spacing: tuple[float, ...]) -> "_Surface":
        codes = _surface_codes(mask)
        present = (codes != 0) & (codes != 255)
        positions = np.flatnonzero(present)
        z, y, x = spacing if len(spacing) == 3 else (1.0, *spacing)
        return cls(present, positions, element_areas((z, y, x))[codes.ravel()[positions]])

    def distance_from(self, other: "_Surface", spacing: tuple[float, ...]) -> Distances:
        """Return for each of our elements the distance to the nearest of ``other``."""
        field: NDArray[Any] = distance_transform(~other.present, spacing=spacing)
        return field.ravel()[self.positions].astype(np.float64)


def image_diagonal(shape: tuple[int, ...], spacing: tuple[float, ...]) -> float:
    """Return the diagonal of an image in mm."""
    return math.hypot(*(n * s for n, s in zip(shape, spacing, strict=True)))


def distances_in_box(
    pred: NDArray[np.bool_], truth: NDArray[np.bool_], spacing: tuple[float, ...], diagonal: float
) -> SurfaceDistances:
    """Return the surface distances of two boolean masks that were already cut to a box that holds both."""
    if not pred.any() or not truth.any():
        pred_areas, truth_areas = _Surface.of(pred, spacing).areas, _Surface.of(truth, spacing).areas
        return SurfaceDistances(
            np.full(pred_areas.size, diagonal), np.full(truth_areas.size, diagonal), pred_areas, truth_areas, diagonal
        )
    p, t = _Surface.of(pred, spacing), _Surface.of(truth, spacing)
    return SurfaceDistances(p.distance_from(t, spacing), t.distance_from(p, spacing), p.areas, t.areas, diagonal)


def surface_distances(
    pred: AnyArray, truth: AnyArray, *, spacing: Sequence[float] | float | None = None
) -> SurfaceDistances:
    """Return the distances between the surfaces of two masks, both ways, from which all surface metrics follow.

    Compute it once and ask it for several metrics; :func:`hausdorff_distance` and its companions are shortcuts for
    one of them. The work is done in the smallest box that holds both masks.

    Parameters
    ----------
    pred, truth
        Binary masks of one shape, ``(y, x)`` or ``(z, y, x)``: NumPy arrays or torch tensors.
    spacing
        Pixel size in mm, one value per axis; ``None`` means 1 mm.

    Returns
    -------
    SurfaceDistances
        Distances and areas of the surface elements, with the methods ``hausdorff``, ``average``, ``surface_dice``.

    Raises
    ------
    InputError
        Masks that are not binary, differ in shape, or do not have 2 or 3 axes; a spacing that is not positive.

    Examples
    --------
    >>> truth = np.zeros((20, 20), bool)
    >>> truth[5:15, 5:15] = True
    >>> pred = np.roll(truth, 2, axis=1)
    >>> distances = surface_distances(pred, truth, spacing=(1.0, 0.5))
    >>> distances.hausdorff(100), distances.surface_dice(tolerance=1.0)
    (1.0, 1.0)
    """
    p, t = binary_pair(pred, truth)
    mm = check_spacing(spacing, p.ndim)
    box = union_box(label_boxes(p.view(np.uint8), t.view(np.uint8))[1:], p.ndim)
    return distances_in_box(p[box], t[box], mm, image_diagonal(p.shape, mm))


def hausdorff_distance(
    pred: AnyArray,
    truth: AnyArray,
    *,
    percentile: float | None = 95,
    spacing: Sequence[float] | float | None = None,
    pooling: Pooling = "directed",
) -> float:
    """Return the Hausdorff distance in mm, by default its 95th percentile (HD95).

    Two definitions are in use, and they differ. ``pooling="directed"``, the default, is the larger of two directed
    percentiles: that of the distances from the predicted surface to the true one, and that of the way back (so does
    MONAI, and Nikolov et al.). ``pooling="pooled"`` is the percentile of all distances taken together (so does MedPy);
    it is never larger. At 100 % both are the classical Hausdorff distance. A percentile counts surface area, not
    voxels: the least distance within which 95 % of the surface lies.

    Convention: both masks empty, 0; one empty, the diagonal of the image in mm.

    Parameters
    ----------
    pred, truth
        Binary masks of one shape, ``(y, x)`` or ``(z, y, x)``.
    percentile
        Above 0 and up to 100; 95 because one stray pixel decides the maximum. ``None`` or 100 is the maximum.
    spacing
        Pixel size in mm, one value per axis; ``None`` means 1 mm.
    pooling
        ``"directed"`` or ``"pooled"``, as above.

    Raises
    ------
    InputError
        As :func:`surface_distances`; a percentile out of range; an unknown pooling.

    Examples
    --------
    >>> truth = np.zeros((20, 20), bool)
    >>> truth[5:15, 5:15] = True
    >>> hausdorff_distance(np.roll(truth, 3, axis=0), truth, percentile=None)
    3.0
    >>> round(hausdorff_distance(np.zeros_like(truth), truth), 3)  # nothing found: the diagonal
    28.284
    """
    return surface_distances(pred, truth, spacing=spacing).hausdorff(percentile, pooling=pooling)


def average_surface_distance(
    pred: AnyArray,
    truth: AnyArray,
    *,
    spacing: Sequence[float] | float | None = None,
    pooling: Pooling = "pooled",
) -> float:
    """Return the average symmetric surface distance (ASSD) in mm.

    ``pooling="pooled"``, the default, averages over both surfaces taken together, so the larger surface weighs more.
    ``pooling="directed"`` is the mean of the two directed averages, each surface weighing one half. Averages are over
    surface area, not over voxels.

    Convention: both masks empty, 0; one empty, the diagonal of the image in mm.

    Parameters
    ----------
    pred, truth
        Binary masks of one shape, ``(y, x)`` or ``(z, y, x)``.
    spacing
        Pixel size in mm, one value per axis; ``None`` means 1 mm.
    pooling
        ``"pooled"`` or ``"directed"``, as above.

    Examples
    --------
    >>> truth = np.zeros((20, 20), bool)
    >>> truth[5:15, 5:15] = True
    >>> average_surface_distance(truth, truth)
    0.0
    """
    return surface_distances(pred, truth, spacing=spacing).average(pooling=pooling)


def surface_dice(
    pred: AnyArray, truth: AnyArray, *, tolerance: float, spacing: Sequence[float] | float | None = None
) -> float:
    """Return the surface Dice at a tolerance (normalised surface distance, NSD), from 0 to 1.

    The share of both surfaces, by area, that lies within ``tolerance`` of the other: the part of a contour that nobody
    would have to redraw.

    Convention: both masks empty, 1; one empty, 0.

    Parameters
    ----------
    pred, truth
        Binary masks of one shape, ``(y, x)`` or ``(z, y, x)``.
    tolerance
        Accepted distance in mm, bounds included. No default: it should be what two experts differ by.
    spacing
        Pixel size in mm, one value per axis; ``None`` means 1 mm.

    Raises
    ------
    InputError
        As :func:`surface_distances`; a tolerance that is negative or not finite.

    References
    ----------
    S. Nikolov et al., Clinically applicable segmentation of head and neck anatomy for radiotherapy, J. Med. Internet
    Res. 23, 2021.

    Examples
    --------
    >>> truth = np.zeros((20, 20), bool)
    >>> truth[5:15, 5:15] = True
    >>> surface_dice(np.roll(truth, 1, axis=0), truth, tolerance=1.0)
    1.0
    """
    return surface_distances(pred, truth, spacing=spacing).surface_dice(tolerance)
