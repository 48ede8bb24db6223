"""The theorems, against enumeration of every set and of every input at the edges of the almost binary range."""

import itertools

import numpy as np
import pytest

from shapewright.errors import InputError
from shapewright.layers.activation import (
    OPERATORS,
    Range,
    activated_operator,
    activation_interval,
    closest_operator,
    output_range,
)

SIZE = 4
ELEMENTS = [np.array(bits) for bits in itertools.product((False, True), repeat=SIZE) if any(bits)]
RANGES = [(0.0, 1.0), (0.2, 0.7), (0.0, 0.6), (0.3, 1.0)]


def edge_inputs(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return all inputs whose values are 0, low, high or 1: a linear function has its extremes among them."""
    values = np.stack([np.zeros(SIZE), low, high, np.ones(SIZE)])
    return np.array(
        [[values[c, i] for i, c in enumerate(choice)] for choice in itertools.product(range(4), repeat=SIZE)]
    )


def is_operator(
    operator: str, element: np.ndarray, weights: np.ndarray, bias: float, low: np.ndarray, high: np.ndarray
) -> bool:
    inputs = edge_inputs(low, high)
    binary = inputs >= high
    expected = binary[:, element].any(1) if operator == "dilation" else binary[:, element].all(1)
    return bool(((inputs @ weights > bias) == expected).all())


def random_cases(count: int, seed: int, negative: bool) -> list[tuple[np.ndarray, float, np.ndarray, np.ndarray]]:
    random = np.random.default_rng(seed)
    cases = []
    for index in range(count):
        pattern = ELEMENTS[random.integers(len(ELEMENTS))]
        weights = np.where(pattern, random.uniform(0.6, 1.2, SIZE), random.uniform(-0.1 if negative else 0, 0.15, SIZE))
        low, high = (np.full(SIZE, bound) for bound in RANGES[index % len(RANGES)])
        if index % 3 == 0:  # a range of its own for every weight, as for the channels of a layer
            low, high = random.uniform(0, 0.3, SIZE), random.uniform(0.6, 1, SIZE)
        operator = OPERATORS[index % 2]
        lower, upper = activation_interval(operator, weights, pattern, low, high)
        bias = random.choice([random.uniform(0, weights.sum() + 0.2), (lower + upper) / 2])
        cases.append((weights, float(bias), low, high))
    return cases


@pytest.mark.parametrize("negative", [False, True])
def test_a_neuron_is_an_operator_if_and_only_if_its_bias_lies_in_the_interval(negative: bool) -> None:
    activated = 0
    for weights, bias, low, high in random_cases(60, seed=1, negative=negative):
        for operator in OPERATORS:
            for element in ELEMENTS:
                lower, upper = activation_interval(operator, weights, element, low, high)
                if min(abs(bias - lower), abs(bias - upper)) < 1e-9:
                    continue
                expected = is_operator(operator, element, weights, bias, low, high)
                assert (lower <= bias < upper) == expected
                activated += expected
    assert activated > 15  # both sides of the equivalence are seen


def test_weights_without_any_pattern_agree_with_enumeration_too() -> None:
    random = np.random.default_rng(5)
    activated = 0
    for _ in range(150):
        weights = random.normal(0.3, 0.6, SIZE) * random.choice([0.02, 1.0], SIZE)
        low, high = random.uniform(0, 0.3, SIZE), random.uniform(0.7, 1, SIZE)
        bias = float(random.uniform(-0.3, max(weights.sum(), 0.1)))
        truths = [(o, e) for o in OPERATORS for e in ELEMENTS if is_operator(o, e, weights, bias, low, high)]
        found = activated_operator(weights, bias, low, high)
        assert (found is not None) == bool(truths)
        if found is not None:
            assert any(o == found.operator and np.array_equal(e, found.element) for o, e in truths)
        activated += len(truths)
    assert activated > 15


def test_the_interval_is_closed_below_and_open_above() -> None:
    weights, element = np.array([1.0, 0.5, 0.25, 0.0]), np.array([True, False, False, False])
    assert activation_interval("dilation", weights, element) == (0.75, 1.0)
    assert is_operator("dilation", element, weights, 0.75, np.zeros(SIZE), np.ones(SIZE))
    assert not is_operator("dilation", element, weights, 1.0, np.zeros(SIZE), np.ones(SIZE))


@pytest.mark.parametrize("negative", [False, True])
def test_the_linear_check_finds_the_only_activated_set(negative: bool) -> None:
    found_any = 0
    for weights, bias, low, high in random_cases(400, seed=2, negative=negative):
        passing = []
        for operator in OPERATORS:
            for element in ELEMENTS:
                lower, upper = activation_interval(operator, weights, element, low, high)
                if lower <= bias < upper:
                    passing.append((operator, element))
        found = activated_operator(weights, bias, low, high)
        assert (found is not None) == bool(passing)
        if found is None:
            continue
        found_any += 1
        assert found.activated
        assert found.distance == 0
        assert (weights[found.element] >= 0).all()
        assert all(np.array_equal(element, found.element) for _, element in passing)
        assert len(passing) == 1 or found.element.sum() == 1  # one pixel: dilation and erosion are the same
    assert found_any > 50


def test_the_closest_operator_is_that_of_all_threshold_sets() -> None:
    random = np.random.default_rng(3)
    for index in range(200):
        weights = random.normal(0.3, 0.5, 6).round(1 if index % 2 else 3)  # rounded to 0.1: ties
        low, high = RANGES[index % len(RANGES)]
        bias = float(random.uniform(-0.5, 3))
        found = closest_operator(weights, bias, low, high)
        distances = []
        for operator in OPERATORS:
            for threshold in np.unique(weights):
                lower, upper = activation_interval(operator, weights, weights >= threshold, low, high)
                distances.append(max(0.0, lower - bias, bias - upper))
        assert found.distance == pytest.approx(min(distances), abs=1e-12)
        again = activation_interval(found.operator, weights, found.element, low, high)
        assert again == (found.lower, found.upper)


def test_an_activated_neuron_is_its_own_closest_operator() -> None:
    weights = np.array([[1.0, 0.9], [0.05, 0.02]])
    found = closest_operator(weights, 1.5)
    assert (found.operator, found.activated, found.distance) == ("erosion", True, 0.0)
    np.testing.assert_array_equal(found.element, [[True, True], [False, False]])


@pytest.mark.parametrize("scale", [-3.0, 0.5, 4.0])
def test_the_output_range_holds_on_every_edge_input_and_is_reached(scale: float) -> None:
    activated = 0
    for weights, bias, low, high in random_cases(80, seed=4, negative=False):
        found = activated_operator(weights, bias, low, high)
        if found is None:
            continue
        activated += 1
        known = output_range(found, scale)
        outputs = 0.5 + 0.5 * np.tanh(scale * (edge_inputs(low, high) @ weights - bias))
        assert not ((outputs > known.low + 1e-12) & (outputs < known.high - 1e-12)).any()
        assert np.abs(outputs - known.low).min() < 1e-9
        assert np.abs(outputs - known.high).min() < 1e-9
        assert known.low <= 0.5 < known.high or scale < 0
    assert activated > 20


def test_bad_arguments_are_named() -> None:
    with pytest.raises(InputError, match="low and high must satisfy"):
        Range(0.7, 0.3)
    with pytest.raises(InputError, match="element must have the weights' shape"):
        activation_interval("dilation", np.ones(3), np.zeros(3, bool))
    with pytest.raises(InputError, match="must be activated"):
        output_range(closest_operator(np.ones(2), 5.0), 1.0)
    with pytest.raises(InputError, match="at least one value"):
        closest_operator(np.ones(0), 1.0)
