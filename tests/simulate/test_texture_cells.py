"""The phantom of textured cells: its classes are in brightness and outline, its textures are not."""

import numpy as np
import pytest

from shapewright.errors import InputError
from shapewright.simulate import TextureCellsPhantom
from shapewright.simulate.texture_cells import TEXTURES, make_texture


def test_an_image_depends_on_seed_and_index_only() -> None:
    few, few_labels = TextureCellsPhantom().generate(2, seed=5)
    many, many_labels = TextureCellsPhantom().generate(4, seed=5)
    np.testing.assert_array_equal(few, many[:2])
    np.testing.assert_array_equal(few_labels, many_labels[:2])
    assert not np.array_equal(few, TextureCellsPhantom().generate(2, seed=6)[0])


@pytest.mark.parametrize("texture", TEXTURES)
def test_classes_differ_in_mean_brightness_under_every_texture(texture) -> None:
    images, labels = TextureCellsPhantom(textures=(texture,)).generate(6, seed=0)
    means = [images[:, 0][labels == k].mean() for k in range(3)]
    assert means[2] < means[0] - 0.1 < means[0] < means[1] - 0.1
    assert 0.02 < (labels == 2).mean() < (labels == 1).mean() < 0.4
    assert all((one == 2).any() for one in labels)


def test_textures_do_not_move_the_outlines() -> None:
    first = TextureCellsPhantom(textures=("grain",)).generate(3, seed=1)[1]
    second = TextureCellsPhantom(textures=("checks",)).generate(3, seed=1)[1]
    np.testing.assert_array_equal(first, second)


def test_membranes_are_dark_lines_two_pixels_wide() -> None:
    images, labels = TextureCellsPhantom(target="membranes", amplitude=0.0).generate(3, seed=0)
    assert set(np.unique(labels)) == {0, 1}
    assert 0.05 < labels.mean() < 0.3
    assert images[:, 0][labels == 1].mean() < images[:, 0][labels == 0].mean() - 0.05
    from scipy import ndimage

    assert not ndimage.binary_erosion(labels[0], np.ones((4, 4))).sum() > 0.02 * labels[0].sum()


@pytest.mark.parametrize("texture", TEXTURES)
def test_textures_have_mean_0_and_deviation_1(texture) -> None:
    values = make_texture(texture, (40, 50), np.random.default_rng(0))
    assert values.shape == (40, 50)
    assert values.mean() == pytest.approx(0, abs=1e-9)
    assert values.std() == pytest.approx(1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (96, 10)}, "at least 48"),
        ({"textures": ("grian",)}, "did you mean 'grain'"),
        ({"textures": ()}, "at least one family"),
        ({"target": "nuclei"}, "unknown target"),
        ({"cells": (5, 2)}, "cells must be"),
        ({"angular": 2.0}, "angular must be between"),
        ({"contrast": -1.0}, "contrast must not be negative"),
    ],
)
def test_parameters_that_cannot_be(options, message) -> None:
    with pytest.raises(InputError, match=message):
        TextureCellsPhantom(**options)
