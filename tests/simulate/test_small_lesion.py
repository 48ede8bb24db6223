"""The small-lesion phantom: what its images contain, and that seeds mean what they should."""

import numpy as np
import pytest
from scipy import ndimage

from shapewright.errors import InputError
from shapewright.simulate import SmallLesionPhantom


@pytest.mark.parametrize("shape", [(48, 48), (64, 64), (40, 52), (32, 32, 32)])
def test_shapes_types_and_rarity(shape: tuple[int, ...]) -> None:
    images, labels = SmallLesionPhantom(shape=shape).generate(20, seed=0)
    assert images.shape == (20, 1, *shape)
    assert images.dtype == np.float32
    assert labels.shape == (20, *shape)
    assert labels.dtype == np.uint8
    assert set(np.unique(labels)) == {0, 1}
    assert 0.0002 < labels.mean() < 0.02
    assert np.isfinite(images).all()


def test_an_image_depends_on_seed_and_index_only() -> None:
    phantom = SmallLesionPhantom()
    few, few_labels = phantom.generate(3, seed=7)
    many, many_labels = phantom.generate(8, seed=7)
    np.testing.assert_array_equal(few, many[:3])
    np.testing.assert_array_equal(few_labels, many_labels[:3])
    other, _ = phantom.generate(3, seed=8)
    assert not np.array_equal(few, other)
    assert not np.array_equal(many[0], many[1])


def test_share_of_images_without_lesions() -> None:
    _, labels = SmallLesionPhantom().generate(400, seed=1)
    free = (labels.reshape(400, -1).sum(1) == 0).mean()
    assert 0.13 < free < 0.27
    assert SmallLesionPhantom(lesion_free=1.0).generate(5, seed=0)[1].sum() == 0
    assert SmallLesionPhantom(lesion_free=0.0).generate(5, seed=0)[1].reshape(5, -1).any(1).all()


def test_number_and_size_of_lesions() -> None:
    _, labels = SmallLesionPhantom(lesion_free=0.0).generate(100, seed=2)
    for image in labels:
        pieces, count = ndimage.label(image, np.ones((3, 3)))
        sizes = np.bincount(pieces.ravel())[1:]
        assert 1 <= count <= 3
        assert sizes.sum() <= 3 * np.ceil(np.pi * 2.6**2)


def test_lesions_and_look_alikes_are_equally_bright_and_apart() -> None:
    plain = {"blur": 0.0, "noise": 0.0, "lesion_free": 0.0}
    with_spots, labels = SmallLesionPhantom(**plain, contrast=5.0).generate(30, seed=3)
    without, _ = SmallLesionPhantom(**plain, contrast=0.0).generate(30, seed=3)
    raised = (with_spots - without)[:, 0]
    np.testing.assert_allclose(raised[labels == 1], 5.0, atol=1e-4)
    look_alike = (raised > 1) & (labels == 0)
    np.testing.assert_allclose(raised[look_alike], 5.0, atol=1e-4)
    assert look_alike.reshape(30, -1).any(1).mean() > 0.9
    centre = (np.array(labels.shape[1:]) - 1) / 2
    radii = np.linalg.norm(np.stack(np.indices(labels.shape[1:]), -1) - centre, axis=-1)
    mean_radius = [np.mean([radii[mask].mean() for mask in masks if mask.any()]) for masks in (labels == 1, look_alike)]
    assert mean_radius[0] + 4 < mean_radius[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (48,)}, "shape must have 2 or 3 axes"),
        ({"shape": (48, 10)}, "at least 24"),
        ({"lesions": (3, 1)}, "lesions must be"),
        ({"lesion_free": 1.5}, "lesion_free must be between 0 and 1"),
        ({"noise": -0.1}, "noise must not be negative"),
    ],
)
def test_parameters_that_cannot_be(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SmallLesionPhantom(**options)


def test_count_and_seed_that_cannot_be() -> None:
    with pytest.raises(InputError, match="count must be at least 1"):
        SmallLesionPhantom().generate(0, seed=0)
    with pytest.raises(InputError, match="seed at least 0"):
        SmallLesionPhantom().generate(1, seed=-1)
