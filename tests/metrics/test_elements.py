import itertools

import numpy as np
import pytest
from skimage import measure

from shapewright.metrics._elements import VOXELS, element_areas
from shapewright.metrics.surface import surface_distances


def code_of(voxels):
    return sum(1 << VOXELS.index(tuple(map(float, voxel))) for voxel in voxels)


def area_of(mask, spacing=None):
    return surface_distances(mask, mask, spacing=spacing).pred_areas.sum()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_walls_have_the_area_of_a_voxel_face(axis):
    spacing = (3.0, 0.5, 2.0)
    wall = code_of(voxel for voxel in itertools.product((0, 1), repeat=3) if voxel[axis] == 0)
    assert element_areas(spacing)[wall] == pytest.approx(np.prod(spacing) / spacing[axis])


def test_hand_computed_elements():
    areas = element_areas((1.0, 1.0, 1.0))
    assert areas[0] == areas[255] == 0
    # A corner is cut off by the equilateral triangle with side sqrt(1/2).
    assert areas[code_of([(0, 0, 0)])] == pytest.approx(np.sqrt(3) / 8)
    # An edge is cut off by a rectangle of sides 1 and sqrt(1/2).
    assert areas[code_of([(0, 0, 0), (1, 0, 0)])] == pytest.approx(np.sqrt(1 / 2))
    # Two opposite corners are cut off one by one.
    assert areas[code_of([(0, 0, 0), (1, 1, 1)])] == pytest.approx(np.sqrt(3) / 4)


def test_areas_do_not_depend_on_orientation():
    areas = element_areas((1.0, 1.0, 1.0))
    for code in range(256):
        voxels = [VOXELS[bit] for bit in range(8) if code >> bit & 1]
        for order in itertools.permutations(range(3)):
            for flips in itertools.product((0, 1), repeat=3):
                moved = [tuple(abs(voxel[k] - flip) for k, flip in zip(order, flips, strict=True)) for voxel in voxels]
                assert areas[code_of(moved)] == pytest.approx(areas[code])


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.7, 2.5)])
def test_contour_length_equals_scikit_image(spacing):
    rng = np.random.default_rng(0)
    for shape in [(9, 14), (1, 7), (17, 3)]:
        mask = rng.random(shape) < 0.5
        contours = measure.find_contours(np.pad(mask, 1).astype(float), 0.5)
        length = sum(np.linalg.norm(np.diff(c * spacing, axis=0), axis=1).sum() for c in contours)
        assert area_of(mask, spacing) == pytest.approx(length)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.0, 0.8)])
def test_area_of_a_ball_equals_the_marching_cubes_mesh(spacing):
    grid = np.stack(np.mgrid[-12:13, -20:21, -24:25], axis=-1) * spacing
    mask = np.linalg.norm(grid, axis=-1) < 15
    vertices, faces, *_ = measure.marching_cubes(np.pad(mask, 1).astype(float), 0.5, spacing=spacing)
    mesh = measure.mesh_surface_area(vertices, faces)
    assert area_of(mask, spacing) == pytest.approx(mesh, rel=0.02)
    # Surfaces through voxel midpoints are stepped: about a tenth more than the true sphere.
    assert area_of(mask, spacing) == pytest.approx(4 * np.pi * 15**2, rel=0.12)
