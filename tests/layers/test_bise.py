"""Neurons set to an operator are that operator; their gradients are right."""

import numpy as np
import pytest
import torch

from shapewright import morphology
from shapewright.errors import InputError
from shapewright.layers import LUI, BiSE, BiSEL
from shapewright.layers.activation import closest_operator
from shapewright.layers.bise import OPERATORS


def random_element(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    element = random.random(shape) < 0.4
    element[tuple(size // 2 for size in shape)] |= not element.any()
    return element


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("shape", [(5, 3), (3, 1), (3, 3, 5)])
def test_a_neuron_set_to_an_operator_is_it_border_included(operator: str, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(len(operator))
    element = random_element(random, shape)
    neuron = BiSE(2, 3, kernel_size=5, spatial_dims=len(shape))
    neuron.set_operator(4, operator, element)
    image = torch.from_numpy(random.random((2, 2, *[9] * len(shape))) < 0.5)
    expected = getattr(morphology, operator.removeprefix("anti_"))(image[:, 1], element)
    result = neuron(image.float())[:, 4].detach()
    assert torch.equal(result > 0.5, expected != operator.startswith("anti"))
    assert float((result - result.round()).abs().max()) < 1e-3
    weights, bias = neuron.positive_weight()[4, 0].detach().numpy(), float(neuron.positive_bias()[4].detach())
    found = closest_operator(weights, bias)
    assert found.activated
    expected_set = element[(slice(None, None, -1),) * element.ndim] if operator.endswith("erosion") else element
    assert found.element.sum() == element.sum()
    np.testing.assert_array_equal(
        np.argwhere(found.element) - np.array(found.element.shape) // 2,
        np.argwhere(expected_set) - np.array(element.shape) // 2,
    )


@pytest.mark.parametrize("operator", ["union", "intersection"])
@pytest.mark.parametrize("complement", [False, True])
def test_lui_combines_the_chosen_channels(operator: str, complement: bool) -> None:
    layer = LUI(4, 2)
    layer.set_operator(1, operator, [0, 3], complement=complement)
    image = torch.tensor(np.indices((2,) * 4).reshape(4, 16), dtype=torch.float32)  # every combination
    branches = torch.stack([torch.zeros(4, 16), image], dim=1).reshape(1, 8, 16, 1)
    result = layer(branches)[0, 1, :, 0] > 0.5
    pair = image[[0, 3]].bool()
    expected = pair.any(0) if operator == "union" else pair.all(0)
    assert torch.equal(result, expected != complement)


def test_gradients() -> None:
    torch.manual_seed(0)
    layer = BiSEL(2, 2, kernel_size=3).double()
    image = torch.rand(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (image,))
    layer(image).sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_the_initial_neuron_favours_neither_operator() -> None:
    neuron = BiSE(kernel_size=5)
    image = torch.rand(1, 1, 20, 20)
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    dual = 1 - neuron(1 - image)  # complementing input and output of a majority changes nothing
    torch.testing.assert_close(neuron(image)[inner], dual[inner])


def test_stride_keeps_every_second_pixel() -> None:
    torch.manual_seed(0)
    dense, sparse = BiSE(1, 2, 3), BiSE(1, 2, 3, stride=2)
    sparse.load_state_dict(dense.state_dict())
    image = torch.rand(1, 1, 9, 8)
    torch.testing.assert_close(sparse(image), dense(image)[..., ::2, ::2])


def test_bad_arguments_are_named() -> None:
    with pytest.raises(InputError, match="kernel_size must be positive and odd"):
        BiSE(kernel_size=4)
    with pytest.raises(InputError, match="spatial_dims must be 2 or 3"):
        BiSE(spatial_dims=1)
    with pytest.raises(InputError, match=r"\[B, 2, \*spatial\]"):
        BiSEL(2, 1)(torch.rand(1, 1, 8, 8))
    with pytest.raises(InputError, match="did you mean 'dilation'"):
        BiSE().set_operator(0, "dilatoin", np.ones((3, 3), bool))
    with pytest.raises(InputError, match="element must have odd sizes up to"):
        BiSE(kernel_size=3).set_operator(0, "dilation", np.ones((5, 5), bool))
    with pytest.raises(InputError, match="union, intersection"):
        LUI(2).set_operator(0, "xor")
    with pytest.raises(InputError, match="channels must be numbers between"):
        LUI(2).set_operator(0, "union", [2])
