"""The brain phantom: anatomy, contrasts, and that seeds mean what they should."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from shapewright.errors import InputError
from shapewright.simulate import BrainPhantom
from shapewright.simulate.brain import CONTRASTS

PLAIN = {"blur": 0.0, "noise": 0.0, "bias": 0.0}


@pytest.mark.parametrize("shape", [(64, 64), (48, 60), (36, 40, 44)])
@pytest.mark.parametrize("lesion", ["spots", "tumour"])
def test_shapes_types_and_shares(shape: tuple[int, ...], lesion) -> None:
    phantom = BrainPhantom(shape=shape, lesion=lesion, modalities=("FLAIR", "T1", "T2"))
    images, labels = phantom.generate(6, seed=0)
    assert images.shape == (6, 3, *shape)
    assert images.dtype == np.float32
    assert labels.shape == (6, *shape)
    assert labels.dtype == np.uint8
    assert np.isfinite(images).all()
    shares = np.bincount(labels.ravel(), minlength=len(phantom.classes) + 1) / labels.size
    assert (shares > 0.0004).all()
    assert (shares[1:4] > 0.04).all()


def test_an_image_depends_on_seed_and_index_only() -> None:
    few, few_labels = BrainPhantom().generate(2, seed=3)
    many, many_labels = BrainPhantom().generate(4, seed=3)
    np.testing.assert_array_equal(few, many[:2])
    np.testing.assert_array_equal(few_labels, many_labels[:2])
    assert not np.array_equal(few, BrainPhantom().generate(2, seed=4)[0])


def test_other_contrasts_and_sites_show_the_same_brain() -> None:
    phantom = BrainPhantom(modalities=("T1", "FLAIR"))
    images, labels = phantom.generate(2, seed=0)
    flair, same = replace(phantom, modalities=("FLAIR",)).generate(2, seed=0)
    np.testing.assert_array_equal(labels, same)
    np.testing.assert_array_equal(images[:, 1], flair[:, 0])
    plain, site = (replace(phantom, noise=0.0, **change).generate(1, seed=0)[0] for change in ({}, {"gamma": 1.5}))
    np.testing.assert_allclose(site, plain**1.5, rtol=1e-5)


def test_lesions_are_in_white_matter_and_as_bright_as_grey_in_t1_only() -> None:
    phantom = BrainPhantom(**PLAIN)
    images, labels = phantom.generate(20, seed=0)
    healthy = replace(phantom, lesion_free=1.0).generate(20, seed=0)[1]
    assert (healthy[labels == 4] == 3).all()
    assert (healthy[labels != 4] == labels[labels != 4]).all()
    means = {
        name: [images[:, channel][labels == k].mean() for k in range(5)]
        for channel, name in enumerate(phantom.modalities)
    }
    assert abs(means["T1"][4] - means["T1"][2]) < 0.5 * abs(means["T1"][3] - means["T1"][2])
    assert means["FLAIR"][4] > max(means["FLAIR"][:4]) + 0.2
    for name, found in means.items():
        expected = [CONTRASTS[name][one] for one in ("air", *phantom.classes)]
        np.testing.assert_allclose(found, expected, atol=0.05)


def test_a_tumour_is_one_core_inside_its_edema() -> None:
    _, labels = BrainPhantom(lesion="tumour").generate(20, seed=1)
    for one in labels:
        assert ndimage.label(one == 5)[1] == 1
        ring = ndimage.binary_dilation(one == 5) & (one != 5)
        assert (one[ring] == 4).mean() > 0.5


def test_share_of_images_without_lesion() -> None:
    _, labels = BrainPhantom(lesion_free=0.5).generate(200, seed=1)
    assert 0.4 < (labels.reshape(200, -1) != 4).all(1).mean() < 0.6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (64,)}, "shape must have 2 or 3 axes"),
        ({"shape": (16, 64)}, "at least 32"),
        ({"modalities": ("T1", "FLARE")}, "did you mean 'FLAIR'"),
        ({"modalities": ()}, "at least one of T1"),
        ({"lesion": "spot"}, "did you mean 'spots'"),
        ({"lesions": (3, 1)}, "lesions must be"),
        ({"lesion_free": 2}, "lesion_free must be"),
        ({"gamma": 0.0}, "gamma must be more than 0"),
    ],
)
def test_options_that_make_no_sense(options, message: str) -> None:
    with pytest.raises(InputError, match=message):
        BrainPhantom(**options)
