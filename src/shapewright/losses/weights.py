"""Cross-entropy whose weights make up for few and unequal labels."""

from typing import Literal

import torch
from torch import Tensor, nn

from shapewright.errors import InputError, unknown
from shapewright.losses import _inputs

Scheme = Literal["mask", "instance", "batch"]
SCHEMES = ("mask", "instance", "batch")


def balance_weights(
    labels: Tensor,
    scheme: Scheme = "batch",
    *,
    classes: int | None = None,
    mask: Tensor | None = None,
    ignore_label: int | None = None,
) -> Tensor:
    r"""Return a weight per voxel that is 0 where the label is unknown and evens out the classes elsewhere.

    .. math:: w_i = L / (C\, n_{y_i}),

    with L labelled voxels, C classes among them and n_k voxels of class k, counted per image (``instance``) or over
    the batch (``batch``). The weights sum to L, and every class that is present has the same total weight L / C.

    Parameters
    ----------
    labels
        Class indices ``[B, *spatial]``.
    scheme
        ``mask``: 1 on every labelled voxel; ``instance``: classes evened out within each image, which changes nothing
        in an image with one class; ``batch``: over the whole batch.
    classes
        Number of classes; default as many as the largest label asks for.
    mask
        True where a voxel counts, ``[B, *spatial]`` or ``[B, 1, *spatial]``.
    ignore_label
        Label of voxels that do not count.

    Returns
    -------
    Tensor
        float32 ``[B, *spatial]``.

    Raises
    ------
    InputError
        An unknown scheme, or labels and mask that do not fit.

    References
    ----------
    Bokhorst et al., "Learning from sparsely annotated data for semantic segmentation in histopathology images",
    MIDL 2019, equations 1 and 2. The paper's label 0 (not annotated) is ``ignore_label=0`` here.

    Examples
    --------
    >>> labels = torch.tensor([[0, 0, 0, 1], [1, 1, 1, 1]]).view(2, 2, 2)
    >>> balance_weights(labels, "instance").flatten()
    tensor([0.6667, 0.6667, 0.6667, 2.0000, 1.0000, 1.0000, 1.0000, 1.0000])
    >>> balance_weights(labels, "batch").flatten()
    tensor([1.3333, 1.3333, 1.3333, 0.8000, 0.8000, 0.8000, 0.8000, 0.8000])
    """
    if scheme not in SCHEMES:
        raise unknown("scheme", scheme, SCHEMES)
    if labels.is_floating_point() or labels.ndim < 2:
        raise InputError(f"labels must be integers [B, *spatial]; got {labels.dtype} of shape {tuple(labels.shape)}")
    counted = torch.ones_like(labels, dtype=torch.bool) if ignore_label is None else labels != ignore_label
    if mask is not None:
        if mask.numel() != labels.numel():
            raise InputError(f"mask must have the labels' shape {tuple(labels.shape)}; got {tuple(mask.shape)}")
        counted = counted & mask.reshape(labels.shape).bool()
    if scheme == "mask":
        return counted.float()
    images = len(labels) if scheme == "instance" else 1
    index = labels.long().masked_fill(~counted, 0).reshape(images, -1)
    if classes is None:
        classes = int(index.max()) + 1 if index.numel() else 1
    known = counted.reshape(images, -1).float()
    counts = known.new_zeros(images, classes).scatter_add_(1, index, known)
    weights: Tensor = (class_balance(counts).gather(1, index) * known).reshape(labels.shape)
    return weights


def class_balance(counts: Tensor) -> Tensor:
    """Return the weights L / (C n_k) of numbers of voxels ``[..., classes]``; 0 for classes without any.

    Examples
    --------
    >>> class_balance(torch.tensor([6.0, 0.0, 2.0]))
    tensor([0.6667, 0.0000, 2.0000])
    """
    present = (counts > 0).sum(-1, keepdim=True)
    weights = counts.sum(-1, keepdim=True) / (present * counts).clamp(min=1)
    return weights.masked_fill(counts == 0, 0.0)


class BalancedCrossEntropy(nn.Module):
    """Cross-entropy for sparse labels: unknown voxels do not count, and classes are evened out.

    Parameters
    ----------
    scheme
        See :func:`balance_weights`; ``batch`` by default, the only one that helps where images show one labelled
        class each.
    cap
        Largest weight. A class with one voxel in the batch would otherwise have the influence of all others; None
        leaves it so, as the paper does.
    per
        What ``"mean"`` divides by: ``labelled`` voxels, or ``all``, so that batches with few labels count less.
    reduction
        ``"mean"``, ``"sum"``, or ``"none"`` for ``[B, *spatial]``.
    ignore_label
        Label of voxels that do not count.

    Raises
    ------
    InputError
        An unknown option, or input whose type, shape or label range does not fit.

    Notes
    -----
    *Convention*: with ``scheme="batch"`` equal to ``torch.nn.functional.cross_entropy`` with the inverse numbers of
    voxels as class weights; where no voxel counts the mean is 0 instead of NaN.

    References
    ----------
    Bokhorst et al., "Learning from sparsely annotated data for semantic segmentation in histopathology images",
    MIDL 2019. The paper does not say how it reduces; the mean over labelled voxels keeps the loss's scale.

    Examples
    --------
    >>> labels = torch.tensor([[[0, 255], [255, 1]]])
    >>> print(f"{BalancedCrossEntropy(ignore_label=255)(torch.zeros(1, 2, 2, 2), labels):.4f}")
    0.6931
    """

    def __init__(
        self,
        scheme: Scheme = "batch",
        *,
        cap: float | None = None,
        per: Literal["labelled", "all"] = "labelled",
        reduction: str = "mean",
        ignore_label: int | None = None,
    ) -> None:
        super().__init__()
        if scheme not in SCHEMES:
            raise unknown("scheme", scheme, SCHEMES)
        if per not in ("labelled", "all"):
            raise unknown("value for per", per, ("labelled", "all"))
        if cap is not None and not cap > 0:
            raise InputError(f"cap must be positive; got {cap}")
        self.scheme = scheme
        self.cap = cap
        self.per = per
        self.reduction = _inputs.check_reduction(reduction)
        self.ignore_label = ignore_label

    def extra_repr(self) -> str:
        """Show the scheme."""
        return f"{self.scheme!r}"

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the loss of ``logits [B, K, *spatial]`` and ``target`` (labels ``[B, *spatial]``)."""
        classes = _inputs.class_count(logits)
        labels = _inputs.read_labels(target, logits, self.ignore_label)
        counted = _inputs.counted_voxels(mask, logits, labels, self.ignore_label)
        weights = balance_weights(labels, self.scheme, classes=classes, mask=counted)
        if self.cap is not None:
            weights = weights.clamp(max=self.cap)
        precise = _inputs.class_logits(logits)
        if counted is not None:
            labels = labels.masked_fill(~counted[:, 0], 0)
        values = nn.functional.cross_entropy(precise, labels, reduction="none") * weights
        if counted is not None:
            values = values.masked_fill(~counted[:, 0], 0.0)
        if self.reduction == "mean":
            share = weights.sum() if self.per == "labelled" else values.new_tensor(float(values.numel()))
            return values.sum() / torch.where(share > 0, share, 1.0)
        return _inputs.reduce_values(values, self.reduction)
