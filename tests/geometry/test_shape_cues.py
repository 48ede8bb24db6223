"""Cues of boxes and typical shapes: rules, borderline cases, what they must not change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import regionprops

from shapewright.errors import InputError
from shapewright.geometry import ShapePrior, box_cues, eccentricity, fill_boxes
from shapewright.simulate import KidneyPhantom, boxes_around_objects

Box = tuple[slice, ...]


def disjoint_boxes(random: np.random.Generator) -> list[Box]:
    """Return boxes in the cells of a grid."""
    boxes = []
    for row, column in random.permutation([(r, c) for r in range(3) for c in range(4)])[:5]:
        start, size = random.integers(0, 4, 2), random.integers(1, 7, 2)
        at = np.array([row, column]) * 10 + start
        boxes.append(
            tuple(slice(int(a), int(min(a + n, 10 * (k + 1)))) for a, n, k in zip(at, size, (row, column), strict=True))
        )
    return boxes


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), fill=st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_cues_stay_in_the_boxes_fill_each_and_repeat_without_change(seed: int, fill: float) -> None:
    random = np.random.default_rng(seed)
    boxes = disjoint_boxes(random)
    predicted = (random.random((30, 40)) < 0.5).astype(np.uint8)
    result = box_cues(predicted, boxes, min_fill=fill)
    union = fill_boxes((30, 40), boxes) == 1
    assert not result[~union].any()
    for box in boxes:
        assert result[box].mean() >= fill
        kept = predicted[box].mean() >= fill
        np.testing.assert_array_equal(result[box], predicted[box] if kept else np.ones_like(result[box]))
    np.testing.assert_array_equal(box_cues(result, boxes, min_fill=fill), result)
    np.testing.assert_array_equal(box_cues(predicted, boxes[::-1], min_fill=fill), result)


def test_exactly_half_is_kept_and_less_is_not() -> None:
    box = [(slice(0, 2), slice(0, 4))]
    half = np.array([[1, 1, 1, 1], [0, 0, 0, 0]], np.uint8)
    np.testing.assert_array_equal(box_cues(half, box), half)
    less = half.copy()
    less[0, 0] = 0
    assert box_cues(less, box).all()
    assert box_cues(half * 0, box).all()  # a missed object
    assert box_cues(half * 0 + 1, box).all()


def test_overlapping_boxes_are_judged_one_by_one() -> None:
    boxes = [(slice(0, 4), slice(0, 4)), (slice(0, 4), slice(2, 8))]
    predicted = np.zeros((4, 8), np.uint8)
    predicted[:, :3] = 1  # three quarters of the first, a sixth of the second
    result = box_cues(predicted, boxes)
    assert result.all()
    predicted[:, 2:6] = 1
    np.testing.assert_array_equal(box_cues(predicted, boxes), predicted)
    mixed = fill_boxes((4, 8), boxes, [1, 2])
    assert (mixed[:, :4] == 1).all()  # the smaller box counts where they overlap
    assert (mixed[:, 4:] == 2).all()


def test_objects_outside_stay_where_boxes_are_not_exhaustive() -> None:
    predicted = np.ones((3, 6), np.uint8)
    assert box_cues(predicted, [(slice(0, 3), slice(0, 2))], exhaustive=False).all()
    assert box_cues(predicted, []).sum() == 0
    with pytest.raises(InputError, match="min_fill"):
        box_cues(predicted, [], min_fill=1.1)
    with pytest.raises(InputError, match="one value per box"):
        fill_boxes((3, 6), [], [1])


def test_eccentricity_of_known_shapes_and_of_scikit_image() -> None:
    row, column = np.indices((41, 41)) - 20
    assert eccentricity(np.hypot(row, column) <= 15) == pytest.approx(0, abs=1e-6)
    assert eccentricity(np.ones((1, 1), bool)) == 0
    assert eccentricity(np.ones((1, 200), bool)) == pytest.approx(1, abs=1e-4)
    assert eccentricity(np.zeros((4, 4), bool)) == 0
    ellipse = np.hypot(row / 8, column / 16) <= 1
    value = eccentricity(ellipse)
    assert value == pytest.approx(np.sqrt(1 - 0.25), abs=0.01)
    assert eccentricity(np.rot90(ellipse)) == pytest.approx(value)
    assert eccentricity(np.roll(ellipse, (3, -2), (0, 1))) == pytest.approx(value)
    assert eccentricity(np.kron(ellipse, np.ones((3, 3), bool))) == pytest.approx(value, abs=1e-6)
    assert eccentricity(ellipse, spacing=(2.0, 1.0)) < 0.2
    random = np.random.default_rng(0)
    for _ in range(10):
        blob = random.random((9, 12)) < 0.6
        fine = np.kron(blob, np.ones((20, 20), np.uint8))  # where pixels are so small that they count as points
        assert eccentricity(blob) == pytest.approx(regionprops(fine)[0].eccentricity, abs=1e-4)
    ball = np.linalg.norm(np.indices((9, 9, 9)) - 4, axis=0) <= 4
    assert eccentricity(ball) == pytest.approx(0, abs=1e-6)


@pytest.fixture(scope="module")
def glomeruli() -> list[np.ndarray]:
    _, instances = KidneyPhantom().generate(30, seed=0)
    return [numbers > 0 for numbers in instances]


def kept(prior: ShapePrior, masks: list[np.ndarray]) -> float:
    before = sum(int(mask.sum()) for mask in masks)
    return sum(int((prior.filter(mask, exempt_border=False) == 1).sum()) for mask in masks) / before


def test_a_prior_keeps_most_of_its_own_population_and_more_where_it_is_wider(glomeruli: list[np.ndarray]) -> None:
    shares = [kept(ShapePrior.fit(glomeruli, level=level), glomeruli) for level in (0.5, 0.8, 0.95, 1.0)]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert 0.85 <= shares[2] <= 0.99
    prior = ShapePrior.fit(glomeruli, level=0.8)
    assert kept(prior.widened(0.5), glomeruli) >= shares[1]


def test_removed_objects_are_unknown_or_background_and_cut_ones_stay() -> None:
    mask = np.zeros((20, 40), bool)
    mask[4:9, 4:9] = mask[4:9, 14:19] = True
    prior = ShapePrior.fit([mask])
    mask[12, 10:30] = True  # a line in the middle
    mask[19, :] = True  # one at the border
    ignored, taught = (prior.filter(mask, removed=removed) for removed in ("ignore", "background"))
    assert (ignored[12, 10:30] == 255).all()
    assert (taught[12, 10:30] == 0).all()
    assert (ignored[19] == 1).all()
    assert (prior.filter(mask, exempt_border=False)[19] == 255).all()
    assert (ignored[4:9, 4:9] == 1).all()
    assert not prior.filter(np.zeros((5, 5), bool)).any()  # an empty prediction stays empty
    with pytest.raises(InputError, match="got none"):
        ShapePrior.fit([np.zeros((5, 5), bool)])
    with pytest.raises(InputError, match="did you mean 'ignore'"):
        prior.filter(mask, removed="ignored")  # type: ignore[arg-type]


def test_boxes_of_the_phantom_are_filled_as_ellipses_are() -> None:
    _, instances = KidneyPhantom().generate(10, seed=1)
    fills = []
    for numbers in instances:
        for number, (first, last) in enumerate(boxes_around_objects(numbers), start=1):
            box = tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))
            fills.append((numbers[box] == number).mean())
    assert 0.7 < np.mean(fills) < 0.85
