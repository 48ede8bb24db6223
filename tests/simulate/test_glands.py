"""The gland phantom: kinds of glands, and the noise of their labels."""

import numpy as np
import pytest
from scipy import ndimage

from shapewright.errors import InputError
from shapewright.simulate import GlandPhantom
from shapewright.simulate.glands import BENIGN, ISOLATED, MIMIC, STROMA, SUSPICIOUS


def test_an_image_depends_on_seed_and_index_only() -> None:
    few = GlandPhantom().generate(2, seed=4)
    many = GlandPhantom().generate(3, seed=4)
    np.testing.assert_array_equal(few[0], many[0][:2])
    np.testing.assert_array_equal(few[1], many[1][:2])
    assert few[0].min() >= 0
    assert few[0].max() <= 1


def test_only_suspicious_glands_are_labelled() -> None:
    _, labels, kinds = GlandPhantom(mimics=(1, 1)).generate_kinds(12, seed=0)
    np.testing.assert_array_equal(labels, kinds == SUSPICIOUS)
    present = np.bincount(kinds.ravel(), minlength=5) / kinds.size
    assert present[STROMA] > 0.6
    assert (present[[BENIGN, SUSPICIOUS, ISOLATED, MIMIC]] > 0.002).all()
    assert not (GlandPhantom().generate_kinds(4, seed=0)[2] == MIMIC).any()


def test_suspicious_glands_look_like_isolated_ones_and_have_neighbours() -> None:
    images, _, kinds = GlandPhantom().generate_kinds(30, seed=1)
    colour = [images.transpose(1, 0, 2, 3)[:, kinds == kind].mean(1) for kind in (SUSPICIOUS, ISOLATED)]
    np.testing.assert_allclose(colour[0], colour[1], atol=0.02)
    nearest = {SUSPICIOUS: [], ISOLATED: []}
    for picture in kinds:
        pieces, count = ndimage.label(picture > 0)
        centres = np.array(ndimage.center_of_mass(picture > 0, pieces, range(1, count + 1)))
        for number, centre in enumerate(centres, start=1):
            kind = int(picture[pieces == number].max())
            if kind in nearest and count > 1:
                nearest[kind].append(np.sort(np.linalg.norm(centres - centre, axis=1))[1])
    assert np.median(nearest[ISOLATED]) > 1.5 * np.median(nearest[SUSPICIOUS])


def test_label_noise_changes_labels_and_nothing_else() -> None:
    images, labels, kinds = GlandPhantom().generate_kinds(20, seed=2)
    noisy_images, noisy, noisy_kinds = GlandPhantom(label_noise=0.2).generate_kinds(20, seed=2)
    np.testing.assert_array_equal(images, noisy_images)
    np.testing.assert_array_equal(kinds, noisy_kinds)
    wrong = total = 0
    for one, other, kind in zip(labels, noisy, kinds, strict=True):
        pieces, count = ndimage.label(kind > 0)
        for number in range(1, count + 1):
            middle = pieces == number
            total += 1
            wrong += int(abs(float(one[middle].mean()) - float(other[middle].mean())) > 0.7)
    assert 0.1 < wrong / total < 0.3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (32, 128)}, "at least 64"),
        ({"benign": (3, 1)}, "benign must be"),
        ({"radius": (1.0, 2.0)}, "radius must be"),
        ({"label_noise": 1.5}, "label_noise must be between"),
        ({"texture": -0.1}, "texture must not be negative"),
    ],
)
def test_parameters_that_cannot_be(options, message) -> None:
    with pytest.raises(InputError, match=message):
        GlandPhantom(**options)
