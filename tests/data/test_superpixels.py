"""Superpixelised images: exact properties of the operator, and batches of pairs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from shapewright.data.elastic import deform_elastically
from shapewright.data.superpixels import CELL_SIZES, SuperpixelPairs, matched_blur, superpixelise
from shapewright.errors import InputError
from shapewright.simulate import TextureCellsPhantom


def picture(shape: tuple[int, ...], channels: int = 1, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(random.normal(size=(channels, *shape)), (0, *[3] * len(shape)))
    return smooth / smooth.std() + 0.3 * random.normal(size=(channels, *shape))


shapes = st.sampled_from([(31, 17), (1, 40), (24, 24), (7, 9, 11), (1, 1), (2, 30)])


@settings(max_examples=25, deadline=None)
@given(shapes, st.integers(1, 3), st.floats(1.5, 60), st.integers(0, 5))
def test_cells_are_replaced_by_their_means(shape, channels, cell_size, seed) -> None:
    image = picture(shape, channels, seed) if np.prod(shape) > 1 else np.full((channels, *shape), 2.0)
    smooth, cells = superpixelise(image, cell_size=cell_size)
    assert smooth.shape == image.shape
    assert cells.shape == shape
    for number in range(cells.max() + 1):
        inside = cells == number
        assert inside.any()
        for channel in range(channels):
            np.testing.assert_allclose(smooth[channel][inside], image[channel][inside].mean(), atol=1e-12)
    np.testing.assert_allclose(smooth.mean((1, 2) if len(shape) == 2 else (1, 2, 3)),
                               image.mean((1, 2) if len(shape) == 2 else (1, 2, 3)), atol=1e-12)  # fmt: skip
    assert smooth.var() <= image.var() + 1e-12


def test_applying_the_same_cells_again_changes_nothing() -> None:
    image = picture((48, 48), 2)
    smooth, cells = superpixelise(image, cell_size=30)
    again = np.stack([ndimage.mean(channel, cells, np.arange(cells.max() + 1))[cells] for channel in smooth])
    np.testing.assert_allclose(again, smooth, atol=1e-12)


def test_cells_are_connected() -> None:
    _, cells = superpixelise(picture((60, 50)), cell_size=25)
    for number in np.unique(cells):
        assert ndimage.label(cells == number)[1] == 1


def test_extremes_of_the_number_of_cells() -> None:
    image = picture((20, 15), 2)
    np.testing.assert_array_equal(superpixelise(image, cells=300)[0], image)
    np.testing.assert_array_equal(superpixelise(image, cell_size=0.5)[0], image)
    single, cells = superpixelise(image, cells=1)
    np.testing.assert_allclose(single, np.broadcast_to(image.mean((1, 2), keepdims=True), image.shape))
    assert cells.max() == 0
    np.testing.assert_allclose(superpixelise(image, cells=10**9)[0], image)


def test_flat_regions_that_cells_can_follow_are_kept_exactly() -> None:
    image = np.zeros((1, 40, 40))
    image[:, 5:25, 8:30] = 1.0
    image[:, 30:, :] = 2.0
    smooth, _ = superpixelise(image, cell_size=25, compactness=0.1)
    np.testing.assert_array_equal(smooth, image)
    constant = np.full((1, 16, 16), 3.25)
    np.testing.assert_array_equal(superpixelise(constant)[0], constant)


def test_compactness_means_the_same_for_grey_and_for_grey_as_colour_and_for_any_scale() -> None:
    grey = picture((96, 96))
    removed = [
        np.var(smooth) / np.var(image)
        for image, colour in ((grey, False), (np.repeat(grey, 3, 0), False), (np.repeat(grey, 3, 0), True))
        for smooth in [superpixelise(image, cell_size=46, colour=colour)[0]]
    ]
    assert removed[1] == pytest.approx(removed[0], abs=1e-6)
    assert removed[2] == pytest.approx(removed[0], abs=0.02)  # CIELAB bends the scale of brightness
    for other in (1000 * grey + 7, 1e-3 * grey):
        np.testing.assert_array_equal(superpixelise(other)[1], superpixelise(grey)[1])
    # The trap: the same number with the function as it is gives an almost regular grid.
    from skimage.segmentation import slic

    cells = slic(grey[0], n_segments=200, compactness=20, channel_axis=None, start_label=0)
    grid = ndimage.mean(grey[0], cells, np.arange(cells.max() + 1))[cells]
    assert np.var(grid) < 0.9 * removed[0] * np.var(grey)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_type_and_range_are_kept(dtype) -> None:
    image = (50 * picture((30, 30)) + 120).clip(0, 255).astype(dtype)
    smooth, _ = superpixelise(image)
    assert smooth.dtype == dtype
    assert smooth.min() >= image.min()
    assert smooth.max() <= image.max()


def test_tensors_in_tensors_out() -> None:
    image = picture((24, 24)).astype(np.float32)
    smooth, cells = superpixelise(torch.from_numpy(image))
    assert isinstance(smooth, torch.Tensor)
    np.testing.assert_array_equal(smooth.numpy(), superpixelise(image)[0])
    assert cells.dtype == torch.int64


def test_volumes_with_thick_slices_get_flat_cells() -> None:
    image = picture((24, 24, 24))
    height = []
    for spacing in ((1.0, 1.0, 1.0), (5.0, 1.0, 1.0)):
        cells = superpixelise(image, cells=200, spacing=spacing, compactness=40)[1]
        boxes = ndimage.find_objects(cells + 1)
        height.append(np.mean([box[0].stop - box[0].start for box in boxes]))
    assert height[1] < 0.6 * height[0]


def test_a_smooth_image_stays_nearest_to_its_own_original() -> None:
    images, _ = TextureCellsPhantom().generate(40, seed=0)
    nearest = 0
    for index, image in enumerate(images):
        smooth, _ = superpixelise(image, cell_size=46)
        distances = np.linalg.norm((images - smooth[None]).reshape(40, -1), axis=1)
        nearest += int(distances.argmin() == index)
    assert nearest > 0.95 * 40


def test_blur_removes_as_much_variance_as_superpixels() -> None:
    image = picture((64, 64))
    smooth, _ = superpixelise(image, cell_size=30)
    blurred = matched_blur(image, smooth)
    assert np.var(image - blurred) == pytest.approx(np.var(image - smooth), rel=0.02)
    np.testing.assert_array_equal(matched_blur(image, image), image)


def test_pairs_are_half_raw_half_smooth_with_the_same_labels_bit_for_bit() -> None:
    random = np.random.default_rng(0)
    batch = {
        "image": torch.from_numpy(np.stack([picture((32, 40), 2, seed) for seed in range(3)])).float(),
        "labels": torch.from_numpy(random.integers(0, 3, (3, 32, 40))),
        "mask": torch.from_numpy(random.random((3, 1, 32, 40)) < 0.5),
    }
    doubled = SuperpixelPairs()(batch, np.random.default_rng(1))
    assert torch.equal(doubled["image"][:3], batch["image"])
    assert (doubled["image"][3:] != batch["image"]).any(dim=(1, 2, 3)).all()
    assert doubled["image"].dtype == batch["image"].dtype
    for name in ("labels", "mask"):
        assert torch.equal(doubled[name][:3], batch[name])
        assert torch.equal(doubled[name][3:], batch[name])
    again = SuperpixelPairs()(batch, np.random.default_rng(1))
    assert torch.equal(doubled["image"], again["image"])


def test_the_number_of_cells_is_uniform_over_the_range_of_the_paper() -> None:
    random = np.random.default_rng(0)
    drawn = np.array([SuperpixelPairs().draw(random, (192, 192)) for _ in range(6000)])
    assert drawn.min() >= 800
    assert drawn.max() <= 2050
    fewest, most = round(192**2 / CELL_SIZES[2][1]), round(192**2 / CELL_SIZES[2][0])
    counts = np.histogram(drawn, np.linspace(fewest - 0.5, most + 0.5, 13))[0]
    assert stats.chisquare(counts).pvalue > 0.001
    small = {SuperpixelPairs(cell_size=(20, 25)).draw(random, (10, 10)) for _ in range(100)}
    assert small == {4, 5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell_size": 0}, "cell_size must be more than 0"),
        ({"cells": 0}, "cells must be at least 1"),
        ({"cells": 5, "cell_size": 5}, "not both"),
        ({"compactness": 0}, "compactness must be more than 0"),
        ({"spacing": (1.0,)}, "spacing must have 2 positive values"),
        ({"colour": True}, "colour needs three channels"),
    ],
)
def test_options_that_cannot_be(options, message) -> None:
    with pytest.raises(InputError, match=message):
        superpixelise(picture((16, 16)), **options)


def test_images_and_ranges_that_cannot_be() -> None:
    with pytest.raises(InputError, match=r"image must be \[C, \*spatial\]"):
        superpixelise(np.zeros((4, 4)))
    with pytest.raises(InputError, match="at least one pixel"):
        superpixelise(np.zeros((1, 0, 4)))
    with pytest.raises(InputError, match="NaN"):
        superpixelise(np.full((1, 4, 4), np.nan))
    with pytest.raises(InputError, match="cell_size must be"):
        SuperpixelPairs(cell_size=(20, 10))
    with pytest.raises(InputError, match="did you mean 'blur'"):
        SuperpixelPairs(smoothing="blurr")  # type: ignore[arg-type]


def test_elastic_deformation_moves_image_and_labels_together() -> None:
    shape = (40, 44)
    ramp = torch.arange(40.0)[:, None].expand(shape) / 40
    batch = {
        "image": ramp[None, None].clone(),
        "labels": (ramp >= 0.5).long()[None],
        "mask": torch.ones(1, 1, *shape).bool(),
    }
    moved = deform_elastically(batch, np.random.default_rng(0), displacement=3.0)
    assert not torch.equal(moved["image"], batch["image"])
    inside = moved["image"][0, 0]
    clear = (inside - 0.5).abs() > 0.03
    assert torch.equal((inside >= 0.5)[clear].long(), moved["labels"][0][clear])
    assert moved["mask"].all()
    unmoved = deform_elastically(batch, np.random.default_rng(0), displacement=0.0)
    torch.testing.assert_close(unmoved["image"], batch["image"])
    assert torch.equal(unmoved["labels"], batch["labels"])
