"""Soft morphology as operators of PyTorch, with shapes for tracing and gradients for autograd."""

from typing import Any

import torch

from shapewright.boolean._torch_operators import no_second_derivative
from shapewright.morphology import _product
from shapewright.morphology.elements import Offsets


def product(image: torch.Tensor, offsets: Offsets, outside: float) -> torch.Tensor:
    """Return the product of a CPU tensor's values at the offsets."""
    computed = image.float() if image.dtype in (torch.float16, torch.bfloat16) else image
    flat = [step for offset in offsets for step in offset]
    result: torch.Tensor = _forward(computed, flat, len(offsets[0]), outside)
    return result.to(image.dtype)


def _grouped(flat: list[int], spatial_dims: int) -> Offsets:
    return tuple(tuple(flat[i : i + spatial_dims]) for i in range(0, len(flat), spatial_dims))


@torch.library.custom_op("shapewright::product", mutates_args=(), device_types="cpu")
def _forward(image: torch.Tensor, offsets: list[int], spatial_dims: int, outside: float) -> torch.Tensor:
    return torch.from_numpy(_product.forward(image.detach().numpy(), _grouped(offsets, spatial_dims), outside))


@torch.library.custom_op("shapewright::product_backward", mutates_args=(), device_types="cpu")
def _backward(
    image: torch.Tensor, upstream: torch.Tensor, offsets: list[int], spatial_dims: int, outside: float
) -> torch.Tensor:
    arrays = image.detach().numpy(), upstream.detach().numpy()
    return torch.from_numpy(_product.backward(*arrays, _grouped(offsets, spatial_dims), outside))


@_forward.register_fake
def _(image: torch.Tensor, *_: Any) -> torch.Tensor:
    return torch.empty_like(image, memory_format=torch.contiguous_format)


@_backward.register_fake
def _(image: torch.Tensor, *_: Any) -> torch.Tensor:
    return torch.empty_like(image, memory_format=torch.contiguous_format)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:  # noqa: ARG001
    image, *ctx.rest = inputs
    ctx.save_for_backward(image)


def _gradient(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor | None, None, None, None]:
    (image,) = ctx.saved_tensors
    return _backward(image, upstream, *ctx.rest), None, None, None


_forward.register_autograd(_gradient, setup_context=_remember)
_backward.register_autograd(no_second_derivative)
