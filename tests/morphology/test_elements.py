import numpy as np
import pytest
from skimage import morphology as sk

from shapewright.errors import InputError
from shapewright.morphology import ball, box, connectivity, cross, diamond, line
from shapewright.morphology.elements import element_offsets


@pytest.mark.parametrize("radius", [0, 1, 2, 3, 5, 10, 20])
def test_shapes_agree_with_scikit_image(radius):
    assert np.array_equal(ball(radius), sk.disk(radius))
    assert np.array_equal(diamond(radius), sk.diamond(radius))
    if radius <= 5:
        assert np.array_equal(ball(radius, 3), sk.ball(radius))
        assert np.array_equal(diamond(radius, 3), sk.octahedron(radius))
        assert box(radius, 3).shape == (2 * radius + 1,) * 3
    assert box(radius).all()


def test_ball_of_radius_10_has_317_pixels():
    assert ball(10).sum() == 317


def test_physical_radius_on_an_anisotropic_grid():
    element = ball(3, 3, spacing=(2.5, 1.0, 0.75))
    assert element.shape == (3, 7, 9)
    z, y, x = np.meshgrid(np.arange(-1, 2) * 2.5, np.arange(-3, 4) * 1.0, np.arange(-4, 5) * 0.75, indexing="ij")
    assert np.array_equal(element, z**2 + y**2 + x**2 <= 9)
    assert ball(0.3, spacing=0.1).shape == (7, 7)  # 0.3 / 0.1 is a little less than 3 in floating point


@pytest.mark.parametrize("angle", range(0, 180, 7))
def test_lines_are_connected_symmetric_and_thin(angle):
    element = line(21, angle)
    assert element.sum() == 21
    assert np.array_equal(element, element[::-1, ::-1])
    assert max(element.shape) == 21
    points = np.argwhere(element).astype(float) - np.array(element.shape) // 2
    normal = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    assert np.abs(points @ normal).max() <= 0.5 + 1e-9


def test_lines_in_space():
    assert np.array_equal(line(5, (1, 1, 1))[np.arange(5), np.arange(5), np.arange(5)], [True] * 5)
    assert line(7, (0, 0, 2)).shape == (1, 1, 7)


@pytest.mark.parametrize(("neighbours", "dims"), [(4, 2), (8, 2), (6, 3), (18, 3), (26, 3)])
def test_connectivity_counts(neighbours, dims):
    assert connectivity(neighbours, dims).sum() == neighbours + 1


def test_cross_is_on_the_axes():
    assert cross(4).sum() == 17
    assert cross(2, 3).sum() == 13


def test_offsets_are_relative_to_the_origin():
    assert element_offsets(np.array([[1, 0, 1]]), None).pixels == ((0, -1), (0, 1))
    assert element_offsets(np.ones((2, 2), bool), (0, 0)).pixels == ((0, 0), (0, 1), (1, 0), (1, 1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ball(-1), "radius"),
        (lambda: ball(np.nan), "radius"),
        (lambda: ball(1, 4), "spatial_dims"),
        (lambda: ball(1, 3, spacing=(1, 1)), "spacing"),
        (lambda: line(4), "odd"),
        (lambda: line(3, (0, 0)), "direction"),
        (lambda: connectivity(6, 2), "4 or 8"),
        (lambda: element_offsets(np.ones((2, 3)) > 0, None), "origin="),
        (lambda: element_offsets(np.zeros((3, 3), bool), None), "at least one"),
        (lambda: element_offsets(np.ones(3, bool), None), "2 or 3 axes"),
        (lambda: element_offsets(np.ones((3, 3), bool), (1,)), "2 indices"),
    ],
)
def test_wrong_input_is_explained(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_sizes_must_be_numbers():
    with pytest.raises(InputError, match="radius must be a number"):
        ball("3mm")
    with pytest.raises(InputError, match="odd number of pixels"):
        line(2.5)
