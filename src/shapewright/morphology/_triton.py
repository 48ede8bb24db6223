"""Soft erosion on NVIDIA GPUs: the product over an element's pixels and its gradient, as in ``_product``.

The element is a table in memory, so one compilation serves all elements of equal size. The gradient is deterministic
and needs two images of room: every result writes what its neighbourhood hands on, then every pixel sums.
"""

from typing import Any

import torch
import triton.language as tl

from shapewright.boolean._blocks import as_plane_offset, as_planes
from shapewright.boolean._triton import BLOCK, grid, is_inside, jit, offset_table
from shapewright.morphology.elements import Offsets


def forward(image: torch.Tensor, offsets: Offsets, outside: float) -> torch.Tensor:
    """Return the product of a float32 or float64 tensor's values at the offsets."""
    image = image.contiguous()
    out = torch.empty_like(image)
    if out.numel():
        _, *sizes = as_planes(tuple(image.shape), offsets.spatial_dims)
        table, beyond = _table(offsets, image.device), image.new_tensor([outside])
        launch = grid(out.numel())
        _product[launch](image, out, table, len(table), out.numel(), *sizes, beyond, block=BLOCK)
    return out


def backward(image: torch.Tensor, upstream: torch.Tensor, offsets: Offsets, outside: float) -> torch.Tensor:
    """Return the gradient with respect to the image, given the one with respect to the result."""
    image, upstream = image.contiguous(), upstream.contiguous()
    gradient = torch.empty_like(image)
    if gradient.numel():
        _, *sizes = as_planes(tuple(image.shape), offsets.spatial_dims)
        table, beyond = _table(offsets, image.device), image.new_tensor([outside])
        count, total, launch = len(table), image.numel(), grid(image.numel())
        plain, alone = torch.empty_like(image), torch.empty_like(image)
        _shares[launch](image, upstream, plain, alone, table, count, total, *sizes, beyond, block=BLOCK)
        _sums[launch](image, plain, alone, gradient, table, count, total, *sizes, block=BLOCK)
    return gradient


def _table(offsets: Offsets, device: torch.device) -> torch.Tensor:
    return offset_table([as_plane_offset(offset) for offset in offsets.pixels], device)


@jit
def _product(
    image: "Any",
    out: "Any",
    offsets: "Any",
    count: tl.constexpr,
    total: "Any",
    planes: "Any",
    rows: "Any",
    width: "Any",
    outside: "Any",
    block: tl.constexpr,
) -> None:
    index = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    beyond = tl.load(outside)
    product = tl.full([block], 1, image.dtype.element_ty)
    for k in range(count):
        p, r, x = tl.load(offsets + 3 * k), tl.load(offsets + 3 * k + 1), tl.load(offsets + 3 * k + 2)
        used = (index < total) & is_inside(index, p, r, x, planes, rows, width)
        product *= tl.load(image + index + (p * rows + r) * width + x, mask=used, other=beyond)
    tl.store(out + index, product, mask=index < total)


@jit
def _shares(
    image: "Any",
    upstream: "Any",
    plain: "Any",
    alone: "Any",
    offsets: "Any",
    count: tl.constexpr,
    total: "Any",
    planes: "Any",
    rows: "Any",
    width: "Any",
    outside: "Any",
    block: tl.constexpr,
) -> None:
    """Write gradient times product where a neighbourhood has no zero, and the product of the rest where it has one."""
    index = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    beyond = tl.load(outside)
    product = tl.load(upstream + index, mask=index < total, other=0.0)
    zeros = tl.zeros([block], dtype=tl.int32)
    for k in range(count):
        p, r, x = tl.load(offsets + 3 * k), tl.load(offsets + 3 * k + 1), tl.load(offsets + 3 * k + 2)
        used = (index < total) & is_inside(index, p, r, x, planes, rows, width)
        value = tl.load(image + index + (p * rows + r) * width + x, mask=used, other=beyond)
        is_zero = value < 1e-30  # dividing by smaller values could overflow
        product *= tl.where(is_zero, 1.0, value)
        zeros += is_zero.to(tl.int32)
    tl.store(plain + index, tl.where(zeros == 0, product, 0.0), mask=index < total)
    tl.store(alone + index, tl.where(zeros == 1, product, 0.0), mask=index < total)


@jit
def _sums(
    image: "Any",
    plain: "Any",
    alone: "Any",
    gradient: "Any",
    offsets: "Any",
    count: tl.constexpr,
    total: "Any",
    planes: "Any",
    rows: "Any",
    width: "Any",
    block: tl.constexpr,
) -> None:
    """Sum what the neighbourhoods that a pixel is in hand on to it."""
    index = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    without_zero = tl.zeros([block], dtype=image.dtype.element_ty)
    with_one_zero = tl.zeros([block], dtype=image.dtype.element_ty)
    for k in range(count):
        p, r, x = tl.load(offsets + 3 * k), tl.load(offsets + 3 * k + 1), tl.load(offsets + 3 * k + 2)
        used = (index < total) & is_inside(index, -p, -r, -x, planes, rows, width)
        source = index - (p * rows + r) * width - x
        without_zero += tl.load(plain + source, mask=used, other=0.0)
        with_one_zero += tl.load(alone + source, mask=used, other=0.0)
    value = tl.load(image + index, mask=index < total, other=1.0)
    is_zero = value < 1e-30
    result = tl.where(is_zero, with_one_zero, without_zero / tl.where(is_zero, 1.0, value))
    tl.store(gradient + index, result, mask=index < total)
