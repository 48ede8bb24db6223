"""Losses of region overlap: Dice and generalised Dice."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from shapewright.losses import _inputs


class DiceLoss(nn.Module):
    r"""Soft Dice loss, :math:`1 - (2\sum g s + \epsilon) / (\sum g + \sum s + \epsilon)`, per image and class.

    Parameters
    ----------
    channels
        Classes to supervise; default all but the background.
    batch
        Count voxels over the whole batch (one value per class) instead of per image; steadier where objects are
        missing from many images.
    smooth
        The :math:`\epsilon`; 1e-5 as in MONAI and nnU-Net. An image without the class has loss 0 only where nothing
        at all is predicted, and almost no gradient elsewhere; :class:`GeneralisedDiceLoss` has one.
    reduction
        ``"mean"``, ``"sum"``, or ``"none"`` for ``[B, len(channels)]`` (``[len(channels)]`` with ``batch``).
    ignore_label
        Label of voxels that do not count.

    Raises
    ------
    InputError
        Unknown option, or input whose type, shape or label range does not fit.

    Notes
    -----
    *Convention*: equals ``monai.losses.DiceLoss(softmax=True, to_onehot_y=True, include_background=False)``.

    References
    ----------
    Milletari et al., "V-Net: fully convolutional neural networks for volumetric medical image segmentation", 3DV 2016
    (with the plain instead of the squared denominator, as is common today).

    Examples
    --------
    >>> labels = torch.zeros(1, 8, 8, dtype=torch.long)
    >>> labels[:, 2:6, 2:6] = 1
    >>> half_known = torch.zeros(1, 2, 8, 8)
    >>> print(f"{DiceLoss()(half_known, labels):.3f}")  # 1 - 2 * 8 / (16 + 32)
    0.667
    """

    def __init__(
        self,
        *,
        channels: Sequence[int] | None = None,
        batch: bool = False,
        smooth: float = 1e-5,
        reduction: str = "mean",
        ignore_label: int | None = None,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.batch = batch
        self.smooth = smooth
        self.reduction = _inputs.check_reduction(reduction)
        self.ignore_label = ignore_label

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the loss of ``logits [B, K, *spatial]`` and ``target`` (labels ``[B, *spatial]``)."""
        channels = _inputs.check_channels(self.channels, _inputs.class_count(logits))
        predicted, truth = _inputs.class_maps(logits, target, mask, self.ignore_label)
        predicted = _inputs.take_channels(predicted, channels)
        truth = _inputs.take_channels(truth, channels)
        both, found, wanted = (
            _inputs.map_sums(maps, batch=self.batch) for maps in (predicted * truth, predicted, truth)
        )
        return _inputs.reduce_values(_inputs.soft_dice_loss(both, found + wanted, self.smooth), self.reduction)


class GeneralisedDiceLoss(nn.Module):
    r"""Generalised Dice loss: one overlap over all classes, each weighted by its inverse squared size.

    .. math:: 1 - 2\, \frac{\sum_k w_k \sum_q g_k s_k}{\sum_k w_k \sum_q (g_k + s_k)}, \qquad w_k = (\sum_q g_k)^{-2}

    A class that is absent from an image has the largest weight of those present. With the bare formula its weight is
    infinite (or 1e20 with a small number added), which sets the loss of such an image to 1 and its gradient to zero:
    false positives in images without an object would cost nothing.

    Parameters
    ----------
    batch
        Count voxels over the whole batch instead of per image.
    smooth
        Added to numerator and denominator, whose weights are scaled to at most 1; 1e-5 as in MONAI.
    reduction
        ``"mean"``, ``"sum"``, or ``"none"`` for ``[B]`` (``[1]`` with ``batch``).
    ignore_label
        Label of voxels that do not count.

    Raises
    ------
    InputError
        Unknown option, or input whose type, shape or label range does not fit.

    Notes
    -----
    All classes enter, the background too: without it the weights of one foreground class would cancel.

    *Convention*: equals ``monai.losses.GeneralizedDiceLoss(softmax=True, to_onehot_y=True)`` up to the smoothing,
    which there is large beside the weights of objects above about 1e5 voxels.

    References
    ----------
    Sudre et al., "Generalised Dice overlap as a deep learning loss function for highly unbalanced segmentations",
    DLMIA 2017; Kervadec et al., MIDL 2019, equation 1.

    Examples
    --------
    >>> empty = torch.zeros(1, 8, 8, dtype=torch.long)
    >>> logits = torch.zeros(1, 2, 8, 8, requires_grad=True)
    >>> loss = GeneralisedDiceLoss()(logits, empty)
    >>> loss.backward()
    >>> print(f"{loss.item():.2f}", bool((logits.grad[:, 1] > 0).all()))
    0.50 True
    """

    def __init__(
        self,
        *,
        batch: bool = False,
        smooth: float = 1e-5,
        reduction: str = "mean",
        ignore_label: int | None = None,
    ) -> None:
        super().__init__()
        self.batch = batch
        self.smooth = smooth
        self.reduction = _inputs.check_reduction(reduction)
        self.ignore_label = ignore_label

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the loss of ``logits [B, K, *spatial]`` and ``target`` (labels ``[B, *spatial]``)."""
        predicted, truth = _inputs.class_maps(logits, target, mask, self.ignore_label)
        both, found, wanted = (
            _inputs.map_sums(maps, batch=self.batch) for maps in (predicted * truth, predicted, truth)
        )
        weights = _class_weights(wanted)
        both, sizes = (weights * both).sum(-1), (weights * (found + wanted)).sum(-1)
        loss = _inputs.soft_dice_loss(both, sizes, self.smooth)
        return _inputs.reduce_values(loss.reshape(-1), self.reduction)


def _class_weights(sizes: Tensor) -> Tensor:
    """Return inverse squared sizes relative to the smallest class present; an absent class weighs 1 as that one."""
    smallest = torch.where(sizes > 0, sizes, torch.inf).amin(dim=-1, keepdim=True)
    return torch.where(sizes > 0, (smallest / sizes.clamp(min=1)) ** 2, 1.0)
