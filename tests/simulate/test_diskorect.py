"""Binary phantoms: seeded, extensible, and with the statistics that they promise."""

import numpy as np
import pytest

from shapewright.errors import InputError
from shapewright.morphology import dilation, line
from shapewright.simulate import Diskorect, JointPhantom, noisy_sticks


def test_more_images_extend_the_set() -> None:
    few, many = Diskorect().generate(3, seed=4), Diskorect().generate(5, seed=4)
    np.testing.assert_array_equal(few, many[:3])
    assert not np.array_equal(few, Diskorect().generate(3, seed=5))


def test_both_polarities_are_equally_likely() -> None:
    images = Diskorect(shape=(24, 30)).generate(300, seed=0)
    assert images.shape == (300, 24, 30)
    plain = Diskorect(shape=(24, 30), invert=0).generate(300, seed=0)
    turned = (images != plain).all(axis=(1, 2))
    assert ((images == plain).all(axis=(1, 2)) | turned).all()
    assert 0.4 < turned.mean() < 0.6


def test_noise_sets_pixels_only() -> None:
    clean = Diskorect(noise=0, invert=0, shapes=0, holes=0).generate(20, seed=1)
    assert not clean.any()
    noisy = Diskorect(noise=0.05, invert=0, shapes=0, holes=0).generate(20, seed=1)
    assert 0.045 < noisy.mean() < 0.055


def test_bones_do_not_touch_and_the_target_is_where_both_reach() -> None:
    images, targets = JointPhantom(shape=(160, 160)).generate(6, seed=2)
    assert not (images[:, 0] & images[:, 1]).any()
    assert images.any(axis=(2, 3)).all()
    grown = dilation(images, line(41))
    np.testing.assert_array_equal(targets, grown[:, 0] & grown[:, 1])
    assert targets.any(axis=(1, 2)).all()


def test_sticks_lose_and_gain_pixels_to_noise() -> None:
    noisy, clean = noisy_sticks(40, seed=3, noise=0.1)
    assert 0.09 < (noisy != clean)[clean].mean() < 0.11
    assert 0.09 < (noisy != clean)[~clean].mean() < 0.11


def test_bad_arguments_are_named() -> None:
    with pytest.raises(InputError, match="shape must have 2 axes of at least 8"):
        Diskorect(shape=(4, 50))
    with pytest.raises(InputError, match="noise must be between 0 and 1"):
        Diskorect(noise=2)
    with pytest.raises(InputError, match="count must be at least 1"):
        Diskorect().generate(0, seed=0)
    with pytest.raises(InputError, match="4 times reach"):
        JointPhantom(shape=(50, 50))
    with pytest.raises(InputError, match="gap must be"):
        JointPhantom(gap=(5, 2))
    with pytest.raises(InputError, match="noise a probability"):
        noisy_sticks(1, seed=0, noise=-1)
