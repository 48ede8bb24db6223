"""Soft Jaccard distances between probability maps: to labels, and between two predictions."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from shapewright.errors import InputError, unknown
from shapewright.losses import _inputs
from shapewright.losses.label_sets import label_regions

Form = Literal["l1", "tanimoto"]
FORMS = ("l1", "tanimoto")


def soft_jaccard(first: Tensor, second: Tensor, form: Form = "l1") -> Tensor:
    r"""Return the Jaccard distance of two sets of maps, per image and class.

    ``l1`` is :math:`1 - \sum \min(a, b) / \sum \max(a, b)`, a metric on non-negative maps; ``tanimoto`` is
    :math:`1 - \sum a b / \sum (a^2 + b^2 - a b)`, which is not.

    Parameters
    ----------
    first, second
        Non-negative maps ``[B, K, *spatial]``.
    form
        ``l1`` by default: the triangle inequality :math:`d(a, c) \le d(a, b) + d(b, c)` needs it.

    Returns
    -------
    Tensor
        ``[B, K]`` in 0 to 1; 0 where both maps are empty.

    Raises
    ------
    InputError
        Another form, or maps of different shape.

    Notes
    -----
    On binary maps both are one minus intersection over union. The Tanimoto form violates the triangle inequality
    for soft maps, by up to 0.124 for scalars: d(.25, 1) = .692 exceeds d(.25, .5) + d(.5, 1) = .667. The paper, which
    needs the inequality, leaves its proof open.

    *Convention*: equals ``monai.losses.DiceLoss(jaccard=True, soft_label=True)`` (``l1``) and ``DiceLoss(jaccard=True,
    squared_pred=True)`` (``tanimoto``) without smoothing.

    References
    ----------
    Dorent et al., "Learning joint lesion and tissue segmentation from task-specific hetero-modal datasets", MIDL 2019,
    equation 6 (``tanimoto``).

    Examples
    --------
    >>> a, b, c = (torch.full((1, 1, 1, 1), value) for value in (0.25, 0.5, 1.0))
    >>> [round(soft_jaccard(x, y, "tanimoto").item(), 3) for x, y in ((a, c), (a, b), (b, c))]
    [0.692, 0.333, 0.333]
    >>> [round(soft_jaccard(x, y).item(), 3) for x, y in ((a, c), (a, b), (b, c))]
    [0.75, 0.5, 0.5]
    """
    if form not in FORMS:
        raise unknown("form", form, FORMS)
    if first.shape != second.shape or first.ndim < 3:
        raise InputError(
            f"both maps must have the same shape [B, K, *spatial]; got {tuple(first.shape)} and {tuple(second.shape)}"
        )
    a, b = first.flatten(2), second.flatten(2)
    if form == "l1":
        shared, union = torch.minimum(a, b).sum(-1), torch.maximum(a, b).sum(-1)
    else:
        shared = (a * b).sum(-1)
        union = (a.square() + b.square()).sum(-1) - shared
    empty = union <= 0
    return torch.where(empty, 0.0, 1 - shared / torch.where(empty, 1.0, union))


class JaccardLoss(nn.Module):
    """Weighted soft Jaccard distance over some of the classes.

    One versus all: the loss of a class depends on that class's probability alone, so a data set that annotates some
    classes supervises those and leaves the others alone, and the loss of all classes is the sum of the losses of parts.

    Parameters
    ----------
    sets
        Classes that the labels K, K + 1, ... stand for; see :class:`~shapewright.losses.LabelSpace`. A class is then
        compared on those voxels alone whose label tells whether they belong to it.
    channels
        Labels to supervise: classes, or K, K + 1, ... for sets; default all but the background.
    class_weights
        One non-negative weight for each of ``channels``; default equal ones. Those of the labels that count in an
        image, see :class:`~shapewright.losses.MarginalDiceLoss`, are divided by their sum.
    form
        ``l1``, a metric, or ``tanimoto``; see :func:`soft_jaccard`.
    reduction
        ``"mean"`` over images, ``"sum"``, or ``"none"`` for ``[B]``.
    ignore_label
        Label of voxels that do not count.

    Raises
    ------
    InputError
        Unknown option, wrong number of weights, or input whose type, shape or label range does not fit.

    Notes
    -----
    The paper's weights, 1/2 for the lesion and 1/16 for every tissue, do not sum to 1 as it asks for with its 6
    tissues (7/8, with the background 15/16). The mean over a batch of as many images of tissue as of lesions gives the
    lesion 1/2 and the tissues the other half in equal parts.

    On an image without a class the distance is 1 whatever is predicted, so its gradient is 0 in the form ``l1``; what
    is not lesion is a label with a gradient of its own.

    References
    ----------
    Dorent et al., MIDL 2019, equation 6.

    Examples
    --------
    >>> labels = torch.zeros(1, 8, 8, dtype=torch.long)
    >>> labels[:, 2:6, 2:6] = 1
    >>> print(f"{JaccardLoss()(torch.zeros(1, 2, 8, 8), labels):.3f}")  # 1 - 8 / (16 + 24)
    0.800
    """

    def __init__(
        self,
        sets: Sequence[Sequence[int]] = (),
        *,
        channels: Sequence[int] | None = None,
        class_weights: Sequence[float] | None = None,
        form: Form = "l1",
        reduction: str = "mean",
        ignore_label: int | None = None,
    ) -> None:
        super().__init__()
        if form not in FORMS:
            raise unknown("form", form, FORMS)
        self.sets = tuple(tuple(members) for members in sets)
        self.channels = channels
        self.class_weights = _inputs.check_class_weights(class_weights)
        self.form: Form = form
        self.reduction = _inputs.check_reduction(reduction)
        self.ignore_label = ignore_label

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the loss of ``logits [B, K, *spatial]`` and ``target`` (labels ``[B, *spatial]``)."""
        classes = _inputs.class_count(logits)
        labels = _inputs.read_labels(target, logits, self.ignore_label, more=len(self.sets))
        counted = _inputs.counted_voxels(mask, logits, labels, self.ignore_label)
        regions = label_regions(_inputs.class_probabilities(logits), labels, self.sets, counted)
        channels = _inputs.check_channels(self.channels, classes + len(self.sets))
        first, second = (_inputs.take_channels(maps, channels) for maps in (regions.predicted, regions.true))
        return self._weighted(soft_jaccard(first, second, self.form), regions.counts[:, channels])

    def _weighted(self, distances: Tensor, counts: Tensor) -> Tensor:
        """Reduce distances ``[B, channels]``."""
        given = self.class_weights or (1.0,) * distances.shape[1]
        if len(given) != distances.shape[1]:
            raise InputError(f"class_weights must have {distances.shape[1]} values, one per channel; got {len(given)}")
        weights = counts * torch.tensor(given, dtype=distances.dtype, device=distances.device)
        shares = weights / weights.sum(dim=1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
        return _inputs.reduce_values((shares * distances).sum(dim=1), self.reduction)


def modality_consistency(
    network: Callable[[Tensor], Tensor],
    image: Tensor,
    shared: Sequence[int],
    *,
    logits: Tensor | None = None,
    classes: Tensor | None = None,
    form: Form = "l1",
    detach: str = "none",
) -> Tensor:
    """Return how far a prediction from all modalities is from that of the shared ones, per image.

    Parameters
    ----------
    network
        Image to logits; a channel that is NaN is missing.
    image
        [B, C, *spatial].
    shared
        Channels that the reduced image keeps.
    logits
        Those of ``image``, where they are known already.
    classes
        bool [B, K], the classes to compare; default all.
    form
        See :func:`soft_jaccard`.
    detach
        ``none`` lets gradients through both predictions, ``target`` through that of ``image`` alone. The paper does
        not say; its authors' later code does the former.

    Returns
    -------
    Tensor
        [B], the mean over an image's ``classes``; 0 without any.

    Raises
    ------
    InputError
        Another ``detach``.

    References
    ----------
    Dorent et al., MIDL 2019, equation 5, first term.

    Examples
    --------
    >>> def brighter(image):  # a network of the mean of what there is
    ...     return torch.cat([torch.zeros_like(image[:, :1]), image.nanmean(dim=1, keepdim=True)], dim=1)
    >>> image = torch.ones(1, 2, 4, 4)
    >>> modality_consistency(brighter, image, shared=[0]).item()
    0.0
    """
    if detach not in ("none", "target"):
        raise unknown("detach", detach, ("none", "target"))
    reduced = torch.full_like(image, torch.nan)
    reduced[:, list(shared)] = image[:, list(shared)]
    first = _inputs.class_probabilities(network(image) if logits is None else logits)
    second = _inputs.class_probabilities(network(reduced))
    distances = soft_jaccard(first, second.detach() if detach == "target" else second, form)
    weights = torch.ones_like(distances) if classes is None else classes.to(distances.dtype)
    return (weights * distances).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
