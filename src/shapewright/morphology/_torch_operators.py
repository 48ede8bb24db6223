"""Soft morphology as operators of PyTorch, with shapes for tracing and gradients for autograd."""

from functools import lru_cache
from typing import Any

import torch

from shapewright.boolean._torch_operators import no_second_derivative
from shapewright.morphology import _product, _soft_skeleton
from shapewright.morphology.elements import Offsets


def product(image: torch.Tensor, offsets: Offsets, outside: float) -> torch.Tensor:
    """Return the product of a tensor's values at the offsets, on the CPU or an NVIDIA GPU."""
    computed = image.float() if image.dtype in (torch.float16, torch.bfloat16) else image
    flat = [step for offset in offsets.pixels for step in offset]
    result: torch.Tensor = _forward(computed, flat, offsets.spatial_dims, outside)
    return result.to(image.dtype)


def skeleton(image: torch.Tensor, spatial_dims: int, iterations: int) -> torch.Tensor:
    """Return the soft skeleton of a tensor; on other devices than the CPU it is copied there and back."""
    computed = image.float() if image.dtype in (torch.float16, torch.bfloat16) else image
    result: torch.Tensor = _thin(computed.cpu(), spatial_dims, iterations)[0]
    return result.to(image.device, image.dtype)


def _offsets(flat: list[int], spatial_dims: int) -> Offsets:
    """Return the offsets of a flat list, the same object for the same list."""
    return _grouped(tuple(flat), spatial_dims)


@lru_cache(maxsize=256)
def _grouped(flat: tuple[int, ...], spatial_dims: int) -> Offsets:
    return Offsets(tuple(flat[i : i + spatial_dims] for i in range(0, len(flat), spatial_dims)))


@torch.library.custom_op("shapewright::product", mutates_args=(), device_types="cpu")
def _forward(image: torch.Tensor, offsets: list[int], spatial_dims: int, outside: float) -> torch.Tensor:
    return torch.from_numpy(_product.forward(image.detach().numpy(), _offsets(offsets, spatial_dims), outside))


@torch.library.custom_op("shapewright::product_backward", mutates_args=(), device_types="cpu")
def _backward(
    image: torch.Tensor, upstream: torch.Tensor, offsets: list[int], spatial_dims: int, outside: float
) -> torch.Tensor:
    arrays = image.detach().numpy(), upstream.detach().numpy()
    return torch.from_numpy(_product.backward(*arrays, _offsets(offsets, spatial_dims), outside))


@_forward.register_kernel("cuda")
def _(image: torch.Tensor, offsets: list[int], spatial_dims: int, outside: float) -> torch.Tensor:
    from shapewright.morphology import _triton

    return _triton.forward(image.detach(), _offsets(offsets, spatial_dims), outside)


@_backward.register_kernel("cuda")
def _(
    image: torch.Tensor, upstream: torch.Tensor, offsets: list[int], spatial_dims: int, outside: float
) -> torch.Tensor:
    from shapewright.morphology import _triton

    return _triton.backward(image.detach(), upstream.detach(), _offsets(offsets, spatial_dims), outside)


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


@torch.library.custom_op("shapewright::skeleton", mutates_args=(), device_types="cpu")
def _thin(image: torch.Tensor, spatial_dims: int, iterations: int) -> tuple[torch.Tensor, torch.Tensor]:
    result, history = _soft_skeleton.forward(image.detach().numpy(), spatial_dims, iterations)
    return torch.from_numpy(result), torch.from_numpy(history)


@torch.library.custom_op("shapewright::skeleton_backward", mutates_args=(), device_types="cpu")
def _thin_backward(
    image: torch.Tensor,  # noqa: ARG001 -- so that autograd knows what the gradient depends on
    upstream: torch.Tensor,
    history: torch.Tensor,
    spatial_dims: int,
) -> torch.Tensor:
    gradient = _soft_skeleton.backward(upstream.detach().numpy(), history.detach().numpy(), spatial_dims)
    return torch.from_numpy(gradient)


@_thin.register_fake
def _(image: torch.Tensor, spatial_dims: int, iterations: int) -> tuple[torch.Tensor, torch.Tensor]:
    images, size = _soft_skeleton.history_shape(image.shape, spatial_dims)
    history = image.new_empty((images, iterations + 1, size))
    return torch.empty_like(image, memory_format=torch.contiguous_format), history


@_thin_backward.register_fake
def _(image: torch.Tensor, *_: Any) -> torch.Tensor:
    return torch.empty_like(image, memory_format=torch.contiguous_format)


def _remember_history(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, torch.Tensor]) -> None:
    ctx.spatial_dims = inputs[1]
    ctx.save_for_backward(inputs[0], output[1])
    ctx.mark_non_differentiable(output[1])


def _thinning_gradient(ctx: Any, upstream: torch.Tensor, _: Any) -> tuple[torch.Tensor | None, None, None]:
    image, history = ctx.saved_tensors
    return _thin_backward(image, upstream, history, ctx.spatial_dims), None, None


_thin.register_autograd(_thinning_gradient, setup_context=_remember_history)
_thin_backward.register_autograd(no_second_derivative)
