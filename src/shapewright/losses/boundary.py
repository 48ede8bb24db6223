"""The boundary loss: signed distances of the truth, weighted by the predicted probabilities."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from shapewright.arrays import check_spacing
from shapewright.errors import InputError, unknown
from shapewright.geometry import signed_distance
from shapewright.geometry.signed import CONVENTIONS, Convention
from shapewright.losses import _inputs

NORMALISATIONS = ("diagonal", "max")
SIDES = ("both", "outside", "inside")


class BoundaryLoss(nn.Module):
    r"""Boundary loss, :math:`\frac{1}{n}\sum_{b,k,q} \phi_k(q)\, s_k(q)`.

    :math:`s_k` is the predicted probability of class *k* and :math:`\phi_k` the signed distance to the boundary of
    its true region, negative inside. Up to a constant the sum is half the squared :math:`L_2` distance between the
    two boundaries: a false positive costs its distance from the object, a missed voxel its depth in it. The sum is
    divided by the number of voxels, images and supervised classes (the scale the published weights refer to).

    The loss is **negative** for a good prediction; its minimum, the sum of :math:`\phi` over the object, is reached
    by the truth. It is linear in the probabilities and almost flat at an empty prediction, so it is meant to be
    added to a regional loss (see :class:`~shapewright.losses.WeightSchedule`), never used alone.

    Parameters
    ----------
    channels
        Classes to supervise; default all but the background, as the authors do for lesions. Supervising both classes
        of two with ``convention="kervadec"`` has the gradient of ``"half"`` with the foreground alone.
    convention
        Where distance zero lies, for maps computed from labels: ``"half"`` (between the voxels; the most accurate of
        the three), ``"plain"`` or ``"kervadec"``; see :func:`shapewright.geometry.signed_distance`.
    spacing
        Voxel size in mm per spatial axis, for maps computed from labels and for ``normalise="diagonal"``; default 1.
    reduction
        ``"mean"``, ``"sum"``, or ``"none"`` for ``[B, len(channels), *spatial]``.
    normalise
        ``None`` keeps millimetres; ``"diagonal"`` divides by the image's diagonal; ``"max"`` divides each map by its
        largest absolute distance. Both make the weight independent of the image's size.
    side
        ``"both"``; ``"outside"`` penalises false positives only, ``"inside"`` rewards the object's voxels only.
    ignore_label
        Label of voxels that do not count. When maps are computed from labels they belong to no class.

    Raises
    ------
    InputError
        Unknown option, or input whose type, shape, channels or label range do not fit; the message says which.

    Notes
    -----
    Precomputed maps cost one product. Compute them on the whole image with its spacing (a map computed on a crop is
    wrong near the crop's border) and crop them with it; after flips and rotations by 90 degrees a map stays right,
    after other warps compute it from the warped labels. A class that is absent, or fills the image, has a map of
    zeros: it is not supervised.

    *Convention*: equals ``monai.losses.BoundaryLoss`` for ``convention="kervadec"`` and all classes as ``channels``.

    References
    ----------
    Kervadec et al., "Boundary loss for highly unbalanced segmentation", MIDL 2019, equation 5.

    Examples
    --------
    >>> labels = torch.zeros(1, 8, 8, dtype=torch.long)
    >>> labels[:, 2:6, 2:6] = 1
    >>> truth = 20.0 * torch.stack([labels == 0, labels == 1], dim=1).float()
    >>> loss = BoundaryLoss()
    >>> print(f"{loss(truth, labels):.3f} {loss(truth.roll(2, -1), labels):.3f}")
    -0.188 0.031
    >>> from shapewright.geometry import class_distance_maps
    >>> maps = class_distance_maps(labels, 2, spatial_dims=2)
    >>> print(f"{loss(truth, maps):.3f}")
    -0.188
    """

    def __init__(
        self,
        *,
        channels: Sequence[int] | None = None,
        convention: Convention = "half",
        spacing: Sequence[float] | float | None = None,
        reduction: str = "mean",
        normalise: str | None = None,
        side: str = "both",
        ignore_label: int | None = None,
    ) -> None:
        super().__init__()
        if convention not in CONVENTIONS:
            raise unknown("convention", convention, CONVENTIONS)
        if normalise is not None and normalise not in NORMALISATIONS:
            raise unknown("normalise", normalise, NORMALISATIONS)
        if side not in SIDES:
            raise unknown("side", side, SIDES)
        self.channels = channels
        self.convention = convention
        self.spacing = spacing
        self.reduction = _inputs.check_reduction(reduction)
        self.normalise = normalise
        self.side = side
        self.ignore_label = ignore_label

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the loss.

        Parameters
        ----------
        logits
            ``[B, K, *spatial]``; one channel is read as a sigmoid.
        target
            Floating point ``[B, K, *spatial]``: precomputed maps, one per class, or ``[B, len(channels), *spatial]``,
            one per supervised class (``[B, 1, *spatial]``, the foreground's, for one-channel logits). Integer
            ``[B, *spatial]`` or ``[B, 1, *spatial]``: labels, whose maps are computed here.
        mask
            ``[B, *spatial]`` or ``[B, 1, *spatial]``, true where a voxel counts.
        """
        channels = _inputs.check_channels(self.channels, _inputs.class_count(logits))
        if target.is_floating_point():
            labels = None
            maps = _select_maps(target, logits, channels)
        else:
            labels = _inputs.read_labels(target, logits, self.ignore_label)
            maps = self._maps_of(labels, channels)
        probabilities = _inputs.take_channels(_inputs.class_probabilities(logits), channels)
        values = probabilities * self._shape(maps.to(probabilities))
        counted = _inputs.counted_voxels(mask, logits, labels, self.ignore_label)
        return _inputs.reduce_voxels(values, counted, self.reduction)

    def extra_repr(self) -> str:
        """Name the settings that change the loss's value."""
        return f"channels={self.channels}, convention={self.convention!r}, spacing={self.spacing}, side={self.side!r}"

    def _maps_of(self, labels: Tensor, channels: list[int]) -> Tensor:
        spatial_dims = labels.ndim - 1
        maps = [
            signed_distance(labels == k, spacing=self.spacing, spatial_dims=spatial_dims, convention=self.convention)
            for k in channels
        ]
        return torch.stack(maps, dim=1)

    def _shape(self, maps: Tensor) -> Tensor:
        """Return the maps one-sided and normalised as configured."""
        if self.normalise == "diagonal":
            spatial = maps.shape[2:]
            spacing = check_spacing(self.spacing, len(spatial))
            maps = maps / sum((n * s) ** 2 for n, s in zip(spatial, spacing, strict=True)) ** 0.5
        elif self.normalise == "max":
            largest = maps.abs().amax(dim=tuple(range(2, maps.ndim)), keepdim=True)
            maps = maps / torch.where(largest > 0, largest, 1.0)
        if self.side == "outside":
            return maps.clamp(min=0)
        if self.side == "inside":
            return maps.clamp(max=0)
        return maps


def _select_maps(maps: Tensor, logits: Tensor, channels: list[int]) -> Tensor:
    """Return the maps of the supervised channels after checking that they fit the logits."""
    same_place = maps.ndim == logits.ndim and maps.shape[0] == logits.shape[0] and maps.shape[2:] == logits.shape[2:]
    if same_place and maps.shape[1] == logits.shape[1]:
        if maps.shape[1] > 1:
            return _inputs.take_channels(maps, channels)
        if channels == [1]:
            return maps
        raise InputError(f"channels must be (1,) for distance maps with one channel; got {tuple(channels)}")
    if same_place and maps.shape[1] == len(channels):
        return maps
    raise InputError(
        f"distance maps must have the logits' shape {tuple(logits.shape)}, one map per class, or one map for each of "
        f"the supervised channels {tuple(channels)}; got {tuple(maps.shape)}. "
        "Labels are passed as integers [B, *spatial]"
    )
