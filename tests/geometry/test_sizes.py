import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from shapewright.geometry import flip_sizes, object_size, two_nearest_sources

masks = arrays(bool, array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=6))
spacings = st.one_of(st.just([1.0] * 3), st.lists(st.sampled_from([0.3, 0.5, 1.0, 1.7, 3.0]), min_size=3, max_size=3))


def brute_force_distances(mask, spacing):
    """Sorted Chebyshev distances of every pixel to all background pixels, by the definition."""
    pixels = np.argwhere(np.ones(mask.shape, bool))
    background = np.argwhere(~mask)
    steps = (np.abs(pixels[:, None] - background[None]) * np.asarray(spacing)).astype(np.float32)
    return np.sort(steps.max(-1), axis=1)


def brute_force_size(mask, spacing):
    if mask.all():
        return 2 * max(n * s for n, s in zip(mask.shape, spacing, strict=True))
    return 2 * brute_force_distances(mask, spacing)[:, 0].max()


def brute_force_flips(mask, spacing):
    sizes = np.empty(mask.shape)
    for pixel in np.ndindex(mask.shape):
        flipped = mask.copy()
        flipped[pixel] = ~mask[pixel]
        sizes[pixel] = brute_force_size(flipped, spacing)
    return sizes


@given(masks, spacings)
@settings(max_examples=200, deadline=None)
def test_flip_sizes_equal_flipping_each_pixel(mask, spacing):
    spacing = spacing[: mask.ndim]
    np.testing.assert_allclose(flip_sizes(mask, spacing=spacing), brute_force_flips(mask, spacing), rtol=1e-6)
    np.testing.assert_allclose(object_size(mask, spacing=spacing), brute_force_size(mask, spacing), rtol=1e-6)


@pytest.mark.parametrize("shape", [(2, 3), (3, 3), (2, 2, 2), (1, 7)])
def test_flip_sizes_of_every_mask_of_a_tiny_image(shape):
    pixels = np.prod(shape)
    every = np.array(list(itertools.product([False, True], repeat=pixels))).reshape(-1, *shape)
    expected = object_size(every, spatial_dims=len(shape))
    flips = flip_sizes(every, spatial_dims=len(shape)).reshape(-1, pixels)
    place = 1 << np.arange(pixels)[::-1]
    number = every.reshape(-1, pixels) @ place
    np.testing.assert_array_equal(flips, expected[number[:, None] ^ place])


@pytest.mark.parametrize("density", [0.02, 0.5, 0.9, 0.98, 0.995])
@pytest.mark.parametrize("shape", [(21, 17), (9, 8, 10)])
def test_flip_sizes_equal_repeated_scipy_transforms(shape, density):
    rng = np.random.default_rng(8)
    for _ in range(3):
        mask = rng.random(shape) < density
        mask.flat[rng.integers(mask.size, size=2)] = False
        got = flip_sizes(mask)
        for pixel in np.ndindex(shape):
            flipped = mask.copy()
            flipped[pixel] = ~mask[pixel]
            assert got[pixel] == 2 * ndimage.distance_transform_cdt(flipped, "chessboard").max()


@given(masks, spacings)
@settings(max_examples=150, deadline=None)
def test_two_nearest_sources_equal_the_definition(mask, spacing):
    spacing = spacing[: mask.ndim]
    distances, sources = two_nearest_sources(mask, spacing=spacing)
    expected = np.full((mask.size, 2), np.inf)
    nearest = brute_force_distances(mask, spacing)[:, :2]
    expected[:, : nearest.shape[1]] = nearest
    np.testing.assert_allclose(distances.reshape(2, -1).T, expected, rtol=1e-6)
    pixels = np.indices(mask.shape)
    for distance, source in zip(distances, sources, strict=True):
        missing = source < 0
        np.testing.assert_array_equal(missing, np.isinf(distance))
        assert not mask.flat[source[~missing]].any()
        found = np.stack(np.unravel_index(np.maximum(source, 0), mask.shape))
        steps = np.abs(found - pixels) * np.reshape(spacing, (-1, *(1,) * mask.ndim))
        np.testing.assert_allclose(steps.max(0)[~missing], distance[~missing], rtol=1e-6)
    two = (sources >= 0).all(0)
    assert (sources[0][two] != sources[1][two]).all()


def test_leading_axes_and_tensors():
    batch = torch.from_numpy(np.random.default_rng(9).random((2, 3, 8, 9)) < 0.8)
    batch[0, 1], batch[1, 2] = True, False
    sizes, flips = object_size(batch, spatial_dims=2), flip_sizes(batch, spatial_dims=2)
    distances, sources = two_nearest_sources(batch, spatial_dims=2)
    assert sizes.shape == (2, 3)
    assert distances.shape == sources.shape == (2, 3, 2, 8, 9)
    for index in np.ndindex(2, 3):
        assert sizes[index] == object_size(batch[index])
        torch.testing.assert_close(flips[index], flip_sizes(batch[index]), rtol=0, atol=0)
        torch.testing.assert_close(distances[index], two_nearest_sources(batch[index])[0], rtol=0, atol=0)


def test_empty_and_full_masks():
    assert object_size(np.zeros((4, 7), bool)).shape == object_size(torch.zeros(4, 7, dtype=bool)).shape == ()
    assert object_size(np.zeros((4, 7), bool)) == 0
    assert object_size(np.ones((4, 7), bool), spacing=(2, 0.5)) == 16
    assert (flip_sizes(np.zeros((4, 7), bool)) == 2).all()
    assert flip_sizes(np.ones((1, 1), bool)) == 0
    assert flip_sizes(np.zeros((1, 1), bool)) == 2


def test_adding_foreground_never_makes_the_object_smaller():
    rng = np.random.default_rng(10)
    mask, size = np.zeros((5, 6, 4), bool), 0.0
    for pixel in rng.permutation(mask.size):
        mask.flat[pixel] = True
        size, before = float(object_size(mask, spacing=(3, 1, 1.5))), size
        assert size >= before
