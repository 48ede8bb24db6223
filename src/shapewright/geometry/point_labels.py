"""Labels of pixels from one point per object: Voronoi cells tell objects apart, clusters of colour their extent."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.cluster.vq import kmeans2
from scipy.spatial import cKDTree

from shapewright.arrays import check_spacing
from shapewright.errors import InputError, check_number

UNKNOWN = 255

Labels = NDArray[np.uint8]


def nearest_point(
    points: NDArray[np.float64], shape: Sequence[int], *, spacing: Sequence[float] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return each pixel's distance to its nearest point in mm, and the number of that point.

    Parameters
    ----------
    points
        Pixel indices ``[N, dims]``, N at least 1.
    shape
        Shape of the image.
    spacing
        Pixel size in mm per axis; default 1.

    Examples
    --------
    >>> distance, cell = nearest_point(np.array([[0.0, 1.0], [0.0, 5.0]]), (1, 7))
    >>> distance[0].tolist(), cell[0].tolist()
    ([1.0, 0.0, 1.0, 2.0, 1.0, 0.0, 1.0], [0, 0, 0, 0, 1, 1, 1])
    """
    size = np.array(check_spacing(spacing, len(shape)))
    grid = np.indices(shape).reshape(len(shape), -1).T * size
    distance, cell = cKDTree(_checked(points, shape) * size).query(grid)
    return np.asarray(distance, float).reshape(shape), np.asarray(cell, np.intp).reshape(shape)


def typical_radius(points: NDArray[np.float64], *, spacing: Sequence[float] | None = None, largest: float) -> float:
    """Return a guess at the objects' radius in mm: 0.45 of the median distance between neighbours, at most ``largest``.

    Right where objects often touch, as nuclei in tissue do; too large where they are far apart, hence the bound.
    """
    size = np.array(check_spacing(spacing, points.shape[1]))
    if len(points) < 2:
        return largest
    placed = points * size
    neighbour = np.asarray(cKDTree(placed).query(placed, k=2)[0])[:, 1]
    return float(min(0.45 * np.median(neighbour), largest))


def voronoi_labels(
    points: NDArray[np.float64],
    shape: Sequence[int],
    *,
    classes: NDArray[np.uint8] | None = None,
    radius: float = 2.0,
    spacing: Sequence[float] | None = None,
) -> Labels:
    """Return discs around the points as objects and the borders of the points' Voronoi cells as background.

    Parameters
    ----------
    points
        Pixel indices ``[N, dims]``, one per object.
    shape
        Shape of the image.
    classes
        Class of each point, from 1; default 1.
    radius
        Of the discs in mm; the paper has 2 pixels. A disc is cut where its cell ends.
    spacing
        Pixel size in mm per axis; default 1.

    Returns
    -------
    NDArray
        uint8: 0 on borders between cells (pixels with a neighbour along an axis in another cell), the class on discs,
        255 (unknown) elsewhere; 0 everywhere without points.

    Raises
    ------
    InputError
        A point outside the image.

    References
    ----------
    Qu et al., "Weakly supervised deep nuclei segmentation using points annotation in histopathology images",
    MIDL 2019, section 2.1.

    Examples
    --------
    >>> voronoi_labels(np.array([[0.0, 1.0], [0.0, 7.0]]), (1, 9), radius=1)[0].tolist()
    [1, 1, 1, 255, 0, 0, 1, 1, 1]
    """
    labels = np.full(tuple(shape), UNKNOWN, np.uint8)
    if len(points) == 0:
        return np.zeros_like(labels)
    kinds = np.ones(len(points), np.uint8) if classes is None else np.asarray(classes, np.uint8)
    distance, cell = nearest_point(points, shape, spacing=spacing)
    labels[_borders(cell)] = 0
    disc = distance <= radius
    labels[disc] = kinds[cell[disc]]
    voxels = tuple(np.rint(points).astype(int).T)
    labels[voxels] = kinds
    return labels


def cluster_labels(
    image: NDArray[np.float32],
    points: NDArray[np.float64],
    *,
    radius: float,
    classes: NDArray[np.uint8] | None = None,
    spacing: Sequence[float] | None = None,
    clip: float = 1.6,
    exclusion: float = 0.8,
    colour_weight: float = 5.0,
    seed: int = 0,
) -> Labels:
    """Return objects and background found by clustering colour and distance to the nearest point.

    k-means makes three clusters. The one that holds most points is object; of the others, the one with least of the
    points' surroundings is background; the third is unknown. Objects are then opened, filled and kept apart by the
    cells' borders; background keeps away from points and objects.

    Parameters
    ----------
    image
        ``[C, *spatial]``, channels of standard deviation 1.
    points
        Pixel indices ``[N, dims]``, one per object.
    radius
        Typical radius of an object in mm, to which all else is relative: the constants of the authors' code suit
        nuclei of one magnification only.
    classes
        Class of each point, from 1; default 1.
    spacing
        Pixel size in mm per axis; default 1.
    clip
        Distances beyond this multiple of the radius count the same.
    exclusion
        No background within this multiple of the radius around a point.
    colour_weight
        Influence of the colours against the distance, which runs from 0 to 20.
    seed
        Seed of k-means.

    Returns
    -------
    NDArray
        uint8: 0 background, the class on objects, 255 (unknown) elsewhere; 0 everywhere without points.

    Raises
    ------
    InputError
        A point outside the image, or a radius that is not positive.

    References
    ----------
    Qu et al., MIDL 2019, section 2.1.
    """
    check_number("radius", radius, above=0)
    shape = image.shape[1:]
    labels = np.full(shape, UNKNOWN, np.uint8)
    if len(points) == 0:
        return np.zeros_like(labels)
    kinds = np.ones(len(points), np.uint8) if classes is None else np.asarray(classes, np.uint8)
    distance, cell = nearest_point(points, shape, spacing=spacing)
    features = np.concatenate([20 * np.clip(distance / (clip * radius), 0, 1)[None], colour_weight * image])
    clusters = _kmeans(features.reshape(len(features), -1).T.astype(np.float64), seed).reshape(shape)
    at_points = np.bincount(clusters[tuple(np.rint(points).astype(int).T)], minlength=3)
    objects = int(at_points.argmax())
    around = distance <= exclusion * radius
    near = [float((around & (clusters == k)).mean()) if k != objects else np.inf for k in range(3)]
    inner = _kept_apart(clusters == objects, cell, radius)
    outer = (clusters == int(np.argmin(near))) & ~around & ~inner
    labels[outer] = 0
    labels[inner] = kinds[cell[inner]]
    return labels


def _kmeans(features: NDArray[np.float64], seed: int) -> NDArray[np.intp]:
    """Return the cluster of every row; the centres are found on at most 20,000 rows."""
    random = np.random.default_rng(seed)
    some = features if len(features) <= 20_000 else features[random.choice(len(features), 20_000, replace=False)]
    centres, _ = kmeans2(some, 3, iter=25, minit="++", rng=random, missing="warn")
    return np.asarray(cKDTree(centres).query(features)[1], np.intp)


def _kept_apart(found: NDArray[np.bool_], cell: NDArray[np.intp], radius: float) -> NDArray[np.bool_]:
    """Open and fill the objects; drop small ones and what touches the border between two cells."""
    opened = ndimage.binary_opening(found, iterations=max(round(radius / 6), 1))
    filled = ndimage.binary_fill_holes(opened & ~_borders(cell))
    pieces, count = ndimage.label(filled)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    large = sizes >= 0.2 * np.pi * radius**2 if found.ndim == 2 else sizes >= 0.2 * 4 / 3 * np.pi * radius**3
    large[0] = False
    kept: NDArray[np.bool_] = large[pieces]
    return kept


def _borders(cell: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return the pixels with a neighbour along an axis in another cell."""
    border = np.zeros(cell.shape, np.bool_)
    for axis in range(cell.ndim):
        differs = np.diff(cell, axis=axis) != 0
        low = [slice(None)] * cell.ndim
        high = list(low)
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        border[tuple(low)] |= differs
        border[tuple(high)] |= differs
    return border


def _checked(points: NDArray[np.float64], shape: Sequence[int]) -> NDArray[np.float64]:
    points = np.asarray(points, float)
    if points.ndim != 2 or points.shape[1] != len(shape):
        raise InputError(f"points must have shape [N, {len(shape)}]; got {points.shape}")
    outside = ((points < -0.5) | (points > np.array(shape) - 0.5)).any(axis=1)
    if outside.any():
        first = tuple(float(value) for value in points[outside][0])
        raise InputError(f"points must lie inside the image of shape {tuple(shape)}; got {first}")
    return points
