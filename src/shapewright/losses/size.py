"""Losses of an object's size: what is asked of the whole object instead of its pixels."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from shapewright.arrays import check_spacing
from shapewright.errors import InputError, check_number, unknown
from shapewright.geometry import connected_components, distance_transform
from shapewright.losses import _inputs
from shapewright.losses._size_estimator import excess, expected_area_error, flip_errors
from shapewright.losses._size_measures import EXACT, MEASURES, VECTORS, Spacing, measured, moments, read_sizes

Objects = Literal["whole", "components"]
OBJECTS = ("whole", "components")


class SizeLoss(nn.Module):
    r"""Squared error of the size of each object, for images whose masks are not known.

    The size of a thresholded mask has no derivative. The prediction is therefore taken as a random mask :math:`Y`,
    each pixel foreground with its own probability :math:`p_i`, and the loss is the expected error of its size,
    :math:`E[(s - g(Y))^2]`. Its derivative is estimated without bias from one random mask by

    .. math:: \partial E / \partial p_i \approx l(s, g(Y \text{ with } Y_i = 1)) - l(s, g(Y \text{ with } Y_i = 0)),

    for which :func:`shapewright.geometry.flip_sizes` gives the sizes after all flips in one pass. The returned value is
    the error of the random mask itself.

    Parameters
    ----------
    measure
        What is measured, in mm:

        * ``"inscribed"``: :func:`~shapewright.geometry.object_size`, twice the largest Chebyshev distance to the
          background, as in the paper;
        * ``"inscribed_euclidean"``: the diameter of the largest inscribed ball;
        * ``"extents"``: the sides of the bounding box, one value per axis;
        * ``"area"``: area in mm², in 3D volume in mm³. No mask is drawn: the expected error is
          :math:`(s - \mu)^2 + \sigma^2` with the mean and variance of the area;
        * ``"centroid"`` and ``"spread"``: mean position (0 at the centre of the first pixel) and standard deviation
          along each axis, of the probabilities themselves.
    samples
        Random masks per step. The paper found no gain from more than one.
    antithetic
        Draw the masks in pairs of opposite random numbers; ``samples`` must be even. This lowers the variance where
        the objects are clearly too small or too large, and does little near the target.
    relative
        Divide each error by the target (by the nearer end of an interval), for objects of very different sizes and for
        areas and volumes, whose squared errors in mm⁴ and mm⁶ would drown every other loss.
    objects
        ``"whole"``: the foreground has one size. ``"components"``: it consists of objects with a size each, given in
        any order and padded with NaN. Every pixel belongs to the component of the thresholded prediction that is
        nearest to it, the largest component meets the largest size, and so on; components that are too many should
        vanish.
    channels
        Classes to supervise; default all but the background.
    spacing
        Pixel size in mm per spatial axis; default 1.
    reduction
        ``"mean"`` over the known sizes, ``"sum"``, or ``"none"`` for ``[B, len(channels)]`` (``[B, N]`` where there are
        several objects per image).
    ignore_label
        Label of pixels that do not count.
    generator
        Source of the random masks; torch's global one by default.

    Raises
    ------
    InputError
        Unknown option, or input whose type, shape or label range does not fit.

    Notes
    -----
    A size does not say where the object is: use the loss on a network that was trained on some masks, together with
    the loss on these and with :class:`SizeLevelLoss`. Where a prediction is unsure, its random masks have holes and an
    inscribed size far below that of the thresholded prediction, so the loss asks for certainty, too.

    Pixels that do not count are background, in the prediction and in a target of labels. Every input has a defined
    loss: an empty mask has size 0 and its extents are 0; a mask without background the size that ``object_size`` gives
    it; the centroid and the spread of an empty prediction are those of the image. An image whose size is NaN (unknown;
    the centroid of an object that is not there) or in which no pixel counts has loss 0 and is left out of the mean.

    The exact error of the area holds for a single target; for an interval, the area is taken as normally distributed,
    to which a sum of many independent pixels comes close.

    References
    ----------
    Barucic and Kybic, "Learning to segment from object sizes", ITAT 2022, equation 21.

    Examples
    --------
    >>> logits = torch.full((1, 1, 9, 9), -20.0)
    >>> logits[..., 2:7, 2:7] = 20.0  # a square of 5 x 5 pixels: inscribed size 6
    >>> SizeLoss()(logits, torch.tensor([6.0])).item(), SizeLoss()(logits, torch.tensor([10.0])).item()
    (0.0, 16.0)
    >>> SizeLoss()(logits, torch.tensor([[5.0, 8.0]])).item()  # between 5 and 8 mm
    0.0
    >>> labels = torch.zeros(1, 9, 9, dtype=torch.long)
    >>> labels[:, 2:7, 2:8] = 1
    >>> round(SizeLoss(measure="area", relative=True)(logits, labels).item(), 4)  # (25 - 30)² / 30²
    0.0278
    """

    def __init__(
        self,
        *,
        measure: str = "inscribed",
        samples: int = 1,
        antithetic: bool = False,
        relative: bool = False,
        objects: Objects = "whole",
        channels: Sequence[int] | None = None,
        spacing: Sequence[float] | float | None = None,
        reduction: str = "mean",
        ignore_label: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if measure not in MEASURES:
            raise unknown("measure", measure, MEASURES)
        if objects not in OBJECTS:
            raise unknown("objects", objects, OBJECTS)
        check_number("samples", samples, minimum=1)
        if int(samples) != samples:
            raise InputError(f"samples must be a whole number; got {samples}")
        if antithetic and samples % 2:
            raise InputError(f"samples must be even with antithetic=True: masks are drawn in pairs; got {samples}")
        self.measure = measure
        self.samples = samples
        self.antithetic = antithetic
        self.relative = relative
        self.objects = objects
        self.channels = channels
        self.spacing = spacing
        self.reduction = _inputs.check_reduction(reduction)
        self.ignore_label = ignore_label
        self.generator = generator

    def forward(
        self, logits: Tensor, target: Tensor, mask: Tensor | None = None, regions: Tensor | None = None
    ) -> Tensor:
        """Return the loss of ``logits [B, K, *spatial]``.

        Parameters
        ----------
        logits
            ``[B, K, *spatial]``.
        target
            Sizes in mm, floating point, NaN where unknown: ``[B, C]`` for the C channels (``[B]`` where there is one),
            ``[B, C, 2]`` for intervals with a lower and an upper end, which may be infinite. Measures with one value
            per axis have one axis more: ``[B, C, dims]`` and ``[B, C, dims, 2]``. With several objects per image, C
            is their number. Or labels, integers ``[B, *spatial]``, of which the sizes are taken.
        mask
            ``[B, *spatial]`` or ``[B, 1, *spatial]``, true where a pixel counts.
        regions
            Integers ``[B, *spatial]``: object n of C lies in region n, from 1, wherever it is; with one channel only.
        """
        classes = _inputs.class_count(logits)
        channels = _inputs.check_channels(self.channels, classes)
        spacing = check_spacing(self.spacing, logits.ndim - 2)
        labels = None if target.is_floating_point() else _inputs.read_labels(target, logits, self.ignore_label)
        predicted = _inputs.take_channels(_inputs.class_probabilities(logits), channels)
        truth = None
        if labels is not None:
            truth = _inputs.take_channels(_inputs.one_hot(labels, classes, predicted.dtype), channels)
        counted = _inputs.counted_voxels(mask, logits, labels, self.ignore_label)
        if counted is not None:
            predicted = predicted.masked_fill(~counted, 0.0)
            truth = None if truth is None else truth.masked_fill(~counted, 0.0)
        if regions is not None or self.objects == "components":
            predicted, truth, target = self._apart(predicted, truth, target, regions, spacing)
        if truth is None:
            low, high = read_sizes(
                target.to(predicted), self.measure, predicted.shape[0], predicted.shape[1], len(spacing)
            )
        else:
            low = high = self._measured(truth, spacing)
        if counted is not None:
            nothing = ~counted.flatten(1).any(1)
            low = low.masked_fill(nothing[:, None, None], torch.nan)
        return self._reduced(predicted, low, high, spacing)

    def extra_repr(self) -> str:
        """Name the options that decide what is computed."""
        return f"measure={self.measure!r}, samples={self.samples}, relative={self.relative}, objects={self.objects!r}"

    def _reduced(self, predicted: Tensor, low: Tensor, high: Tensor, spacing: Spacing) -> Tensor:
        """Return the reduced loss of probabilities [B, C, *spatial] and intervals [B, C, M]."""
        known = ~(low.isnan() | high.isnan())
        low, high = low.masked_fill(~known, -torch.inf), high.masked_fill(~known, torch.inf)
        unit = self._unit(low, high, spacing)
        fields, flat = predicted.flatten(0, 1), (predicted.shape[0] * predicted.shape[1], low.shape[2])
        low, high, unit = low.reshape(flat), high.reshape(flat), unit.reshape(flat)
        if self.measure == "area":
            errors = expected_area_error(fields, low, high, spacing) / unit**2
        elif self.measure in EXACT:
            errors = (excess(moments(fields, self.measure, spacing), low, high) / unit) ** 2
        else:
            bounds = torch.stack([low / unit, high / unit, unit])
            errors = self._sampled(fields, bounds, spacing)
        shares = known.reshape(flat).to(errors).mean(1)  # an unknown size has error 0
        values = (errors.mean(1) / shares.clamp(min=1e-6)).reshape(predicted.shape[:2])
        if self.reduction == "mean":
            return values.sum() / (shares > 0).sum().clamp(min=1)
        return _inputs.reduce_values(values, self.reduction)

    def _sampled(self, fields: Tensor, bounds: Tensor, spacing: Spacing) -> Tensor:
        """Return the errors [N, M] of random masks, with the estimated derivative of their expectation."""
        drawn = self._uniform(fields)
        errors: Tensor
        slopes: Tensor
        errors, slopes = flip_errors(fields.detach().float(), drawn, bounds.float(), list(spacing), self.measure)
        change = (fields - fields.detach())[:, None] * slopes.to(fields)  # 0, with the derivative of the errors
        return errors.to(fields) + change.flatten(2).sum(2)

    def _uniform(self, fields: Tensor) -> Tensor:
        """Return random numbers [samples, N, *spatial]; a pixel is foreground where its number is below its chance."""
        count = self.samples // 2 if self.antithetic else self.samples
        shape = (count, *fields.shape)
        drawn = torch.rand(shape, generator=self.generator, device=fields.device, dtype=torch.float32)
        return torch.cat([drawn, 1 - drawn]) if self.antithetic else drawn

    def _unit(self, low: Tensor, high: Tensor, spacing: Spacing) -> Tensor:
        """Return what an error is divided by: 1, or the target, at least the measure of one pixel."""
        if not self.relative:
            return torch.ones_like(low)
        pixel = float(np.prod(spacing)) if self.measure == "area" else min(spacing)
        nearest = torch.minimum(low.abs(), high.abs())
        return torch.where(nearest.isfinite(), nearest, 1.0).clamp(min=pixel)

    def _measured(self, indicators: Tensor, spacing: Spacing) -> Tensor:
        """Return the sizes [B, C, M] of indicators [B, C, *spatial]; NaN where an absent object has none."""
        sizes = measured(indicators.flatten(0, 1), self.measure, spacing)
        return sizes.reshape(*indicators.shape[:2], -1)

    def _apart(
        self, predicted: Tensor, truth: Tensor | None, target: Tensor, regions: Tensor | None, spacing: Spacing
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return prediction and truth with one channel per object, and the targets in the same order."""
        if predicted.shape[1] != 1:
            raise InputError(f"several objects per image need one channel; got {predicted.shape[1]}. Name one of them")
        batch, _, *spatial = predicted.shape
        if regions is not None:
            if regions.is_floating_point() or tuple(regions.shape) != (batch, *spatial):
                raise InputError(
                    f"regions must be integers of shape {(batch, *spatial)}; got {regions.dtype} of shape "
                    f"{tuple(regions.shape)}"
                )
            count = int(regions.max()) if truth is not None and regions.numel() else 0
            count = target.shape[1] if truth is None and target.ndim > 1 else max(count, 1)
            inside = _numbered(regions, count)
            return predicted * inside, None if truth is None else truth * inside, target
        if self.measure in VECTORS:
            raise InputError(f"objects='components' orders objects by size; {self.measure!r} is one value per axis")
        if truth is not None:
            true_parts, count = _components(truth[:, 0] > 0.5)
            target = self._measured(truth * _numbered(true_parts, count), spacing)[:, :, 0]
        elif tuple(target.shape) == (batch,):
            target = target[:, None]
        if target.ndim not in (2, 3) or len(target) != batch or target.shape[2:] not in ((), (2,)):
            raise InputError(
                f"sizes must have shape ({batch}, N) or ({batch}, N, 2) for N objects per image; got "
                f"{tuple(target.shape)}"
            )
        parts, count = _territories(predicted.detach()[:, 0], spacing)
        count = max(count, target.shape[1], 1)
        objects = predicted * _numbered(parts, count)
        found = self._measured((objects.detach() > 0.5).to(predicted), spacing)[:, :, 0]
        order = found.argsort(dim=1, descending=True, stable=True)
        return _reordered(objects, order), None, _matched_sizes(target.to(predicted), found, order)


def _numbered(parts: Tensor, count: int) -> Tensor:
    """Return indicators [B, count, *spatial] of the numbers 1 ... count."""
    return _inputs.one_hot(parts, range(1, count + 1), torch.bool)


def _components(masks: Tensor) -> tuple[Tensor, int]:
    """Return the component of every foreground pixel of [B, *spatial], from 1, and the largest number."""
    parts, counts = connected_components(masks, spatial_dims=masks.ndim - 1)
    return parts, int(counts.max()) if counts.numel() else 0


def _territories(probabilities: Tensor, spacing: Spacing) -> tuple[Tensor, int]:
    """Return the nearest component of the thresholded prediction for every pixel; 1 where there is none."""
    parts, count = _components(probabilities > 0.5)
    numbers = parts.cpu().numpy()
    _, nearest = distance_transform(numbers == 0, spacing=spacing, spatial_dims=len(spacing), return_indices=True)
    if count == 0:
        return torch.ones_like(parts), 1
    image = np.arange(len(numbers)).reshape(-1, *(1,) * len(spacing))
    owners = numbers[image, *np.moveaxis(nearest, 1, 0)]
    owners[~(numbers > 0).reshape(len(numbers), -1).any(1)] = 1
    return torch.from_numpy(owners).to(parts), count


def _reordered(objects: Tensor, order: Tensor) -> Tensor:
    """Return [B, C, *spatial] with its channels in the given order."""
    return objects[torch.arange(len(objects), device=objects.device)[:, None], order]


def _matched_sizes(target: Tensor, found: Tensor, order: Tensor) -> Tensor:
    """Return the targets [B, C] or [B, C, 2], largest first, for objects in the given order of their size.

    Objects beyond the number of sizes of an image get size 0; those of images without a known size get none.
    """
    ends = target if target.ndim == 3 else target[..., None].expand(*target.shape, 2)
    key = torch.where(ends.isnan().any(-1), -torch.inf, ends.clamp(max=1e30).sum(-1))
    ranks = key.argsort(dim=1, descending=True, stable=True)
    ends = ends[torch.arange(len(ends), device=ends.device)[:, None], ranks]
    missing = found.shape[1] - ends.shape[1]
    if missing > 0:
        ends = torch.cat([ends, ends.new_full((len(ends), missing, 2), torch.nan)], dim=1)
    some = ~ends.isnan().any(-1).all(1)
    surplus = ends.isnan().any(-1) & some[:, None] & (found.gather(1, order) > 0)
    return ends.masked_fill(surplus[..., None], 0.0)
