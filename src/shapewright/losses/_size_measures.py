"""Measures of the size of objects, for losses: arrays in NumPy, moments as tensors with their derivative."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from shapewright.errors import InputError
from shapewright.geometry import extents, flip_extents, flip_sizes, object_size

Spacing = tuple[float, ...]
Masks = NDArray[np.bool_]
Sizes = NDArray[np.float32]

SAMPLED: dict[str, tuple[Callable[[Masks, Spacing], Sizes], Callable[[Masks, Spacing], Sizes]]] = {
    "inscribed": (
        lambda masks, spacing: object_size(masks, spacing=spacing, spatial_dims=len(spacing))[:, None],
        lambda masks, spacing: flip_sizes(masks, spacing=spacing, spatial_dims=len(spacing))[:, None],
    ),
    "inscribed_euclidean": (
        lambda masks, spacing: object_size(masks, metric="euclidean", spacing=spacing, spatial_dims=len(spacing))[
            :, None
        ],
        lambda masks, spacing: flip_sizes(masks, metric="euclidean", spacing=spacing, spatial_dims=len(spacing))[
            :, None
        ],
    ),
    "extents": (
        lambda masks, spacing: extents(masks, spacing=spacing, spatial_dims=len(spacing)),
        lambda masks, spacing: flip_extents(masks, spacing=spacing, spatial_dims=len(spacing)),
    ),
}
"""Measures without a derivative: sizes [N, M] of masks [N, *spatial], and after every flip [N, M, *spatial]."""

EXACT = ("area", "centroid", "spread")
MEASURES = (*SAMPLED, *EXACT)
GROWING = ("inscribed", "inscribed_euclidean", "area")
"""Measures with one value that never falls when the mask grows."""

VECTORS = ("extents", "centroid", "spread")
"""Measures with one value per spatial axis."""


def measured(indicators: Tensor, measure: str, spacing: Spacing) -> Tensor:
    """Return the sizes [N, M] of indicators [N, *spatial], 0 or 1; NaN where an absent object has none."""
    if measure == "area":
        return indicators.flatten(1).sum(1, keepdim=True) * float(np.prod(spacing))
    if measure in EXACT:
        absent = ~(indicators > 0.5).flatten(1).any(1)
        return moments(indicators, measure, spacing).masked_fill(absent[:, None], torch.nan)
    sizes: Tensor = _mask_sizes(indicators > 0.5, list(spacing), measure)
    return sizes.to(indicators)


def sizes_of_masks(masks: Masks, measure: str, spacing: Spacing, dtype: DTypeLike) -> NDArray[Any]:
    """Return the sizes [N] of masks [N, *spatial] by a measure that grows with the mask."""
    if measure == "area":
        pixels = np.count_nonzero(masks.reshape(len(masks), -1), axis=1)
        areas: NDArray[Any] = pixels.astype(dtype) * float(np.prod(spacing))
        return areas
    sizes_of, _ = SAMPLED[measure]
    return sizes_of(masks, spacing)[:, 0]


def moments(fields: Tensor, measure: str, spacing: Spacing) -> Tensor:
    """Return the mean position or its standard deviation along each axis, [N, dims], of weights [N, *spatial]."""
    weights = fields + 1e-6 / fields[0].numel()  # an empty field is like a constant one
    total = weights.flatten(1).sum(1)
    result = []
    for axis, step in enumerate(spacing):
        along = weights.flatten(2).sum(2) if axis == 0 else weights.movedim(axis + 1, 1).flatten(2).sum(2)
        places = torch.arange(along.shape[1], device=fields.device, dtype=fields.dtype) * step
        mean = (along * places).sum(1) / total
        if measure == "spread":
            variance = (along * (places - mean[:, None]) ** 2).sum(1) / total
            mean = (variance + 1e-12).sqrt()
        result.append(mean)
    return torch.stack(result, dim=1)


def read_sizes(target: Tensor, measure: str, batch: int, objects: int, dims: int) -> tuple[Tensor, Tensor]:
    """Return the lower and upper ends [B, C, M] of sizes as :meth:`SizeLoss.forward` takes them.

    Raises
    ------
    InputError
        Another shape, an infinite size, or an interval whose ends are in the wrong order.
    """
    values = dims if measure in VECTORS else 1
    shape = (batch, objects, dims) if measure in VECTORS else (batch, objects)
    accepted = [shape, (*shape, 2)]
    if objects == 1:
        accepted += [(batch, *shape[2:]), (batch, *shape[2:], 2)]
    if tuple(target.shape) not in accepted:
        raise InputError(
            f"sizes must have shape {' or '.join(map(str, accepted))} for the measure {measure!r} and "
            f"{objects} object{'s' if objects > 1 else ''} per image; got {tuple(target.shape)}"
        )
    is_interval = tuple(target.shape) in accepted[1::2]
    ends = target if is_interval else target[..., None].expand(*target.shape, 2)
    low, high = ends.reshape(batch, objects, values, 2).unbind(-1)
    if not torch.compiler.is_compiling() and bool((low > high).any()):
        raise InputError("sizes must be intervals with a lower and an upper end, in this order")
    if not torch.compiler.is_compiling() and bool(((low == torch.inf) | (high == -torch.inf)).any()):
        raise InputError("sizes must be finite; only the upper end of an interval may be inf, the lower end -inf")
    return low, high


@torch.library.custom_op("shapewright::mask_sizes", mutates_args=())
def _mask_sizes(masks: Tensor, spacing: list[float], measure: str) -> Tensor:
    """Return the sizes [N, M] of masks [N, *spatial]."""
    sizes, _ = SAMPLED[measure]
    return torch.from_numpy(sizes(masks.cpu().numpy(), tuple(spacing)).copy()).to(masks.device)


@_mask_sizes.register_fake
def _(masks: Tensor, spacing: list[float], measure: str) -> Tensor:
    return masks.new_empty((len(masks), len(spacing) if measure in VECTORS else 1), dtype=torch.float32)
