"""Scores of a probability map over all thresholds: best values and areas under curves, for one class."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shapewright.errors import InputError


@dataclass(frozen=True)
class ThresholdScores:
    """What a probability map can reach when it is cut at the best threshold.

    Parameters
    ----------
    f1, threshold
        The largest F1 (Dice) over all thresholds, and the highest threshold that gives it; voxels at or above it are
        predicted.
    sensitivity, specificity
        At that threshold. (Their own largest values are 1, at a threshold of 0 and above 1.)
    accuracy
        The largest over all thresholds, which may be another one.
    roc_auc
        Area under sensitivity over 1 - specificity.
    average_precision
        Area under precision over sensitivity, as the sum of precision times the growth of sensitivity.
    """

    f1: float
    threshold: float
    sensitivity: float
    specificity: float
    accuracy: float
    roc_auc: float
    average_precision: float


def best_over_thresholds(probabilities: ArrayLike, truth: ArrayLike, mask: ArrayLike | None = None) -> ThresholdScores:
    """Return the scores of probabilities cut at every value that occurs.

    Parameters
    ----------
    probabilities
        Any shape; need not lie between 0 and 1.
    truth
        The same shape, true where the class is.
    mask
        The same shape, true where a voxel counts (a photograph's field of view); default everywhere.

    Raises
    ------
    InputError
        Shapes that differ, or NaN.

    Notes
    -----
    *Convention*: equals ``sklearn.metrics.roc_auc_score``, ``average_precision_score`` and the maximum of ``f1_score``
    over ``precision_recall_curve``'s thresholds; ties share a threshold. Where the truth is empty there is
    nothing to find, and all but the accuracy are NaN; where it is full, specificity and ``roc_auc`` are.

    Examples
    --------
    >>> scores = best_over_thresholds([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    >>> scores.roc_auc, round(scores.average_precision, 4), scores.threshold
    (0.75, 0.8333, 0.35)
    """
    values, positive = np.asarray(probabilities, dtype=np.float64), np.asarray(truth).astype(bool)
    if values.shape != positive.shape:
        raise InputError(f"probabilities and truth must have one shape; got {values.shape} and {positive.shape}")
    if mask is not None:
        counted = np.asarray(mask).astype(bool)
        if counted.shape != values.shape:
            raise InputError(f"mask must have the shape of probabilities, {values.shape}; got {counted.shape}")
        values, positive = values[counted], positive[counted]
    if np.isnan(values).any():
        raise InputError("probabilities must not be NaN")
    order = np.argsort(-values, axis=None, kind="stable")
    values, positive = values.ravel()[order], positive.ravel()[order]
    last_of_value = np.append(np.flatnonzero(np.diff(values)), len(values) - 1) if len(values) else np.zeros(0, int)
    hits = np.cumsum(positive)[last_of_value].astype(float)
    alarms = last_of_value + 1 - hits
    return _scores(values[last_of_value], hits, alarms, float(positive.sum()), float((~positive).sum()))


def _scores(
    thresholds: NDArray[np.float64],
    hits: NDArray[np.float64],
    alarms: NDArray[np.float64],
    positives: float,
    negatives: float,
) -> ThresholdScores:
    nan = float("nan")
    accuracy = np.append(hits + negatives - alarms, negatives).max() / (positives + negatives) if len(hits) else nan
    if positives == 0:
        return ThresholdScores(nan, nan, nan, nan, float(accuracy), nan, nan)
    f1 = 2 * hits / (hits + alarms + positives)
    best = int(f1.argmax())
    sensitivity = hits / positives
    precision = hits / (hits + alarms)
    average_precision = float((np.diff(sensitivity, prepend=0.0) * precision).sum())
    roc = specificity = nan
    if negatives > 0:
        specificity = float(1 - alarms[best] / negatives)
        roc = float(np.trapezoid(np.append(0.0, sensitivity), np.append(0.0, alarms / negatives)))
    return ThresholdScores(
        f1=float(f1[best]),
        threshold=float(thresholds[best]),
        sensitivity=float(sensitivity[best]),
        specificity=specificity,
        accuracy=float(accuracy),
        roc_auc=roc,
        average_precision=average_precision,
    )
