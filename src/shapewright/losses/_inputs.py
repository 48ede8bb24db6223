"""What every loss does with its inputs: check them, name what is wrong, and reduce the result."""

from collections.abc import Sequence

import torch
from torch import Tensor

from shapewright.errors import InputError, unknown

REDUCTIONS = ("mean", "sum", "none")


def check_reduction(reduction: str) -> str:
    """Return ``reduction`` if it is one of torch's three."""
    if reduction not in REDUCTIONS:
        raise unknown("reduction", reduction, REDUCTIONS)
    return reduction


def class_count(logits: Tensor) -> int:
    """Return the number of classes of ``logits`` ``[B, K, *spatial]``: K, or 2 where one channel stands for two."""
    if not logits.is_floating_point() or logits.ndim not in (4, 5):
        raise InputError(
            "logits must be a floating-point tensor [B, K, *spatial] with 2 or 3 spatial axes; got "
            f"{logits.dtype} of shape {tuple(logits.shape)}"
        )
    if logits.shape[1] == 0:
        raise InputError(f"logits must have at least one channel; got shape {tuple(logits.shape)}")
    return max(logits.shape[1], 2)


def in_single_precision(values: Tensor) -> Tensor:
    """Return values in single precision at least: what half-precision training hands over is made float32."""
    return values if values.dtype == torch.float64 else values.float()


def class_logits(logits: Tensor) -> Tensor:
    """Return logits ``[B, classes, *spatial]`` in single precision at least; one channel is the foreground's."""
    precise = in_single_precision(logits)
    return precise if logits.shape[1] > 1 else torch.cat([torch.zeros_like(precise), precise], dim=1)


def class_probabilities(logits: Tensor) -> Tensor:
    """Return probabilities ``[B, classes, *spatial]`` in single precision at least.

    Softmax over the channels; one channel is a sigmoid and gives the two classes background and foreground.
    """
    precise = in_single_precision(logits)
    if logits.shape[1] > 1:
        return torch.softmax(precise, dim=1)
    return torch.cat([torch.sigmoid(-precise), torch.sigmoid(precise)], dim=1)


def check_channels(channels: Sequence[int] | None, classes: int) -> list[int]:
    """Return the supervised classes: as given, or all but the background (class 0)."""
    if channels is None:
        return list(range(1, classes))
    chosen = list(channels)
    if not chosen or len(set(chosen)) < len(chosen) or not all(0 <= channel < classes for channel in chosen):
        raise InputError(f"channels must be distinct classes between 0 and {classes - 1}; got {tuple(chosen)}")
    return chosen


def check_class_weights(weights: Sequence[float] | None) -> tuple[float, ...] | None:
    """Return the weights as numbers; None stays None."""
    if weights is None:
        return None
    if not all(weight >= 0 for weight in weights):
        raise InputError(f"class_weights must not be negative; got {tuple(weights)}")
    return tuple(float(weight) for weight in weights)


def take_channels(values: Tensor, channels: list[int]) -> Tensor:
    """Return the channels of ``[B, K, *spatial]``, as a view where they are consecutive."""
    first, last = channels[0], channels[-1]
    return values[:, first : last + 1] if channels == list(range(first, last + 1)) else values[:, channels]


def read_labels(labels: Tensor, logits: Tensor, ignore_label: int | None, *, more: int = 0) -> Tensor:
    """Return labels as ``[B, *spatial]`` after checking their type, shape and range.

    ``more`` labels than classes are accepted, which stand for sets of classes.
    The range is not looked at while torch.compile traces, which could not depend on values.
    """
    if labels.is_floating_point() or labels.is_complex():
        raise InputError(
            f"labels must be integers [B, *spatial]; got {labels.dtype} of shape {tuple(labels.shape)}. "
            "Convert class numbers with labels.long(); a one-hot encoding with one_hot.argmax(1)"
        )
    batch, channels, *spatial = logits.shape
    if labels.shape == (batch, 1, *spatial):
        labels = labels[:, 0]
    if labels.shape != (batch, *spatial):
        raise InputError(
            f"labels must have shape {(batch, *spatial)} or {(batch, 1, *spatial)} for logits of shape "
            f"{tuple(logits.shape)}; got {tuple(labels.shape)}"
        )
    if labels.dtype != torch.long:
        labels = labels.long()
    if labels.numel() and not torch.compiler.is_compiling():
        kept = labels if ignore_label is None else labels[labels != ignore_label]
        if kept.numel() and (int(kept.min()) < 0 or int(kept.max()) >= max(channels, 2) + more):
            sets = f" and {more} label set{'s' if more > 1 else ''}" if more else ""
            raise InputError(
                f"labels must be between 0 and {max(channels, 2) + more - 1} for logits with {channels} "
                f"channel{'s' if channels > 1 else ''}{sets}; got values from {int(kept.min())} to {int(kept.max())}. "
                "Voxels to leave out are named by ignore_label= or by mask="
            )
    return labels


def one_hot(labels: Tensor, classes: int | Sequence[int], dtype: torch.dtype) -> Tensor:
    """Return indicator functions ``[B, classes, *spatial]`` of the first classes or of those named.

    A label outside the classes belongs to none.
    """
    numbers = torch.arange(classes, device=labels.device) if isinstance(classes, int) else torch.tensor(classes)
    numbers = numbers.to(labels.device).view(1, -1, *([1] * (labels.ndim - 1)))
    return (labels.unsqueeze(1) == numbers).to(dtype)


def counted_voxels(
    mask: Tensor | None, logits: Tensor, labels: Tensor | None, ignore_label: int | None
) -> Tensor | None:
    """Return the voxels that count as ``bool [B, 1, *spatial]``, or None where all do."""
    batch, _, *spatial = logits.shape
    counted = None
    if mask is not None:
        if mask.shape == (batch, *spatial):
            mask = mask.unsqueeze(1)
        if mask.shape != (batch, 1, *spatial):
            raise InputError(
                f"mask must have shape {(batch, *spatial)} or {(batch, 1, *spatial)}, true where a voxel counts; "
                f"got {tuple(mask.shape)}"
            )
        counted = mask.bool()
    if ignore_label is not None and labels is not None:
        known = (labels != ignore_label).unsqueeze(1)
        counted = known if counted is None else counted & known
    return counted


def class_maps(logits: Tensor, labels: Tensor, mask: Tensor | None, ignore_label: int | None) -> tuple[Tensor, Tensor]:
    """Return predicted probabilities and true indicators ``[B, classes, *spatial]``, 0 where a voxel does not count."""
    classes = class_count(logits)
    labels = read_labels(labels, logits, ignore_label)
    predicted = class_probabilities(logits)
    truth = one_hot(labels, classes, predicted.dtype)
    counted = counted_voxels(mask, logits, labels, ignore_label)
    if counted is not None:
        predicted, truth = predicted.masked_fill(~counted, 0.0), truth.masked_fill(~counted, 0.0)
    return predicted, truth


def map_sums(maps: Tensor, *, batch: bool = False) -> Tensor:
    """Return the sums of ``[B, K, *spatial]`` over space, ``[B, K]``, or over the batch too, ``[K]``."""
    sums = maps.flatten(2).sum(-1)
    return sums.sum(0) if batch else sums


def soft_dice_loss(both: Tensor, sizes: Tensor, smooth: float) -> Tensor:
    """Return one minus the soft Dice of regions: their overlap, and the sum of their two sizes."""
    return 1 - (2 * both + smooth) / (sizes + smooth)


def reduce_voxels(values: Tensor, counted: Tensor | None, reduction: str) -> Tensor:
    """Reduce values per voxel; the mean is over the voxels that count, and 0 where none does."""
    if counted is None:
        return reduce_values(values, reduction)
    values = values.masked_fill(~counted, 0.0)
    if reduction == "mean":
        share = counted.expand_as(values).sum()
        return values.sum() / share.clamp(min=1)
    return reduce_values(values, reduction)


def reduce_values(values: Tensor, reduction: str) -> Tensor:
    """Reduce values as torch's own losses do."""
    if reduction == "mean":
        return values.mean()
    return values.sum() if reduction == "sum" else values
