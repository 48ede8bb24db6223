"""Scores over all thresholds against brute force."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from shapewright.errors import InputError
from shapewright.metrics import best_over_thresholds

VALUES = hnp.arrays(np.float64, st.integers(2, 30), elements=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]))


def brute_force(values: NDArray[np.float64], truth: NDArray[np.bool_]) -> dict[str, float]:
    rows = []
    for threshold in [*np.unique(values), 2.0]:
        predicted = values >= threshold
        tp, fp = (predicted & truth).sum(), (predicted & ~truth).sum()
        fn, tn = (~predicted & truth).sum(), (~predicted & ~truth).sum()
        rows.append(
            (2 * tp / max(2 * tp + fp + fn, 1), threshold, tp / (tp + fn), tn / (tn + fp), (tp + tn) / len(truth))
        )
    best = max(rows)
    positive, negative = values[truth], values[~truth]
    pairs = (positive[:, None] > negative).mean() + 0.5 * (positive[:, None] == negative).mean()
    precision = [(values >= p)[truth].sum() / (values >= p).sum() for p in positive]
    return {
        "f1": best[0],
        "threshold": best[1],
        "sensitivity": best[2],
        "specificity": best[3],
        "accuracy": max(row[4] for row in rows),
        "roc_auc": pairs,
        "average_precision": float(np.mean(precision)),
    }


@given(VALUES, st.integers(0, 2**30))
def test_equal_to_brute_force(values: NDArray[np.float64], bits: int) -> None:
    truth = np.array([bits >> place & 1 for place in range(len(values))], bool)
    truth[0], truth[-1] = True, False
    scores = best_over_thresholds(values, truth)
    for name, expected in brute_force(values, truth).items():
        assert getattr(scores, name) == pytest.approx(expected, abs=1e-12), name


def test_only_the_mask_counts() -> None:
    random = np.random.default_rng(0)
    values, truth, mask = random.random((20, 30)), random.random((20, 30)) > 0.6, random.random((20, 30)) > 0.5
    assert best_over_thresholds(values, truth, mask) == best_over_thresholds(values[mask], truth[mask])


def test_degenerate_truths() -> None:
    empty = best_over_thresholds([0.1, 0.2], [0, 0])
    assert math.isnan(empty.f1)
    assert math.isnan(empty.roc_auc)
    assert empty.accuracy == 1
    full = best_over_thresholds([0.1, 0.2], [1, 1])
    assert (full.f1, full.accuracy, full.average_precision, full.threshold) == (1, 1, 1, 0.1)
    assert math.isnan(full.specificity)
    nothing = best_over_thresholds([], [])
    assert math.isnan(nothing.accuracy)


def test_errors() -> None:
    with pytest.raises(InputError, match="one shape"):
        best_over_thresholds([0.1], [0, 1])
    with pytest.raises(InputError, match="mask must have the shape"):
        best_over_thresholds([0.1], [0], [1, 1])
    with pytest.raises(InputError, match="NaN"):
        best_over_thresholds([math.nan], [0])
