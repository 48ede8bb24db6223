import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from shapewright.errors import InputError
from shapewright.geometry import _threads, connected_components, holes, largest_component

CONNECTIVITIES = [(2, 4, 1), (2, 8, 2), (3, 6, 1), (3, 18, 2), (3, 26, 3)]
SHAPES = {
    2: [(1, 1), (1, 9), (9, 1), (7, 8), (33, 40), (64, 131)],
    3: [(1, 1, 1), (5, 1, 4), (1, 6, 7), (6, 7, 8), (9, 16, 17), (4, 7, 65)],
}


def scipy_label(mask, steps):
    return ndimage.label(mask, ndimage.generate_binary_structure(mask.ndim, steps))


@pytest.mark.parametrize(("dims", "connectivity", "steps"), CONNECTIVITIES)
@pytest.mark.parametrize("density", [0.0, 0.2, 0.35, 0.5, 0.7, 1.0])
def test_equals_scipy_to_the_number(dims, connectivity, steps, density):
    rng = np.random.default_rng(0)
    for shape in SHAPES[dims]:
        mask = rng.random(shape) < density
        labels, count = connected_components(mask, connectivity=connectivity)
        expected, number = scipy_label(mask, steps)
        assert count == number
        assert labels.dtype == np.int32
        np.testing.assert_array_equal(labels, expected)


@given(st.integers(0, 2**32 - 1), st.sampled_from(CONNECTIVITIES))
@settings(max_examples=60, deadline=None)
def test_equals_flood_fill(seed, case):
    dims, connectivity, steps = case
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 8, size=dims)) < rng.random()
    labels, count = connected_components(mask, connectivity=connectivity)
    assert set(np.unique(labels)) == set(range(count + 1)) - ({0} if mask.all() else set())
    offsets = np.argwhere(ndimage.generate_binary_structure(dims, steps)) - 1
    remaining = {tuple(pixel) for pixel in np.argwhere(mask).tolist()}
    while remaining:
        stack = [remaining.pop()]
        label = labels[stack[0]]
        component = set(stack)
        while stack:
            pixel = stack.pop()
            for offset in offsets:
                neighbour = tuple((pixel + offset).tolist())
                if neighbour in remaining:
                    remaining.remove(neighbour)
                    component.add(neighbour)
                    stack.append(neighbour)
        assert component == {tuple(pixel) for pixel in np.argwhere(labels == label).tolist()}


@pytest.mark.parametrize(("dims", "connectivity", "steps"), CONNECTIVITIES)
def test_slabs_of_several_threads_are_sewn_together(monkeypatch, dims, connectivity, steps):
    monkeypatch.setattr(_threads, "WORTH_A_THREAD", 1)
    monkeypatch.setattr(_threads, "thread_count", lambda: 5)
    rng = np.random.default_rng(1)
    for density in (0.3, 0.6):
        mask = rng.random((13, 14, 15)[:dims]) < density
        labels, count = connected_components(mask, connectivity=connectivity)
        expected, number = scipy_label(mask, steps)
        assert count == number
        np.testing.assert_array_equal(labels, expected)


def test_a_spiral_is_one_component():
    spiral = np.zeros((61, 61), bool)
    y, x, dy, dx = 0, 0, 0, 1
    spiral[0, 0] = True
    length, turn = 60, 0
    while length > 0:
        for _ in range(length):
            y, x = y + dy, x + dx
            spiral[y, x] = True
        dy, dx = dx, -dy
        turn += 1
        if turn >= 3 and turn % 2 == 1:
            length -= 2
    assert connected_components(spiral, connectivity=4)[1] == 1


def test_batches_label_each_image_by_itself():
    rng = np.random.default_rng(2)
    masks = rng.random((2, 3, 5, 6)) < 0.4
    labels, counts = connected_components(masks, connectivity=4, spatial_dims=2)
    assert labels.shape == masks.shape
    assert counts.shape == (2, 3)
    for index in np.ndindex(2, 3):
        expected, number = scipy_label(masks[index], 1)
        np.testing.assert_array_equal(labels[index], expected)
        assert counts[index] == number
    largest = largest_component(masks, spatial_dims=2)
    filled = holes(masks, spatial_dims=2)
    for index in np.ndindex(2, 3):
        np.testing.assert_array_equal(largest[index], largest_component(masks[index]))
        np.testing.assert_array_equal(filled[index], holes(masks[index]))


def test_tensors_come_back_as_tensors():
    mask = torch.rand(4, 5, generator=torch.Generator().manual_seed(0)) < 0.5
    labels, count = connected_components(mask)
    assert isinstance(labels, torch.Tensor)
    assert labels.dtype == torch.int32
    assert count.shape == ()
    assert int(count) == int(labels.max())
    assert largest_component(mask).dtype == torch.bool
    assert holes(mask).shape == mask.shape


def test_views_and_integers():
    mask = np.random.default_rng(3).random((12, 14)) < 0.5
    for view in (mask[::2, ::-1], mask.T, mask.astype(np.int64)):
        np.testing.assert_array_equal(connected_components(view)[0], scipy_label(view, 2)[0])


def test_largest_component():
    mask = np.zeros((5, 9), bool)
    assert not largest_component(mask).any()
    mask[0, 0:3] = mask[4, 0:3] = mask[2, 8] = True
    np.testing.assert_array_equal(np.argwhere(largest_component(mask)), [[0, 0], [0, 1], [0, 2]])
    mask[3, 3] = True
    assert largest_component(mask).sum() == 4
    assert largest_component(mask, connectivity=4).sum() == 3


@pytest.mark.parametrize("shape", [(15, 16), (8, 9, 10)])
def test_holes_equal_scipy(shape):
    rng = np.random.default_rng(4)
    for density in (0.0, 0.6, 0.8, 1.0):
        mask = rng.random(shape) < density
        expected = ndimage.binary_fill_holes(mask) & ~mask
        np.testing.assert_array_equal(holes(mask), expected)
        wide = ndimage.generate_binary_structure(mask.ndim, mask.ndim)
        smallest = {2: 4, 3: 6}[mask.ndim]
        expected = ndimage.binary_fill_holes(mask, wide) & ~mask
        np.testing.assert_array_equal(holes(mask, connectivity=smallest), expected)


def test_errors():
    with pytest.raises(InputError, match="one of 4, 8 in 2D; got 6"):
        connected_components(np.ones((2, 2), bool), connectivity=6)
    with pytest.raises(InputError, match="spatial_dims"):
        connected_components(np.ones((2, 2, 2, 2), bool))
    with pytest.raises(InputError, match="binary"):
        connected_components(np.array([[0, 3]]))
