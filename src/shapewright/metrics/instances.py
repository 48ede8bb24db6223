"""Metrics of single objects: whether each is found, whole, and by itself."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.errors import InputError


def aggregated_jaccard(truth: NDArray[Any], predicted: NDArray[Any]) -> float:
    """Return the aggregated Jaccard index (AJI) of two maps of numbered objects.

    Every true object is compared with the predicted one of largest Jaccard index; the intersections are summed, and
    divided by the unions plus all predicted objects that no true one chose. Merged and split objects cost as much as
    missed ones.

    Parameters
    ----------
    truth, predicted
        Object numbers ``[*spatial]``, 0 is background. Their order has no meaning.

    Returns
    -------
    float
        From 0 to 1; 1 where neither map has an object.

    Raises
    ------
    InputError
        Maps of different shape.

    References
    ----------
    Kumar et al., "A dataset and a technique for generalized nuclear segmentation for computational pathology",
    IEEE TMI 2017; equation 7 of Qu et al., MIDL 2019.

    Examples
    --------
    >>> truth = np.array([[1, 1, 0, 2, 2]])
    >>> aggregated_jaccard(truth, np.array([[7, 7, 0, 3, 0]]))
    0.75
    >>> aggregated_jaccard(truth, np.array([[1, 1, 1, 1, 1]]))  # one object for two
    0.4
    """
    shared, true_sizes, found_sizes = _overlaps(truth, predicted)
    if not len(true_sizes) and not len(found_sizes):
        return 1.0
    unions = true_sizes[:, None] + found_sizes[None] - shared
    inside, outside, used = 0, 0, np.zeros(len(found_sizes), bool)
    for row in range(len(true_sizes)):
        best = int((shared[row] / unions[row]).argmax()) if len(found_sizes) else -1
        if best < 0 or shared[row, best] == 0:
            outside += int(true_sizes[row])
            continue
        inside += int(shared[row, best])
        outside += int(unions[row, best])
        used[best] = True
    return inside / (outside + int(found_sizes[~used].sum()))


def object_dice(truth: NDArray[Any], predicted: NDArray[Any], *, min_overlap: float = 0.0) -> float:
    """Return the mean Dice of objects with their partners, seen from both maps and weighted by size.

    Parameters
    ----------
    truth, predicted
        Object numbers ``[*spatial]``, 0 is background. Their order has no meaning.
    min_overlap
        An object has a partner only where the two share more than this part of the object; the paper's text says 0.5,
        its code 0.

    Returns
    -------
    float
        From 0 to 1; 1 where neither map has an object.

    References
    ----------
    Sirinukunwattana et al., "Gland segmentation in colon histology images", MedIA 2017; equation 6 of Qu et al.,
    MIDL 2019.

    Examples
    --------
    >>> object_dice(np.array([[1, 1, 0, 2, 2]]), np.array([[5, 5, 0, 0, 0]]))
    0.75
    """
    shared, true_sizes, found_sizes = _overlaps(truth, predicted)
    if not len(true_sizes) and not len(found_sizes):
        return 1.0
    sides = ((shared, true_sizes, found_sizes), (shared.T, found_sizes, true_sizes))
    return sum(_one_sided(*side, min_overlap) for side in sides) / 2


def _one_sided(
    shared: NDArray[np.int64], own: NDArray[np.int64], other: NDArray[np.int64], min_overlap: float
) -> float:
    if not len(own) or not len(other):
        return 0.0
    best = shared.argmax(axis=1)
    overlap = shared[np.arange(len(own)), best]
    scores = 2 * overlap / (own + other[best]) * (overlap > min_overlap * own)
    return float((own / own.sum() * scores).sum())


def _overlaps(
    truth: NDArray[Any], predicted: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the pixels that each true object (row) shares with each predicted one, and the objects' sizes."""
    first, second = np.asarray(truth), np.asarray(predicted)
    if first.shape != second.shape:
        raise InputError(f"truth and predicted must have the same shape; got {first.shape} and {second.shape}")
    rows, row = np.unique(np.concatenate([[0], first.ravel()]), return_inverse=True)
    columns, column = np.unique(np.concatenate([[0], second.ravel()]), return_inverse=True)
    flat = row[1:].astype(np.int64) * len(columns) + column[1:]
    table = np.bincount(flat, minlength=len(rows) * len(columns)).reshape(len(rows), len(columns))
    zero_row, zero_column = int(np.searchsorted(rows, 0)), int(np.searchsorted(columns, 0))
    true_sizes, found_sizes = np.delete(table.sum(1), zero_row), np.delete(table.sum(0), zero_column)
    shared = np.delete(np.delete(table, zero_row, axis=0), zero_column, axis=1)
    return shared, true_sizes, found_sizes
