"""The level set of the prediction that has the known size, as a target."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shapewright.arrays import check_spacing
from shapewright.errors import unknown
from shapewright.losses import _inputs
from shapewright.losses._size_measures import GROWING, Spacing, read_sizes, sizes_of_masks

_LARGEST_LOGIT, _BISECTIONS = 16.0, 10  # levels are found between the logits -16 and 16, to 1/64


class SizeLevelLoss(nn.Module):
    r"""Cross-entropy with the level set of the prediction that has the known size.

    A size says how large an object is, not where. The prediction says where, and how large to cut it: of all its level
    sets :math:`\{p > t\}` this loss takes the one whose size is right, with t as near to 1/2 as that allows, and asks
    the network for it. So the error in size falls by moving the boundary along the prediction's own level lines, and
    the overlap follows. It regularises :class:`SizeLoss`, which moves single pixels, and finds objects that the network
    overlooks, of which that loss knows nothing.

    Parameters
    ----------
    measure
        A measure of :class:`SizeLoss` that grows with the mask: ``"inscribed"``, ``"inscribed_euclidean"``, ``"area"``.
    channels
        Classes to supervise; default all but the background.
    spacing
        Pixel size in mm per spatial axis; default 1.
    reduction
        ``"mean"`` over the known sizes, ``"sum"``, or ``"none"`` for ``[B, len(channels)]``.

    Raises
    ------
    InputError
        Unknown option, or input whose type or shape does not fit.

    Notes
    -----
    An image whose size is NaN (unknown) has loss 0 and is left out of the mean. Size 0 asks for an empty mask. A
    constant prediction has no level set of a size between nothing and the image; it is asked for one of the two.

    Examples
    --------
    >>> logits = torch.full((1, 1, 9, 9), -3.0)
    >>> logits[..., 2:7, 2:7] = -1.0  # 5 x 5 pixels that are more likely than the rest: inscribed size 6
    >>> logits.requires_grad_()[0, 0, 4, 4].item()
    -1.0
    >>> SizeLevelLoss()(logits, torch.tensor([6.0])).backward()
    >>> bool((logits.grad[..., 2:7, 2:7] < 0).all() and (logits.grad[..., 0, :] > 0).all())
    True
    """

    def __init__(
        self,
        *,
        measure: str = "inscribed",
        channels: Sequence[int] | None = None,
        spacing: Sequence[float] | float | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        if measure not in GROWING:
            raise unknown("measure", measure, GROWING)
        self.measure = measure
        self.channels = channels
        self.spacing = spacing
        self.reduction = _inputs.check_reduction(reduction)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of ``logits [B, K, *spatial]`` and sizes ``[B, C]`` or intervals ``[B, C, 2]``, as floats."""
        channels = _inputs.check_channels(self.channels, _inputs.class_count(logits))
        spacing = check_spacing(self.spacing, logits.ndim - 2)
        predicted = _inputs.take_channels(_inputs.class_probabilities(logits), channels)
        low, high = read_sizes(target.to(predicted), self.measure, predicted.shape[0], len(channels), len(spacing))
        fields, low, high = predicted.flatten(0, 1), low.flatten(), high.flatten()
        known = ~(low.isnan() | high.isnan())
        levels = _levels(
            fields.detach(), low.masked_fill(~known, 0), high.masked_fill(~known, 0), spacing, self.measure
        )
        wanted = (fields.detach() > levels.reshape(-1, *(1,) * len(spacing))).to(fields)
        errors = nn.functional.binary_cross_entropy(fields.clamp(0, 1), wanted, reduction="none").flatten(1).mean(1)
        values = errors.masked_fill(~known, 0.0).reshape(predicted.shape[:2])
        if self.reduction == "mean":
            return values.sum() / known.sum().clamp(min=1)
        return _inputs.reduce_values(values, self.reduction)

    def extra_repr(self) -> str:
        """Name the options that decide what is computed."""
        return f"measure={self.measure!r}"


def _levels(fields: Tensor, low: Tensor, high: Tensor, spacing: Spacing, measure: str) -> Tensor:
    """Return the thresholds [N] of fields [N, *spatial] at which the size lies in [low, high], nearest to 1/2.

    Where no threshold gives such a size, the one at which the size passes the interval.
    """
    images, least, most = (values.cpu().numpy() for values in (fields, low, high))

    def sizes_at(logits: Tensor, images: NDArray[Any]) -> NDArray[Any]:
        thresholds = torch.sigmoid(logits).numpy().reshape(-1, *(1,) * len(spacing))
        return sizes_of_masks(images > thresholds, measure, spacing, least.dtype)

    levels = torch.zeros(low.shape, dtype=low.dtype)
    found = sizes_at(levels, images)
    too_large = found > most
    wrong = too_large | (found < least)
    if wrong.any():
        images, least, most, too_large = images[wrong], least[wrong], most[wrong], too_large[wrong]
        near = levels[wrong]  # the size is still wrong here ...
        far = torch.from_numpy(np.where(too_large, _LARGEST_LOGIT, -_LARGEST_LOGIT)).to(
            near
        )  # ... and here not, if ever
        for _ in range(_BISECTIONS):
            middle = (near + far) / 2
            sizes = sizes_at(middle, images)
            still = torch.from_numpy(np.where(too_large, sizes > most, sizes < least))
            near, far = torch.where(still, middle, near), torch.where(still, far, middle)
        levels[wrong] = far
    return torch.sigmoid(levels).to(fields.device)
