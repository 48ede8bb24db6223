import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import morphology as sk

from shapewright.errors import InputError
from shapewright.morphology import area_opening, connectivity, cross, fill_holes, reconstruction

CASES = [(4, 2), (8, 2), (6, 3), (18, 3), (26, 3)]


def random_shape(rng, dims):
    return tuple(int(n) for n in rng.integers(1, 40 if dims == 2 else 12, dims))


@pytest.mark.parametrize(("neighbours", "dims"), CASES)
def test_binary_operators_agree_with_scipy_and_scikit_image(neighbours, dims):
    rng = np.random.default_rng(neighbours)
    structure = connectivity(neighbours, dims)
    for _ in range(25):
        shape = random_shape(rng, dims)
        mask = rng.random(shape) < rng.random()
        marker = rng.random(shape) < 0.05
        expected = ndimage.binary_propagation(marker & mask, structure, mask)
        assert np.array_equal(reconstruction(marker, mask, connectivity=neighbours), expected)
        assert np.array_equal(fill_holes(mask, connectivity=neighbours), ndimage.binary_fill_holes(mask, structure))
        labels, _ = ndimage.label(mask, structure)
        sizes = np.bincount(labels.reshape(-1))
        assert np.array_equal(area_opening(mask, 5, connectivity=neighbours), mask & (sizes[labels] >= 5))


@pytest.mark.parametrize(("neighbours", "dims"), CASES)
def test_grey_reconstruction_agrees_with_scikit_image(neighbours, dims):
    rng = np.random.default_rng(neighbours)
    structure = connectivity(neighbours, dims)
    for _ in range(15):
        shape = random_shape(rng, dims)
        mask, marker = rng.random((2, *shape))
        expected = sk.reconstruction(np.minimum(marker, mask), mask, footprint=structure)
        assert np.array_equal(reconstruction(marker, mask, connectivity=neighbours), expected)


def test_grey_operators_on_binary_values_are_the_binary_operators():
    rng = np.random.default_rng(0)
    mask, marker = rng.random((2, 30, 40)) < 0.5
    soft = reconstruction(marker.astype(float), mask.astype(float))
    assert np.array_equal(soft, reconstruction(marker, mask))
    assert np.array_equal(fill_holes(mask.astype(float)), fill_holes(mask))


def test_grey_gradients():
    torch.manual_seed(0)
    marker, mask = (torch.rand(2, 5, 6, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda a, b: reconstruction(a, b, spatial_dims=2), (marker, mask))
    assert torch.autograd.gradcheck(lambda a: fill_holes(a, spatial_dims=2), mask)


def test_batches_and_kinds():
    rng = np.random.default_rng(1)
    batch = rng.random((3, 1, 20, 30)) < 0.6
    expected = np.stack([[fill_holes(image[0])] for image in batch])
    assert np.array_equal(fill_holes(batch, spatial_dims=2), expected)
    assert np.array_equal(fill_holes(torch.from_numpy(batch), spatial_dims=2).numpy(), expected)
    assert area_opening(torch.from_numpy(batch), 3, spatial_dims=2).dtype == torch.bool
    assert fill_holes(np.zeros((0, 5), bool)).shape == (0, 5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reconstruction(np.zeros((2, 3), bool), np.zeros((3, 2), bool)), "one shape"),
        (lambda: reconstruction(np.zeros((2, 3)), np.zeros((2, 3), bool)), "one kind"),
        (lambda: fill_holes(np.zeros((2, 3), bool), connectivity=6), "4 or 8"),
        (lambda: area_opening(np.zeros((2, 3)), 2), "binary"),
        (lambda: reconstruction(np.full((2, 3), 2.0), np.zeros((2, 3))), "probabilities"),
    ],
)
def test_wrong_input_is_explained(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_an_area_opening_that_removes_nothing_keeps_the_image():
    image = np.random.default_rng(3).random((9, 65)) < 0.4
    for area in (0, 1):
        assert np.array_equal(area_opening(image, area), image)
    for wrong in (-1, 2.5, "3"):
        with pytest.raises(InputError, match="area must be"):
            area_opening(image, wrong)


def test_half_precision_arrays():
    rng = np.random.default_rng(4)
    marker, mask = rng.random((2, 7, 33)).astype(np.float16)
    result = reconstruction(marker, mask)
    assert result.dtype == np.float16
    assert np.array_equal(result, sk.reconstruction(np.minimum(marker, mask).astype(float), mask, footprint=cross()))
    assert fill_holes(mask).dtype == np.float16
