"""Soft evaluation: the polynomial of an expression and its gradient.

On the CPU the expression's program runs in fused kernels that need no more memory than the image. Any other device gets
the same polynomial in PyTorch operations. Tensors go through registered operators, so ``torch.compile`` sees them as
single operations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import is_tensor
from shapewright.boolean._blocks import as_plane_offset, as_planes, cut, flat_distances
from shapewright.boolean._jit import for_each_block
from shapewright.boolean._machine import run_backward, run_forward
from shapewright.boolean._program import binary_gates, program
from shapewright.boolean.expression import Expression
from shapewright.boolean.filter import on_gpu

if TYPE_CHECKING:
    import torch

_THREADED_GATES = 1 << 19  # pixels times gates; below, starting threads costs more than the work


def evaluate(expression: Expression, image: Any, outside: float) -> Any:
    """Return the polynomial of an expression at every pixel of an image of probabilities, the same kind out as in."""
    if not is_tensor(image):
        computed = image if image.dtype in (np.float32, np.float64) else image.astype(np.float32)
        return forward(expression, computed, outside).astype(image.dtype, copy=False)
    if image.device.type != "cpu" and not on_gpu(image):
        return evaluate_with_torch(expression, image, outside)
    from shapewright.boolean import _torch_operators

    return _torch_operators.evaluate(expression, image, outside)


def forward(expression: Expression, image: NDArray[Any], outside: float) -> NDArray[Any]:
    """Return the polynomial on a float32 or float64 array."""
    image = np.ascontiguousarray(image)
    if expression.gate == "const":
        return np.full_like(image, float(expression.value))
    return _run(expression, (image,), outside)


def backward(expression: Expression, image: NDArray[Any], upstream: NDArray[Any], outside: float) -> NDArray[Any]:
    """Return the gradient with respect to the image, given the one with respect to the result."""
    image, upstream = np.ascontiguousarray(image), np.ascontiguousarray(upstream)
    if expression.gate == "const":
        return np.zeros_like(image)
    return _run(expression, (image, upstream), outside)


def evaluate_with_torch(expression: Expression, image: torch.Tensor, outside: float) -> torch.Tensor:
    """Return the polynomial in plain PyTorch operations: for any device, and the reference of the kernels."""
    import torch
    import torch.nn.functional

    computed = image.float() if image.dtype in (torch.float16, torch.bfloat16) else image
    spatial = len(expression.offsets[0]) if expression.offsets else 0
    reach = [max((abs(offset[axis]) for offset in expression.offsets), default=0) for axis in range(spatial)]
    padding = [side for margin in reversed(reach) for side in (margin, margin)]
    padded = torch.nn.functional.pad(computed, padding, value=outside)
    leading = (slice(None),) * (image.ndim - spatial)
    value: dict[Expression, torch.Tensor] = {}
    for gate in binary_gates(expression):
        inputs = [value[argument] for argument in gate.arguments]
        if gate.gate == "const":
            value[gate] = torch.full_like(computed, float(gate.value))
        elif gate.gate == "pixel":
            window = tuple(
                slice(margin + step, margin + step + size)
                for margin, step, size in zip(reach, gate.offset, image.shape[-spatial:], strict=True)
            )
            value[gate] = padded[leading + window]
        elif gate.gate == "not":
            value[gate] = 1 - inputs[0]
        elif gate.gate == "and":
            value[gate] = inputs[0] * inputs[1]
        elif gate.gate == "or":
            value[gate] = inputs[0] + inputs[1] * (1 - inputs[0])
        elif gate.gate == "xor":
            value[gate] = inputs[0] + inputs[1] * (1 - 2 * inputs[0])
        else:
            value[gate] = inputs[2] + inputs[0] * (inputs[1] - inputs[2])
        result = value[gate]
    return result.to(image.dtype)


def _run(expression: Expression, arrays: tuple[NDArray[Any], ...], outside: float) -> NDArray[Any]:
    """Run the program forward on one array (image), or backward on two (image, gradient of the result)."""
    out = np.empty_like(arrays[0])
    if not out.size:
        return out
    is_backward = len(arrays) == 2
    gates = program(expression, reuse_slots=not is_backward)
    offsets = [as_plane_offset(offset) for offset in gates.offsets]
    planes = as_planes(out.shape, len(gates.offsets[0]))
    sizes = cut(planes, offsets, 1, margins=len(arrays))
    distances = flat_distances(sizes, offsets, 1)
    views = [array.reshape(planes) for array in (*arrays, out)]
    threads = None if out.size * len(gates.gates) > _THREADED_GATES else 1
    run: Callable[..., None] = run_backward if is_backward else run_forward
    table = (gates.gates, gates.slots, gates.gradients, gates.places) if is_backward else (gates.gates, gates.slots)
    for_each_block(
        lambda *units: run(*views, *table, distances, sizes, outside, *units),
        planes[0] * sizes.blocks,
        threads,
    )
    return out
