import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.measure import euler_number

from shapewright.boolean import pack
from shapewright.errors import InputError
from shapewright.morphology import _soft_skeleton, homotopic_thinning, simple_points, skeletonize, thin
from shapewright.morphology.simple import lookup_tables, simple_diagram


def blobs(rng, shape, scale=1.5, share=0.5):
    field = ndimage.gaussian_filter(rng.standard_normal(shape), scale)
    return field > np.quantile(field, 1 - share)


def topology(image):
    """Return (components, cavities + 1 or holes + 1, Euler number), which together count the tunnels as well."""
    full = np.ones((3,) * image.ndim)
    background = np.pad(~image, 1, constant_values=True)
    euler = euler_number(image, connectivity=image.ndim)
    return ndimage.label(image, full)[1], ndimage.label(background)[1], euler


def removal_keeps_topology(neighbourhood):
    without = neighbourhood.copy()
    without[(1,) * neighbourhood.ndim] = False
    # The background must be seen in a larger picture: outside the neighbourhood everything is unset.
    return topology(neighbourhood) == topology(without)


SHAPES = [(40, 60), (33, 129), (1, 20), (20, 1), (18, 20, 22), (1, 9, 30), (7, 1, 8), (2, 2)]


def test_simple_configurations_are_counted_exactly():
    assert simple_diagram(2).count(8) == 116
    assert simple_diagram(3).count(26) == 25_985_144
    assert len(simple_diagram(3).nodes) == 1016


def test_all_neighbourhoods_in_2d_by_counting_components():
    diagram = simple_diagram(2)
    cells = [c for c in itertools.product(range(3), repeat=2) if c != (1, 1)]
    for bits in itertools.product((False, True), repeat=8):
        patch = np.zeros((3, 3), bool)
        for cell, bit in zip(cells, bits, strict=True):
            patch[cell] = bit
        objects = ndimage.label(patch, np.ones((3, 3)))[1]
        background = ~patch
        background[1, 1] = False
        labels = ndimage.label(background)[0]
        touching = {labels[c] for c in ((0, 1), (1, 0), (1, 2), (2, 1)) if labels[c]}
        expected = objects == 1 and len(touching) == 1
        values = {(y - 1, x - 1): bit for (y, x), bit in zip(cells, bits, strict=True)}
        assert diagram.evaluate(values) == expected


def test_random_neighbourhoods_in_3d_by_the_topology_of_the_whole():
    rng = np.random.default_rng(0)
    diagram = simple_diagram(3)
    steps = [s for s in itertools.product((-1, 0, 1), repeat=3) if any(s)]
    for _ in range(1500):
        patch = rng.random((3, 3, 3)) < rng.random()
        patch[1, 1, 1] = True
        values = {s: bool(patch[tuple(c + 1 for c in s)]) for s in steps}
        if diagram.evaluate(values):
            assert removal_keeps_topology(patch)
    # Removing a pixel that is not simple changes local topology: seen where the neighbourhood is all there is.
    isolated = dict.fromkeys(steps, False)
    assert not diagram.evaluate(isolated)
    assert not diagram.evaluate(dict.fromkeys(steps, True))


@pytest.mark.parametrize("dims", [2, 3])
def test_lookup_tables_are_the_diagram(dims):
    rng = np.random.default_rng(1)
    first, second, third = lookup_tables(dims)
    side, count = 3 ** (dims - 1), 3**dims - 1
    steps = [s for s in itertools.product((-1, 0, 1), repeat=dims) if any(s)]
    for code in rng.integers(1 << count, size=500):
        values = {s: bool(code >> (count - 1 - k) & 1) for k, s in enumerate(steps)}
        state = second[first[code >> (2 * side - 1)], (code >> side) & ((1 << (side - 1)) - 1)]
        assert bool(third[state, code & ((1 << side) - 1)]) == simple_diagram(dims).evaluate(values)


def test_simple_points_of_a_probability_map_are_the_expectation():
    rng = np.random.default_rng(2)
    image = rng.random((3, 3))
    expected = 0.0
    for bits in itertools.product((0, 1), repeat=9):
        sample = np.array(bits).reshape(3, 3).astype(bool)
        chance = np.prod(np.where(sample, image, 1 - image))
        expected += chance * simple_points(sample)[1, 1]
    assert np.isclose(simple_points(image)[1, 1], expected)
    volume = rng.random((3, 3, 3))
    frequency = simple_points(rng.random((20_000, 3, 3, 3)) < volume, spatial_dims=3)[:, 1, 1, 1].mean()
    assert abs(frequency - simple_points(volume)[1, 1, 1]) < 0.02


@pytest.mark.parametrize("shape", SHAPES)
def test_skeletons_keep_the_topology_and_are_thin(shape):
    rng = np.random.default_rng(3)
    for share in (0.2, 0.5, 0.8):
        image = blobs(rng, shape, share=share)
        for kind in ("curve", "surface")[: len(shape) - 1]:
            skeleton = skeletonize(image, kind=kind)
            assert not (skeleton & ~image).any()
            assert topology(skeleton) == topology(image)
            assert np.array_equal(skeletonize(skeleton, kind=kind), skeleton)
        curve = skeletonize(image)
        neighbours = ndimage.convolve(curve.astype(int), np.ones((3,) * len(shape), int), mode="constant") - 1
        assert (neighbours[simple_points(curve)] == 1).all()  # what is simple is an end


def test_surfaces_keep_a_plate_that_curves_do_not():
    plate = np.zeros((9, 30, 30), bool)
    plate[3:6, 3:27, 3:27] = True
    surface, curve = skeletonize(plate, kind="surface"), skeletonize(plate)
    assert surface.sum() > 300
    assert curve.sum() < 100


@pytest.mark.parametrize("width", [2, 3, 4, 5, 6])
def test_bars_become_curves_of_their_length(width):
    # scikit-image 0.26 returns nothing for widths 4 and 6.
    bar = np.zeros((width + 4, width + 4, 54), bool)
    bar[2:-2, 2:-2, 2:-2] = True
    length = skeletonize(bar).sum()
    assert 50 - 2 * width <= length <= 50
    flat = bar[bar.shape[0] // 2]
    assert 50 - 2 * width <= skeletonize(flat).sum() <= 50


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("value", [False, True])
def test_constant_images(shape, value):
    image = np.full(shape, value)
    skeleton = skeletonize(image)
    assert skeleton.any() == value
    assert skeletonize(image.astype(np.float32), iterations=2).dtype == np.float32
    assert skeletonize(np.zeros((0, *shape), bool), spatial_dims=len(shape)).shape == (0, *shape)


def test_kinds_and_batches():
    rng = np.random.default_rng(4)
    batch = np.stack([blobs(rng, (30, 40)) for _ in range(3)])[:, None]
    expected = np.stack([skeletonize(image[0]) for image in batch])[:, None]
    assert np.array_equal(skeletonize(batch, spatial_dims=2), expected)
    tensor = skeletonize(torch.from_numpy(batch), spatial_dims=2)
    assert np.array_equal(tensor.numpy(), expected)
    assert np.array_equal(skeletonize(pack(batch, spatial_dims=2)).unpack(), expected)
    assert np.array_equal(thin(batch, 100, spatial_dims=2), expected)


def test_distance_ordered_thinning():
    rng = np.random.default_rng(5)
    for shape in ((40, 50), (12, 14, 16)):
        image = blobs(rng, shape)
        distance = ndimage.distance_transform_edt(np.pad(image, 1))[(slice(1, -1),) * len(shape)]
        for keep_ends in (False, True):
            thinned = homotopic_thinning(image, distance, keep_ends=keep_ends)
            assert topology(thinned) == topology(image)
            assert not (thinned & ~image).any()
        kept = image & (rng.random(shape) < 0.05)
        assert not (kept & ~homotopic_thinning(image, distance, keep=kept)).any()
    ring = np.zeros((9, 9), bool)
    ring[1:8, 1:8] = True
    ring[4, 4] = False
    assert homotopic_thinning(ring, np.zeros(ring.shape)).sum() == 4  # the smallest closed 8-curve around a hole


@pytest.mark.parametrize("shape", [(20, 33), (7, 9), (1, 20), (10, 11, 12), (9, 16, 17)])
def test_soft_skeleton_of_a_binary_image_is_the_binary_skeleton(shape):
    rng = np.random.default_rng(6)
    for iterations in (1, 2, 6):
        image = blobs(rng, shape, 1.0)
        soft = skeletonize(image.astype(np.float32), iterations=iterations)
        assert np.array_equal(soft, skeletonize(image, iterations=iterations))


def test_soft_skeleton_has_gradients():
    torch.manual_seed(0)
    image = torch.rand(2, 4, 5, dtype=torch.float64)
    image[0, 1], image[1, 2] = 0, 1
    image.requires_grad_()
    assert torch.autograd.gradcheck(lambda p: skeletonize(p, iterations=2, spatial_dims=2), image)
    volume = torch.rand(2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: skeletonize(p, iterations=1), volume)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_soft_skeleton_has_finite_gradients_at_zero_and_one(dtype):
    image = torch.from_numpy(blobs(np.random.default_rng(7), (2, 20, 30))).to(dtype).requires_grad_()
    result = skeletonize(image, spatial_dims=2)
    assert result.dtype == dtype
    result.sum().backward()
    assert torch.isfinite(image.grad).all()


@pytest.mark.parametrize("shape", [(200, 300), (3, 20, 30), (30, 33, 40)])
def test_soft_skeleton_does_not_depend_on_the_number_of_threads(shape, monkeypatch):
    monkeypatch.setattr(_soft_skeleton, "_BLOCK", 1)  # many blocks
    monkeypatch.setattr(_soft_skeleton, "_THREADED_GATES", 0)
    _soft_skeleton._rules.cache_clear()
    image = torch.from_numpy(np.random.default_rng(1).random(shape)).requires_grad_()
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setattr("shapewright.boolean._jit.thread_count", lambda count=threads: count)
        monkeypatch.setattr(_soft_skeleton, "thread_count", lambda count=threads: count)
        skeleton = skeletonize(image, iterations=2, spatial_dims=3 if shape[0] == 30 else 2)
        results.append((skeleton.detach(), *torch.autograd.grad(skeleton.square().sum(), image)))
    _soft_skeleton._rules.cache_clear()
    for skeleton, slope in results[1:]:
        assert torch.equal(skeleton, results[0][0])
        assert torch.equal(slope, results[0][1])


def test_soft_skeleton_is_registered_for_tracing():
    from shapewright.morphology import _torch_operators

    torch.library.opcheck(_torch_operators._thin, (torch.rand(2, 6, 7, requires_grad=True), 2, 2))


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.zeros((4, 4), bool), {"kind": "surface"}, "surfaces exist in 3D"),
        (np.zeros((4, 4, 4), bool), {"kind": "curves"}, "did you mean 'curve'"),
        (np.zeros((4, 4), bool), {"iterations": 0}, "positive integer"),
        (np.zeros((2, 3, 4, 4), bool), {}, "spatial_dims"),
        (np.full((4, 4), 1.5), {}, "probabilities"),
        (np.full((4, 4), 2), {}, "0 and 1"),
    ],
)
def test_wrong_input_is_explained(image, options, message):
    with pytest.raises(InputError, match=message):
        skeletonize(image, **options)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 4, 5), (3, 0, 5)])
def test_empty_probabilities_have_an_empty_skeleton(shape):
    assert skeletonize(np.zeros(shape, np.float32)).shape == shape
    image = torch.zeros(shape, requires_grad=True)
    skeletonize(image).sum().backward()
    assert image.grad.shape == shape
