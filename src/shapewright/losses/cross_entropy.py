"""Cross-entropy with the signature of the other losses."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from shapewright.errors import InputError
from shapewright.losses import _inputs


class CrossEntropyLoss(nn.Module):
    """Cross-entropy of logits and labels; torch's own, with ``mask`` and the one-channel case.

    Parameters
    ----------
    class_weights
        One non-negative weight per class; default 1 each. As in torch, ``"mean"`` divides by the weights' sum.
    reduction
        ``"mean"``, ``"sum"``, or ``"none"`` for ``[B, *spatial]``.
    ignore_label
        Label of voxels that do not count.

    Raises
    ------
    InputError
        Unknown reduction, wrong number of weights, or input whose type, shape or label range does not fit.

    Notes
    -----
    *Convention*: equals ``torch.nn.functional.cross_entropy`` (one channel: ``binary_cross_entropy_with_logits``);
    where no voxel counts the mean is 0 instead of NaN.

    Examples
    --------
    >>> labels = torch.tensor([[[0, 1], [1, 255]]])
    >>> print(f"{CrossEntropyLoss(ignore_label=255)(torch.zeros(1, 2, 2, 2), labels):.4f}")
    0.6931
    """

    def __init__(
        self,
        *,
        class_weights: Sequence[float] | None = None,
        reduction: str = "mean",
        ignore_label: int | None = None,
    ) -> None:
        super().__init__()
        self.class_weights = _inputs.check_class_weights(class_weights)
        self.reduction = _inputs.check_reduction(reduction)
        self.ignore_label = ignore_label

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the loss of ``logits [B, K, *spatial]`` and ``target`` (labels ``[B, *spatial]``)."""
        classes = _inputs.class_count(logits)
        labels = _inputs.read_labels(target, logits, self.ignore_label)
        counted = _inputs.counted_voxels(mask, logits, labels, self.ignore_label)
        precise = _inputs.class_logits(logits)
        if counted is not None:
            labels = labels.masked_fill(~counted[:, 0], 0)
        values = nn.functional.cross_entropy(precise, labels, reduction="none")
        weights = self._weights(labels, classes, values)
        if counted is not None:
            weights = weights.masked_fill(~counted[:, 0], 0.0)
            values = values.masked_fill(~counted[:, 0], 0.0)
        if self.reduction == "mean":
            return (weights * values).sum() / torch.where(weights.sum() > 0, weights.sum(), 1.0)
        return _inputs.reduce_values(weights * values, self.reduction)

    def _weights(self, labels: Tensor, classes: int, like: Tensor) -> Tensor:
        """Return the weight of every voxel."""
        if self.class_weights is None:
            return torch.ones_like(like)
        if len(self.class_weights) != classes:
            raise InputError(f"class_weights must have {classes} values, one per class; got {len(self.class_weights)}")
        return torch.tensor(self.class_weights, dtype=like.dtype, device=like.device)[labels]
