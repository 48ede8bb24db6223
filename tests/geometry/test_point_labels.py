"""Labels made from points: cells, borders, discs, clusters."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from shapewright.errors import InputError
from shapewright.geometry import cluster_labels, voronoi_labels
from shapewright.geometry.point_labels import nearest_point, typical_radius
from shapewright.simulate import NucleiPhantom, points_in_objects


def some_points(seed: int, shape: tuple[int, ...], count: int = 9) -> np.ndarray:
    random = np.random.default_rng(seed)
    flat = random.choice(int(np.prod(shape)), count, replace=False)
    return np.stack(np.unravel_index(flat, shape), axis=1).astype(float)


@pytest.mark.parametrize("shape", [(31, 40), (1, 50), (9, 12, 10)])
def test_cells_are_those_of_the_nearest_point(shape: tuple[int, ...]) -> None:
    points, spacing = some_points(0, shape), (2.0, 1.0, 0.5)[-len(shape) :]
    distance, cell = nearest_point(points, shape, spacing=spacing)
    grid = np.indices(shape).reshape(len(shape), -1).T
    table = cdist(grid * spacing, points * spacing)
    np.testing.assert_allclose(distance.ravel(), table.min(axis=1))
    np.testing.assert_allclose(table[np.arange(len(grid)), cell.ravel()], table.min(axis=1))
    np.testing.assert_array_equal(cell[tuple(points.astype(int).T)], np.arange(len(points)))  # one point in every cell


@pytest.mark.parametrize("shape", [(31, 40), (9, 12, 10)])
def test_discs_are_objects_and_no_border_crosses_one(shape: tuple[int, ...]) -> None:
    points = some_points(1, shape)
    classes = np.arange(1, len(points) + 1).astype(np.uint8)
    labels = voronoi_labels(points, shape, classes=classes, radius=2.0)
    distance, cell = nearest_point(points, shape)
    np.testing.assert_array_equal(labels[distance <= 2], classes[cell[distance <= 2]])
    assert set(np.unique(labels[distance > 2])) <= {0, 255}
    apart = labels == 0
    for axis in range(len(shape)):  # beside every border pixel begins another cell
        assert (np.diff(cell, axis=axis) != 0).sum() <= 2 * apart.sum() + (distance <= 2).sum()


def test_two_points_are_parted_by_their_perpendicular_bisector() -> None:
    labels = voronoi_labels(np.array([[10.0, 8.0], [30.0, 20.0]]), (41, 31))
    rows, columns = np.nonzero(labels == 0)
    along = (rows - 20) * 20 + (columns - 14) * 12  # 0 on the bisector
    assert np.abs(along / np.hypot(20, 12)).max() <= 1
    assert len(rows) > 30


def test_no_points_are_background_and_one_point_has_no_border() -> None:
    assert not voronoi_labels(np.empty((0, 2)), (5, 6)).any()
    assert not cluster_labels(np.zeros((1, 5, 6), np.float32), np.empty((0, 2)), radius=2).any()
    labels = voronoi_labels(np.array([[2.0, 3.0]]), (5, 7), radius=1)
    assert (labels == 1).sum() == 5
    assert (labels == 255).sum() == 30
    assert voronoi_labels(np.array([[0.0, 0.0]]), (1, 1)).tolist() == [[1]]


def test_points_outside_are_refused() -> None:
    for make in (lambda p: voronoi_labels(p, (5, 6)), lambda p: cluster_labels(np.zeros((1, 5, 6)), p, radius=1)):
        with pytest.raises(InputError, match=r"inside the image of shape \(5, 6\); got \(5.0, 1.0\)"):
            make(np.array([[1.0, 1.0], [5.0, 1.0]]))
    with pytest.raises(InputError, match=r"points must have shape \[N, 2\]"):
        voronoi_labels(np.array([[1.0, 1.0, 1.0]]), (5, 6))
    with pytest.raises(InputError, match="radius must be more than 0"):
        cluster_labels(np.zeros((1, 5, 6), np.float32), np.array([[1.0, 1.0]]), radius=0)


def test_clusters_find_nuclei_and_background_and_repeat() -> None:
    images, instances = NucleiPhantom().generate(4, seed=5)
    for image, truth in zip(images, instances, strict=True):
        normalised = (image - image.mean((1, 2), keepdims=True)) / image.std((1, 2), keepdims=True)
        points = points_in_objects(truth)
        labels = cluster_labels(normalised, points, radius=6)
        assert (truth[labels == 1] > 0).mean() > 0.9
        assert (truth[labels == 0] > 0).mean() < 0.05
        assert (labels == 1)[truth > 0].mean() > 0.5
        np.testing.assert_array_equal(labels, cluster_labels(normalised, points, radius=6))
        order = np.random.default_rng(0).permutation(len(points))
        agree = labels == cluster_labels(normalised, points[order], radius=6, seed=0)
        assert agree.mean() > 0.99  # what k-means calls its clusters has no influence


def test_a_constant_image_is_clustered_by_distance_alone() -> None:
    points = np.array([[20.0, 20.0]])
    labels = cluster_labels(np.zeros((3, 41, 41), np.float32), points, radius=8)
    distance, _ = nearest_point(points, (41, 41))
    assert labels[20, 20] == 1
    assert distance[labels == 0].min() > distance[labels == 1].max()


def test_the_typical_radius_follows_the_spacing_and_is_bounded() -> None:
    points = np.array([[0.0, 0.0], [0.0, 10.0], [0.0, 20.0]])
    assert typical_radius(points, largest=12) == pytest.approx(4.5)
    assert typical_radius(points, spacing=(1.0, 2.0), largest=12) == pytest.approx(9.0)
    assert typical_radius(points, spacing=(1.0, 9.0), largest=12) == 12
    assert typical_radius(points[:1], largest=12) == 12
