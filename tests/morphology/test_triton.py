"""The kernels of GPUs: in Triton's interpreter, compiled without a GPU, and on one where there is one."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from shapewright.boolean import Filter, at_least, pixel, where
from shapewright.boolean._soft import evaluate_with_torch
from shapewright.morphology import (
    ball,
    black_tophat,
    box,
    closing,
    connectivity,
    dilation,
    erosion,
    gradient,
    hit_or_miss,
    line,
    opening,
    simple_points,
)

pytest.importorskip("triton")
IN_INTERPRETER = os.environ.get("TRITON_INTERPRET") == "1"
DEVICES = [
    pytest.param("cpu", marks=pytest.mark.skipif(not IN_INTERPRETER, reason="runs in the interpreter of Triton")),
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(IN_INTERPRETER or not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
        ],
    ),
]
SHAPES = [(1, 1), (1, 65), (70, 1), (2, 9, 64), (3, 2, 5, 127), (0, 4)]
FILTERS = [
    Filter((pixel(0, 0) & ~pixel(-1, 1)) | (pixel(0, -2) ^ pixel(1, 65))),
    Filter(where(pixel(2, 0), pixel(0, 3) | ~pixel(0, 0), pixel(-1, -64))),
    Filter(at_least(3, [pixel(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)])),
    Filter(pixel(0, 0) | True),
    Filter(pixel(0, 1) & False),
]


@pytest.mark.slow
def test_kernels_agree_with_the_reference_in_the_interpreter():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", __file__, "-o", "addopts=", "-k", "not interpreter"],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.fixture
def use_triton(monkeypatch, device):
    """Send tensors of the CPU to the kernels as well: the interpreter reads those."""
    if device == "cpu":
        for room in ("boolean.filter", "morphology.operators"):
            monkeypatch.setattr(f"shapewright.{room}.on_gpu", lambda image: isinstance(image, torch.Tensor))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("outside", [0, 1])
def test_binary_filters(device, use_triton, shape, outside):
    image = np.random.default_rng(0).random(shape) < 0.6
    for number, chosen in enumerate(FILTERS):
        ours = chosen(torch.from_numpy(image).to(device), outside=outside, iterations=1 + number % 2)
        assert ours.dtype == torch.bool
        np.testing.assert_array_equal(ours.cpu(), chosen(image, outside=outside, iterations=1 + number % 2))


@pytest.mark.parametrize("device", DEVICES)
def test_binary_operators(device, use_triton):
    rng = np.random.default_rng(1)
    for shape, element in (
        ((2, 20, 70), ball(2)),
        ((11, 65), np.array([[0, 1, 1]])),
        ((4, 9, 66), box(1, 3)),
        ((30, 30), line(21, 30)),
        ((30, 40), ball(9)),
    ):
        image = rng.random(shape) < 0.7
        tensor = torch.from_numpy(image).to(device)
        for operator in (erosion, dilation, opening, closing, gradient, black_tophat, hit_or_miss):
            np.testing.assert_array_equal(operator(tensor, element).cpu(), operator(image, element))
        integers = tensor.to(torch.uint8)
        np.testing.assert_array_equal(
            erosion(integers, element, iterations=None).cpu(), erosion(image, element, iterations=None)
        )
        np.testing.assert_array_equal(gradient(integers, element).cpu(), gradient(image, element))
    np.testing.assert_array_equal(simple_points(tensor).cpu(), simple_points(image))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("slab", [None, 97])
def test_polynomials_and_their_gradients(device, monkeypatch, shape, slab):
    from shapewright.boolean import _triton

    if slab:
        monkeypatch.setattr(_triton, "_SLAB_VALUES", slab)
    image = torch.rand(shape, dtype=torch.float64, device=device, requires_grad=True)
    weights = torch.rand_like(image)
    for chosen in FILTERS:
        for expression in (chosen.expression, chosen.diagram.expression):
            expected = evaluate_with_torch(expression, image, 0.3)
            torch.testing.assert_close(_triton.forward(expression, image.detach(), 0.3), expected)
            if expected.requires_grad and image.numel():
                (wanted,) = torch.autograd.grad((expected * weights).sum(), image, allow_unused=True)
                if wanted is not None:
                    received = _triton.backward(expression, image.detach(), weights, 0.3)
                    torch.testing.assert_close(received, wanted)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("outside", [0.0, 0.4, 1.0])
def test_products_and_their_gradients(device, dtype, outside):
    from shapewright.morphology import _triton
    from shapewright.morphology._product import conjunction
    from shapewright.morphology.elements import element_offsets

    for shape, element in (((2, 13, 11), ball(2)), ((3, 5, 6), connectivity(18, 3)), ((1, 9), line(5))):
        offsets = element_offsets(element, None)
        image = torch.rand(shape, dtype=dtype, device=device)
        image = torch.where(torch.rand_like(image) < 0.2, 0, image).requires_grad_()
        weights = torch.rand_like(image)
        expected = evaluate_with_torch(conjunction(offsets), image, outside)
        (wanted,) = torch.autograd.grad((expected * weights).sum(), image)
        torch.testing.assert_close(_triton.forward(image.detach(), offsets, outside), expected.detach())
        torch.testing.assert_close(_triton.backward(image.detach(), weights, offsets, outside), wanted)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_operators_on_a_gpu_are_those_of_the_cpu(dtype):
    image = torch.rand(2, 1, 40, 50, dtype=dtype)
    for function in (lambda x: opening(x, ball(1)), FILTERS[0], FILTERS[2]):
        results = []
        for device in ("cpu", "cuda"):
            part = image.to(device).requires_grad_()
            result = function(part)
            result.float().square().sum().backward()
            results.append((result.detach().cpu(), part.grad.cpu()))
        torch.testing.assert_close(results[0], results[1])


@pytest.mark.skipif(IN_INTERPRETER, reason="compiles, so it needs the compiler")
def test_kernels_compile_without_a_gpu():
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from shapewright.boolean import _triton
    from shapewright.morphology import _triton as _product

    sizes = {"planes": "i32", "rows": "i32", "width": "i32"}
    data = dict.fromkeys(("image", "upstream", "out", "derivatives", "outside", "plain", "alone", "gradient"), "*fp32")
    integers = {"begin": "i32", "first": "i32", "last": "i32", "total": "i32", "used": "i64", "beyond": "i32"}
    known = data | integers | sizes | {"words": "*i64", "pixels": "*i8", "offsets": "*i64", "count": "i32"}
    kernels = _triton._kernels(FILTERS[1].expression)
    for kernel in (
        *kernels.values(),
        *(_triton._pack, _triton._unpack, _triton._gather, _product._product, _product._shares, _product._sums),
    ):
        types = {name: known.get(name, "constexpr") for name in kernel.arg_names}
        fixed = {"block": 128}
        if kernel.arg_names[0] == "words" and "out" in types:
            types["out"] = "*i64"
        if "offsets" in types:
            types["count"], fixed["count"] = "constexpr", 5
        made = compile(ASTSource(kernel, signature=types, constexprs=fixed), target=GPUTarget("cuda", 80, 32))
        assert ".entry" in made.asm["ptx"]
