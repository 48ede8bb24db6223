"""Losses of labels that stand for sets of classes: adaptive cross-entropy and marginal Dice."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from shapewright.errors import unknown
from shapewright.losses import _inputs
from shapewright.losses.label_space import admissible_classes

READINGS = ("dataset", "patch")


class AdaptiveCrossEntropyLoss(nn.Module):
    r"""Cross-entropy of labels that may stand for several classes: :math:`-\log \sum_{j \in V} p_j`.

    Label k below the number of classes K is that class, as usual; label ``K + i`` is any class of ``sets[i]``. The
    classes of a set act as one: the sum is inside the logarithm, so the loss neither says which of them a voxel is
    nor moves their proportions. Equal to cross-entropy after merging the classes of V.

    Parameters
    ----------
    sets
        Classes that the labels K, K + 1, ... stand for; see :class:`~shapewright.losses.LabelSpace`.
    reading
        ``dataset``: V are the classes that the data set does not annotate. ``patch`` adds to every set with the
        background the classes that no voxel of the image is labelled with, so that a class counts as absent only
        where it is present elsewhere.
    reduction
        ``"mean"``, ``"sum"``, or ``"none"`` for ``[B, *spatial]``.
    ignore_label
        Label of voxels that do not count.

    Raises
    ------
    InputError
        Unknown option, a set with a class that there is not, or input whose type, shape or label range does not fit.

    Notes
    -----
    Equation 4 of the paper sums over the labels "that are not in the patch", yet means to include the background,
    which is; and a patch without lesion would then teach nothing. ``dataset`` is what its text describes; ``patch``
    is the equation, kept for comparison. Equation 3 lacks the mean over voxels that the text states.

    The gradient with respect to logit j of a voxel with set V is :math:`p_j - [j \in V]\, p_j / \sum_{V} p`.

    *Convention*: without ``sets`` equals ``torch.nn.functional.cross_entropy``; where no voxel counts the mean is 0
    instead of NaN.

    References
    ----------
    Roulet, Fernandez Slezak, Ferrante, "Joint learning of brain lesion and anatomy segmentation from heterogeneous
    datasets", MIDL 2019; later called marginal loss (Shi et al., Medical Image Analysis 2021).

    Examples
    --------
    >>> any_but_lesion = 4  # of background, grey, white, lesion
    >>> labels = torch.tensor([[[3, any_but_lesion]]])
    >>> loss = AdaptiveCrossEntropyLoss(sets=[(0, 1, 2)], reduction="none")
    >>> print(loss(torch.zeros(1, 4, 1, 2), labels))  # -log(1/4) and -log(3/4)
    tensor([[[1.3863, 0.2877]]])
    """

    def __init__(
        self,
        sets: Sequence[Sequence[int]] = (),
        *,
        reading: str = "dataset",
        reduction: str = "mean",
        ignore_label: int | None = None,
    ) -> None:
        super().__init__()
        if reading not in READINGS:
            raise unknown("reading", reading, READINGS)
        self.sets = tuple(tuple(members) for members in sets)
        self.reading = reading
        self.reduction = _inputs.check_reduction(reduction)
        self.ignore_label = ignore_label

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the loss of ``logits [B, K, *spatial]`` and ``target`` (labels ``[B, *spatial]``)."""
        classes = _inputs.class_count(logits)
        labels = _inputs.read_labels(target, logits, self.ignore_label, more=len(self.sets))
        counted = _inputs.counted_voxels(mask, logits, labels, self.ignore_label)
        precise = _inputs.class_logits(logits)
        if counted is not None:
            labels = labels.masked_fill(~counted[:, 0], 0)
        table = torch.from_numpy(admissible_classes(classes, self.sets)).to(logits.device)
        if self.reading == "patch":
            table = _widened(table, _labels_present(labels, len(table), counted), classes)
            image = torch.arange(len(labels), device=labels.device).view(-1, *[1] * (labels.ndim - 1))
            admissible = table[image, labels]
        else:
            admissible = table[labels]
        possible = precise.masked_fill(~admissible.movedim(-1, 1), -torch.inf)
        values = torch.logsumexp(precise, dim=1) - torch.logsumexp(possible, dim=1)
        return _inputs.reduce_voxels(values, None if counted is None else counted[:, 0], self.reduction)


class MarginalDiceLoss(nn.Module):
    r"""Soft Dice of labels that may stand for several classes, whose probabilities are added first.

    Every label l of an image is a region with probability :math:`s_l = \sum_{j \in V_l} p_j`, compared on the voxels
    whose label tells whether they belong to it. A label counts in an image that shows it, and where no label that the
    image shows has a class in common with it: on an image labelled "lesion" and "not lesion" these two count, and grey
    matter, which nobody looked for, does not.

    Parameters
    ----------
    sets
        Classes that the labels K, K + 1, ... stand for.
    smooth
        The :math:`\epsilon` of :class:`~shapewright.losses.DiceLoss`.
    reduction
        ``"mean"`` is over the labels that count, ``"sum"``, or ``"none"`` for ``[B, labels]``, 0 where one does not.
    ignore_label
        Label of voxels that do not count.

    Raises
    ------
    InputError
        Unknown option, a set with a class that there is not, or input whose type, shape or label range does not fit.

    Notes
    -----
    *Convention*: without ``sets`` the mean of :class:`~shapewright.losses.DiceLoss` over all classes, background
    included.

    References
    ----------
    Shi et al., "Marginal loss and exclusion loss for partially supervised multi-organ segmentation", Medical Image
    Analysis 2021; the Dice counterpart of adaptive cross-entropy.

    Examples
    --------
    >>> labels = torch.full((1, 4, 4), 3)  # not class 2
    >>> certain = torch.zeros(1, 3, 4, 4)
    >>> certain[:, 1] = 30.0
    >>> print(MarginalDiceLoss(sets=[(0, 1)], reduction="none")(certain, labels).round(decimals=3))
    tensor([[0., 0., 0., 0.]])
    """

    def __init__(
        self,
        sets: Sequence[Sequence[int]] = (),
        *,
        smooth: float = 1e-5,
        reduction: str = "mean",
        ignore_label: int | None = None,
    ) -> None:
        super().__init__()
        self.sets = tuple(tuple(members) for members in sets)
        self.smooth = smooth
        self.reduction = _inputs.check_reduction(reduction)
        self.ignore_label = ignore_label

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the loss of ``logits [B, K, *spatial]`` and ``target`` (labels ``[B, *spatial]``)."""
        _inputs.class_count(logits)
        labels = _inputs.read_labels(target, logits, self.ignore_label, more=len(self.sets))
        counted = _inputs.counted_voxels(mask, logits, labels, self.ignore_label)
        regions = label_regions(_inputs.class_probabilities(logits), labels, self.sets, counted)
        shared = _inputs.map_sums(regions.predicted * regions.true)
        sizes = _inputs.map_sums(regions.predicted + regions.true)
        values = _inputs.soft_dice_loss(shared, sizes, self.smooth).masked_fill(~regions.counts, 0.0)
        if self.reduction == "mean":
            return values.sum() / regions.counts.sum().clamp(min=1)
        return _inputs.reduce_values(values, self.reduction)


@dataclass(frozen=True, eq=False)
class LabelRegions:
    """What every label says about an image, and what is predicted of it.

    Parameters
    ----------
    predicted
        [B, labels, *spatial] summed probabilities of the label's classes, 0 where the voxel's label does not tell
        whether it is one of these classes.
    true
        [B, labels, *spatial] 1 where it is one of them.
    counts
        bool [B, labels]: labels that an image shows, or that no label it shows has a class in common with.
    """

    predicted: Tensor
    true: Tensor
    counts: Tensor


def label_regions(
    probabilities: Tensor, labels: Tensor, sets: Sequence[Sequence[int]], counted: Tensor | None = None
) -> LabelRegions:
    """Return the region of every label in images, predicted and true.

    Parameters
    ----------
    probabilities
        [B, K, *spatial].
    labels
        [B, *spatial] with values below ``K + len(sets)``.
    sets
        Classes that the labels K, K + 1, ... stand for.
    counted
        bool [B, 1, *spatial], the voxels that count; None for all.

    Examples
    --------
    >>> labels = torch.tensor([[[2, 3]]])  # class 2; class 0 or 1
    >>> regions = label_regions(torch.full((1, 3, 1, 2), 1 / 3), labels, [(0, 1)])
    >>> regions.counts  # classes 0 and 1 are not told apart
    tensor([[False, False,  True,  True]])
    """
    table = torch.from_numpy(admissible_classes(probabilities.shape[1], sets)).to(labels.device)
    disjoint = ~(table[:, None] & table).any(-1)
    inside = ~(table[None] & ~table[:, None]).any(-1)  # [region, label]: the label's classes are the region's
    unions = [probabilities[:, list(members)].sum(dim=1, keepdim=True) for members in sets]
    there = _inputs.one_hot(labels, len(table), torch.bool)
    if counted is not None:
        there, labels = there & counted, labels.masked_fill(~counted[:, 0], 0)
    present = there.flatten(2).any(-1)
    told = (inside | disjoint)[:, labels].movedim(0, 1)
    true = inside[:, labels].movedim(0, 1)
    if counted is not None:
        told, true = told & counted, true & counted
    predicted = torch.cat([probabilities, *unions], dim=1).masked_fill(~told, 0.0)
    overlapped = (present[..., None] & ~disjoint).any(1)
    return LabelRegions(predicted, true.to(probabilities.dtype), present | ~overlapped)


def _labels_present(labels: Tensor, count: int, counted: Tensor | None) -> Tensor:
    """Return which labels every image shows, bool ``[B, labels]``."""
    there = _inputs.one_hot(labels, count, torch.bool)
    if counted is not None:
        there = there & counted
    return there.flatten(2).any(-1)


def _widened(table: Tensor, present: Tensor, classes: int) -> Tensor:
    """Return the table of every image ``[B, labels, classes]``, absent classes added to sets with the background."""
    tables = table.expand(len(present), -1, -1)
    unsure = tables[..., :1] & (tables.sum(-1, keepdim=True) > 1)
    return tables | (unsure & ~present[:, None, :classes])
