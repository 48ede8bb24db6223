"""Hard-example mining: where patches are drawn, how often, and what the pool does."""

import numpy as np
import pytest
from scipy import stats

from shapewright.data.mining import ErrorMapSampler, HardMiningPool, error_map, image_chances
from shapewright.errors import InputError


def test_error_is_one_minus_the_probability_of_the_truth_above_a_floor() -> None:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(3), (6, 7)).transpose(2, 0, 1)
    labels = random.integers(0, 3, (6, 7))
    errors = error_map(probabilities, labels, floor=0.02)
    for place in np.ndindex(labels.shape):
        assert errors[place] == pytest.approx(1 - probabilities[(labels[place], *place)] + 0.02, abs=1e-6)
    assert errors.min() >= 0.02
    labels[0, 0] = 255
    assert error_map(probabilities, labels)[0, 0] == 0


def test_the_largest_errors_can_be_left_out_and_the_map_smoothed_or_flattened() -> None:
    probabilities = np.array([[[0.05, 0.5, 0.9]]])
    probabilities = np.concatenate([probabilities, 1 - probabilities])
    labels = np.zeros((1, 3), int)
    np.testing.assert_allclose(error_map(probabilities, labels, floor=0.01, drop_above=0.9), [[0.01, 0.51, 0.11]])
    hot = error_map(probabilities, labels, floor=0.0, temperature=2.0)
    np.testing.assert_allclose(hot, np.sqrt([[0.95, 0.5, 0.1]]), rtol=1e-6)
    smooth = error_map(np.tile(probabilities, (1, 9, 1)), np.zeros((9, 3), int), smooth=3)
    assert smooth.std() < hot.std()


def test_centres_follow_the_density() -> None:
    random = np.random.default_rng(1)
    density = random.random((5, 6)) ** 2
    density[0, :3] = 0
    centres, chances = ErrorMapSampler(density).draw(20000, random)
    counts = np.zeros(density.shape)
    np.add.at(counts, tuple(centres.T), 1)
    assert (counts[density == 0] == 0).all()
    expected = 20000 * density / density.sum()
    assert stats.chisquare(counts[density > 0], expected[density > 0]).pvalue > 0.001
    np.testing.assert_allclose(chances, (density / density.sum())[tuple(centres.T)])


def test_no_error_anywhere_is_uniform() -> None:
    random = np.random.default_rng(2)
    centres, chances = ErrorMapSampler(np.zeros((4, 5))).draw(8000, random)
    counts = np.bincount(np.ravel_multi_index(tuple(centres.T), (4, 5)), minlength=20)
    assert stats.chisquare(counts).pvalue > 0.001
    assert set(chances.round(9)) == {0.05}


def test_a_floor_keeps_every_voxel_reachable() -> None:
    certain = np.zeros((2, 8, 8))
    certain[0] = 1.0
    density = error_map(certain, np.zeros((8, 8), int), floor=0.01)
    assert density.min() > 0


def test_each_class_gets_its_share_and_importance_weights_undo_the_bias() -> None:
    random = np.random.default_rng(3)
    labels = np.zeros((20, 20), int)
    labels[:2, :3] = 1
    density = random.random((20, 20)) + 0.01
    sampler = ErrorMapSampler(density, labels, {0: 1.0, 1: 3.0, 7: 5.0})  # no voxel of class 7
    centres, chances = sampler.draw(20000, random)
    drawn = labels[tuple(centres.T)]
    assert drawn.mean() == pytest.approx(0.75, abs=0.015)
    values = random.random((20, 20))
    estimate = np.mean(values[tuple(centres.T)] / chances) / values.size
    assert estimate == pytest.approx(values.mean(), rel=0.05)


def test_volumes_and_no_draws() -> None:
    centres, chances = ErrorMapSampler(np.ones((3, 4, 5))).draw(7, np.random.default_rng(0))
    assert centres.shape == (7, 3)
    assert (centres < (3, 4, 5)).all()
    assert ErrorMapSampler(np.ones((3, 4))).draw(0, np.random.default_rng(0))[0].shape == (0, 2)
    assert len(chances) == 7


def test_the_pool_waits_and_forgets_the_oldest() -> None:
    pool: HardMiningPool[int] = HardMiningPool(minimum=4, capacity=6)
    pool.add([1, 2, 3])
    assert not pool.ready
    with pytest.raises(InputError, match="holds 3 patches and waits for 4"):
        pool.draw(1, np.random.default_rng(0))
    pool.add([4, 5, 6, 7, 8])
    assert list(pool.patches) == [3, 4, 5, 6, 7, 8]
    assert len(set(pool.draw(6, np.random.default_rng(0)))) == 6
    assert len(pool.draw(9, np.random.default_rng(0))) == 9


def test_images_with_many_errors_are_chosen_more_often_and_new_ones_like_the_worst() -> None:
    np.testing.assert_allclose(image_chances([0.1, 0.3, None]), [1 / 7, 3 / 7, 3 / 7])
    np.testing.assert_allclose(image_chances([None, None]), [0.5, 0.5])
    np.testing.assert_allclose(image_chances([0.0, 0.0]), [0.5, 0.5])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: error_map(np.zeros((2, 3, 3)), np.zeros((3, 4), int)), "labels must have shape"),
        (lambda: error_map(np.zeros((2, 3, 3)), np.full((3, 3), 2)), "labels must be between 0 and 1"),
        (lambda: error_map(np.zeros((2, 3, 3)), np.zeros((3, 3), int), floor=-1.0), "floor must be at least 0"),
        (lambda: ErrorMapSampler(np.array([[-1.0]])), "density must be finite"),
        (lambda: ErrorMapSampler(np.full((2, 2), np.nan)), "density must be finite"),
        (lambda: ErrorMapSampler(np.ones((2, 2)), None, {0: 1.0}), "labels must have the density's shape"),
        (lambda: ErrorMapSampler(np.ones((2, 2)), np.zeros((2, 2), int), {0: 0.0}), "share of class 0"),
        (lambda: HardMiningPool(minimum=5, capacity=4), "capacity must be at least"),
        (lambda: image_chances([-1.0]), "scores must be"),
        (lambda: image_chances([]), "scores must be"),
    ],
)
def test_input_that_cannot_be(call, message) -> None:
    with pytest.raises(InputError, match=message):
        call()
