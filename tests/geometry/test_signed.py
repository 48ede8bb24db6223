import numpy as np
import pytest
import torch
from scipy import ndimage

from shapewright.errors import InputError
from shapewright.geometry import class_distance_maps, signed_distance


def reference(mask, spacing, convention="plain"):
    if mask.all() or not mask.any():
        return np.zeros(mask.shape)
    outside = ndimage.distance_transform_edt(~mask, sampling=spacing)
    inside = ndimage.distance_transform_edt(mask, sampling=spacing)
    shift = {"plain": (0, 0), "half": (0.5 * min(spacing), 0.5 * min(spacing)), "kervadec": (0, 1)}[convention]
    return np.where(mask, shift[1] - inside, outside - shift[0])


@pytest.mark.parametrize("convention", ["half", "plain", "kervadec"])
@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((1, 9), (1, 1)), ((9, 1), (0.3, 2)), ((17, 23), (1, 1)), ((13, 40), (0.7, 2.5)), ((5, 9, 12), (3, 0.8, 1.1))],
)
@pytest.mark.parametrize("density", [0.02, 0.5, 0.9])
def test_equals_two_distance_transforms(shape, spacing, convention, density):
    mask = np.random.default_rng(len(shape)).random(shape) < density
    got = signed_distance(mask, spacing=spacing, convention=convention)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, reference(mask, spacing, convention), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("value", [False, True])
@pytest.mark.parametrize("convention", ["half", "plain", "kervadec"])
def test_mask_without_a_boundary(value, convention):
    mask = np.full((4, 5, 6), value)
    assert not signed_distance(mask, convention=convention).any()
    far = signed_distance(mask, convention=convention, empty="infinite")
    assert (far == (-np.inf if value else np.inf)).all()


def test_leading_axes_are_images_of_their_own():
    rng = np.random.default_rng(0)
    batch = rng.random((3, 2, 11, 14)) < 0.4
    batch[1, 0] = False
    got = signed_distance(batch, spatial_dims=2, spacing=(2, 1))
    for index in np.ndindex(3, 2):
        np.testing.assert_array_equal(got[index], signed_distance(batch[index], spacing=(2, 1)))


def test_tensor_in_tensor_out():
    mask = torch.zeros(2, 8, 9, dtype=torch.uint8)
    mask[:, 3:5, 2:7] = 1
    got = signed_distance(mask, spatial_dims=2)
    assert isinstance(got, torch.Tensor)
    assert got.dtype == torch.float32
    np.testing.assert_array_equal(got.numpy(), signed_distance(mask.numpy(), spatial_dims=2))


def test_class_maps_are_the_signed_distances_of_the_classes():
    labels = np.random.default_rng(1).integers(0, 5, (2, 6, 9, 7))
    labels[0][labels[0] == 2] = 0
    labels[1, 3] = 255
    maps = class_distance_maps(labels, 4, spacing=(2.0, 1.0, 0.5), spatial_dims=3, convention="kervadec")
    assert maps.shape == (2, 4, 6, 9, 7)
    for n in range(2):
        for k in range(4):
            expected = reference(labels[n] == k, (2.0, 1.0, 0.5), "kervadec")
            np.testing.assert_allclose(maps[n, k], expected, rtol=2e-6, atol=1e-6)


def test_two_classes_are_opposite():
    labels = torch.from_numpy(np.random.default_rng(2).integers(0, 2, (12, 15)))
    for convention in ("half", "plain"):
        background, foreground = class_distance_maps(labels, 2, convention=convention)
        torch.testing.assert_close(background, -foreground, rtol=0, atol=0)


def test_wrong_arguments_are_named():
    mask = np.zeros((4, 4), bool)
    with pytest.raises(InputError, match="did you mean 'kervadec'"):
        signed_distance(mask, convention="kervadek")
    with pytest.raises(InputError, match="empty"):
        signed_distance(mask, empty="nan")
    with pytest.raises(InputError, match="labels must be integers"):
        class_distance_maps(np.zeros((4, 4)), 2)
    with pytest.raises(InputError, match="num_classes"):
        class_distance_maps(np.zeros((4, 4), int), 0)
