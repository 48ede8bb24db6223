"""Losses of the centre lines: clDice with a skeleton that keeps the topology, or with the min/max-pooling one."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from shapewright.errors import InputError, unknown
from shapewright.losses import _inputs
from shapewright.losses.overlap import DiceLoss
from shapewright.morphology import skeletonize


class SkeletonLoss(nn.Module):
    r"""Centre-line Dice (clDice) loss, per image and class, optionally with Dice.

    With predicted probabilities :math:`V_P`, the true set :math:`V_L` and their skeletons :math:`S_P, S_L`

    .. math::
        T_{prec} = \frac{\sum S_P V_L + \epsilon}{\sum S_P + \epsilon}, \qquad
        T_{sens} = \frac{\sum S_L V_P + \epsilon}{\sum S_L + \epsilon}, \qquad
        L = (1 - w)\Bigl(1 - \frac{2\, T_{prec} T_{sens}}{T_{prec} + T_{sens}}\Bigr) + w\, L_{Dice}.

    Parameters
    ----------
    channels
        Classes to supervise; default all but the background.
    skeleton
        ``"homotopic"``: :func:`shapewright.morphology.skeletonize`, the polynomial of a thinning that keeps
        components, holes and tunnels. ``"pooled"``: the paper's iterated min- and max-pooling, whose skeletons fall
        apart, as a reference; see :func:`pooled_skeleton`. It stays on the tensor's device, where the homotopic one is
        computed on the CPU.
    iterations
        Layers to remove: at least the radius of the widest object in voxels. By default a quarter of the shortest
        spatial axis, at most 10.
    dice_weight
        The :math:`w` of the Dice loss, in [0, 1]. Centre lines alone say little about widths; the default of 0.5
        gives clDice the largest weight that the paper uses. 0 is the bare clDice.
    smooth
        The :math:`\epsilon`, in voxels, of clDice and of Dice; 1 as in the authors' code, so that an image without the
        object still has a gradient.
    reduction
        ``"mean"``, ``"sum"``, or ``"none"`` for ``[B, len(channels)]``.
    ignore_label
        Label of voxels that do not count. They are taken out of both maps before the skeletons are computed.

    Raises
    ------
    InputError
        Unknown option, or input whose type, shape or label range does not fit.

    Notes
    -----
    *Convention*: with ``skeleton="pooled", dice_weight=0`` the ``soft_cldice`` of the authors' code, per image and
    class instead of over the batch. Degenerate cases of the clDice part: 0 where neither truth nor prediction has the
    class; ``s / (s + 2 smooth)`` where only one of them has it, with ``s`` the sum of its skeleton; 0 where no voxel
    counts. A constant prediction has an empty pooled skeleton and so no gradient from the pooled clDice part on an
    empty truth; the homotopic one has.

    References
    ----------
    Shit et al., "clDice: a novel topology-preserving loss function for tubular structure segmentation", CVPR 2021.
    Guzzi et al., "Differentiable soft morphological filters for medical image segmentation", MICCAI 2024.

    Examples
    --------
    >>> labels = torch.zeros(1, 9, 9, dtype=torch.long)
    >>> labels[:, 3:6, 1:8] = 1
    >>> whole = 20.0 * torch.stack([labels == 0, labels == 1], dim=1)
    >>> cut = 20.0 * torch.stack([labels == 0, labels == 1], dim=1)
    >>> cut[..., 4] = -cut[..., 4]
    >>> print(f"{SkeletonLoss()(whole, labels):.2f}")
    0.00
    >>> bool(SkeletonLoss(dice_weight=0)(cut, labels) > 0.1)
    True
    """

    def __init__(
        self,
        *,
        channels: Sequence[int] | None = None,
        skeleton: str = "homotopic",
        iterations: int | None = None,
        dice_weight: float = 0.5,
        smooth: float = 1.0,
        reduction: str = "mean",
        ignore_label: int | None = None,
    ) -> None:
        super().__init__()
        if skeleton not in SKELETONS:
            raise unknown("skeleton", skeleton, SKELETONS)
        if iterations is not None and iterations < 1:
            raise InputError(f"iterations must be a positive number of layers, or None; got {iterations}")
        if not 0 <= dice_weight <= 1:
            raise InputError(f"dice_weight must lie in [0, 1]; got {dice_weight}")
        if smooth <= 0:
            raise InputError(f"smooth must be positive, so that empty images have a value; got {smooth}")
        self.channels = channels
        self.skeleton = skeleton
        self.iterations = iterations
        self.dice_weight = dice_weight
        self.smooth = smooth
        self.reduction = _inputs.check_reduction(reduction)
        self.ignore_label = ignore_label
        self.dice = DiceLoss(channels=channels, smooth=smooth, reduction="none", ignore_label=ignore_label)

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the loss of ``logits [B, K, *spatial]`` and ``target`` (labels ``[B, *spatial]``)."""
        loss = torch.zeros((), device=logits.device)
        if self.dice_weight < 1:
            loss = loss + (1 - self.dice_weight) * self._centre_line_loss(logits, target, mask)
        if self.dice_weight > 0:
            loss = loss + self.dice_weight * self.dice(logits, target, mask=mask)
        return _inputs.reduce_values(loss, self.reduction)

    def extra_repr(self) -> str:
        """Name the options that decide what is computed."""
        return f"skeleton={self.skeleton!r}, iterations={self.iterations}, dice_weight={self.dice_weight}"

    def _centre_line_loss(self, logits: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
        channels = _inputs.check_channels(self.channels, _inputs.class_count(logits))
        maps = _inputs.class_maps(logits, target, mask, self.ignore_label)
        predicted, truth = (_inputs.take_channels(values, channels) for values in maps)
        layers = self.iterations or max(1, min(10, min(logits.shape[2:]) // 4))
        thinned = SKELETONS[self.skeleton]
        precision = self._share(thinned(predicted, layers), truth)
        sensitivity = self._share(thinned(truth, layers), predicted)
        return 1 - 2 * precision * sensitivity / (precision + sensitivity)

    def _share(self, skeletons: Tensor, maps: Tensor) -> Tensor:
        """Return how much of the skeletons ``[B, C, *spatial]`` lies in the maps, ``[B, C]``, never 0."""
        inside, whole = (skeletons * maps).flatten(2).sum(-1), skeletons.flatten(2).sum(-1)
        return (inside + self.smooth) / (whole + self.smooth)


def homotopic_skeleton(probabilities: Tensor, iterations: int) -> Tensor:
    """Return the soft skeleton of ``[B, C, *spatial]`` by :func:`shapewright.morphology.skeletonize`."""
    skeleton: Tensor = skeletonize(probabilities, iterations=iterations, spatial_dims=probabilities.ndim - 2)
    return skeleton


def pooled_skeleton(probabilities: Tensor, iterations: int) -> Tensor:
    r"""Return the soft skeleton of clDice: what openings remove, collected while the map is eroded.

    :math:`S \leftarrow S + (1 - S)\,\mathrm{ReLU}(I - I \circ B)` for :math:`I` eroded 0, 1, ..., ``iterations`` times.
    Erosions take the minimum over a cross, dilations the maximum over a box of 3 voxels; outside is left out.

    Parameters
    ----------
    probabilities
        ``[B, C, *spatial]``, floating point.
    iterations
        Number of erosions.

    Notes
    -----
    *Convention*: ``soft_skel(probabilities, iterations)`` of the authors' code. It breaks topology: a connected set
    may get a skeleton of many parts.

    Examples
    --------
    >>> bar = torch.zeros(1, 1, 5, 7)
    >>> bar[..., 1:4, 1:6] = 1
    >>> pooled_skeleton(bar, 2)[0, 0, 2]
    tensor([0., 0., 1., 1., 1., 0., 0.])
    """
    eroded = probabilities
    skeleton = functional.relu(eroded - _opened(eroded))
    for _ in range(iterations):
        eroded = _eroded(eroded)
        skeleton = skeleton + (1 - skeleton) * functional.relu(eroded - _opened(eroded))
    return skeleton


SKELETONS: dict[str, Callable[[Tensor, int], Tensor]] = {"homotopic": homotopic_skeleton, "pooled": pooled_skeleton}


def _opened(values: Tensor) -> Tensor:
    return _largest(_eroded(values), (3,) * (values.ndim - 2))


def _eroded(values: Tensor) -> Tensor:
    """Return the minimum over a cross: the least of the minima along each axis."""
    dims = values.ndim - 2
    along = [-_largest(-values, tuple(3 if axis == a else 1 for a in range(dims))) for axis in range(dims)]
    least = along[0]
    for other in along[1:]:
        least = torch.minimum(least, other)
    return least


def _largest(values: Tensor, window: tuple[int, ...]) -> Tensor:
    pool = functional.max_pool2d if len(window) == 2 else functional.max_pool3d
    return pool(values, window, stride=1, padding=tuple(size // 2 for size in window))
