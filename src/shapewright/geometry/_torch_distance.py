"""The distance transform in plain PyTorch, for tensors on other devices than the CPU.

One axis after another, as the kernels do, but each pixel looks at all pixels of its line: of the order of n² steps for
a line of n pixels, all of them at once.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from shapewright.errors import InputError

AT_ONCE = 1 << 26
"""Pixel pairs that are looked at together: 256 MiB of float32."""


def as_binary_tensor(mask: Tensor, name: str) -> Tensor:
    """Return a mask as a boolean tensor on its device.

    Raises
    ------
    InputError
        It holds floating-point values, or integers other than 0 and 1.
    """
    if mask.dtype == torch.bool:
        return mask
    if mask.is_floating_point() or mask.is_complex():
        raise InputError(f"{name} must be a binary mask (bool, or integers 0 and 1); got {mask.dtype}")
    if mask.numel() and (int(mask.min()) < 0 or int(mask.max()) > 1):
        raise InputError(f"{name} must be a binary mask (bool, or integers 0 and 1); got other integers")
    return mask.bool()


def transform(
    images: Tensor, metric: str, spacing: Sequence[float], with_indices: bool
) -> tuple[Tensor, Tensor | None]:
    """Return the distances of the images [N, *spatial], and where the nearest pixels are, [N, dims, *spatial]."""
    squared = metric.endswith("euclidean")
    values = torch.zeros(images.shape, device=images.device).masked_fill(images, torch.inf)
    places: list[Tensor] = []
    for axis in reversed(range(1, images.ndim)):
        differences = torch.arange(images.shape[axis], device=images.device, dtype=torch.float64) * spacing[axis - 1]
        cost = (differences**2 if squared else differences).float()
        values, nearest = _along(values, axis, cost, largest=metric == "chebyshev")
        if with_indices:
            places = [nearest, *(torch.gather(place, axis, nearest) for place in places)]
    if metric == "euclidean":
        values = values.sqrt()
    if not with_indices:
        return values, None
    return values, torch.stack(places, dim=1).masked_fill(values.isinf()[:, None], -1).int()


def _along(values: Tensor, axis: int, cost: Tensor, *, largest: bool) -> tuple[Tensor, Tensor]:
    """Return the lower envelope along an axis, and the position along it from which each value comes."""
    lines = values.movedim(axis, -1)
    places = torch.arange(lines.shape[-1], device=values.device)
    parts = []
    for chunk in torch.split(places, max(AT_ONCE // max(values.numel(), 1), 1)):
        steps = cost[(chunk[:, None] - places).abs()]
        pairs = lines[..., None, :]
        parts.append((torch.maximum(pairs, steps) if largest else pairs + steps).min(dim=-1))
    least, nearest = (torch.cat(part, dim=-1) for part in zip(*parts, strict=True))
    return least.movedim(-1, axis), nearest.movedim(-1, axis)
