"""Scores of images with many small objects, or with none."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import AnyArray, as_binary, check_spatial_dims
from shapewright.errors import InputError
from shapewright.geometry import connected_components
from shapewright.metrics._masks import binary_pair


@dataclass(frozen=True)
class LesionScores:
    """How many objects were found; what :func:`lesion_scores` returns.

    Attributes
    ----------
    truth_count, pred_count
        Objects in the truth and in the prediction.
    found
        True objects that the prediction covers enough.
    confirmed
        Predicted objects that the truth covers enough.
    """

    truth_count: int
    pred_count: int
    found: int
    confirmed: int

    @property
    def recall(self) -> float:
        """Share of true objects that were found; 1 where there are none."""
        return self.found / self.truth_count if self.truth_count else 1.0

    @property
    def precision(self) -> float:
        """Share of predicted objects that are real; 1 where there are none."""
        return self.confirmed / self.pred_count if self.pred_count else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 where both are 0."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def _covered(objects: NDArray[np.integer], count: int, other: NDArray[np.bool_], share: float) -> int:
    """Return how many of the labelled objects have more than a share, and at least a pixel, inside ``other``."""
    sizes = np.bincount(objects.ravel(), minlength=count + 1)[1:]
    inside = np.bincount(objects[other], minlength=count + 1)[1:]
    return int(np.count_nonzero((inside > 0) & (inside >= share * sizes)))


def lesion_scores(
    pred: AnyArray, truth: AnyArray, *, overlap: float = 0.0, connectivity: int | None = None
) -> LesionScores:
    """Return the lesion-wise precision, recall and F1: objects are counted, whatever their size.

    A true object (connected component) is found if at least the share ``overlap`` of its pixels, and at least one, is
    predicted; a predicted object is confirmed the same way by the truth. One predicted object may cover several true
    ones and the other way round: objects are not matched one to one.

    Convention: where there are no true objects the recall is 1, where none are predicted the precision is 1; so both
    empty gives F1 = 1, one empty F1 = 0.

    Parameters
    ----------
    pred, truth
        Binary masks of one shape, ``(y, x)`` or ``(z, y, x)``.
    overlap
        From 0 (any pixel counts, the default, as is usual for lesions of a few voxels) to 1 (all of it).
    connectivity
        4 or 8 in 2D, 6, 18 or 26 in 3D; ``None`` is the largest.

    Returns
    -------
    LesionScores
        Counts, with the properties ``recall``, ``precision``, ``f1``.

    Examples
    --------
    >>> truth = np.array([[1, 1, 0, 0, 1, 0, 0, 0]])
    >>> pred = np.array([[0, 1, 0, 0, 0, 0, 1, 1]])
    >>> scores = lesion_scores(pred, truth)
    >>> scores.found, scores.recall, scores.precision, scores.f1
    (1, 0.5, 0.5, 0.5)
    """
    if not 0 <= overlap <= 1:
        raise InputError(f"overlap must be a share from 0 to 1; got {overlap}")
    p, t = binary_pair(pred, truth)
    pred_objects, pred_count = connected_components(p, connectivity=connectivity)
    truth_objects, truth_count = connected_components(t, connectivity=connectivity)
    return LesionScores(
        truth_count=int(truth_count),
        pred_count=int(pred_count),
        found=_covered(truth_objects, int(truth_count), p, overlap),
        confirmed=_covered(pred_objects, int(pred_count), t, overlap),
    )


@dataclass(frozen=True)
class SliceDice:
    """Dice of a set of images averaged in three ways; what :func:`slice_dice` returns.

    Attributes
    ----------
    every
        Mean over all images; one that is empty in truth and prediction counts as 1.
    positive
        Mean over the images with foreground in the truth; 1 where there are none.
    pooled
        Dice of all images together, such as of the volume that the slices make up.
    """

    every: float
    positive: float
    pooled: float


def slice_dice(pred: AnyArray, truth: AnyArray, *, spatial_dims: int | None = 2) -> SliceDice:
    """Return the Dice coefficient of many images, or of the slices of a volume, averaged in three ways.

    Papers report any of the three as "the Dice", and they are far apart where objects are rare: see
    :func:`trivial_floor` for what the first is worth.

    Parameters
    ----------
    pred, truth
        Binary masks of one shape ``[*leading, *spatial]``, such as a volume ``(z, y, x)``.
    spatial_dims
        How many trailing axes make up one image: 2 (the default) for slices, 3 for volumes.

    Examples
    --------
    >>> truth = np.zeros((4, 8, 8), bool)
    >>> truth[0, 2:4, 2:4] = True
    >>> pred = np.zeros_like(truth)
    >>> slice_dice(pred, truth)
    SliceDice(every=0.75, positive=0.0, pooled=0.0)
    """
    p, t = as_binary(pred, "pred"), as_binary(truth, "truth")
    if p.shape != t.shape or p.size == 0:
        raise InputError(f"pred and truth must have the same shape and not be empty; got {p.shape} and {t.shape}")
    axes = tuple(range(-check_spatial_dims(spatial_dims, p.shape), 0))
    both, total = (p & t).sum(axis=axes), p.sum(axis=axes) + t.sum(axis=axes)
    scores = np.where(total > 0, 2 * both / np.maximum(total, 1), 1.0)
    positive = scores[t.any(axis=axes)]
    return SliceDice(
        every=float(scores.mean()),
        positive=float(positive.mean()) if positive.size else 1.0,
        pooled=float(2 * both.sum() / total.sum()) if total.any() else 1.0,
    )


@dataclass(frozen=True)
class TrivialFloor:
    """Mean Dice that a prediction without any skill reaches; what :func:`trivial_floor` returns.

    Attributes
    ----------
    empty
        Predicting nothing anywhere: the share of images without foreground.
    full
        Predicting foreground everywhere.
    """

    empty: float
    full: float


def trivial_floor(truth: AnyArray, *, spatial_dims: int | None = None) -> TrivialFloor:
    """Return the mean Dice over images of the two trivial predictions, nothing and everything.

    A mean Dice per slice says little without it: where 60 % of the slices have no lesion, predicting nothing scores
    0.6, since an empty prediction of an empty truth is perfect.

    Parameters
    ----------
    truth
        Binary masks ``[*leading, *spatial]``, such as the slices of volumes.
    spatial_dims
        How many trailing axes are space, 2 or 3; ``None`` for one image.

    Examples
    --------
    >>> slices = np.zeros((4, 8, 8), bool)
    >>> slices[0, 2:4, 2:4] = True
    >>> trivial_floor(slices, spatial_dims=2).empty
    0.75
    """
    masks = as_binary(truth, "truth")
    dims = check_spatial_dims(spatial_dims, masks.shape)
    share = masks.mean(axis=tuple(range(-dims, 0)))
    if share.size == 0:
        raise InputError(f"truth must hold at least one image; got shape {masks.shape}")
    return TrivialFloor(empty=float((share == 0).mean()), full=float((2 * share / (1 + share)).mean()))
