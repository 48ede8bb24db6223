import itertools

import numpy as np
import pytest
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from shapewright.errors import InputError
from shapewright.geometry import geodesic_distance


def shortest_paths(image, seeds, spacing, weight):
    """SciPy's Dijkstra on the graph of all neighbouring pixels."""
    number = np.arange(image.size).reshape(image.shape)
    rows, columns, lengths = [], [], []
    for offset in itertools.product((-1, 0, 1), repeat=image.ndim):
        if any(offset):
            here = tuple(slice(max(-o, 0), n - max(o, 0)) for o, n in zip(offset, image.shape, strict=True))
            there = tuple(slice(max(o, 0), n - max(-o, 0)) for o, n in zip(offset, image.shape, strict=True))
            rise = (image[there] - image[here]) * weight
            rows.append(number[here].ravel())
            columns.append(number[there].ravel())
            lengths.append(np.sqrt(sum((o * s) ** 2 for o, s in zip(offset, spacing, strict=True)) + rise**2).ravel())
    edges = (np.concatenate(lengths), (np.concatenate(rows), np.concatenate(columns)))
    graph = coo_array(edges, shape=(image.size, image.size)).tocsr()
    return dijkstra(graph, indices=np.flatnonzero(seeds), min_only=True).reshape(image.shape)


@pytest.mark.parametrize("weight", [0.0, 0.3, 5.0])
@pytest.mark.parametrize(("shape", "spacing"), [((23, 31), (1, 1)), ((9, 40), (2.5, 0.6)), ((7, 11, 9), (3, 1, 0.8))])
def test_equals_dijkstra(shape, spacing, weight):
    rng = np.random.default_rng(0)
    image = rng.random(shape) * 10
    seeds = rng.random(shape) < 0.01
    seeds.flat[5] = True
    got = geodesic_distance(image, seeds, spacing=spacing, image_weight=weight)
    np.testing.assert_allclose(got, shortest_paths(image, seeds, spacing, weight), rtol=1e-6)


def test_finds_the_way_through_a_spiral():
    wall = np.zeros((13, 13))
    wall[1, 1:12] = wall[1:12, 11] = wall[11, 3:12] = wall[3:12, 3] = wall[3, 3:10] = wall[3:10, 9] = 100.0
    wall[9, 5:10] = wall[5:9, 5] = 100.0
    seeds = np.zeros(wall.shape, bool)
    seeds[7, 7] = True
    np.testing.assert_allclose(geodesic_distance(wall, seeds), shortest_paths(wall, seeds, (1, 1), 1), rtol=1e-6)


def test_images_of_a_batch_are_independent():
    rng = np.random.default_rng(1)
    image, seeds = torch.from_numpy(rng.random((3, 12, 15))), torch.from_numpy(rng.random((3, 12, 15)) < 0.02)
    seeds[1] = False
    got = geodesic_distance(image, seeds, spatial_dims=2, image_weight=4)
    assert got.dtype == torch.float32
    assert torch.isposinf(got[1]).all()
    for n in (0, 2):
        torch.testing.assert_close(got[n], geodesic_distance(image[n], seeds[n], image_weight=4), rtol=0, atol=0)


def test_wrong_arguments_are_named():
    image, seeds = np.zeros((4, 4)), np.zeros((4, 4), bool)
    with pytest.raises(InputError, match="shape of image"):
        geodesic_distance(image, seeds[1:])
    with pytest.raises(InputError, match="image must be finite"):
        geodesic_distance(image + np.nan, seeds)
    with pytest.raises(InputError, match="image_weight"):
        geodesic_distance(image, seeds, image_weight=-1)
