import itertools
import multiprocessing
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from shapewright.errors import InputError
from shapewright.geometry import _threads, _torch_distance, distance_transform, label_distance
from shapewright.geometry._sweep_kernels import is_near
from shapewright.geometry.distance import _on_device

METRICS = ("euclidean", "squared_euclidean", "chebyshev", "taxicab")
masks = arrays(bool, array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=9))


def pairwise(metric, differences):
    if metric == "chebyshev":
        return differences.max(-1)
    if metric == "taxicab":
        return differences.sum(-1)
    squared = (differences**2).sum(-1)
    return squared if metric == "squared_euclidean" else np.sqrt(squared)


def brute_force(mask, metric="euclidean", spacing=1.0):
    """The definition: the smallest distance over all background pixels."""
    distances = np.full(mask.shape, np.inf)
    background = np.argwhere(~mask)
    for pixel in np.ndindex(mask.shape):
        if len(background):
            distances[pixel] = pairwise(metric, np.abs(background - pixel) * np.asarray(spacing)).min()
    return distances


@given(masks, st.sampled_from(METRICS), st.lists(st.floats(0.1, 5), min_size=3, max_size=3))
@settings(max_examples=150, deadline=None)
def test_equals_the_definition(mask, metric, spacing):
    spacing = spacing[: mask.ndim]
    got, where = distance_transform(mask, metric=metric, spacing=spacing, return_indices=True)
    np.testing.assert_allclose(got, brute_force(mask, metric, spacing), rtol=5e-7)
    np.testing.assert_allclose(distance_transform(mask, metric=metric, spacing=spacing), got, rtol=3e-7)
    if mask.all():
        assert (where == -1).all()
    else:
        assert not mask[tuple(where)].any()
        differences = np.abs(np.moveaxis(where - np.indices(mask.shape), 0, -1)) * np.asarray(spacing)
        np.testing.assert_allclose(pairwise(metric, differences), got, rtol=5e-7)


@pytest.mark.parametrize("density", [0.0, 0.03, 0.5, 0.97, 0.9999])
@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (129, 201), (64, 64), (33, 70, 41), (1, 1, 90), (65, 1, 3)])
def test_equals_scipy(shape, density):
    mask = np.random.default_rng(3).random(shape) < density
    mask.flat[7] = False
    spacing = (2.5, 0.7, 1.3)[: len(shape)]
    np.testing.assert_allclose(distance_transform(mask), ndimage.distance_transform_edt(mask), rtol=3e-7)
    expected = ndimage.distance_transform_edt(mask, sampling=spacing)
    np.testing.assert_allclose(distance_transform(mask, spacing=spacing), expected, rtol=5e-7)
    for metric, name in (("chebyshev", "chessboard"), ("taxicab", "taxicab")):
        expected = ndimage.distance_transform_cdt(mask, name)
        np.testing.assert_array_equal(distance_transform(mask, metric=metric), expected)


@pytest.mark.parametrize("radius", [30, 63, 64, 125, 126, 127, 128, 200])
@pytest.mark.parametrize("shape", [(300, 290), (260, 3, 140), (1, 600)])
@pytest.mark.parametrize("corner", [True, False])
def test_distances_on_both_sides_of_what_a_byte_can_count(radius, shape, corner):
    """Background everywhere but in a box of that radius, whole or cut by the corner of the image."""
    mask = np.zeros(shape, bool)
    mask[tuple(slice(0 if corner else 1, (1 if corner else 2) * radius) for _ in shape)] = True
    mask[-1, ..., -1] = False
    for metric, name in (("chebyshev", "chessboard"), ("taxicab", "taxicab")):
        expected = ndimage.distance_transform_cdt(mask, name)
        np.testing.assert_array_equal(distance_transform(mask, metric=metric), expected)
        np.testing.assert_array_equal(distance_transform(mask, metric=metric, spacing=0.5), expected * 0.5)


@given(masks, st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_an_image_is_near_if_no_box_of_a_grid_is_full(mask, side):
    volume = mask.view(np.uint8).reshape(1, *(1,) * (3 - mask.ndim), *mask.shape)
    starts = [range(0, max(1, length - side + 1), side) for length in volume.shape[1:]]
    boxes = [volume[0, z : z + side, y : y + side, x : x + side] for z, y, x in itertools.product(*starts)]
    assert is_near(volume, side) == (not any(box.all() for box in boxes))


def test_squares_of_unit_spacing_are_exact():
    mask = np.random.default_rng(0).random((400, 300)) > 1e-4
    got = distance_transform(mask, metric="squared_euclidean")
    expected = np.rint(ndimage.distance_transform_edt(mask) ** 2)
    np.testing.assert_array_equal(got, expected)


@given(masks, st.sampled_from(METRICS))
@settings(max_examples=60, deadline=None)
def test_outside_as_background_is_a_border_of_background(mask, metric):
    got, where = distance_transform(mask, metric=metric, outside=0, return_indices=True)
    inner = (slice(1, -1),) * mask.ndim
    np.testing.assert_allclose(got, brute_force(np.pad(mask, 1), metric)[inner], rtol=5e-7)
    differences = np.abs(np.moveaxis(where - np.indices(mask.shape), 0, -1))
    np.testing.assert_allclose(pairwise(metric, differences), got, rtol=5e-7)


@pytest.mark.parametrize("metric", METRICS)
def test_mask_without_background_is_infinitely_far(metric):
    assert np.isposinf(distance_transform(np.ones((5, 6), bool), metric=metric)).all()
    assert not distance_transform(np.zeros((5, 6), bool), metric=metric).any()


@pytest.mark.parametrize("metric", METRICS)
def test_leading_axes_are_images_of_their_own(metric):
    batch = np.random.default_rng(1).random((2, 3, 7, 19, 12)) < 0.8
    batch[0, 1] = True
    got, where = distance_transform(batch, metric=metric, spatial_dims=3, return_indices=True)
    assert where.shape == (2, 3, 3, 7, 19, 12)
    for index in np.ndindex(2, 3):
        alone, alone_where = distance_transform(batch[index], metric=metric, return_indices=True)
        np.testing.assert_array_equal(got[index], alone)
        np.testing.assert_array_equal(where[index], alone_where)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", [(700, 800), (90, 80, 100)])
def test_the_number_of_threads_does_not_matter(metric, shape, monkeypatch):
    mask = np.random.default_rng(4).random(shape) < 0.95
    monkeypatch.setattr(_threads, "thread_count", lambda: 5)
    many = distance_transform(mask, metric=metric, return_indices=True)
    monkeypatch.setattr(_threads, "thread_count", lambda: 1)
    one = distance_transform(mask, metric=metric, return_indices=True)
    for a, b in zip(many, one, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_kernel_leaves_the_threads_of_torch_alone():
    """Training gives other last digits on another number of threads, so a kernel must not change it half-way."""
    script = """if True:
        import numpy as np, torch
        from shapewright.geometry import distance_transform
        torch.set_num_threads(1)
        distance_transform(np.eye(800, dtype=bool))
        print(torch.get_num_threads())
        torch.set_num_threads(2)
        distance_transform(np.eye(800, dtype=bool))
        print(torch.get_num_threads())
    """
    environment = {**os.environ, "NUMBA_NUM_THREADS": "3"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == ["1", "2"]


@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.int64])
def test_tensor_in_tensor_out(kind):
    mask = torch.from_numpy(np.random.default_rng(5).random((2, 20, 30)) < 0.7)
    got, where = distance_transform(mask.to(kind), spatial_dims=2, return_indices=True)
    assert got.dtype == torch.float32
    assert where.dtype == torch.int32
    np.testing.assert_array_equal(got.numpy(), distance_transform(mask.numpy(), spatial_dims=2))


def test_any_memory_layout():
    mask = np.random.default_rng(6).random((40, 30, 20)) < 0.9
    for view in (mask.T, mask[::2, ::-1], np.asfortranarray(mask)):
        np.testing.assert_array_equal(distance_transform(view), distance_transform(view.copy(order="C")))


@pytest.mark.parametrize("shape", [(0, 4), (3, 0, 5), (2, 3, 0)])
def test_image_without_pixels(shape):
    assert distance_transform(np.ones(shape, bool), outside=0).shape == shape
    assert distance_transform(np.ones(shape, bool)).shape == shape


def test_flips_and_transposition_commute():
    mask = np.random.default_rng(7).random((6, 15, 11)) < 0.9
    distances = distance_transform(mask, spacing=(3, 1, 0.5))
    for axes in itertools.permutations(range(3)):
        turned = distance_transform(mask.transpose(axes)[::-1], spacing=np.array([3, 1, 0.5])[list(axes)])
        np.testing.assert_allclose(turned[::-1].transpose(np.argsort(axes)), distances, rtol=5e-7)


def test_wrong_arguments_are_named():
    mask = np.zeros((4, 4), bool)
    with pytest.raises(InputError, match="did you mean 'chebyshev'"):
        distance_transform(mask, metric="chebishev")
    with pytest.raises(InputError, match="outside"):
        distance_transform(mask, outside=2)
    with pytest.raises(InputError, match="spacing must have 2"):
        distance_transform(mask, spacing=(1, 1, 1))
    with pytest.raises(InputError, match="Threshold it first"):
        distance_transform(mask.astype(float))
    with pytest.raises(InputError, match="Compare with the label first"):
        distance_transform(mask.astype(int) + 3)


@given(
    arrays(np.int16, array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=9), elements=st.integers(-1, 2)),
    st.lists(st.floats(0.2, 4), min_size=3, max_size=3),
)
@settings(max_examples=100, deadline=None)
def test_label_distance_is_the_sum_over_the_labels(labels, spacing):
    spacing = spacing[: labels.ndim]
    present = np.unique(labels)
    expected = sum(
        np.where(labels == label, distance_transform(labels == label, spacing=spacing), 0) for label in present
    )
    np.testing.assert_allclose(label_distance(labels, spacing=spacing), expected, rtol=1e-6)


def test_label_distance_of_large_regions():
    rng = np.random.default_rng(11)
    centres = ndimage.distance_transform_edt(rng.random((150, 170)) > 1e-3, return_indices=True)[1]
    cells = np.stack([centres[0] * 1000 + centres[1], np.full((150, 170), 3)])
    cells[1, 80, 90] = 4
    got = label_distance(torch.from_numpy(cells), spatial_dims=2).numpy()
    expected = np.zeros(cells.shape)
    for image, distances in zip(cells, expected, strict=True):
        for cell in np.unique(image):
            distances += ndimage.distance_transform_edt(image == cell)
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    with pytest.raises(InputError, match="labels must be integers"):
        label_distance(np.zeros((4, 4)))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
def test_runs_in_the_forked_workers_of_a_data_loader():
    mask = np.random.default_rng(12).random((700, 800)) < 0.99
    here = distance_transform(mask)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        there = pool.apply_async(distance_transform, (mask,)).get(timeout=60)
    np.testing.assert_array_equal(here, there)


@given(masks, st.sampled_from(METRICS), st.lists(st.floats(0.1, 5), min_size=3, max_size=3), st.sampled_from([1, 40]))
@settings(max_examples=80, deadline=None)
def test_plain_torch_equals_the_kernel(mask, metric, spacing, at_once):
    """What tensors on other devices get; the device here is the CPU."""
    spacing = tuple(spacing[: mask.ndim])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_torch_distance, "AT_ONCE", at_once)
        got, where = _torch_distance.transform(torch.from_numpy(mask)[None], metric, spacing, True)
    expected = distance_transform(mask, metric=metric, spacing=spacing)
    np.testing.assert_allclose(got[0], expected, rtol=3e-7)
    if mask.all():
        assert (where == -1).all()
    else:
        assert not mask[tuple(where[0])].any()
        differences = np.abs(np.moveaxis(where[0].numpy() - np.indices(mask.shape), 0, -1)) * np.asarray(spacing)
        np.testing.assert_allclose(pairwise(metric, differences), got[0], rtol=5e-7)


@pytest.mark.parametrize("outside", [0, 1])
def test_other_devices_give_the_same_answer(outside):
    mask = torch.rand(2, 3, 7, 9, generator=torch.Generator().manual_seed(1)) < 0.8
    options = {"spatial_dims": 2, "outside": outside, "return_indices": True}
    expected = distance_transform(mask, **options)
    got = _on_device(mask, "euclidean", (1.0, 1.0), outside, True)
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
    torch.testing.assert_close(got[0], expected[0])
    with pytest.raises(InputError, match="mask must be a binary mask"):
        _on_device(mask.float(), "euclidean", (1.0, 1.0), outside, True)
    with pytest.raises(InputError, match="mask must be a binary mask"):
        _on_device(mask.int() * 2, "euclidean", (1.0, 1.0), outside, True)
