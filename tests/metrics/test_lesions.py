import numpy as np
import pytest
import torch

from shapewright.errors import InputError
from shapewright.metrics import dice, lesion_scores, slice_dice, trivial_floor


def squares(*corners, size=3, shape=(40, 40)):
    mask = np.zeros(shape, bool)
    for y, x in corners:
        mask[y : y + size, x : x + size] = True
    return mask


def test_counts_of_known_lesions():
    truth = squares((2, 2), (2, 20), (30, 30), (20, 5))
    pred = squares((4, 4), (2, 20), (10, 35))  # one touched in a corner, one exact, one false; two missed
    scores = lesion_scores(pred, truth)
    assert (scores.truth_count, scores.pred_count, scores.found, scores.confirmed) == (4, 3, 2, 2)
    assert (scores.recall, scores.precision) == (0.5, pytest.approx(2 / 3))
    assert scores.f1 == pytest.approx(4 / 7)
    assert lesion_scores(pred, truth, overlap=0.5).found == 1
    assert lesion_scores(pred, truth, overlap=1.0).confirmed == 1


def test_one_prediction_over_two_lesions():
    truth = squares((5, 5), (5, 11))
    pred = np.zeros_like(truth)
    pred[5:8, 5:14] = True
    scores = lesion_scores(torch.from_numpy(pred), torch.from_numpy(truth))
    assert (scores.found, scores.confirmed, scores.f1) == (2, 1, 1.0)


def test_connectivity_splits_lesions():
    truth = np.eye(4, dtype=bool)
    assert lesion_scores(truth, truth).truth_count == 1
    assert lesion_scores(truth, truth, connectivity=4).truth_count == 4


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5)])
def test_empty_masks(shape):
    nothing, something = np.zeros(shape, bool), np.ones(shape, bool)
    both = lesion_scores(nothing, nothing)
    assert (both.recall, both.precision, both.f1) == (1, 1, 1)
    false = lesion_scores(something, nothing)
    assert (false.recall, false.precision, false.f1) == (1, 0, 0)
    missed = lesion_scores(nothing, something)
    assert (missed.recall, missed.precision, missed.f1) == (0, 1, 0)


def test_trivial_floor_is_the_dice_of_trivial_predictions():
    rng = np.random.default_rng(0)
    slices = rng.random((5, 2, 6, 7)) < 0.3
    slices[1:3] = False
    flat = slices.reshape(-1, 6, 7)
    floor = trivial_floor(slices, spatial_dims=2)
    assert floor.empty == pytest.approx(np.mean([dice(np.zeros_like(s), s) for s in flat]))
    assert floor.full == pytest.approx(np.mean([dice(np.ones_like(s), s) for s in flat]))
    assert trivial_floor(np.zeros((4, 4), bool)).empty == 1


def test_slice_dice_equals_single_slices():
    rng = np.random.default_rng(1)
    pred, truth = rng.random((2, 6, 7, 8)) < 0.2
    truth[2:5] = pred[3:4] = False
    found = slice_dice(pred, torch.from_numpy(truth))
    scores = [dice(p, t) for p, t in zip(pred, truth, strict=True)]
    assert found.every == pytest.approx(np.mean(scores))
    assert found.positive == pytest.approx(np.mean([scores[i] for i in (0, 1, 5)]))
    assert found.pooled == pytest.approx(dice(pred, truth))
    nothing = np.zeros_like(pred)
    assert slice_dice(nothing, truth).every == pytest.approx(trivial_floor(truth, spatial_dims=2).empty)
    perfect = slice_dice(nothing, nothing)
    assert (perfect.every, perfect.positive, perfect.pooled) == (1, 1, 1)
    missed = slice_dice(pred, nothing, spatial_dims=3)
    assert (missed.every, missed.positive, missed.pooled) == (0, 1, 0)


def test_errors():
    with pytest.raises(InputError, match="overlap"):
        lesion_scores(np.ones((2, 2), bool), np.ones((2, 2), bool), overlap=50)
    with pytest.raises(InputError, match="same shape"):
        slice_dice(np.ones((2, 2), bool), np.ones((2, 3), bool))
    with pytest.raises(InputError, match="at least one image"):
        trivial_floor(np.zeros((0, 4, 4), bool), spatial_dims=2)
