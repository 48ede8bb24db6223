"""From a file's image to what a network sees, and back."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from shapewright.data.image import Image
from shapewright.data.preprocess import (
    UNKNOWN,
    normalise_fundus,
    normalise_intensity,
    prepare_image,
    prepare_labels,
    resample,
    resample_labels,
    target_shape,
)
from shapewright.data.task import Task, choose_patch_size
from shapewright.errors import InputError
from shapewright.simulate import FundusPhantom


def make_task(**changes: object) -> Task:
    facts = {
        "spatial_dims": 3,
        "image_dims": 3,
        "channels": ("a",),
        "labels": {"low": 3, "high": 7},
        "patch_size": (8, 8, 8),
        "spacing": (1.0, 1.0, 1.0),
    }
    return Task(**{**facts, **changes})  # type: ignore[arg-type]


def test_label_values_become_classes_in_the_declared_order() -> None:
    values = np.array([[[0, 3, 7, 9]]])
    labels = Image(values[None], (1.0, 1.0, 1.0))
    assert prepare_labels(labels, make_task(ignore_label=9)).ravel().tolist() == [0, 1, 2, UNKNOWN]


def test_intensities_do_not_depend_on_the_scale_or_on_single_voxels() -> None:
    random = np.random.default_rng(0)
    image = random.normal(50, 10, (2, 20, 20, 20)).astype(np.float32)
    normal = normalise_intensity(image, "volume")
    assert np.allclose(normal.reshape(2, -1).mean(axis=1), 0, atol=1e-4)
    assert np.allclose(normal.reshape(2, -1).std(axis=1), 1, atol=1e-4)
    assert np.allclose(normalise_intensity(image * 1000 + 7, "volume"), normal, atol=1e-3)
    spoilt = image.copy()
    spoilt[:, 0, 0, 0] = 1e6
    assert np.abs(normalise_intensity(spoilt, "volume")[:, 1:] - normal[:, 1:]).max() < 0.05
    constant = normalise_intensity(np.full((1, 4, 4), 3.0, np.float32), "volume")
    assert np.array_equal(constant, np.zeros_like(constant))
    assert normalise_intensity(image, "none") is image


def test_resampling_keeps_the_images_place() -> None:
    """The centre of mass of a blob, in mm from the image's edge, does not move."""
    grid = np.indices((30, 24, 20))
    blob = np.exp(-(((grid.T - np.array([11.0, 13.0, 8.0])) / 3.0) ** 2).sum(axis=-1)).T.astype(np.float32)
    spacing = np.array([2.0, 1.0, 1.5])
    target = np.array([1.2, 1.7, 1.0])
    shape = target_shape(blob.shape, spacing, target)
    resampled = resample(blob[None], shape, order=1)[0]
    actual = np.array(blob.shape) * spacing / np.array(shape)
    before = (np.array(ndimage.center_of_mass(blob)) + 0.5) * spacing
    after = (np.array(ndimage.center_of_mass(resampled)) + 0.5) * actual
    assert np.abs(before - after).max() < 0.15


def test_labels_survive_resampling_and_back() -> None:
    labels = np.zeros((20, 20, 10), np.uint8)
    labels[4:15, 5:16, 2:8] = 1
    labels[9:15, 5:16, 2:8] = 2
    labels[0, 0, 0] = UNKNOWN
    fine = resample_labels(labels, (40, 40, 20))
    assert set(np.unique(fine)) <= {0, 1, 2, UNKNOWN}
    assert np.array_equal(resample_labels(fine, labels.shape), labels)


def test_probabilities_return_to_the_images_own_grid() -> None:
    image = Image(np.random.default_rng(0).normal(size=(1, 11, 13, 9)), (2.0, 1.0, 1.0))
    prepared = prepare_image(image, make_task())
    assert prepared.array.shape == (1, 22, 13, 9)
    assert prepared.array.dtype == np.float32
    probabilities = np.stack([prepared.array[0] * 0 + 0.25, prepared.array[0] * 0 + 0.75])
    restored = prepared.restore(probabilities)
    assert restored.shape == (2, 11, 13, 9)
    assert np.allclose(restored.sum(axis=0), 1)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 8, 8, 8)), r"x\.nii has 2 channel\(s\); the network was trained on 1"),
        (np.zeros((1, 8, 8)), r"x\.nii has 2 spatial axes"),
        (np.full((1, 8, 8, 8), np.nan), r"x\.nii holds NaN"),
    ],
)
def test_images_that_do_not_fit_are_named(array: np.ndarray, message: str) -> None:
    image = Image(array, (1.0,) * (array.ndim - 1), path=Path("x.nii"))
    with pytest.raises(InputError, match=message):
        prepare_image(image, make_task())


@pytest.mark.parametrize("shape", [(5, 5, 5), (36, 50, 35), (500, 400, 300), (1, 600, 600)])
def test_automatic_patches_respect_the_bound_and_the_grid(shape: tuple[int, ...]) -> None:
    patch = choose_patch_size([shape], spatial_dims=3, max_voxels=160_000)
    assert np.prod(patch) <= 160_000
    assert all(size % 8 == 0 for size in patch)
    assert all(size <= max(full + 8, 8) for size, full in zip(patch, shape, strict=True))


def test_given_patches_are_checked() -> None:
    assert choose_patch_size([(9, 9)], spatial_dims=2, max_voxels=1, given=(24, 16)) == (24, 16)
    for bad in ((8,), (8, 4)):
        with pytest.raises(InputError, match=r"prepare\.patch_size must have 2 values"):
            choose_patch_size([(9, 9)], spatial_dims=2, max_voxels=1, given=bad)


def test_fundus_photographs_become_alike() -> None:
    images, _ = FundusPhantom(noise=0.0).generate(1, seed=0)
    dark, _ = FundusPhantom(style="dark", noise=0.0).generate(1, seed=0)
    field = FundusPhantom().field()
    first, second = (normalise_intensity(image[0], "fundus") for image in (images, dark))
    assert first.dtype == np.float32
    assert 0 <= first.min() <= first.max() <= 1
    before, after = (abs(a[1][field].mean() - b[1][field].mean()) for a, b in ((images[0], dark[0]), (first, second)))
    assert after < 0.8 * before
    as_bytes = normalise_fundus(np.rint(images[0] * 255).astype(np.float32))
    assert np.abs(as_bytes - first).max() < 0.1
    assert np.abs(as_bytes - first).mean() < 0.01


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8, 8), (3, 0, 4)])
def test_fundus_needs_a_picture_in_three_colours(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="red, green and blue"):
        normalise_fundus(np.zeros(shape, np.float32))


def test_division_by_the_mean_of_what_is_not_zero_leaves_the_outside_at_zero() -> None:
    random = np.random.default_rng(0)
    array = random.uniform(1, 5, (2, 6, 7)).astype(np.float32)
    array[:, :2] = 0
    array[1] *= 100
    scaled = normalise_intensity(array, "nonzero_mean")
    assert np.array_equal(scaled == 0, array == 0)
    for channel in scaled:
        assert channel[channel != 0].mean() == pytest.approx(1, abs=1e-5)
    empty = np.zeros((1, 3, 3), np.float32)
    assert np.array_equal(normalise_intensity(empty, "nonzero_mean"), empty)
    assert np.isfinite(normalise_intensity(np.array([[[-1.0, 1.0]]], np.float32), "nonzero_mean")).all()
