"""Networks built by hand become the programs they were built from, exactly."""

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage

from shapewright.errors import InputError
from shapewright.layers import BiSEL
from shapewright.morphology import ball, black_tophat, closing, dilation, erosion, line, opening, white_tophat
from shapewright.networks import BiMoNN, BiMoNNClassifier, binarize


def set_layer(
    layer: BiSEL, outputs: list[tuple[list[tuple[str, np.ndarray]], str, bool]], sharpness: float = 4.0
) -> None:
    """Set each output of a layer: an operator and element per input channel, a combination, its complement."""
    for k, (branches, combination, complement) in enumerate(outputs):
        for n, (operator, element) in enumerate(branches):
            layer.bise.set_operator(n * len(outputs) + k, operator, element, sharpness=sharpness)
        layer.lui.set_operator(k, combination, complement=complement, sharpness=sharpness)


ONE = np.ones((1, 1), bool)
SKEW = np.array([[1, 1, 0], [0, 1, 0], [0, 1, 0]], bool)


def opening_network(element: np.ndarray) -> BiMoNN:
    network = BiMoNN((1, 1, 1), 7)
    set_layer(network.layers[0], [([("erosion", element)], "union", False)])
    set_layer(network.layers[1], [([("dilation", element)], "intersection", False)])
    return network


def tophat_network(element: np.ndarray) -> BiMoNN:
    network = BiMoNN((1, 2, 1), 7)
    set_layer(network.layers[0], [([("dilation", ONE)], "union", False), ([("erosion", element)], "union", False)])
    set_layer(network.layers[1], [([("dilation", ONE), ("anti_dilation", element)], "intersection", False)])
    return network


@pytest.mark.parametrize("element", [ball(3), line(7), SKEW])
def test_hand_built_networks_become_the_operators(element: np.ndarray) -> None:
    image = np.random.default_rng(0).random((5, 1, 24, 31)) < 0.8
    for network, expected in (
        (opening_network(element), opening(image, element)),
        (tophat_network(element), white_tophat(image, element)),
    ):
        program = binarize(network)
        assert program.exact
        np.testing.assert_array_equal(program(image), expected)
        floating = network(torch.from_numpy(image).float()) > 0.5
        np.testing.assert_array_equal(floating.numpy(), expected)


def test_the_papers_black_tophat_of_anti_operators() -> None:
    element = ball(2)
    network = BiMoNN((1, 2, 1), 7)
    set_layer(
        network.layers[0], [([("anti_dilation", ONE)], "union", False), ([("anti_dilation", element)], "union", False)]
    )
    set_layer(network.layers[1], [([("dilation", ONE), ("anti_dilation", element)], "intersection", False)])
    image = np.random.default_rng(1).random((3, 1, 30, 30)) < 0.3
    program = binarize(network)
    inner = (..., slice(2, -2), slice(2, -2))  # the second anti-dilation sees 0 outside, a closing would see 1
    np.testing.assert_array_equal(program(image)[inner], black_tophat(image, element)[inner])
    assert str(program) == "y = ~x & erosion(dilation(x, ball(2)), ball(2), outside=1)"


def test_closing_and_text() -> None:
    network = BiMoNN((1, 1, 1), 5)
    set_layer(network.layers[0], [([("anti_dilation", ball(2))], "union", True)])
    set_layer(network.layers[1], [([("erosion", ball(2))], "intersection", False)])
    image = np.random.default_rng(2).random((2, 1, 20, 20)) < 0.3
    program = binarize(network)
    np.testing.assert_array_equal(program(image), closing(image, ball(2)))
    assert str(program) == "y = closing(x, ball(2))"


def test_branches_that_a_lui_leaves_out_are_dropped() -> None:
    network = BiMoNN((3, 1), 3)
    for n in range(3):
        network.layers[0].bise.set_operator(n, "dilation", ball(1))
    network.layers[0].lui.set_operator(0, "union", [0, 2])
    program = binarize(network)
    image = np.random.default_rng(3).random((2, 3, 9, 9)) < 0.2
    np.testing.assert_array_equal(program(image)[:, 0], dilation(image[:, 0] | image[:, 2], ball(1)))
    assert "x1" not in str(program)


def test_three_dimensions_and_strides() -> None:
    network = BiMoNN((1, 2), 3, spatial_dims=3, stride=2)
    set_layer(
        network.layers[0], [([("dilation", ball(1, 3))], "union", False), ([("erosion", ball(1, 3))], "union", True)]
    )
    image = np.random.default_rng(4).random((1, 1, 7, 8, 9)) < 0.4
    program = binarize(network)
    floating = network(torch.from_numpy(image).float()) > 0.5
    np.testing.assert_array_equal(program(image), floating.numpy())
    assert program(image).shape == (1, 2, 4, 4, 5)


@pytest.mark.parametrize("seed", range(6))
def test_where_all_neurons_are_activated_program_and_network_agree_on_every_pixel(seed: int) -> None:
    """Random networks near operators: whatever the ranges carried through the layers declare exact, is."""
    random = np.random.default_rng(seed)
    network = BiMoNN((2, 2, 2, 1), 3)
    for layer in network.layers:
        outputs = []
        for _ in range(layer.lui.out_channels):
            branches = []
            for _ in range(layer.lui.in_channels):
                element = random.random((3, 3)) < 0.4
                element[1, 1] |= not element.any()
                operator = ("dilation", "erosion", "anti_dilation", "anti_erosion")[random.integers(4)]
                branches.append((operator, element))
            outputs.append((branches, ("union", "intersection")[random.integers(2)], bool(random.integers(2))))
        set_layer(layer, outputs, sharpness=float(random.uniform(1.0, 3.0)))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.02 * torch.from_numpy(random.standard_normal(parameter.shape)).float()
    image = random.random((4, 2, 16, 16)) < 0.5
    program = binarize(network)
    floating = (network(torch.from_numpy(image).float()) > 0.5).numpy()
    if program.exact:
        np.testing.assert_array_equal(program(image), floating)
    else:
        assert any(neuron.distance > 0 for neuron in program.neurons if not neuron.exact)


def all_sets_layer(random: np.random.Generator, erosion: bool) -> tuple[BiSEL, list[np.ndarray]]:
    """Return a layer with a neuron for every set of a 3 x 3 support: random weights and biases within the interval."""
    sets = [np.array(bits).reshape(3, 3) for bits in itertools.product((False, True), repeat=9) if any(bits)]
    layer = BiSEL(1, len(sets), kernel_size=3)
    elements = np.stack(sets)
    weights = np.where(elements, random.uniform(1, 1.1, elements.shape), random.uniform(0.001, 0.05, elements.shape))
    least = np.where(elements, weights, np.inf).min(axis=(1, 2))
    inside, total = (weights * elements).sum(axis=(1, 2)), weights.sum(axis=(1, 2))
    lower, upper = (total - least, inside) if erosion else (total - inside, least)
    biases = lower + random.uniform(0.1, 0.9, len(sets)) * (upper - lower)
    biases = np.maximum(biases, 0.55)  # effective biases exceed one half
    layer.bise._assign(slice(None), torch.from_numpy(weights[:, None]), torch.from_numpy(biases))
    with torch.no_grad():
        layer.bise.scale.fill_(40.0)
    for unit in range(len(sets)):
        layer.lui.set_operator(unit, "union")
    return layer, sets


def test_every_set_of_a_small_support_is_recovered_and_its_operators_are_adjoint_and_dual() -> None:
    random = np.random.default_rng(10)
    programs = {}
    for erodes in (False, True):
        layer, sets = all_sets_layer(random, erodes)
        programs[erodes] = binarize(layer)
        assert programs[erodes].exact
        image = random.random((14, 15)) < 0.5
        found = programs[erodes](image[None])
        floating = layer(torch.from_numpy(image[None, None]).float())[0] > 0.5
        np.testing.assert_array_equal(found, floating.numpy())
        function = ndimage.binary_erosion if erodes else ndimage.binary_dilation
        for element, result in zip(sets, found, strict=True):
            seen = element[::-1, ::-1] if erodes else element  # weights of an erosion are mirrored
            np.testing.assert_array_equal(result, function(image, seen))
    dilate, erode = programs[False], programs[True]
    inner = (slice(2, -2), slice(2, -2))  # erosions see 0 outside, adjunction and duality need 1
    keys = {element.tobytes(): index for index, element in enumerate(sets)}
    mirrored = [keys[element[::-1, ::-1].tobytes()] for element in sets]
    image = random.random((14, 15)) < 0.5
    dilated, eroded = dilate(image[None]), erode(image[None])
    complements = dilate(~image[None])
    for k, m in enumerate(mirrored):  # neuron k of one erodes by the mirror of the set that neuron k of the other has
        assert (image <= erode(dilated[k][None])[m])[inner].all()  # x <= erosion(dilation(x))
        assert (dilate(eroded[m][None])[k] <= image)[inner].all()  # dilation(erosion(x)) <= x
        np.testing.assert_array_equal(eroded[k][inner], ~complements[k][inner])


def test_a_vague_network_is_approximated_and_says_so() -> None:
    torch.manual_seed(0)
    program = binarize(BiMoNN((1, 1), 5))
    assert not program.exact
    neuron = program.neurons[0]
    assert not neuron.exact
    assert neuron.distance > 0
    assert neuron.weights.shape == (5, 5)
    assert neuron.name == "layer 1, BiSE 0 to 0"


def test_bad_arguments_are_named() -> None:
    with pytest.raises(InputError, match="channels must be at least two"):
        BiMoNN((1,))
    with pytest.raises(InputError, match="kernel_size must be one number, or one for each of the 2 layers"):
        BiMoNN((1, 1, 1), (3, 5, 7))
    with pytest.raises(InputError, match="model must be a BiMoNN"):
        binarize(torch.nn.Linear(1, 1))  # type: ignore[arg-type]


def test_a_classifier_that_sub_samples_and_its_program_agree() -> None:
    model = BiMoNNClassifier((1, 2), classes=3, kernel_size=3)
    set_layer(
        model.features.layers[0],
        [([("erosion", ball(1))], "union", False), ([("dilation", ball(1))], "union", True)],
        sharpness=12.0,
    )
    image = torch.from_numpy(np.random.default_rng(6).random((5, 1, 13, 16)) < 0.6)
    program = binarize(model.features)
    assert program.exact
    masks = program(image)
    assert masks.shape == (5, 2, 7, 8)
    torch.testing.assert_close(model.classify(masks), model(image.float()), atol=1e-5, rtol=1e-5)


def test_a_classifier_learns_to_tell_directions_apart() -> None:
    random = np.random.default_rng(7)
    images = np.zeros((120, 1, 20, 20), bool)
    labels = torch.arange(120) % 2
    for index in range(120):
        for row, column in random.integers(2, 12, (4, 2)):
            along = (slice(row, row + 6), column) if index % 2 else (row, slice(column, column + 6))
            images[(index, 0, *along)] = True
    torch.manual_seed(0)
    model = BiMoNNClassifier((1, 4), classes=2, kernel_size=5)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    inputs = torch.from_numpy(images).float()
    for _ in range(150):
        loss = torch.nn.functional.cross_entropy(model(inputs[:80]), labels[:80])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float((model(inputs[80:]).argmax(1) == labels[80:]).float().mean()) >= 0.9


def test_a_skeleton_is_one_step_repeated() -> None:
    """State: what is left of the set, and the skeleton so far; a step erodes the one and adds to the other."""
    cross = ball(1)
    network = BiMoNN((2, 3, 3, 2), 3)
    keep, nothing = ("dilation", ONE), ("dilation", ONE)
    set_layer(
        network.layers[0],
        [
            ([("erosion", cross), nothing], "union", False),
            ([keep, nothing], "union", False),
            ([nothing, keep], "union", False),
        ],
    )
    set_layer(
        network.layers[1],
        [
            ([keep, nothing, nothing], "union", False),
            ([("anti_dilation", cross), keep, nothing], "intersection", False),
            ([nothing, nothing, keep], "union", False),
        ],
    )
    set_layer(
        network.layers[2],
        [([keep, nothing, nothing], "union", False), ([nothing, keep, keep], "union", False)],
    )
    wires = {(0, 0): ("union", [0]), (0, 1): ("union", [0]), (0, 2): ("union", [1])}
    wires |= {(1, 0): ("union", [0]), (1, 1): ("intersection", [0, 1]), (1, 2): ("union", [2])}
    wires |= {(2, 0): ("union", [0]), (2, 1): ("union", [1, 2])}
    for (layer, unit), (operator, channels) in wires.items():
        network.layers[layer].lui.set_operator(unit, operator, channels)
    step = binarize(network)
    image = dilation(np.random.default_rng(8).random((40, 50)) < 0.01, ball(4))
    left, skeleton = image, np.zeros_like(image)  # Lantuejoul's formula
    while left.any():
        skeleton |= left & ~opening(left, cross)
        left = erosion(left, cross)
    result = step.until_stable(np.stack([image, np.zeros_like(image)]))
    np.testing.assert_array_equal(result[1], skeleton)
    assert not result[0].any()
