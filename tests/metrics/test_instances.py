"""Metrics of objects: examples by hand, and what must not matter."""

import numpy as np
import pytest

from shapewright.errors import InputError
from shapewright.metrics import aggregated_jaccard, object_dice

TRUTH = np.array([[1, 1, 1, 0, 2, 2, 2, 0]])
CASES = {
    "perfect": ([[4, 4, 4, 0, 9, 9, 9, 0]], 1.0, 1.0),
    "merged": ([[1, 1, 1, 1, 1, 1, 1, 0]], 6 / 14, (2 * 3 / 10 + 2 * 3 / 10) / 2),
    "missed": ([[1, 1, 1, 0, 0, 0, 0, 0]], 3 / 6, (0.5 * 1 + 1) / 2),
    "extra": ([[1, 1, 1, 0, 2, 2, 2, 3]], 6 / 7, (1 + 6 / 7) / 2),
    "split": ([[1, 1, 3, 0, 2, 2, 2, 0]], 5 / 7, ((0.5 * 0.8 + 0.5) + (2 / 6 * 0.8 + 1 / 6 * 0.5 + 0.5)) / 2),
    "nothing": ([[0] * 8], 0.0, 0.0),
}


@pytest.mark.parametrize("name", CASES)
def test_examples_by_hand(name: str) -> None:
    found, aji, dice = CASES[name]
    assert aggregated_jaccard(TRUTH, np.array(found)) == pytest.approx(aji)
    assert object_dice(TRUTH, np.array(found)) == pytest.approx(dice)


def test_numbers_and_axes_do_not_matter() -> None:
    random = np.random.default_rng(0)
    truth, found = random.integers(0, 6, (2, 12, 15))
    renamed = np.array([0, 40, 7, 3, 99, 12])[found]
    for metric in (aggregated_jaccard, object_dice):
        value = metric(truth, found)
        assert 0 < value < 1
        assert metric(truth, renamed) == pytest.approx(value)
        assert metric(truth.T, found.T) == pytest.approx(value)
        assert metric(truth.reshape(3, 4, 15), found.reshape(3, 4, 15)) == pytest.approx(value)
        assert metric(truth, truth) == 1


def test_object_dice_is_symmetric_and_may_ask_for_half() -> None:
    random = np.random.default_rng(1)
    truth, found = random.integers(0, 4, (2, 9, 9))
    assert object_dice(truth, found) == pytest.approx(object_dice(found, truth))
    shifted = np.array([[0, 0, 1, 1, 0, 2, 2, 2]])
    assert object_dice(TRUTH, shifted, min_overlap=0.5) < object_dice(TRUTH, shifted)


def test_empty_maps() -> None:
    nothing = np.zeros((3, 3), int)
    for metric in (aggregated_jaccard, object_dice):
        assert metric(nothing, nothing) == 1
        assert metric(nothing, nothing + 1) == 0
        assert metric(nothing + 1, nothing) == 0
    with pytest.raises(InputError, match="must have the same shape"):
        aggregated_jaccard(nothing, TRUTH)
