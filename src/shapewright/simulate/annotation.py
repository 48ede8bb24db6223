"""Cheap annotations made from full ones: sparse strokes, a point or a box per object."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from shapewright.errors import InputError, check_number

Labels = NDArray[np.uint8]


def sparse_annotation(
    labels: NDArray[Any],
    *,
    seed: int,
    fraction: float = 0.04,
    blobs: tuple[int, int] = (1, 3),
    single_class: float = 0.8,
    erosion: int = 1,
    class_weights: Sequence[float] | None = None,
    ignore_label: int = 255,
) -> Labels:
    """Keep a few blobs inside regions of a full mask, as someone who labels only what is certain would.

    Parameters
    ----------
    labels
        Class indices ``[*spatial]``, 2D or 3D; all classes may be labelled, 0 as well.
    seed
        Seed of the choice.
    fraction
        Share of the voxels that are labelled, at most: a region may be smaller than its blob, and blobs may overlap.
    blobs
        Fewest and most blobs of an image.
    single_class
        Probability that all blobs of an image are of one class. It is this that instance balancing cannot make up for.
    erosion
        Voxels that a blob stays away from its region's border, where the region is that large.
    class_weights
        How often each class is chosen, among those present; default by their area.
    ignore_label
        Value of voxels without a label.

    Returns
    -------
    NDArray
        uint8 ``[*spatial]``; never without a labelled voxel.

    Raises
    ------
    InputError
        Wrong rank, a share outside (0, 1], or no class that may be chosen.

    Examples
    --------
    >>> labels = np.zeros((40, 40), np.uint8)
    >>> labels[:, 20:] = 1
    >>> sparse = sparse_annotation(labels, seed=1, fraction=0.05)
    >>> known = sparse != 255
    >>> bool((sparse[known] == labels[known]).all()), int(known.sum())
    (True, 80)
    """
    values = np.asarray(labels)
    if values.ndim not in (2, 3):
        raise InputError(f"labels must have 2 or 3 axes; got shape {values.shape}")
    check_number("fraction", fraction, above=0, maximum=1)
    random = np.random.default_rng(seed)
    present, areas = np.unique(values, return_counts=True)
    weights = areas.astype(float) if class_weights is None else np.asarray(class_weights, float)[present]
    if weights.sum() <= 0:
        raise InputError(f"class_weights are 0 for all classes of the mask, {present.tolist()}")
    weights = weights / weights.sum()
    count = int(random.integers(blobs[0], blobs[1] + 1))
    sizes = random.dirichlet([2.0] * count) * fraction * values.size
    same = random.random() < single_class
    result = np.full(values.shape, ignore_label, np.uint8)
    chosen = random.choice(present, p=weights)
    for size in sizes:
        if not same:
            chosen = random.choice(present, p=weights)
        blob = _blob(values == chosen, max(round(size), 1), erosion, random)
        result[blob] = chosen
    return result


def _blob(
    mask: NDArray[np.bool_], voxels: int, erosion: int, random: np.random.Generator
) -> tuple[NDArray[np.intp], ...]:
    """Return the indices of a round-ish blob inside one component of a mask."""
    inner = ndimage.binary_erosion(mask, iterations=erosion) if erosion else mask
    components, _ = ndimage.label(inner if inner.any() else mask)
    places = np.argwhere(components)
    centre = places[random.integers(len(places))]
    own = places[components[tuple(places.T)] == components[tuple(centre)]]
    distance = np.linalg.norm(own - centre, axis=1) + random.normal(0, 0.5, len(own))
    nearest = own[np.argsort(distance)[:voxels]]
    return tuple(nearest.T)


def points_in_objects(instances: NDArray[Any], *, seed: int = 0, jitter: float = 0.0) -> NDArray[np.float64]:
    """Return a point near the middle of every object, as someone who clicks once on each would.

    Parameters
    ----------
    instances
        Object numbers ``[*spatial]``, 0 is background.
    seed
        Seed of the jitter.
    jitter
        Largest displacement per axis in voxels; a point that would leave its object stays.

    Returns
    -------
    NDArray
        float64 ``[N, dims]``, the middle of each object's box, moved to the object's nearest voxel where the box's
        middle is outside (a crescent); in the order of the objects' numbers.

    Examples
    --------
    >>> instances = np.zeros((7, 9), int)
    >>> instances[1:4, 2:7] = 5
    >>> points_in_objects(instances)
    array([[2., 4.]])
    """
    random = np.random.default_rng(seed)
    values = np.asarray(instances)
    points = []
    for number, (first, last) in zip(np.unique(values[values != 0]), boxes_around_objects(values), strict=True):
        middle = (first + last) // 2
        moved = np.clip(np.rint(middle + random.uniform(-jitter, jitter, values.ndim)), 0, np.array(values.shape) - 1)
        for candidate in (moved.astype(int), middle):
            if values[tuple(candidate)] == number:
                points.append(candidate)
                break
        else:
            own = np.argwhere(values == number)
            points.append(own[np.linalg.norm(own - middle, axis=1).argmin()])
    return np.array(points, float).reshape(-1, values.ndim)


def boxes_around_objects(instances: NDArray[Any]) -> NDArray[np.int64]:
    """Return the tight box of every object, in the order of their numbers.

    Parameters
    ----------
    instances
        Object numbers ``[*spatial]``, 0 is background.

    Returns
    -------
    NDArray
        int64 ``[N, 2, dims]``: first and last voxel, both inside.

    Examples
    --------
    >>> instances = np.zeros((7, 9), int)
    >>> instances[1:4, 2:7] = 5
    >>> boxes_around_objects(instances)
    array([[[1, 2],
            [3, 6]]])
    """
    values = np.asarray(instances)
    every = ndimage.find_objects(values)
    found = [every[number - 1] for number in np.unique(values[values != 0])]
    ends = [[[part.start for part in box], [part.stop - 1 for part in box]] for box in found]
    return np.array(ends, np.int64).reshape(-1, 2, values.ndim)
