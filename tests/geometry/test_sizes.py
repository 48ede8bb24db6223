import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from shapewright.errors import InputError
from shapewright.geometry import extents, flip_extents, flip_sizes, object_size, two_nearest_sources

METRICS = ("chebyshev", "euclidean")

masks = arrays(bool, array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=6))
spacings = st.one_of(st.just([1.0] * 3), st.lists(st.sampled_from([0.3, 0.5, 1.0, 1.7, 3.0]), min_size=3, max_size=3))


def length(steps, metric):
    return steps.max(-1) if metric == "chebyshev" else np.sqrt((steps**2).sum(-1))


def brute_force_distances(mask, spacing, metric):
    """Sorted distances of every pixel to all background pixels, by the definition."""
    pixels = np.argwhere(np.ones(mask.shape, bool))
    background = np.argwhere(~mask)
    steps = (np.abs(pixels[:, None] - background[None]) * np.asarray(spacing)).astype(np.float32)
    return np.sort(length(steps, metric), axis=1)


def brute_force_size(mask, spacing, metric):
    if mask.all():
        return 2 * length(np.array(mask.shape) * spacing, metric)
    return 2 * brute_force_distances(mask, spacing, metric)[:, 0].max()


def brute_force_flips(mask, measure):
    sizes = np.empty((*mask.shape, *np.shape(measure(mask))))
    for pixel in np.ndindex(mask.shape):
        flipped = mask.copy()
        flipped[pixel] = ~mask[pixel]
        sizes[pixel] = measure(flipped)
    return sizes


@pytest.mark.parametrize("metric", METRICS)
@given(masks, spacings)
@settings(max_examples=150, deadline=None)
def test_flip_sizes_equal_flipping_each_pixel(metric, mask, spacing):
    spacing = spacing[: mask.ndim]
    options = {"metric": metric, "spacing": spacing}
    expected = brute_force_flips(mask, lambda flipped: brute_force_size(flipped, spacing, metric))
    np.testing.assert_allclose(flip_sizes(mask, **options), expected, rtol=1e-6)
    np.testing.assert_allclose(object_size(mask, **options), brute_force_size(mask, spacing, metric), rtol=1e-6)


@given(masks, spacings)
@settings(max_examples=100, deadline=None)
def test_flip_extents_equal_flipping_each_pixel(mask, spacing):
    spacing = spacing[: mask.ndim]

    def box(flipped):
        found = np.argwhere(flipped)
        return (np.ptp(found, axis=0) + 1) * spacing if len(found) else np.zeros(mask.ndim)

    np.testing.assert_allclose(extents(mask, spacing=spacing), box(mask), rtol=1e-6)
    expected = np.moveaxis(brute_force_flips(mask, box), -1, 0)
    np.testing.assert_allclose(flip_extents(mask, spacing=spacing), expected, rtol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", [(2, 3), (3, 3), (2, 2, 2), (1, 7)])
def test_flip_sizes_of_every_mask_of_a_tiny_image(metric, shape):
    pixels = np.prod(shape)
    every = np.array(list(itertools.product([False, True], repeat=pixels))).reshape(-1, *shape)
    expected = object_size(every, metric=metric, spatial_dims=len(shape))
    flips = flip_sizes(every, metric=metric, spatial_dims=len(shape)).reshape(-1, pixels)
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
        box, ball = flip_sizes(mask), flip_sizes(mask, metric="euclidean")
        for pixel in np.ndindex(shape):
            flipped = mask.copy()
            flipped[pixel] = ~mask[pixel]
            assert box[pixel] == 2 * ndimage.distance_transform_cdt(flipped, "chessboard").max()
            assert ball[pixel] == pytest.approx(2 * ndimage.distance_transform_edt(flipped).max(), rel=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@given(masks, spacings)
@settings(max_examples=100, deadline=None)
def test_two_nearest_sources_equal_the_definition(metric, mask, spacing):
    spacing = spacing[: mask.ndim]
    distances, sources = two_nearest_sources(mask, metric=metric, spacing=spacing)
    expected = np.full((mask.size, 2), np.inf)
    nearest = brute_force_distances(mask, spacing, metric)[:, :2]
    expected[:, : nearest.shape[1]] = nearest
    np.testing.assert_allclose(distances.reshape(2, -1).T, expected, rtol=1e-6)
    pixels = np.indices(mask.shape)
    for distance, source in zip(distances, sources, strict=True):
        missing = source < 0
        np.testing.assert_array_equal(missing, np.isinf(distance))
        assert not mask.flat[source[~missing]].any()
        found = np.stack(np.unravel_index(np.maximum(source, 0), mask.shape))
        steps = np.abs(found - pixels) * np.reshape(spacing, (-1, *(1,) * mask.ndim))
        lengths = length(np.moveaxis(steps, 0, -1), metric)
        np.testing.assert_allclose(lengths[~missing], distance[~missing], rtol=1e-6)
    two = (sources >= 0).all(0)
    assert (sources[0][two] != sources[1][two]).all()


def test_leading_axes_and_tensors():
    batch = torch.from_numpy(np.random.default_rng(9).random((2, 3, 8, 9)) < 0.8)
    batch[0, 1], batch[1, 2] = True, False
    sizes, flips = object_size(batch, spatial_dims=2), flip_sizes(batch, spatial_dims=2)
    boxes = flip_extents(batch, spatial_dims=2)
    distances, sources = two_nearest_sources(batch, spatial_dims=2)
    assert sizes.shape == (2, 3)
    assert distances.shape == sources.shape == (2, 3, 2, 8, 9)
    for index in np.ndindex(2, 3):
        assert sizes[index] == object_size(batch[index])
        torch.testing.assert_close(flips[index], flip_sizes(batch[index]), rtol=0, atol=0)
        torch.testing.assert_close(boxes[index], flip_extents(batch[index]), rtol=0, atol=0)
        torch.testing.assert_close(distances[index], two_nearest_sources(batch[index])[0], rtol=0, atol=0)


def test_empty_and_full_masks():
    assert object_size(np.zeros((4, 7), bool)).shape == object_size(torch.zeros(4, 7, dtype=bool)).shape == ()
    assert object_size(np.zeros((4, 7), bool)) == 0
    assert object_size(np.ones((4, 7), bool), spacing=(2, 0.5)) == 16
    assert (flip_sizes(np.zeros((4, 7), bool)) == 2).all()
    assert object_size(np.ones((6, 8), bool), metric="euclidean") == 20
    assert flip_sizes(np.ones((1, 1), bool)) == 0
    assert flip_sizes(np.zeros((1, 1), bool)) == 2
    with pytest.raises(InputError, match="did you mean 'euclidean'"):
        object_size(np.zeros((4, 7), bool), metric="euclidian")


def test_adding_foreground_never_makes_the_object_smaller():
    rng = np.random.default_rng(10)
    mask, size = np.zeros((5, 6, 4), bool), 0.0
    for pixel in rng.permutation(mask.size):
        mask.flat[pixel] = True
        size, before = float(object_size(mask, spacing=(3, 1, 1.5))), size
        assert size >= before
