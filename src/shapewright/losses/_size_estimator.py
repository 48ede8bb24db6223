"""The expected squared error of the size of a random mask: in closed form, and estimated from drawn masks."""

import math

import numpy as np
import torch
from torch import Tensor

from shapewright.losses._size_measures import SAMPLED, Spacing


def excess(sizes: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return how far sizes lie outside their interval, 0 inside."""
    return (sizes - high).clamp(min=0) + (low - sizes).clamp(min=0)


def expected_area_error(fields: Tensor, low: Tensor, high: Tensor, spacing: Spacing) -> Tensor:
    """Return E[excess²] of the area of random masks [N, *spatial], [N, 1]; exact where low = high."""
    pixel = float(np.prod(spacing))
    flat = fields.flatten(1)
    mean = flat.sum(1, keepdim=True) * pixel
    spread = ((flat * (1 - flat)).sum(1, keepdim=True).clamp(min=1e-12)) ** 0.5 * pixel
    beyond = []
    for gap, open_end in ((mean - high, high == torch.inf), (low - mean, low == -torch.inf)):
        z = gap.masked_fill(open_end, 0.0) / spread
        density = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        part = spread**2 * ((z**2 + 1) * torch.special.ndtr(z) + z * density)
        beyond.append(part.masked_fill(open_end, 0.0))
    return torch.stack(beyond).sum(0)


@torch.library.custom_op("shapewright::flip_errors", mutates_args=())
def flip_errors(
    probabilities: Tensor, drawn: Tensor, bounds: Tensor, spacing: list[float], measure: str
) -> tuple[Tensor, Tensor]:
    """Return the squared errors of random masks [N, M], and their estimated slopes [N, M, *spatial].

    ``drawn`` holds uniform numbers [samples, N, *spatial], ``bounds`` the lower and the upper ends of the sizes divided
    by their units, and the units, [3, N, M].
    """
    sizes_of, flips_of = SAMPLED[measure]
    low, high, unit = bounds.cpu().numpy()
    expand = (..., *(None,) * len(spacing))
    errors, slopes = 0.0, 0.0
    for uniform in drawn:
        masks = (uniform < probabilities).cpu().numpy()
        sizes = sizes_of(masks, tuple(spacing)) / unit
        flips = flips_of(masks, tuple(spacing)) / unit[expand]
        error = np.maximum(np.maximum(sizes - high, low - sizes), 0) ** 2
        flipped = np.maximum(np.maximum(flips - high[expand], low[expand] - flips), 0) ** 2
        change = flipped - error[expand]
        errors = errors + error
        slopes = slopes + np.where(masks[:, None], -change, change)
    device = probabilities.device
    means = (np.asarray(total / len(drawn), np.float32) for total in (errors, slopes))
    first, second = (torch.from_numpy(mean).to(device) for mean in means)
    return first, second


@flip_errors.register_fake
def _(
    probabilities: Tensor,
    drawn: Tensor,  # noqa: ARG001
    bounds: Tensor,
    spacing: list[float],  # noqa: ARG001
    measure: str,  # noqa: ARG001
) -> tuple[Tensor, Tensor]:
    count, *spatial = probabilities.shape
    values = bounds.shape[2]
    return bounds.new_empty((count, values)), bounds.new_empty((count, values, *spatial))
