"""Cheap annotations agree with the full ones they come from."""

import numpy as np
import pytest
from scipy import ndimage

from shapewright.errors import InputError
from shapewright.simulate import TissueMosaic, boxes_around_objects, points_in_objects, sparse_annotation


def test_sparse_labels_are_true_few_and_inside_their_region() -> None:
    _, labels = TissueMosaic().generate(30, seed=3)
    shares, single = [], 0
    for index, full in enumerate(labels):
        sparse = sparse_annotation(full, seed=index, fraction=0.05)
        known = sparse != 255
        assert known.any()
        assert (sparse[known] == full[known]).all()
        shares.append(known.mean())
        single += len(np.unique(sparse[known])) == 1
        again = sparse_annotation(full, seed=index, fraction=0.05)
        np.testing.assert_array_equal(sparse, again)
    assert max(shares) <= 0.06
    assert np.mean(shares) > 0.03
    assert single >= 20
    everyone = [sparse_annotation(full, seed=i, single_class=0.0, blobs=(3, 3)) for i, full in enumerate(labels)]
    assert np.mean([len(np.unique(s)) > 2 for s in everyone]) > 0.5


def test_erosion_keeps_blobs_from_the_border() -> None:
    full = np.zeros((40, 40), np.uint8)
    full[:, 20:] = 1
    inside = ndimage.binary_erosion(full == 1, iterations=4) | ndimage.binary_erosion(full == 0, iterations=4)
    for seed in range(20):
        assert inside[sparse_annotation(full, seed=seed, erosion=4) != 255].all()


def test_class_weights_choose_and_volumes_work() -> None:
    full = np.zeros((9, 20, 20), np.uint8)
    full[2:7, 4:9, 4:9] = 2
    sparse = sparse_annotation(full, seed=0, class_weights=(0, 0, 1), ignore_label=7, fraction=0.01)
    assert set(np.unique(sparse)) == {2, 7}
    with pytest.raises(InputError, match="class_weights are 0 for all classes"):
        sparse_annotation(full, seed=0, class_weights=(0, 1, 0))
    with pytest.raises(InputError, match="fraction must be"):
        sparse_annotation(full, seed=0, fraction=0)
    single = sparse_annotation(np.ones((1, 1), np.uint8), seed=0)
    assert single.tolist() == [[1]]


def test_every_object_has_one_point_inside_and_one_tight_box() -> None:
    random = np.random.default_rng(0)
    instances, _ = ndimage.label(ndimage.gaussian_filter(random.normal(size=(60, 50)), 2) > 0.1)
    instances[instances == 3] = 0  # a number that is missing
    numbers = np.unique(instances[instances > 0])
    for jitter in (0.0, 3.0):
        points = points_in_objects(instances, jitter=jitter, seed=1).astype(int)
        np.testing.assert_array_equal(instances[tuple(points.T)], numbers)
    boxes = boxes_around_objects(instances)
    for number, (first, last) in zip(numbers, boxes, strict=True):
        where = np.argwhere(instances == number)
        np.testing.assert_array_equal(first, where.min(axis=0))
        np.testing.assert_array_equal(last, where.max(axis=0))
    assert points_in_objects(np.zeros((4, 4), int)).shape == (0, 2)
    assert boxes_around_objects(np.zeros((3, 4, 4), int)).shape == (0, 2, 3)


def test_mosaics_depend_on_seed_and_number_alone_and_follow_the_prior() -> None:
    images, labels = TissueMosaic().generate(5, seed=7)
    more, more_labels = TissueMosaic().generate(8, seed=7)
    np.testing.assert_array_equal(more[:5], images)
    np.testing.assert_array_equal(more_labels[:5], labels)
    assert images.min() >= 0
    assert images.max() <= 1
    _, labels = TissueMosaic().generate(200, seed=1)
    shares = np.bincount(labels.ravel(), minlength=6) / labels.size
    np.testing.assert_allclose(shares, TissueMosaic().prior, atol=0.04)
    two = TissueMosaic(shape=(30, 41), prior=(1, 1)).generate(3, seed=0)
    assert two[0].shape == (3, 3, 30, 41)
    assert set(np.unique(two[1])) == {0, 1}
    with pytest.raises(InputError, match="prior must have 2 to 6 positive values"):
        TissueMosaic(prior=(1.0,))
