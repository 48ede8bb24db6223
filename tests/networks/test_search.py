"""The search's fast evaluation is that of the program; its climbs find operators it was not told."""

import itertools

import numpy as np
import pytest

from shapewright.errors import InputError
from shapewright.morphology import ball, box, dilation, erosion, line, opening
from shapewright.networks import BiMoNN, binarize
from shapewright.networks.search import Architecture, Pairs, SetNetwork, search

ARCHITECTURES = [
    (Architecture((1, 1), ((3, 5),)), (11, 70)),
    (Architecture((2, 3, 1), ((5, 3), (3, 3))), (9, 61)),
    (Architecture((1, 2, 2), ((3, 3, 3), (1, 3, 5))), (5, 6, 8)),
]


def random_network(architecture: Architecture, random: np.random.Generator) -> SetNetwork:
    network = SetNetwork(architecture)
    for i in range(len(network.units)):
        chosen = network.chosen(i)
        chosen[:] = random.random(chosen.size) < 0.3
        chosen[random.integers(chosen.size)] = True
    network.state.meet[:] = random.random(len(network.units)) < 0.5
    network.state.negate[:] = random.random(len(network.units)) < 0.5
    return network


def dice(found: np.ndarray, wanted: np.ndarray) -> float:
    total = int(found.sum() + wanted.sum())
    return 2 * int((found & wanted).sum()) / total if total else 1.0


@pytest.mark.parametrize(("architecture", "shape"), ARCHITECTURES)
@pytest.mark.parametrize("seed", range(4))
def test_its_cost_is_the_programs_dice(architecture: Architecture, shape: tuple[int, ...], seed: int) -> None:
    random = np.random.default_rng(seed)
    network = random_network(architecture, random)
    inputs = random.random((3, architecture.channels[0], *shape)) < 0.5
    targets = random.random((3, architecture.channels[-1], *shape)) < 0.5
    model = architecture.build()
    network.write(model)
    program = binarize(model)
    assert program.exact
    border = tuple(random.integers(0, 2, len(shape)).tolist())
    inner = (..., *(slice(b, n - b) for b, n in zip(border, shape, strict=True)))
    cost = network.cost(Pairs(inputs, targets, architecture, border))
    assert cost == pytest.approx(1 - dice(program(inputs)[inner], targets[inner]), abs=1e-12)
    again = SetNetwork.nearest(model)
    for mine, theirs in zip(network.state, again.state, strict=True):
        if mine.size == network.state.chosen.size:
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(("architecture", "shape"), ARCHITECTURES)
def test_a_climb_keeps_its_account(architecture: Architecture, shape: tuple[int, ...]) -> None:
    """Planes are updated move by move; the cost at the end is that of evaluating everything anew, and no higher."""
    random = np.random.default_rng(7)
    inputs = random.random((4, architecture.channels[0], *shape)) < 0.5
    pairs = Pairs(inputs, random.random((4, architecture.channels[-1], *shape)) < 0.5, architecture)
    for free in (False, True):
        network = random_network(architecture, random)
        before = network.cost(pairs)
        after = network.climb(pairs, free=free, passes=2)
        assert after <= before
        assert network.cost(pairs) == pytest.approx(after, abs=1e-12)
        assert all(network.chosen(i).any() for i in range(len(network.units)))


def test_no_single_change_is_better_than_where_a_climb_ends() -> None:
    random = np.random.default_rng(0)
    architecture = Architecture((1, 1), ((3, 3),))
    inputs = random.random((6, 1, 12, 12)) < 0.6
    pairs = Pairs(inputs, random.random((6, 1, 12, 12)) < 0.5, architecture)
    network = random_network(architecture, random)
    reached = network.climb(pairs)
    for pixel in range(9):
        other = network.copy()
        other.chosen(0)[pixel] ^= True
        if other.chosen(0).any():
            assert other.cost(pairs) >= reached
    for meet, negate in itertools.product((False, True), repeat=2):
        other = network.copy()
        other.state.meet[0], other.state.negate[0] = meet, negate
        assert other.cost(pairs) >= reached


SKEW = np.zeros((5, 5), bool)
SKEW[0, 1] = SKEW[2, 2] = SKEW[3, 4] = True


@pytest.mark.parametrize("operator", [dilation, erosion])
@pytest.mark.parametrize("element", [SKEW, ball(2)])
def test_one_layer_is_found_exactly(operator: object, element: np.ndarray) -> None:
    images = np.random.default_rng(1).random((8, 1, 30, 40)) < (0.1 if operator is dilation else 0.9)
    architecture = Architecture((1, 1), ((5, 5),))
    pairs = Pairs(images, operator(images, element), architecture)  # type: ignore[operator]
    network, cost, _ = search(list(SetNetwork(architecture).starts(64)), pairs)
    assert cost == 0
    model = architecture.build()
    network.write(model)
    nodes = [node for node in binarize(model).simplified().nodes if node.element is not None]
    assert [node.operation for node in nodes] == [operator.__name__]  # type: ignore[attr-defined]
    np.testing.assert_array_equal(nodes[0].element, element)


def test_completing_adds_exactly_the_pixels_that_change_nothing() -> None:
    images = np.zeros((2, 1, 20, 20), bool)
    images[:, :, 5:12, 6:15] = True
    architecture = Architecture((1, 1), ((3, 3),))
    pairs = Pairs(images, dilation(images, ball(1)), architecture)
    network = SetNetwork(architecture)
    network.chosen(0)[:] = ball(1).reshape(-1)
    network.chosen(0)[4] = False
    assert network.complete(pairs) == 0
    np.testing.assert_array_equal(network.chosen(0).reshape(3, 3), ball(1))  # the centre is implied by the arms


def test_centring_undoes_a_drift() -> None:
    images = np.random.default_rng(5).random((4, 1, 30, 30)) < 0.8
    architecture = Architecture((1, 1, 1), ((7, 7), (7, 7)))
    pairs = Pairs(images, opening(images, line(3)), architecture)
    network = SetNetwork(architecture)
    network.state.meet[0] = True
    drifted = np.zeros((7, 7), bool)
    drifted[1, 3:6] = True
    network.chosen(0)[:] = drifted[::-1, ::-1].reshape(-1)
    network.chosen(2)[:] = drifted.reshape(-1)
    assert network.cost(pairs) == 0
    network.centre(pairs)
    centred = np.zeros((7, 7), bool)
    centred[3, 2:5] = True
    for neuron in (0, 2):
        np.testing.assert_array_equal(network.chosen(neuron).reshape(7, 7), centred)


def test_a_leap_takes_a_whole_line_from_elements_in_series() -> None:
    images = np.random.default_rng(8).random((4, 1, 30, 40)) < 0.8
    architecture = Architecture((1, 1, 1), ((7, 7), (7, 7)))
    pairs = Pairs(images, opening(images, line(5)), architecture)
    network = SetNetwork(architecture)
    network.state.meet[0] = True
    two_rows = np.zeros((7, 7), bool)
    two_rows[2:4, 1:6] = True
    network.chosen(0)[:] = two_rows[::-1, ::-1].reshape(-1)
    network.chosen(2)[:] = two_rows.reshape(-1)
    before = network.cost(pairs)
    assert before > 0.1
    assert network.leap(pairs) == network.cost(pairs) == 0


def test_elements_in_series_become_the_same_only_where_that_costs_nothing() -> None:
    images = np.zeros((2, 1, 20, 20), bool)
    images[:, :, 5:12, 6:15] = True
    architecture = Architecture((1, 1, 1), ((3, 3), (3, 3)))
    pairs = Pairs(images, images, architecture)
    network = SetNetwork(architecture)
    network.state.meet[0] = True
    network.chosen(0)[:] = box(1).reshape(-1)
    corners = box(1).copy()
    corners[1, 1] = False  # enough to restore the rectangle that the erosion leaves
    network.chosen(2)[:] = corners.reshape(-1)
    network.match(pairs)
    assert network.cost(pairs) == 0
    np.testing.assert_array_equal(network.chosen(0), network.chosen(2))
    noisy = np.random.default_rng(9).random((4, 1, 30, 30)) < 0.9
    pairs = Pairs(noisy, dilation(erosion(noisy, box(1)), ball(1)), architecture)
    network.chosen(0)[:], network.chosen(2)[:] = box(1).reshape(-1), ball(1).reshape(-1)
    network.match(pairs)
    assert network.cost(pairs) == 0
    assert not np.array_equal(network.chosen(0), network.chosen(2))


@pytest.mark.parametrize("channels", [(1, 1, 1), (2, 1, 2), (1, 3, 3, 1), (2, 2, 1)])
def test_sketches_are_of_three_pixels_in_a_row(channels: tuple[int, ...]) -> None:
    plain = SetNetwork(Architecture(channels, ((5, 5),) * (len(channels) - 1)))
    random = np.random.default_rng(0)
    sizes = set()
    for _ in range(30):
        sketch = plain.sketch(random)
        for i, (_, kind, _) in enumerate(sketch.units):
            if kind == "bise":
                element = sketch.chosen(i).reshape(5, 5)
                sizes.add(int(element.sum()))
                np.testing.assert_array_equal(element, element[::-1, ::-1])
    assert sizes == {1, 3}
    assert (plain.state.chosen == SetNetwork(plain.architecture).state.chosen).all()


def test_the_same_seed_finds_the_same_network() -> None:
    images = np.random.default_rng(6).random((4, 1, 24, 24)) < 0.8
    architecture = Architecture((1, 1, 1), ((5, 5), (5, 5)))
    pairs = Pairs(images, opening(images, SKEW), architecture)
    begin = list(SetNetwork(architecture).starts(16))
    first, second = (search(begin, pairs, seed=3, kicks=40)[0] for _ in range(2))
    np.testing.assert_array_equal(first.state.chosen, second.state.chosen)
    assert not np.array_equal(first.state.chosen, begin[0].state.chosen)  # and leaves the beginnings alone


def test_bad_arguments_are_named() -> None:
    with pytest.raises(InputError, match="inputs and targets must be"):
        Pairs(np.zeros((2, 1, 9, 9), bool), np.zeros((2, 2, 9, 9), bool), Architecture((1, 1), ((3, 3),)))
    with pytest.raises(InputError, match="must not sub-sample"):
        Architecture.of(BiMoNN((1, 1), 3, stride=2))
