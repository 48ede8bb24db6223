"""The fundus phantom: where structures lie, how bright they are, and that seeds mean what they should."""

import numpy as np
import pytest
from scipy import ndimage

from shapewright.errors import InputError
from shapewright.simulate import FUNDUS_CLASSES, FundusPhantom

BOTH = [FundusPhantom(style="orange"), FundusPhantom(style="dark")]


@pytest.mark.parametrize("shape", [(96, 96), (64, 80), (120, 96)])
def test_shapes_types_and_sizes(shape: tuple[int, int]) -> None:
    phantom = FundusPhantom(shape=shape, lesions=1.0)
    images, masks = phantom.generate(6, seed=0)
    assert images.shape == (6, 3, *shape)
    assert images.dtype == np.float32
    assert masks.shape == (6, len(FUNDUS_CLASSES), *shape)
    assert masks.dtype == np.bool_
    assert masks.reshape(6, 6, -1).any(-1).all()
    assert 0 <= images.min() <= images.max() <= 1
    assert not images[:, :, ~phantom.field()].any()
    assert not masks[:, :, ~phantom.field()].any()


def test_vessels_branch_from_the_disc_and_taper() -> None:
    _, masks = FundusPhantom().generate(20, seed=1)
    for vessels, disc in masks[:, :2]:
        assert ndimage.label(disc)[1] == 1
        assert (vessels & disc).any()
        labels, _ = ndimage.label(vessels, np.ones((3, 3)))
        assert (labels == labels[vessels & disc].max()).sum() > 0.9 * vessels.sum()
        depth = ndimage.distance_transform_cdt(np.pad(vessels, 1))
        assert 2 <= depth.max() <= 5
        distance = ndimage.distance_transform_edt(~disc)
        near, far = vessels & (distance > 3) & (distance < 15), vessels & (distance > 40)
        if far.sum() > 30:
            assert depth[1:-1, 1:-1][near].mean() > depth[1:-1, 1:-1][far].mean()


def test_lesions_are_small_and_of_their_colour() -> None:
    plain = FundusPhantom(lesions=1.0, noise=0.0)
    images, masks = plain.generate(12, seed=2)
    green = images[:, 1]
    sizes = dict(zip(FUNDUS_CLASSES, masks.mean(axis=(0, 2, 3)), strict=True))
    assert sizes["microaneurysms"] < sizes["haemorrhages"] < 0.03
    for channel, darker in ((2, True), (3, True), (4, False), (5, False)):
        only = masks[:, channel] & (masks.sum(axis=1) == 1)
        around = ndimage.binary_dilation(only, np.ones((1, 9, 9))) & ~masks.any(axis=1)
        assert (green[only].mean() < green[around].mean()) == darker
    assert not FundusPhantom(lesions=0.0).generate(3, seed=2)[1][:, 2:].any()


def test_styles_show_the_same_eyes_in_another_light() -> None:
    (orange, masks), (dark, same) = (phantom.generate(8, seed=3) for phantom in BOTH)
    np.testing.assert_array_equal(masks, same)
    assert dark.mean() < 0.85 * orange.mean()
    ratio = [image[:, 2].mean() / image[:, 0].mean() for image in (orange, dark)]
    assert ratio[1] < 0.8 * ratio[0]


def test_share_of_images_with_a_lesion() -> None:
    _, masks = FundusPhantom(shape=(48, 48), lesions=0.6).generate(100, seed=4)
    share = masks[:, 2:].reshape(100, 4, -1).any(-1).mean(0)
    assert (abs(share - 0.6) < 0.2).all()  # four standard deviations


def test_an_image_depends_on_seed_and_index_only() -> None:
    few, few_masks = FundusPhantom().generate(2, seed=7)
    many, many_masks = FundusPhantom().generate(4, seed=7)
    np.testing.assert_array_equal(few, many[:2])
    np.testing.assert_array_equal(few_masks, many_masks[:2])
    assert not np.array_equal(few, FundusPhantom().generate(2, seed=8)[0])
    assert not np.array_equal(many[0], many[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (96, 96, 96)}, "shape must have 2 axes"),
        ({"shape": (96, 40)}, "at least 48"),
        ({"style": "drak"}, "did you mean 'dark'"),
        ({"lesions": 1.5}, "lesions"),
        ({"noise": -0.1}, "noise"),
    ],
)
def test_parameters_that_cannot_be(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        FundusPhantom(**options)


def test_count_that_cannot_be() -> None:
    with pytest.raises(InputError, match="count must be at least 1"):
        FundusPhantom().generate(0, seed=0)
