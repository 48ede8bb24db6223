from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from shapewright.boolean import Filter, PackedImage, pack, pixel
from shapewright.boolean._soft import evaluate_with_torch
from shapewright.errors import InputError
from shapewright.morphology import (
    ball,
    black_tophat,
    box,
    closing,
    connectivity,
    cross,
    diamond,
    dilation,
    erosion,
    gradient,
    hit_or_miss,
    line,
    opening,
    simple_points,
    skeletonize,
    white_tophat,
)
from shapewright.morphology._product import conjunction
from shapewright.morphology.elements import element_offsets

PAIRS = [
    (erosion, ndimage.binary_erosion),
    (dilation, ndimage.binary_dilation),
    (opening, ndimage.binary_opening),
    (closing, ndimage.binary_closing),
]
WIDTHS = [1, 2, 3, 31, 62, 63, 64, 65, 66, 127, 128, 129, 190]


def random_element(rng, dims):
    """Any array, asymmetric, often without its own origin; sometimes one of the regular shapes."""
    if rng.random() < 0.3:
        radius = int(rng.integers(0, 5))
        regular = [ball(radius, dims), box(radius, dims), diamond(radius, dims), cross(9, dims), line(9, 30)]
        return regular[rng.integers(5 if dims == 2 else 4)]
    element = rng.random(tuple(2 * rng.integers(0, 5 if dims == 2 else 3, dims) + 1)) < rng.random()
    element.flat[rng.integers(element.size)] = True
    return element


def random_image(rng, dims):
    limits = (20, 1) if dims == 2 else (8, 8, 1)
    shape = [int(rng.integers(1, limit + 1)) for limit in limits]
    shape[-1] = int(rng.choice(WIDTHS))
    if rng.random() < 0.1:
        shape[-1], shape[-2] = 1, int(rng.choice(WIDTHS))
    return rng.random(shape) < rng.random()


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_binary_operators_agree_with_scipy(seed, dims):
    rng = np.random.default_rng(100 * dims + seed)
    for _ in range(120):
        image, element = random_image(rng, dims), random_element(rng, dims)
        outside, iterations = int(rng.integers(2)), int(rng.integers(1, 3))
        for mine, theirs in PAIRS:
            if theirs in (ndimage.binary_erosion, ndimage.binary_dilation):
                expected = image
                for _ in range(iterations):  # SciPy's own iterations write out of bounds on small images
                    expected = theirs(expected, element, border_value=outside)
            else:
                iterations = 1
                expected = theirs(image, element, border_value=outside)
            result = mine(image, element, iterations=iterations, outside=outside)
            assert np.array_equal(result, expected), (mine.__name__, image.shape, element.shape, outside)


@pytest.mark.parametrize("seed", range(5))
def test_hit_or_miss_agrees_with_scipy(seed):
    rng = np.random.default_rng(seed)
    for _ in range(60):
        image = rng.random((int(rng.integers(1, 20)), int(rng.choice(WIDTHS)))) < 0.5
        hit = rng.random((3, 3)) < 0.4
        hit[1, 1] = True
        miss = (rng.random((3, 3)) < 0.4) & ~hit
        miss[0, 0], hit[0, 0] = True, False
        assert np.array_equal(hit_or_miss(image, hit), ndimage.binary_hit_or_miss(image, hit))
        assert np.array_equal(hit_or_miss(image, hit, miss), ndimage.binary_hit_or_miss(image, hit, miss))
    assert np.array_equal(hit_or_miss(image, box(1)), erosion(image, box(1)))


def test_all_neighbourhoods():
    images = ((np.arange(512)[:, None] >> np.arange(9)) & 1).astype(bool).reshape(512, 3, 3)
    for element in (connectivity(4, 2), connectivity(8, 2)):
        centre = element.reshape(-1)
        flat = images.reshape(512, 9)
        assert np.array_equal(erosion(images, element)[:, 1, 1], flat[:, centre].all(axis=1))
        assert np.array_equal(dilation(images, element)[:, 1, 1], flat[:, centre].any(axis=1))


@pytest.mark.parametrize("shape", [(700, 1), (700, 64), (431, 200), (3, 150, 130), (120, 40, 65), (40, 1, 300)])
@pytest.mark.parametrize("outside", [0, 1])
def test_images_of_several_blocks_agree_with_scipy(shape, outside):
    rng = np.random.default_rng(len(shape))
    stack = rng.random((2, *shape)) < 0.6
    dims = len(shape)
    lines = [line(9, 45), line(9, 135)] if dims == 2 else [line(7, (1, -1, 1)), line(7, (0, 1, -1))]
    for element in (cross(1, dims), ball(3, dims), *lines):
        for ours, theirs in PAIRS[:2]:
            expected = [theirs(image, element, border_value=outside) for image in stack]
            np.testing.assert_array_equal(ours(stack, element, outside=outside), expected)
            packed = ours(pack(stack, spatial_dims=dims), element, outside=outside)
            np.testing.assert_array_equal(packed.unpack(), expected)


@pytest.mark.parametrize("element", [ball(20), line(41), line(41, 90), line(41, 45), box(17), ball(33)])
def test_large_elements_agree_with_scipy(element):
    image = np.random.default_rng(0).random((150, 201)) < 0.004
    expected = ndimage.binary_dilation(image, element)
    assert np.array_equal(dilation(image, element), expected)
    assert np.array_equal(erosion(~image, element, outside=1), ~expected)


def test_until_nothing_changes():
    image = np.zeros((40, 70), bool)
    image[3, 5] = True
    assert dilation(image, cross(1), iterations=None).all()
    assert not erosion(~image, cross(1), iterations=None).any()


def test_even_elements_with_an_origin_agree_with_scipy():
    rng = np.random.default_rng(4)
    image = rng.random((20, 70)) < 0.3
    element = rng.random((2, 4)) < 0.7
    centre = tuple(size // 2 for size in element.shape)
    assert np.array_equal(dilation(image, element, origin=centre), ndimage.binary_dilation(image, element))
    assert np.array_equal(erosion(image, element, origin=centre), ndimage.binary_erosion(image, element))


def test_derived_operators():
    rng = np.random.default_rng(5)
    image, element = rng.random((30, 70)) < 0.6, ball(1)
    assert np.array_equal(white_tophat(image, element), image & ~opening(image, element))
    assert np.array_equal(black_tophat(image, element), closing(image, element) & ~image)
    assert np.array_equal(gradient(image, element), dilation(image, element) & ~erosion(image, element))


images = st.tuples(st.integers(1, 12), st.integers(1, 130), st.integers(0, 2**32 - 1), st.floats(0.05, 0.95)).map(
    lambda a: np.random.default_rng(a[2]).random((a[0], a[1])) < a[3]
)
elements = st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 2**32 - 1)).map(
    lambda a: np.logical_or(
        np.random.default_rng(a[2]).random((2 * a[0] + 1, 2 * a[1] + 1)) < 0.5,
        np.arange(2 * a[1] + 1) == a[1],  # not empty
    )
)


@given(images, elements)
@settings(max_examples=150, deadline=None)
def test_algebra(image, element):
    mirrored = element[::-1, ::-1]
    assert np.array_equal(dilation(image, element), ~erosion(~image, mirrored, outside=1))  # duality
    opened = opening(image, element)
    assert not (opened & ~image).any()  # never grows, asymmetric elements included
    assert np.array_equal(opening(opened, element), opened)  # idempotent
    closed = closing(image, element, outside=1)
    assert not (image & ~closed).any()
    larger = image | (np.random.default_rng(0).random(image.shape) < 0.2)
    for operator in (erosion, dilation, opening, closing):
        assert not (operator(image, element) & ~operator(larger, element)).any()  # increasing


@given(images, images, elements)
@settings(max_examples=100, deadline=None)
def test_adjunction(x, y, element):
    rows, columns = min(x.shape[0], y.shape[0]), min(x.shape[1], y.shape[1])
    x, y = x[:rows, :columns], y[:rows, :columns]
    dilated_is_inside = not (dilation(x, element) & ~y).any()
    is_inside_eroded = not (x & ~erosion(y, element, outside=1)).any()
    assert dilated_is_inside == is_inside_eroded


def test_a_chain_on_packed_images():
    rng = np.random.default_rng(6)
    image = rng.random((2, 3, 50, 130)) < 0.5
    packed = closing(opening(pack(image, spatial_dims=2), ball(1)), line(5))
    assert isinstance(packed, PackedImage)
    assert np.array_equal(packed.unpack(), closing(opening(image, ball(1)), line(5)))
    ring = gradient(pack(image, spatial_dims=2), box(1))
    assert np.array_equal(ring.unpack(), gradient(image, box(1)))


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (1, 1), (3, 1, 1)])
def test_degenerate_shapes(shape):
    for value in (False, True):
        image = np.full(shape, value)
        assert dilation(image, ball(2)).shape == shape
        assert np.array_equal(dilation(image, ball(2)), image)
        assert np.array_equal(erosion(image, ball(2), outside=1), image)
    assert dilation(np.zeros(shape, np.float32), ball(2)).shape == shape


# --- probabilities -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", [erosion, dilation, opening, closing, gradient, white_tophat, black_tophat])
def test_soft_operators_on_binary_values_are_the_binary_operators(operator):
    rng = np.random.default_rng(7)
    for dims in (2, 3):
        for _ in range(5):
            image, element = random_image(rng, dims), random_element(rng, dims)
            for outside in (0, 1):
                soft = operator(image.astype(np.float32), element, outside=outside)
                assert np.array_equal(soft, operator(image, element, outside=outside))
    hit = np.array([[0, 1, 0], [0, 1, 1], [0, 0, 0]], bool)
    image = rng.random((20, 30)) < 0.5
    assert np.array_equal(hit_or_miss(image.astype(float), hit), hit_or_miss(image, hit))


@pytest.mark.parametrize(("neighbours", "dims"), [(4, 2), (8, 2), (6, 3), (18, 3), (26, 3)])
def test_every_pixel_counts_once(neighbours, dims):
    element = connectivity(neighbours, dims)
    constant = np.full((5,) * dims, 0.9)
    assert np.allclose(erosion(constant, element, outside=0.9), 0.9 ** (neighbours + 1))
    assert np.allclose(dilation(1 - constant, element, outside=0.1), 1 - 0.9 ** (neighbours + 1))


@pytest.mark.parametrize("element", [ball(2), line(5, 30), ball(1, 3), np.array([[0, 1, 1]]), ball(6)])
def test_soft_kernels_agree_with_plain_torch(element):
    torch.manual_seed(0)
    offsets = element_offsets(element, None)
    shape = (2, 9, 40) if element.ndim == 2 else (2, 5, 6, 20)
    values = torch.rand(shape, dtype=torch.float64)
    values[values < 0.1] = 0
    values[values > 0.9] = 1
    weight = torch.randn(shape, dtype=torch.float64)
    mine, plain = values.clone().requires_grad_(), values.clone().requires_grad_()
    result = erosion(mine, element, outside=0.7)
    reference = evaluate_with_torch(conjunction(offsets), plain, 0.7)
    torch.testing.assert_close(result, reference)
    (result * weight).sum().backward()
    (reference * weight).sum().backward()
    torch.testing.assert_close(mine.grad, plain.grad)


@pytest.mark.parametrize("operator", [erosion, dilation, opening, closing, gradient, black_tophat])
def test_gradients(operator):
    torch.manual_seed(1)
    image = torch.rand(2, 5, 6, dtype=torch.float64)
    image[0, :2, :3] = 0
    image[1, :2, :3] = 1
    image.requires_grad_()
    element = np.array([[0, 1, 1], [1, 1, 0], [0, 0, 1]], bool)
    assert torch.autograd.gradcheck(lambda p: operator(p, element, outside=0.5), image)
    volume = torch.rand(3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: operator(p, ball(1, 3)), volume)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_gradients_are_finite_at_zero_and_one(dtype, value):
    image = torch.full((1, 1, 6, 70), value, dtype=dtype, requires_grad=True)
    result = closing(opening(image, ball(2)), ball(2), outside=1)
    assert result.dtype == dtype
    result.sum().backward()
    assert torch.isfinite(image.grad).all()


@pytest.mark.parametrize("outside", [0.0, 1.0])
def test_gradients_with_zeros_inside_and_outside(outside):
    rng = np.random.default_rng(3)
    image = torch.from_numpy(np.where(rng.random((2, 9, 7)) < 0.3, 0.0, rng.random((2, 9, 7)))).requires_grad_()
    weights = torch.from_numpy(rng.random((2, 9, 7)))
    offsets = element_offsets(ball(1), None)
    reference = evaluate_with_torch(conjunction(offsets), image, outside)
    (expected,) = torch.autograd.grad((reference * weights).sum(), image)
    (ours,) = torch.autograd.grad((erosion(image, ball(1), outside=outside) * weights).sum(), image)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-14)


def test_small_values_do_not_overflow():
    image = torch.full((5, 5), 1e-38, requires_grad=True)
    erosion(image, ball(1), outside=1).sum().backward()
    assert torch.isfinite(image.grad).all()


def test_operator_is_registered_for_tracing():
    from shapewright.morphology import _torch_operators

    image = torch.rand(2, 4, 5, requires_grad=True)
    torch.library.opcheck(_torch_operators._forward, (image, [0, 0, 0, 1], 2, 0.0))


@pytest.mark.parametrize(
    "operator",
    [
        *(partial(operator, footprint=ball(1)) for operator in (erosion, dilation, opening, closing, gradient)),
        *(partial(operator, footprint=ball(1)) for operator in (white_tophat, black_tophat)),
        partial(hit_or_miss, foreground=ball(1)),
        partial(skeletonize, iterations=1),
        simple_points,
        Filter(pixel(0, 0) & ~pixel(0, 1)),
    ],
)
def test_second_derivatives_are_refused(operator):
    image = torch.rand(4, 5, requires_grad=True)
    (first,) = torch.autograd.grad(operator(image).sum(), image, create_graph=True)
    with pytest.raises(NotImplementedError, match="first derivatives only"):
        first.sum().backward()


def test_result_does_not_depend_on_the_number_of_threads(monkeypatch):
    rng = np.random.default_rng(8)
    image = rng.random((1500, 2000)) < 0.5
    soft = torch.rand(3, 400, 300, requires_grad=True)
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setattr("shapewright.boolean._jit.thread_count", lambda count=threads: count)
        (slope,) = torch.autograd.grad(closing(soft, ball(2)).sum(), soft)
        results.append((dilation(image, ball(10)), slope))
    for binary, slope in results[1:]:
        assert np.array_equal(binary, results[0][0])
        assert torch.equal(slope, results[0][1])


@pytest.mark.parametrize(
    ("image", "footprint", "message"),
    [
        (np.array([[0.5, np.nan]]), ball(1), "probabilities"),
        (np.array([[-0.5, 0.0]]), ball(1), "probabilities"),
        (np.array([[0, 3]]), ball(1), "0 and 1"),
        (np.zeros((4, 4), bool), ball(1, 3), "at least the footprint's 3 axes"),
        (np.zeros((4, 4), bool), np.ones((2, 2), bool), "even size"),
        (np.zeros((4, 4), bool), np.zeros((3, 3), bool), "at least one set pixel"),
        (pack(np.zeros((4, 4, 4), bool)), ball(1), "packed with 3"),
    ],
)
def test_wrong_input_is_explained(image, footprint, message):
    with pytest.raises(InputError, match=message):
        dilation(image, footprint)
    with pytest.raises(InputError, match="must be a number"):
        opening(image, footprint, iterations=None)


@pytest.mark.parametrize("iterations", [True, False, 0, -1, 1.0, "2"])
@pytest.mark.parametrize("dtype", [bool, float])
def test_a_number_of_iterations_is_a_positive_integer(iterations: object, dtype: type) -> None:
    image = np.zeros((5, 6), dtype)
    for operator in (erosion, dilation, opening, closing):
        with pytest.raises(InputError, match="iterations must be a positive integer"):
            operator(image, ball(1), iterations=iterations)
    for other in (skeletonize, Filter(pixel(0, 0))):
        with pytest.raises(InputError, match="iterations must be a positive integer"):
            other(image, iterations=iterations)


@pytest.mark.parametrize("bad", [[[0, 1], [1, 0]], "mask.png", 3])
def test_what_is_no_array_is_named(bad: object) -> None:
    from shapewright import boolean, morphology

    for operator in (
        lambda image: morphology.erosion(image, morphology.box(3)),
        lambda image: morphology.area_opening(image, 3),
        lambda image: morphology.reconstruction(image, image),
        morphology.fill_holes,
        morphology.simple_points,
        morphology.skeletonize,
        boolean.Filter(boolean.pixel(0, 0) & boolean.pixel(0, 1)),
    ):
        with pytest.raises(InputError, match="must be a NumPy array or a torch tensor; got"):
            operator(bad)  # type: ignore[operator]


def test_a_value_between_0_and_1_outside_a_binary_image_is_refused():
    for image in (np.ones((3, 3), bool), np.ones((3, 3), np.uint8), pack(np.ones((3, 3), bool))):
        with pytest.raises(InputError, match="outside must be 0 or 1"):
            erosion(image, np.ones((3, 3), bool), outside=0.5)
    with pytest.raises(InputError, match="outside must be"):
        erosion(np.ones((3, 3), bool), np.ones((3, 3), bool), outside="reflect")


def test_a_list_is_no_structuring_element():
    for operator in (erosion, opening):
        with pytest.raises(InputError, match="footprint must be a NumPy array"):
            operator(np.ones((3, 3), bool), [[1, 1, 1]])
