"""A differentiable surrogate of the Hausdorff distance by distance transforms."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from shapewright.errors import InputError
from shapewright.geometry import signed_distance
from shapewright.losses import _inputs


class HausdorffLoss(nn.Module):
    r"""Squared errors weighted by their distance from the true and the predicted boundary.

    :math:`\frac1n \sum (s_k - g_k)^2 \,(d_{g_k}^\alpha + d_{s_k > 1/2}^\alpha)`, where :math:`d` is the distance to a
    region's boundary. Unlike :class:`~shapewright.losses.BoundaryLoss` it measures from the prediction as well, so
    its maps change with every step: two distance transforms per class and forward pass.

    Parameters
    ----------
    channels
        Classes to supervise; default all but the background.
    alpha
        Exponent of the distances; 2 as in the reference. Larger values weigh the farthest error more.
    spacing
        Voxel size in mm per spatial axis; default 1.
    reduction
        ``"mean"``, ``"sum"``, or ``"none"`` for ``[B, len(channels), *spatial]``.
    ignore_label
        Label of voxels that do not count; for the distances they belong to no class.

    Raises
    ------
    InputError
        Unknown option, or input whose type, shape or label range does not fit.

    Notes
    -----
    A region that is empty or fills the image has distances 0; where this holds for truth and prediction (an image
    without the object and without a voxel above 1/2), the loss and its gradient are 0. Combine it with a regional
    loss.

    *Convention*: equals ``monai.losses.HausdorffDTLoss(softmax=True, to_onehot_y=True)`` at spacing 1.

    References
    ----------
    Karimi and Salcudean, "Reducing the Hausdorff distance in medical image segmentation with convolutional neural
    networks", IEEE TMI 2020, section II-B.

    Examples
    --------
    >>> labels = torch.zeros(1, 12, 12, dtype=torch.long)
    >>> labels[:, 2:6, 2:6] = 1
    >>> near, far = torch.zeros(2, 1, 12, 12, dtype=torch.bool)
    >>> near[:, 6, 2:6], far[:, 11, 2:6] = True, True
    >>> def predicted(error): return 20.0 * torch.stack([~error & (labels == 0), error | (labels == 1)], dim=1)
    >>> bool(HausdorffLoss()(predicted(far), labels) > 10 * HausdorffLoss()(predicted(near), labels))
    True
    """

    def __init__(
        self,
        *,
        channels: Sequence[int] | None = None,
        alpha: float = 2.0,
        spacing: Sequence[float] | float | None = None,
        reduction: str = "mean",
        ignore_label: int | None = None,
    ) -> None:
        super().__init__()
        if not alpha > 0:
            raise InputError(f"alpha must be positive; got {alpha}")
        self.channels = channels
        self.alpha = alpha
        self.spacing = spacing
        self.reduction = _inputs.check_reduction(reduction)
        self.ignore_label = ignore_label

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the loss of ``logits [B, K, *spatial]`` and ``target`` (labels ``[B, *spatial]``)."""
        classes = _inputs.class_count(logits)
        channels = _inputs.check_channels(self.channels, classes)
        labels = _inputs.read_labels(target, logits, self.ignore_label)
        predicted = _inputs.take_channels(_inputs.class_probabilities(logits), channels)
        truth = _inputs.take_channels(_inputs.one_hot(labels, classes, predicted.dtype), channels)
        distances = self._distances(truth > 0.5) + self._distances(predicted.detach() > 0.5)
        counted = _inputs.counted_voxels(mask, logits, labels, self.ignore_label)
        values = (predicted - truth) ** 2 * distances.to(predicted)
        return _inputs.reduce_voxels(values, counted, self.reduction)

    def _distances(self, regions: Tensor) -> Tensor:
        """Return distances to the boundaries of ``regions [B, K, *spatial]``, to the power alpha."""
        spatial_dims = regions.ndim - 2
        maps: Tensor = signed_distance(regions, spacing=self.spacing, spatial_dims=spatial_dims, convention="plain")
        return torch.abs(maps) ** self.alpha
