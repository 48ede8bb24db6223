"""The soft evaluation as operators of PyTorch, with shapes for tracing and gradients for autograd."""

from functools import lru_cache
from typing import Any

import torch

from shapewright.boolean import _soft
from shapewright.boolean.expression import Expression


def evaluate(expression: Expression, image: torch.Tensor, outside: float) -> torch.Tensor:
    """Return the polynomial of an expression at every pixel of a tensor on the CPU or an NVIDIA GPU."""
    computed = image.float() if image.dtype in (torch.float16, torch.bfloat16) else image
    result: torch.Tensor = _forward(computed, _text(expression), outside)
    return result.to(image.dtype)


def no_second_derivative(*_: Any) -> Any:
    """Raise: the kernels give first derivatives."""
    raise NotImplementedError(
        "shapewright's operators have first derivatives only; compute the gradient without create_graph=True"
    )


@lru_cache(maxsize=256)
def _text(expression: Expression) -> str:
    from shapewright.boolean.filter import Filter

    return Filter(expression, spatial_dims=None if expression.offsets else 2).to_json()


@lru_cache(maxsize=256)
def _expression(text: str) -> Expression:
    from shapewright.boolean.filter import Filter

    return Filter.from_json(text).expression


@torch.library.custom_op("shapewright::boolean_filter", mutates_args=(), device_types="cpu")
def _forward(image: torch.Tensor, expression: str, outside: float) -> torch.Tensor:
    return torch.from_numpy(_soft.forward(_expression(expression), image.detach().numpy(), outside))


@torch.library.custom_op("shapewright::boolean_filter_backward", mutates_args=(), device_types="cpu")
def _backward(image: torch.Tensor, upstream: torch.Tensor, expression: str, outside: float) -> torch.Tensor:
    arrays = image.detach().numpy(), upstream.detach().numpy()
    return torch.from_numpy(_soft.backward(_expression(expression), *arrays, outside))


@_forward.register_kernel("cuda")
def _(image: torch.Tensor, expression: str, outside: float) -> torch.Tensor:
    from shapewright.boolean import _triton

    return _triton.forward(_expression(expression), image.detach(), outside)


@_backward.register_kernel("cuda")
def _(image: torch.Tensor, upstream: torch.Tensor, expression: str, outside: float) -> torch.Tensor:
    from shapewright.boolean import _triton

    return _triton.backward(_expression(expression), image.detach(), upstream.detach(), outside)


@_forward.register_fake
def _(image: torch.Tensor, expression: str, outside: float) -> torch.Tensor:  # noqa: ARG001
    return torch.empty_like(image, memory_format=torch.contiguous_format)


@_backward.register_fake
def _(image: torch.Tensor, upstream: torch.Tensor, expression: str, outside: float) -> torch.Tensor:  # noqa: ARG001
    return torch.empty_like(image, memory_format=torch.contiguous_format)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:  # noqa: ARG001
    image, ctx.expression, ctx.outside = inputs
    ctx.save_for_backward(image)


def _gradient(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor | None, None, None]:
    (image,) = ctx.saved_tensors
    return _backward(image, upstream, ctx.expression, ctx.outside), None, None


_forward.register_autograd(_gradient, setup_context=_remember)
_backward.register_autograd(no_second_derivative)
