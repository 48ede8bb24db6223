"""Losses of an object's size: what is asked of the whole object instead of its pixels."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shapewright.arrays import check_spacing
from shapewright.errors import InputError, check_number, unknown
from shapewright.geometry import (
    connected_components,
    distance_transform,
    extents,
    flip_extents,
    flip_sizes,
    object_size,
)
from shapewright.losses import _inputs

Objects = Literal["whole", "components"]
OBJECTS = ("whole", "components")

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

_LARGEST_LOGIT, _BISECTIONS = 16.0, 10  # levels are found between the logits -16 and 16, to 1/64


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
            errors = _expected_area_error(fields, low, high, spacing) / unit**2
        elif self.measure in EXACT:
            errors = (_excess(_moments(fields, self.measure, spacing), low, high) / unit) ** 2
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
        errors, slopes = _flip_errors(fields.detach().float(), drawn, bounds.float(), list(spacing), self.measure)
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

    def _measured(self, truth: Tensor, spacing: Spacing) -> Tensor:
        """Return the sizes [B, C, M] of indicators [B, C, *spatial]; NaN where an absent object has none."""
        fields = truth.flatten(0, 1)
        if self.measure == "area":
            sizes = fields.flatten(1).sum(1, keepdim=True) * float(np.prod(spacing))
        elif self.measure in EXACT:
            absent = ~(fields > 0.5).flatten(1).any(1)
            sizes = _moments(fields, self.measure, spacing).masked_fill(absent[:, None], torch.nan)
        else:
            sizes = _mask_sizes(fields > 0.5, list(spacing), self.measure).to(truth)
        return sizes.reshape(*truth.shape[:2], -1)

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

    def sizes_at(logits: Tensor, images: Tensor) -> Tensor:
        thresholds = torch.sigmoid(logits).reshape(-1, *(1,) * len(spacing))
        return _sizes_of(fields[images] > thresholds, spacing, measure).to(low)

    levels = torch.zeros_like(low)
    everywhere = torch.ones_like(low, dtype=torch.bool)
    found = sizes_at(levels, everywhere)
    for wrong, towards in ((found > high, _LARGEST_LOGIT), (found < low, -_LARGEST_LOGIT)):
        if not bool(wrong.any()):
            continue
        near = levels[wrong]  # the size is still wrong here ...
        far = torch.full_like(near, towards)  # ... and here it is not, or never right
        for _ in range(_BISECTIONS):
            middle = (near + far) / 2
            sizes = sizes_at(middle, wrong)
            still = sizes > high[wrong] if towards > 0 else sizes < low[wrong]
            near, far = torch.where(still, middle, near), torch.where(still, far, middle)
        levels[wrong] = far
    return torch.sigmoid(levels)


def _sizes_of(masks: Tensor, spacing: Spacing, measure: str) -> Tensor:
    """Return the sizes [N] of masks [N, *spatial]."""
    if measure == "area":
        return masks.flatten(1).sum(1) * float(np.prod(spacing))
    sizes: Tensor = _mask_sizes(masks, list(spacing), measure)[:, 0]
    return sizes


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


def _excess(sizes: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return how far sizes lie outside their interval, 0 inside."""
    return (sizes - high).clamp(min=0) + (low - sizes).clamp(min=0)


def _expected_area_error(fields: Tensor, low: Tensor, high: Tensor, spacing: Spacing) -> Tensor:
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


def _moments(fields: Tensor, measure: str, spacing: Spacing) -> Tensor:
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


def _numbered(parts: Tensor, count: int) -> Tensor:
    """Return indicators [B, count, *spatial] of the numbers 1 ... count."""
    numbers = torch.arange(1, count + 1, device=parts.device).view(1, -1, *([1] * (parts.ndim - 1)))
    return parts[:, None] == numbers


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


@torch.library.custom_op("shapewright::mask_sizes", mutates_args=())
def _mask_sizes(masks: Tensor, spacing: list[float], measure: str) -> Tensor:
    """Return the sizes [N, M] of masks [N, *spatial]."""
    sizes, _ = SAMPLED[measure]
    return torch.from_numpy(sizes(masks.cpu().numpy(), tuple(spacing)).copy()).to(masks.device)


@_mask_sizes.register_fake
def _(masks: Tensor, spacing: list[float], measure: str) -> Tensor:
    return masks.new_empty((len(masks), len(spacing) if measure in VECTORS else 1), dtype=torch.float32)


@torch.library.custom_op("shapewright::flip_errors", mutates_args=())
def _flip_errors(
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


@_flip_errors.register_fake
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
