"""Losses of independent classes: each has a channel and a sigmoid of its own, so classes may overlap or be unknown."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from shapewright.errors import InputError, check_number
from shapewright.losses import _inputs


class IndependentLoss(nn.Module):
    r"""Binary cross-entropy of every class for itself, over what is annotated.

    .. math:: -\sum_k \frac{1}{\sum_q m_{kq}} \sum_q m_{kq}
              \left[ g_{kq} \log s_{kq} + (1 - g_{kq}) \log(1 - s_{kq}) \right]

    per image, averaged over the images. A class without an annotated voxel contributes nothing and gets a gradient of
    exactly zero.

    Parameters
    ----------
    focus
        Exponent of the focal loss: voxels are weighted by :math:`|g - s|^{\text{focus}}`. 0, the default, is plain
        cross-entropy.
    dice
        Weight of a soft Dice loss (1 - Dice, over the batch's annotated voxels) added to every class; default 0.
    reduction
        ``"mean"``, ``"sum"`` (over images), or ``"none"`` for ``[B]``.

    Raises
    ------
    InputError
        Unknown reduction, negative option, or shapes that do not fit.

    Notes
    -----
    Equation 2 of the source prints the sum without ``m``, although its text says that channels without annotation are
    masked. Without ``m`` a network is taught that what a data set did not annotate is not there.

    References
    ----------
    Saha et al., "Learning with multitask adversaries using weakly labelled data for semantic segmentation in retinal
    images", MIDL 2019, equation 2; Lin et al., "Focal loss for dense object detection", ICCV 2017.

    Examples
    --------
    >>> logits, target = torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4)
    >>> first_only = torch.tensor([True, False]).view(1, 2, 1, 1)
    >>> print(f"{IndependentLoss()(logits, target, first_only):.4f}")
    0.6931
    """

    def __init__(self, *, focus: float = 0.0, dice: float = 0.0, reduction: str = "mean") -> None:
        super().__init__()
        check_number("focus", focus, minimum=0)
        check_number("dice", dice, minimum=0)
        self.focus = focus
        self.dice = dice
        self.reduction = _inputs.check_reduction(reduction)

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the loss.

        Parameters
        ----------
        logits
            [B, C, *spatial], one channel per class, without background.
        target
            [B, C, *spatial], 1 where the class is.
        mask
            True where a voxel of a class is annotated; any shape that broadcasts to [B, C, *spatial].
        """
        if logits.ndim not in (4, 5) or target.shape != logits.shape:
            raise InputError(
                "logits and target must both be [B, C, *spatial] with 2 or 3 spatial axes; got "
                f"{tuple(logits.shape)} and {tuple(target.shape)}"
            )
        logits = _inputs.in_single_precision(logits)
        target = target.to(logits.dtype)
        known = _known(mask, logits)
        space = tuple(range(2, logits.ndim))
        values = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        if self.focus:
            values = values * (target - torch.sigmoid(logits)).abs().pow(self.focus)
        sums = values.masked_fill(~known, 0.0).sum(dim=space)
        loss = (sums / known.sum(dim=space).clamp_min(1)).sum(dim=1)
        if self.dice:
            loss = loss + self.dice * self._dice(logits, target, known)
        return _inputs.reduce_values(loss, self.reduction)

    def _dice(self, logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
        """Return the sum over classes of 1 - Dice, each over all annotated voxels of the batch."""
        predicted = torch.sigmoid(logits).masked_fill(~known, 0.0)
        truth = target.masked_fill(~known, 0.0)
        both, sizes = _inputs.map_sums(predicted * truth, batch=True), _inputs.map_sums(predicted + truth, batch=True)
        return _inputs.soft_dice_loss(both, sizes, 1e-5).sum()


def _known(mask: Tensor | None, logits: Tensor) -> Tensor:
    if mask is None:
        return torch.ones_like(logits, dtype=torch.bool)
    try:
        return mask.bool().expand_as(logits)
    except RuntimeError:
        raise InputError(
            f"mask must broadcast to the shape of logits, {tuple(logits.shape)}; got {tuple(mask.shape)}"
        ) from None
