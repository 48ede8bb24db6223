import numpy as np
import pytest
import torch
from scipy import ndimage

from shapewright.errors import InputError
from shapewright.morphology import ball, dilation, erosion, grey_dilation, grey_erosion


@pytest.mark.parametrize("dims", [2, 3])
def test_agrees_with_scipy(dims):
    rng = np.random.default_rng(dims)
    for _ in range(40):
        image = rng.standard_normal(tuple(rng.integers(1, 30 if dims == 2 else 9, dims)))
        element = rng.random(tuple(2 * rng.integers(0, 3, dims) + 1)) < 0.5
        element.flat[rng.integers(element.size)] = True
        outside = float(rng.standard_normal())
        options = {"footprint": element, "mode": "constant", "cval": outside}
        assert np.array_equal(grey_dilation(image, element, outside=outside), ndimage.grey_dilation(image, **options))
        assert np.array_equal(grey_erosion(image, element, outside=outside), ndimage.grey_erosion(image, **options))


def test_on_binary_values_it_is_the_binary_operator():
    image = np.random.default_rng(0).random((2, 30, 70)) < 0.4
    for iterations in (1, 3):
        options = {"iterations": iterations, "outside": 0}
        assert np.array_equal(
            grey_dilation(image.astype(float), ball(2), **options), dilation(image, ball(2), **options)
        )
        assert np.array_equal(grey_erosion(image.astype(float), ball(2), **options), erosion(image, ball(2), **options))


def test_gradients_and_types():
    torch.manual_seed(0)
    image = torch.rand(2, 6, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a: grey_dilation(a, ball(2)), image)
    assert torch.autograd.gradcheck(lambda a: grey_erosion(a, ball(2), outside=float("inf")), image)
    ties = torch.zeros(1, 5, requires_grad=True)
    grey_dilation(ties, np.ones((1, 3), bool), outside=-1.0).sum().backward()
    assert ties.grad.sum() == 5
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        assert grey_dilation(torch.rand(4, 5).to(dtype), ball(1)).dtype == dtype


def test_wrong_input_is_explained():
    with pytest.raises(InputError, match="floating point"):
        grey_dilation(np.zeros((3, 3), bool), ball(1))
    with pytest.raises(InputError, match="at least"):
        grey_erosion(np.zeros((3, 3)), ball(1, 3))


def test_infinite_values_and_nan():
    image = np.full((3, 5), -np.inf)
    image[0, 0] = 1
    expected = ndimage.grey_dilation(image, footprint=ball(1), mode="constant", cval=-np.inf)
    assert np.array_equal(grey_dilation(image, ball(1), outside=-np.inf), expected)
    assert grey_dilation(image, ball(1), outside=0)[1, 3] == -np.inf
    assert grey_erosion(-image, ball(1), outside=0)[1, 3] == np.inf
    for nan in (np.array([[0.0, np.nan]]), torch.tensor([[0.0, torch.nan]])):
        with pytest.raises(InputError, match="NaN"):
            grey_dilation(nan, ball(1))
    with pytest.raises(InputError, match="NaN"):
        grey_erosion(np.zeros((2, 2)), ball(1), outside=float("nan"))
