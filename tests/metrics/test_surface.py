import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, directed_hausdorff

from shapewright.errors import InputError
from shapewright.metrics import (
    average_surface_distance,
    hausdorff_distance,
    surface_dice,
    surface_distances,
)

SHAPES_AND_SPACINGS = [
    ((7, 9), None),
    ((1, 6), (0.3, 2.0)),
    ((11, 1), (2.5, 0.1)),
    ((1, 1), (3.0, 1.0)),
    ((5, 6, 7), None),
    ((3, 8, 5), (5.0, 0.7, 1.3)),
    ((1, 4, 6), (2.0, 1.0, 0.25)),
    ((6, 1, 1), (1.0, 3.0, 3.0)),
]


def corners_by_force(mask, spacing):
    """Positions in mm of the grid corners whose surrounding pixels are not all alike."""
    padded = np.pad(mask, 1)
    points = []
    for corner in itertools.product(*(range(n + 1) for n in mask.shape)):
        around = padded[tuple(slice(c, c + 2) for c in corner)]
        if around.any() and not around.all():
            points.append(np.multiply(corner, spacing))
    return np.array(points)


def percentile_by_force(distances, areas, percentile):
    for distance in sorted(distances):
        if areas[distances <= distance].sum() >= percentile / 100 * areas.sum() * (1 - 1e-12):
            return distance
    raise AssertionError


def random_pair(shape, seed, density=0.3):
    rng = np.random.default_rng(seed)
    pred, truth = rng.random((2, *shape)) < density
    pred.flat[rng.integers(pred.size)] = truth.flat[rng.integers(truth.size)] = True
    return pred, truth


@pytest.mark.parametrize(("shape", "spacing"), SHAPES_AND_SPACINGS)
@pytest.mark.parametrize("density", [0.0, 0.1, 0.6, 1.0])
def test_equals_brute_force(shape, spacing, density):
    pred, truth = random_pair(shape, seed=len(shape), density=density)
    mm = spacing or (1.0,) * len(shape)
    found = surface_distances(pred, truth, spacing=spacing)
    p, t = corners_by_force(pred, mm), corners_by_force(truth, mm)
    matrix = cdist(p, t)
    np.testing.assert_allclose(found.pred_to_truth, matrix.min(axis=1), rtol=1e-6)
    np.testing.assert_allclose(found.truth_to_pred, matrix.min(axis=0), rtol=1e-6)
    classical = max(directed_hausdorff(p, t)[0], directed_hausdorff(t, p)[0])
    assert hausdorff_distance(pred, truth, percentile=None, spacing=spacing) == pytest.approx(classical)


@pytest.mark.parametrize("percentile", [1, 50, 95, 99.9, 100])
def test_percentiles_equal_their_definition(percentile):
    pred, truth = random_pair((6, 7, 8), seed=5, density=0.05)
    d = surface_distances(pred, truth, spacing=(2.0, 1.0, 1.0))
    directed = max(
        percentile_by_force(d.pred_to_truth, d.pred_areas, percentile),
        percentile_by_force(d.truth_to_pred, d.truth_areas, percentile),
    )
    both = np.concatenate([d.pred_to_truth, d.truth_to_pred]), np.concatenate([d.pred_areas, d.truth_areas])
    assert d.hausdorff(percentile) == pytest.approx(directed)
    assert d.hausdorff(percentile, pooling="pooled") == pytest.approx(percentile_by_force(*both, percentile))


def test_averages_equal_their_definition():
    pred, truth = random_pair((6, 7, 8), seed=6, density=0.05)
    d = surface_distances(pred, truth)
    one, other = np.average(d.pred_to_truth, weights=d.pred_areas), np.average(d.truth_to_pred, weights=d.truth_areas)
    p, t = d.pred_areas.sum(), d.truth_areas.sum()
    assert d.average(pooling="directed") == pytest.approx((one + other) / 2)
    assert d.average() == pytest.approx((p * one + t * other) / (p + t))
    assert d.average() != pytest.approx(d.average(pooling="directed"), rel=1e-3)


def test_parallel_planes():
    # Half-spaces that end at different depths: two parallel planes 3 slices of 2.5 mm apart, and the same border.
    truth = np.zeros((20, 12, 12), bool)
    truth[:8] = True
    pred = np.zeros_like(truth)
    pred[:11] = True
    d = surface_distances(pred, truth, spacing=(2.5, 1.0, 1.0))
    plane = d.pred_to_truth.reshape(-1)[-13 * 13 :].reshape(13, 13)
    # From the middle of the plane straight up, from near its rim to the nearest point of the truth all the same.
    assert plane[6, 6] == 7.5
    assert d.hausdorff(100) == 7.5


def test_a_plate_in_front_of_a_plate():
    truth, pred = np.zeros((2, 9, 10), bool)
    truth[2], pred[6] = True, True
    # Four rows apart: every point of one contour has the other contour 3 mm (inner side) to 4 mm away at 1 mm a row.
    d = surface_distances(pred, truth)
    assert set(d.pred_to_truth) == {3.0, 4.0}
    assert d.hausdorff(100) == 4.0
    assert d.average() == pytest.approx(3.5)
    assert surface_dice(pred, truth, tolerance=3.0) == pytest.approx(0.5)
    assert surface_dice(pred, truth, tolerance=2.9) == 0.0


@pytest.mark.parametrize(("axis", "expected"), [(0, 6.0), (1, 1.4), (2, 2.0)])
def test_shifted_box(axis, expected):
    truth = np.zeros((12, 20, 20), bool)
    truth[3:8, 5:15, 5:15] = True
    pred = np.roll(truth, 2, axis=axis)
    assert hausdorff_distance(pred, truth, percentile=100, spacing=(3.0, 0.7, 1.0)) == pytest.approx(expected)
    assert surface_dice(pred, truth, tolerance=expected, spacing=(3.0, 0.7, 1.0)) == 1.0


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 0.8, 0.8)])
def test_concentric_balls(spacing):
    shape = [int(2 * 20 / s) + 3 for s in spacing]
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)]
    radius = np.sqrt(sum(a**2 for a in np.meshgrid(*axes, indexing="ij")))
    inner, outer = radius < 12, radius < 17
    # The corners around a slanted surface form a layer, so distances between two of them come out short.
    assert average_surface_distance(outer, inner, spacing=spacing) == pytest.approx(5, abs=max(spacing) / 2)
    assert hausdorff_distance(outer, inner, spacing=spacing) == pytest.approx(5, abs=max(spacing))
    assert surface_dice(outer, inner, tolerance=5 - max(spacing), spacing=spacing) < 0.05


def test_doubling_the_spacing_doubles_the_distances():
    pred, truth = random_pair((8, 9), seed=1)
    once = hausdorff_distance(pred, truth, spacing=(1.5, 0.5))
    assert hausdorff_distance(pred, truth, spacing=(3.0, 1.0)) == pytest.approx(2 * once)


def test_the_image_around_the_masks_does_not_matter():
    pred, truth = random_pair((5, 6, 7), seed=2)
    wide = [np.pad(mask, ((3, 9), (0, 5), (11, 2))) for mask in (pred, truth)]
    d, e = surface_distances(pred, truth), surface_distances(*wide)
    np.testing.assert_array_equal(d.pred_to_truth, e.pred_to_truth)
    np.testing.assert_array_equal(d.truth_areas, e.truth_areas)


@given(st.integers(0, 2**32 - 1), st.sampled_from([(1, 5), (6, 7), (4, 3, 5)]), st.sampled_from([0.1, 0.5, 0.9]))
@settings(max_examples=60, deadline=None)
def test_properties(seed, shape, density):
    pred, truth = random_pair(shape, seed, density)
    spacing = (1.7, 0.6, 1.1)[: len(shape)]
    d, back = surface_distances(pred, truth, spacing=spacing), surface_distances(truth, pred, spacing=spacing)
    assert d.hausdorff() == back.hausdorff()
    assert d.average() == pytest.approx(back.average())
    assert d.hausdorff(95, pooling="pooled") <= d.hausdorff(95) <= d.hausdorff(None) <= d.diagonal * (1 + 1e-6)
    assert d.average() <= d.hausdorff(100)
    shares = [d.surface_dice(tolerance) for tolerance in (0, 0.5, 1, 2, d.hausdorff(100))]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    same = surface_distances(truth, truth, spacing=spacing)
    assert same.hausdorff(100) == same.average() == 0
    assert same.surface_dice(0) == 1


@pytest.mark.parametrize("shape", [(4, 3), (2, 4, 3)])
def test_empty_masks(shape):
    spacing = (2.0, 1.0, 1.0)[-len(shape) :]
    nothing, something = np.zeros(shape, bool), np.zeros(shape, bool)
    something.flat[-1] = True
    diagonal = math.hypot(*np.multiply(shape, spacing))
    both = surface_distances(nothing, nothing, spacing=spacing)
    assert (both.hausdorff(), both.average(), both.surface_dice(0)) == (0, 0, 1)
    for pred, truth in [(nothing, something), (something, nothing)]:
        one = surface_distances(pred, truth, spacing=spacing)
        for pooling in ("directed", "pooled"):
            assert one.hausdorff(95, pooling=pooling) == pytest.approx(diagonal)
            assert one.average(pooling=pooling) == pytest.approx(diagonal)
        assert one.surface_dice(100.0) == 0


def test_tolerance_includes_its_bound_whatever_the_rounding():
    truth = np.zeros((20, 5), bool)
    truth[4:10] = True
    for steps in range(1, 8):
        assert surface_dice(np.roll(truth, steps, 0), truth, tolerance=0.1 * steps, spacing=(0.1, 1.0)) == 1


def test_tensors_and_integers_are_accepted():
    pred, truth = random_pair((5, 6, 7), seed=3)
    expected = hausdorff_distance(pred, truth)
    assert hausdorff_distance(torch.from_numpy(pred), torch.from_numpy(truth)) == expected
    assert hausdorff_distance(pred.astype(np.int64), truth.astype(np.uint8)) == expected
    assert hausdorff_distance(np.asfortranarray(pred), truth[::-1][::-1]) == expected


def test_errors_name_the_argument():
    mask = np.ones((4, 5), bool)
    with pytest.raises(InputError, match="same shape"):
        surface_distances(mask, mask[:3])
    with pytest.raises(InputError, match="spacing must have 2"):
        surface_distances(mask, mask, spacing=(1, 1, 1))
    with pytest.raises(InputError, match="axes"):
        surface_distances(np.ones((1, 1, 4, 5), bool), np.ones((1, 1, 4, 5), bool))
    with pytest.raises(InputError, match="Threshold"):
        surface_distances(mask * 0.5, mask)
    with pytest.raises(InputError, match="percentile"):
        hausdorff_distance(mask, mask, percentile=0)
    with pytest.raises(InputError, match="tolerance"):
        surface_dice(mask, mask, tolerance=-1)
    with pytest.raises(InputError, match="did you mean 'pooled'"):
        hausdorff_distance(mask, mask, pooling="poled")
