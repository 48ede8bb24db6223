import itertools

import numpy as np
import pytest
import torch

from shapewright.boolean import Filter, PackedImage, all_of, any_of, at_least, pack, pixel, template
from shapewright.boolean._bits import pack_bits, unpack_bits
from shapewright.boolean._jit import for_each_block
from shapewright.boolean._soft import evaluate_with_torch
from shapewright.errors import InputError

SQUARE = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
WIDTHS = [1, 2, 31, 63, 64, 65, 127, 128, 129, 200]


def by_definition(predicate, offsets, image, outside):
    """Apply a predicate pixel by pixel, reading each neighbour from a padded copy."""
    reach = max(abs(step) for offset in offsets for step in offset)
    padded = np.pad(image, reach, constant_values=outside)
    views = [
        padded[tuple(slice(reach + s, reach + s + n) for s, n in zip(offset, image.shape, strict=True))]
        for offset in offsets
    ]
    result = np.zeros(image.shape, bool)
    for at in np.ndindex(image.shape):
        result[at] = predicate(*(bool(view[at]) for view in views))
    return result


def expectation(predicate, offsets, image, outside):
    """Sum the probabilities of all configurations that satisfy the predicate."""
    reach = max(abs(step) for offset in offsets for step in offset)
    padded = np.pad(image, reach, constant_values=outside)
    views = [
        padded[tuple(slice(reach + s, reach + s + n) for s, n in zip(offset, image.shape, strict=True))]
        for offset in offsets
    ]
    total = np.zeros(image.shape)
    for bits in itertools.product((False, True), repeat=len(offsets)):
        if predicate(*bits):
            total += np.prod([v if bit else 1 - v for v, bit in zip(views, bits, strict=True)], axis=0)
    return total


@pytest.mark.parametrize("width", WIDTHS)
def test_packing_is_undone_by_unpacking(width):
    rng = np.random.default_rng(width)
    for height in (1, 2, 5):
        image = rng.random((height, width)) < 0.5
        words = pack_bits(image)
        assert np.array_equal(unpack_bits(words, width), image)
        bits = np.unpackbits(words.view(np.uint8), axis=-1, bitorder="little")
        assert np.array_equal(bits[:, :width], image)
        assert not bits[:, width:].any()


@pytest.mark.parametrize("outside", [0, 1])
@pytest.mark.parametrize("width", WIDTHS)
def test_random_functions_agree_with_the_definition(width, outside):
    rng = np.random.default_rng(width)
    table = rng.random(512) < 0.5
    rule = Filter.from_truth_table(table, SQUARE)

    def predicate(*bits):
        return table[int("".join("01"[b] for b in bits), 2)]

    for height in (1, 7):
        image = rng.random((height, width)) < 0.5
        assert np.array_equal(rule(image, outside=outside), by_definition(predicate, SQUARE, image, outside))


def test_far_offsets_in_three_dimensions():
    rng = np.random.default_rng(0)
    offsets = [(0, 0, 0), (2, -1, 70), (-1, 3, -65), (0, 0, 64), (1, 1, 1)]
    rule = Filter(at_least(2, [pixel(*offset) for offset in offsets]))
    image = rng.random((4, 5, 150)) < 0.4
    for outside in (0, 1):
        expected = by_definition(lambda *bits: sum(bits) >= 2, offsets, image, outside)
        assert np.array_equal(rule(image, outside=outside), expected)


def test_all_neighbourhoods_of_the_game_of_life():
    life = Filter.from_function(lambda *n: sum(n) - n[4] == 3 or (n[4] and sum(n) - n[4] == 2), SQUARE)
    images = np.array(list(itertools.product((False, True), repeat=9))).reshape(512, 3, 3)
    neighbours = images.sum(axis=(1, 2)) - images[:, 1, 1]
    expected = (neighbours == 3) | (images[:, 1, 1] & (neighbours == 2))
    assert np.array_equal(life(images)[:, 1, 1], expected)
    glider = np.zeros((20, 20), bool)
    glider[1:4, 1:4] = [[0, 1, 0], [0, 0, 1], [1, 1, 1]]
    assert np.array_equal(life(glider, iterations=12), np.roll(glider, (3, 3), (0, 1)))


@pytest.mark.parametrize("outside", [0.0, 1.0, 0.3])
def test_expectation_agrees_with_enumeration(outside):
    rng = np.random.default_rng(1)
    table = rng.random(512) < 0.4
    rule = Filter.from_truth_table(table, SQUARE)

    def predicate(*bits):
        return table[int("".join("01"[b] for b in bits), 2)]

    image = rng.random((4, 5))
    assert np.allclose(rule(image, outside=outside), expectation(predicate, SQUARE, image, outside), atol=1e-12)


def test_expectation_of_a_shared_variable_is_not_the_proxy():
    a, b = pixel(0, 0), pixel(0, 1)
    rule = Filter((a & b) | (a & ~b))  # the pixel itself
    image = np.array([[0.5, 0.5]])
    assert rule.nodes == 1
    assert np.allclose(rule(image), image)
    assert np.allclose(rule(image, semantics="proxy", outside=0.5), 0.25 + 0.25 - 0.0625)


def test_expectation_agrees_with_sampling_beyond_enumeration():
    rng = np.random.default_rng(2)
    cube = [(z, y, x) for z in (-1, 0, 1) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    rule = Filter(at_least(12, [pixel(*offset) for offset in cube]) & ~pixel(0, 0, 0))
    image = rng.random((3, 3, 3))
    samples = rng.random((40_000, 3, 3, 3)) < image
    frequency = rule(samples).mean(axis=0)
    assert np.abs(frequency - rule(image)).max() < 0.012  # about five standard errors


@pytest.mark.parametrize("semantics", ["exact", "proxy"])
def test_gradients(semantics):
    torch.manual_seed(0)
    a, b, c, d = pixel(0, 0), pixel(-1, 1), pixel(2, 0), pixel(0, -3)
    rule = Filter((a ^ b) & ~(c & a) | at_least(2, [a, b, d]))
    image = torch.rand(2, 1, 4, 6, dtype=torch.float64)
    image[0, 0, 0] = 0
    image[0, 0, 1] = 1
    image.requires_grad_()
    assert torch.autograd.gradcheck(lambda p: rule(p, semantics=semantics, outside=0.25), image)
    solid = Filter(all_of(pixel(z, y, 0) for z in (0, 1) for y in (-1, 0)))
    volume = torch.rand(3, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: solid(p, semantics=semantics, iterations=2), volume)


def test_kernels_agree_with_plain_torch():
    torch.manual_seed(1)
    rule = Filter(any_of([template("1 . .\n. 0 1\n. . ."), pixel(2, -2) ^ pixel(0, 0)]))
    mine = torch.rand(3, 2, 33, 70, requires_grad=True)
    plain = mine.detach().clone().requires_grad_()
    weight = torch.rand(3, 2, 33, 70)
    result = rule(mine, semantics="proxy", outside=1.0)
    reference = evaluate_with_torch(rule.expression, plain, 1.0)
    (result * weight).sum().backward()
    (reference * weight).sum().backward()
    torch.testing.assert_close(result, reference)
    torch.testing.assert_close(mine.grad, plain.grad)


def test_soft_result_on_binary_values_is_the_binary_result():
    rng = np.random.default_rng(3)
    rule = Filter.from_truth_table(rng.random(512) < 0.5, SQUARE)
    image = rng.random((2, 20, 66)) < 0.5
    for semantics in ("exact", "proxy"):
        assert np.array_equal(rule(image.astype(np.float32), semantics=semantics), rule(image))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_float_type_comes_back_and_has_finite_gradients(dtype):
    image = torch.tensor([[0.0, 0.0, 1.0, 1.0, 0.5, 0.0]], dtype=dtype, requires_grad=True)
    result = Filter(pixel(0, 0) & pixel(0, 1) & pixel(0, -1))(image)
    assert result.dtype == dtype
    result.sum().backward()
    assert torch.isfinite(image.grad).all()


def test_operators_are_registered_for_tracing():
    from shapewright.boolean import _torch_operators

    rule = Filter(pixel(0, 0) & ~pixel(0, 1))
    image = torch.rand(1, 1, 4, 5, requires_grad=True)
    torch.library.opcheck(_torch_operators._forward, (image, rule.to_json(), 0.0))


def test_second_derivatives_are_refused():
    image = torch.rand(4, 5, requires_grad=True)
    (gradient,) = torch.autograd.grad(Filter(pixel(0, 0) & pixel(0, 1))(image).sum(), image, create_graph=True)
    with pytest.raises(NotImplementedError, match="first derivatives only"):
        gradient.sum().backward()


def test_until_nothing_changes():
    image = np.zeros((9, 70), bool)
    image[4, 3] = True
    spread = Filter(any_of([pixel(0, 0), pixel(0, -1), pixel(-1, 0)]))
    expected = np.zeros_like(image)
    expected[4:, 3:] = True
    assert np.array_equal(spread(image, iterations=None), expected)
    soft = spread(torch.from_numpy(image).float(), iterations=None)
    assert np.array_equal(soft.numpy(), expected)


def test_kinds_of_images():
    rule = Filter(pixel(0, 1))
    image = np.random.default_rng(0).random((2, 3, 4, 70)) < 0.5
    expected = rule(image)
    assert np.array_equal(rule(image.astype(np.uint8)), expected)
    tensor = rule(torch.from_numpy(image))
    assert tensor.dtype == torch.bool
    assert np.array_equal(tensor.numpy(), expected)
    packed = rule(pack(image, spatial_dims=2))
    assert isinstance(packed, PackedImage)
    assert np.array_equal(packed.unpack(), expected)
    assert packed.count() == expected.sum()
    assert rule(np.zeros((0, 5), bool)).shape == (0, 5)
    assert Filter(pixel(0, 0) | ~pixel(0, 0))(image).all()


def test_result_does_not_depend_on_the_number_of_threads(monkeypatch):
    rng = np.random.default_rng(5)
    rule = Filter.from_truth_table(rng.random(512) < 0.5, SQUARE)
    image = rng.random((700, 2000)) < 0.5
    soft = torch.rand(3, 200, 300, requires_grad=True)
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setattr("shapewright.boolean._jit.thread_count", lambda count=threads: count)
        (gradient,) = torch.autograd.grad(rule(soft).sum(), soft)
        results.append((rule(image), gradient))
    for binary, gradient in results[1:]:
        assert np.array_equal(binary, results[0][0])
        assert torch.equal(gradient, results[0][1])


def test_blocks_cover_every_unit_once():
    for count in (0, 1, 5, 17):
        seen = np.zeros(count, int)
        for_each_block(
            lambda first, last, seen=seen: np.add(seen[first:last], 1, out=seen[first:last]), count, threads=3
        )
        assert (seen == 1).all()


def test_packed_images_combine():
    rng = np.random.default_rng(6)
    a, b = rng.random((2, 5, 67)) < 0.5
    assert np.array_equal((pack(a) & ~pack(b)).unpack(), a & ~b)
    assert np.array_equal((pack(a) | pack(b) ^ pack(a)).unpack(), a | (b ^ a))
    with pytest.raises(InputError, match="equal shape"):
        pack(a) & pack(a[:2])


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.array([[0.5, 1.5]]), {}, "probabilities in"),
        (np.array([[np.nan, 0.5]]), {}, "probabilities in"),
        (np.array([[0, 2]]), {}, "0 and 1"),
        (np.zeros(5, bool), {}, "at least"),
        (np.zeros((5, 5), bool), {"semantics": "exakt"}, "did you mean 'exact'"),
        (np.zeros((5, 5), bool), {"outside": 2}, "outside must be"),
        (np.zeros((5, 5), bool), {"iterations": 0}, "positive integer"),
    ],
)
def test_wrong_input_is_explained(image, options, message):
    with pytest.raises(InputError, match=message):
        Filter(pixel(0, 1))(image, **options)
