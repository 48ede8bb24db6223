import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, pdist
from skimage import measure

from shapewright.errors import InputError
from shapewright.geometry import connected_components, object_table


@pytest.mark.parametrize("shape", [(30, 41), (12, 14, 16)])
def test_equals_regionprops(shape):
    rng = np.random.default_rng(0)
    mask = rng.random(shape) < 0.15
    labels, count = connected_components(mask)
    spacing = (1.5, 0.5, 2.0)[: len(shape)]
    table = object_table(mask, spacing=spacing)
    assert len(table) == count > 10
    for row, region in zip(table, measure.regionprops(labels), strict=True):
        assert (row.label, row.size, row.box) == (region.label, region.area, region.slice)
        assert row.centroid == pytest.approx(region.centroid)
        assert row.volume == pytest.approx(region.area * np.prod(spacing))


@pytest.mark.parametrize("shape", [(9, 10), (5, 6, 7), (1, 1), (1, 4, 1)])
def test_feret_and_inscribed_radius_equal_brute_force(shape):
    rng = np.random.default_rng(1)
    spacing = np.array((1.5, 0.5, 2.0)[: len(shape)])
    for density in (0.3, 0.8, 1.0):
        labels = (rng.random(shape) < density) * rng.integers(1, 3, size=shape) * 7
        for row in object_table(labels, spacing=tuple(spacing)):
            mask = np.pad(labels == row.label, 1)
            pixels = np.argwhere(mask)
            corners = np.unique(
                (pixels[:, None] + np.stack(np.indices((2,) * len(shape)), -1).reshape(-1, len(shape))).reshape(
                    -1, len(shape)
                ),
                axis=0,
            )
            assert row.feret == pytest.approx(pdist(corners * spacing).max())
            depth = cdist(pixels * spacing, np.argwhere(~mask) * spacing).min(axis=1).max()
            assert row.inscribed_radius == pytest.approx(depth)


def test_a_ball():
    grid = np.mgrid[-20:21, -20:21, -20:21]
    [row] = object_table(torch.from_numpy((grid**2).sum(axis=0) <= 15**2))
    assert row.centroid == (20, 20, 20)
    assert row.feret == pytest.approx(31, abs=1)
    assert row.inscribed_radius == pytest.approx(15.5, abs=0.6)
    assert row.volume == pytest.approx(4 / 3 * np.pi * 15**3, rel=0.02)


def test_labels_keep_their_numbers_and_parts():
    labels = np.zeros((6, 6), np.uint16)
    labels[0, 0] = labels[5, 5] = 900
    labels[2, 2] = 3
    three, nine_hundred = object_table(labels)
    assert (three.label, three.inscribed_radius, three.feret) == (3, 1.0, pytest.approx(np.sqrt(2)))
    assert (nine_hundred.label, nine_hundred.size, nine_hundred.feret) == (900, 2, pytest.approx(6 * np.sqrt(2)))


def test_nothing_and_errors():
    assert object_table(np.zeros((4, 5), bool)) == []
    assert object_table(np.zeros((4, 5), int)) == []
    with pytest.raises(InputError, match="integers"):
        object_table(np.zeros((4, 5)))
    with pytest.raises(InputError, match="0 or positive"):
        object_table(np.array([[-1, 0]]))
    with pytest.raises(InputError, match="axes"):
        object_table(np.zeros((1, 4, 5, 6), bool))
