"""What training minimises: cross-entropy balanced between what changes and what stays, and a pull to set operators."""

import torch
from torch import Tensor, nn

from shapewright.layers.bise import LUI, BiSE
from shapewright.networks.bimonn import BiMoNN


def balanced_cross_entropy(outputs: Tensor, inputs: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """Return the cross-entropy with weights that make rare combinations of input and target count.

    Pixels fall into classes by the values of their input channels and their target; a class of share s weighs
    ``s ** -1/2``. A top-hat sets a few pixels in a hundred: unweighted, the empty image is nearly optimal.

    Parameters
    ----------
    outputs
        ``[B, K, *spatial]`` in [0, 1].
    inputs, targets
        Binary, ``[B, C, *spatial]`` and ``[B, K, *spatial]``, floating point.
    valid
        ``[B, 1, *spatial]`` bool; elsewhere nothing counts.
    """
    channels = min(inputs.shape[1], 4)  # more would leave classes of a few pixels
    code = sum(inputs[:, c : c + 1].long() << c for c in range(channels))
    code = (code << 1) + targets.long()
    counts = torch.bincount(code[valid.expand_as(code)], minlength=2 ** (channels + 1)).to(outputs)
    weights = (counts / counts.sum().clamp_min(1)).clamp_min(1e-4).rsqrt()[code] * valid
    clamped = outputs.clamp(1e-6, 1 - 1e-6)
    entropy = -(targets * clamped.log() + (1 - targets) * (1 - clamped).log())
    return (weights * entropy).sum() / weights.sum().clamp_min(1e-6)


def activation_distance(module: BiSE | LUI) -> Tensor:
    """Return how far each neuron is from the nearest set operator, relative to its largest weight; differentiable.

    The distance of :func:`shapewright.layers.activation.closest_operator` on binary inputs.

    Examples
    --------
    >>> neuron = BiSE(kernel_size=3)
    >>> float(activation_distance(neuron).detach()) > 0
    True
    >>> neuron.set_operator(0, "erosion", torch.ones(3, 3, dtype=torch.bool))
    >>> float(activation_distance(neuron).detach())
    0.0
    """
    weights = module.positive_weight().flatten(1).sort(dim=1, descending=True).values
    bias = module.positive_bias()[:, None]
    total, inside = weights.sum(dim=1, keepdim=True), weights.cumsum(dim=1)
    dilation = torch.maximum(torch.relu(total - inside - bias), torch.relu(bias - weights))
    erosion = torch.maximum(torch.relu(total - weights - bias), torch.relu(bias - inside))
    nearest = torch.minimum(dilation, erosion).min(dim=1).values
    return nearest / weights[:, 0]


def activation_penalty(network: nn.Module) -> Tensor:
    """Return the mean distance of a network's neurons from set operators."""
    distances = [activation_distance(module) for module in network.modules() if isinstance(module, BiSE | LUI)]
    return torch.cat(distances).mean()


def interior(shape: tuple[int, ...], border: tuple[int, ...], like: Tensor) -> Tensor:
    """Return a mask ``[1, 1, *spatial]`` without a border; of images too small to have an interior, all of it."""
    mask = torch.zeros(1, 1, *shape, dtype=torch.bool, device=like.device)
    inner = [slice(b, n - b) if n > 2 * b else slice(None) for n, b in zip(shape, border, strict=True)]
    mask[(..., *inner)] = True
    return mask


def reach(network: BiMoNN) -> tuple[int, ...]:
    """Return half the kernels together: how far from the border results depend on what lies outside."""
    kernels = [module.kernel for module in network.modules() if isinstance(module, BiSE)]
    return tuple(sum(size // 2 for size in axis) for axis in zip(*kernels, strict=True))
