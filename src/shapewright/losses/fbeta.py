"""The F-beta loss, which trades false positives for false negatives class by class, and the beta that balances them."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from shapewright.errors import InputError, check_number, unknown
from shapewright.losses import _inputs

ACTIVATIONS = ("softmax", "sigmoid")


class FBetaLoss(nn.Module):
    r"""One minus the soft F-beta score, per image and class.

    .. math:: F_\beta = \frac{TP}{TP + \frac{\beta^2}{1 + \beta^2} FN + \frac{1}{1 + \beta^2} FP}

    with soft counts :math:`TP = \sum p g`, :math:`FN = \sum (1 - p) g`, :math:`FP = \sum p (1 - g)`. It is the Tversky
    loss whose two weights add up to 1; beta 1 is the Dice loss, larger values favour recall.

    Parameters
    ----------
    beta
        One value for all classes, or one per supervised class; :func:`auto_beta` computes them from class sizes.
    activation
        ``softmax`` for exclusive classes, one of which is the background, class 0; ``sigmoid`` where every channel is
        a class of its own.
    classes
        The supervised classes. With ``softmax`` default all but the background. With ``sigmoid`` one per channel,
        default 0, 1, ...; labels that are not among them are background to every channel.
    batch
        Count voxels over the whole batch (one value per class) instead of per image.
    smooth
        Added to numerator and denominator, as in :class:`DiceLoss`; 1e-5.
    reduction
        ``"mean"``, ``"sum"`` (over classes as in the paper, and images), or ``"none"`` for ``[B, classes]``
        (``[classes]`` with ``batch``).
    ignore_label
        Label of voxels that do not count.

    Raises
    ------
    InputError
        Unknown option, a beta that is not positive, or input whose type, shape or label range does not fit.

    Notes
    -----
    *Convention*: one beta equals ``monai.losses.TverskyLoss(alpha=1 / (1 + beta ** 2), beta=beta ** 2 / (1 + beta **
    2))`` with the same smoothing, whose alpha weighs false positives.

    References
    ----------
    Hashemi et al., "Exclusive independent probability estimation using deep 3D fully convolutional DenseNets", MIDL
    2019, equation 3.

    Examples
    --------
    >>> labels = torch.zeros(1, 8, 8, dtype=torch.long)
    >>> labels[:, 2:6, 2:6] = 1
    >>> too_large = torch.full((1, 1, 8, 8), -9.0)
    >>> too_large[:, :, 1:7, 1:7] = 9.0
    >>> loss = {beta: FBetaLoss(beta, activation="sigmoid", classes=(1,))(too_large, labels) for beta in (1.0, 2.0)}
    >>> [f"{value:.2f}" for value in loss.values()]  # recall is what counts with beta 2, and it is full
    ['0.38', '0.20']
    """

    def __init__(
        self,
        beta: float | Sequence[float] = 1.0,
        *,
        activation: str = "softmax",
        classes: Sequence[int] | None = None,
        batch: bool = False,
        smooth: float = 1e-5,
        reduction: str = "mean",
        ignore_label: int | None = None,
    ) -> None:
        super().__init__()
        self.beta = (float(beta),) if isinstance(beta, int | float) else tuple(float(value) for value in beta)
        if not self.beta or not all(math.isfinite(value) and value > 0 for value in self.beta):
            raise InputError(f"beta must be positive, one value or one per class; got {beta}")
        if activation not in ACTIVATIONS:
            raise unknown("activation", activation, ACTIVATIONS)
        self.activation = activation
        self.classes = None if classes is None else list(classes)
        self.batch = batch
        self.smooth = smooth
        self.reduction = _inputs.check_reduction(reduction)
        self.ignore_label = ignore_label

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the loss of ``logits [B, K, *spatial]`` and ``target`` (labels ``[B, *spatial]``)."""
        if self.activation == "sigmoid":
            predicted, truth = self._independent(logits, target, mask)
        else:
            classes = _inputs.check_channels(self.classes, _inputs.class_count(logits))
            predicted, truth = _inputs.class_maps(logits, target, mask, self.ignore_label)
            predicted, truth = (_inputs.take_channels(values, classes) for values in (predicted, truth))
        true_positives, found, wanted = (
            _inputs.map_sums(maps, batch=self.batch) for maps in (predicted * truth, predicted, truth)
        )
        missed = self._missed_weight(found)
        counted = true_positives + missed * (wanted - true_positives) + (1 - missed) * (found - true_positives)
        return _inputs.reduce_values(1 - (true_positives + self.smooth) / (counted + self.smooth), self.reduction)

    def _independent(self, logits: Tensor, target: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the sigmoids and the indicators of their classes, 0 where a voxel does not count."""
        channels = logits.shape[1] if logits.ndim > 1 else 0
        _inputs.class_count(logits)
        classes = list(range(channels)) if self.classes is None else self.classes
        if len(classes) != channels or len(set(classes)) < channels:
            raise InputError(f"classes must name one class per channel, {channels} different ones; got {classes}")
        # Labels may be any class, trained or not, so their range is not that of the channels.
        labels = _inputs.read_labels(target, logits[:, :1].expand(-1, 256, *logits.shape[2:]), self.ignore_label)
        predicted = torch.sigmoid(_inputs.in_single_precision(logits))
        truth = _inputs.one_hot(labels, classes, predicted.dtype)
        counted = _inputs.counted_voxels(mask, logits, labels, self.ignore_label)
        if counted is not None:
            predicted, truth = predicted.masked_fill(~counted, 0.0), truth.masked_fill(~counted, 0.0)
        return predicted, truth

    def _missed_weight(self, counts: Tensor) -> Tensor:
        """Return the weight of false negatives per class, beta^2 / (1 + beta^2)."""
        if len(self.beta) not in (1, counts.shape[-1]):
            raise InputError(f"beta must be one value or {counts.shape[-1]}, one per class; got {len(self.beta)}")
        squares = torch.tensor(self.beta, dtype=counts.dtype, device=counts.device).square()
        return squares / (1 + squares)


def auto_beta(
    counts: Sequence[float],
    *,
    extra_recall: float = 0.1,
    trained: Sequence[int] | None = None,
    largest: float = 4.0,
) -> tuple[float, ...]:
    r"""Return the beta of each trained class that weighs its false negatives by how rare it is.

    .. math:: \frac{\beta_z^2}{1 + \beta_z^2} = \frac{S - N_z}{S} + \lambda

    with N the classes' voxel counts and S their sum **over the trained classes**. The paper's text does not say over
    which classes it runs; its own figures (21.84 and 31.45 %, beta 1.5 and 1) follow from the trained ones only.

    Parameters
    ----------
    counts
        Voxels of each class.
    extra_recall
        Lambda, added to the weight of false negatives; 0.1 as in the paper.
    trained
        Positions in ``counts`` of the trained classes; default all. A single one has nothing to be compared with but
        the others, so the sum is then over all counts.
    largest
        Bound on beta. The formula needs ``N_z > lambda * S``; rarer classes get this value.

    Raises
    ------
    InputError
        No class, a negative count, none above 0, or ``extra_recall`` outside [0, 1).

    Examples
    --------
    >>> [round(beta, 2) for beta in auto_beta([21.84, 31.45])]
    [1.49, 1.02]
    >>> round(auto_beta([1, 999])[0], 2)
    4.0
    """
    check_number("extra_recall", extra_recall, minimum=0, below=1)
    check_number("largest", largest, above=0)
    chosen = list(range(len(counts))) if trained is None else list(trained)
    if not chosen or not all(0 <= index < len(counts) for index in chosen):
        raise InputError(f"trained must name positions of the {len(counts)} counts; got {chosen}")
    if min(counts) < 0 or not sum(counts[index] for index in chosen) > 0:
        raise InputError(f"counts must not be negative and not all 0 for the trained classes; got {list(counts)}")
    total = sum(counts[index] for index in chosen) if len(chosen) > 1 else sum(counts)
    betas = []
    for index in chosen:
        weight = (total - counts[index]) / total + extra_recall
        if weight >= largest**2 / (1 + largest**2):
            betas.append(float(largest))
        else:
            betas.append(math.sqrt(weight / (1 - weight)) if weight > 0 else 1.0)
    return tuple(betas)
