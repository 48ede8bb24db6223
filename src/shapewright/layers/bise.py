"""Neurons that learn a dilation, an erosion or their complements, and layers of them.

A BiSE neuron is a thresholded convolution with positive weights; on binary images it *is* a set operator as soon as its
bias lies in an interval (:mod:`shapewright.layers.activation`). A LUI is the same across channels: a union or an
intersection. A BiSEL layer has one BiSE per pair of input and output channel and one LUI per output channel.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from shapewright.arrays import AnyArray, as_binary
from shapewright.errors import InputError, unknown

_CONVOLUTIONS = {2: functional.conv2d, 3: functional.conv3d}
_MIDWAY = 2.0  # initial bias parameter of the paper
_SHIFT = 0.5  # added to the positive bias, as in the paper
OPERATORS = ("dilation", "erosion", "anti_dilation", "anti_erosion")


class _Threshold(nn.Module):
    """What BiSE and LUI share: positive weights, a positive bias and a scale for each of ``units`` neurons."""

    def __init__(self, units: int, shape: Sequence[int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(units, *shape))
        self.bias = nn.Parameter(torch.full((units,), _MIDWAY))
        self.scale = nn.Parameter(torch.zeros(units))

    def positive_weight(self) -> Tensor:
        """Return the effective weights: the softplus of the parameters."""
        return functional.softplus(self.weight)

    def positive_bias(self) -> Tensor:
        """Return the effective biases: the softplus of the parameters plus one half."""
        return functional.softplus(self.bias) + _SHIFT

    @torch.no_grad()
    def reset(self, generator: torch.Generator | None = None, *, spread: float = 0.2, contrast: float = 4.0) -> None:
        """Draw initial weights around equal ones, the bias at half their sum, which favours no operator.

        A majority filter is its own dual: neither dilation nor erosion, neither union nor intersection is nearer. The
        weights of a neuron sum to ``contrast``, so that what it shows of an image is as strong for every size.

        Parameters
        ----------
        generator
            Source of randomness.
        spread
            Relative standard deviation of the weights.
        contrast
            Sum of a neuron's weights; the scale is 1.
        """
        noise = torch.randn(self.weight.shape, generator=generator) * spread
        weights = (1 + noise).clamp_min(0.05)
        weights = weights * (contrast / weights.flatten(1).sum(1)).reshape(-1, *[1] * (weights.ndim - 1))
        self._assign(slice(None), weights, weights.flatten(1).sum(1) / 2)
        self.scale.fill_(1.0)

    @torch.no_grad()
    def _assign(self, units: Any, weights: Tensor, biases: Tensor) -> None:
        """Set effective weights and biases."""
        self.weight[units] = _inverse_softplus(weights.clamp_min(1e-6)).to(self.weight)
        self.bias[units] = _inverse_softplus((biases - _SHIFT).clamp_min(1e-6)).to(self.bias)

    @torch.no_grad()
    def _set(self, unit: int, element: Tensor, erosion: bool, complement: bool, sharpness: float) -> None:
        """Make one neuron an operator exactly, its bias midway in the interval; see :meth:`BiSE.set_operator`."""
        count, size = int(element.sum()), element.numel()
        inside = 2.0  # the smallest bias is one half
        outside = 0.25 / max(size - count, 1)
        weights = torch.where(element, inside, outside)
        lower = weights.sum() - inside if erosion else weights[~element].sum()
        upper = weights[element].sum() if erosion else torch.tensor(inside)
        bias = (lower + upper) / 2
        self._assign(unit, weights, bias)
        self.scale[unit] = (-1 if complement else 1) * 2 * sharpness / float(upper - lower)


class BiSE(_Threshold):
    """Binary structuring element neurons: ``K`` of them on each of ``N`` channels.

    ``y = (1 + tanh(p * (x (*) softplus(W) - B))) / 2`` with ``(*)`` the convolution and ``B = softplus(b) + 1/2``.

    Parameters
    ----------
    in_channels
        Channels N of the input.
    multiplier
        Neurons K per channel; the output has ``N K`` channels, those of input channel n at ``n K ... n K + K - 1``.
    kernel_size
        Odd width of the support of the structuring elements, one number or one per axis.
    spatial_dims
        2 or 3.
    stride
        Every how many pixels the result is kept.

    Notes
    -----
    Pixels outside the image are 0, so a neuron that is a dilation or an erosion equals that of
    :mod:`shapewright.morphology` with ``outside=0`` everywhere, the border included. Weight ``w[i]`` belongs to the
    pixel shifted *by* i: dilations have the weights' set as their structuring element, erosions its mirror image.

    References
    ----------
    Aouad and Talbot, "Binary multi-channel morphological neural network", DGMM 2022, definition 2.

    Examples
    --------
    >>> from shapewright.morphology import ball, dilation
    >>> neuron = BiSE(kernel_size=3)
    >>> neuron.set_operator(0, "dilation", ball(1))
    >>> image = torch.rand(1, 1, 9, 9) > 0.8
    >>> bool(((neuron(image.float()) > 0.5) == dilation(image, ball(1))).all())
    True
    """

    def __init__(
        self,
        in_channels: int = 1,
        multiplier: int = 1,
        kernel_size: int | Sequence[int] = 7,
        spatial_dims: int = 2,
        stride: int = 1,
    ) -> None:
        if spatial_dims not in _CONVOLUTIONS:
            raise InputError(f"spatial_dims must be 2 or 3; got {spatial_dims}")
        kernel = (kernel_size,) * spatial_dims if isinstance(kernel_size, int) else tuple(kernel_size)
        if len(kernel) != spatial_dims or any(size < 1 or size % 2 == 0 for size in kernel):
            raise InputError(f"kernel_size must be positive and odd, one number or one per axis; got {kernel_size}")
        if min(in_channels, multiplier, stride) < 1:
            raise InputError(
                f"in_channels, multiplier and stride must be at least 1; got {in_channels}, {multiplier}, {stride}"
            )
        super().__init__(in_channels * multiplier, (1, *kernel))
        self.in_channels, self.multiplier, self.kernel, self.stride = in_channels, multiplier, kernel, stride
        self.reset()

    def forward(self, image: Tensor) -> Tensor:
        """Return the neurons' outputs ``[B, N K, *spatial]`` of an image ``[B, N, *spatial]`` in [0, 1]."""
        dims = len(self.kernel)
        if image.ndim != dims + 2 or image.shape[1] != self.in_channels:
            raise InputError(
                f"the input must have shape [B, {self.in_channels}, *spatial] with {dims} spatial axes; got "
                f"{tuple(image.shape)}"
            )
        kernel = self.positive_weight().flip(tuple(range(2, dims + 2)))
        padding = [size // 2 for size in self.kernel]
        sums = _CONVOLUTIONS[dims](image, kernel, stride=self.stride, padding=padding, groups=self.in_channels)
        per_channel = (-1, *[1] * dims)
        centred = sums - self.positive_bias().reshape(per_channel)
        return 0.5 + 0.5 * torch.tanh(self.scale.reshape(per_channel) * centred)

    def set_operator(self, unit: int, operator: str, element: AnyArray, *, sharpness: float = 4.0) -> None:
        """Make one neuron a set operator exactly.

        Parameters
        ----------
        unit
            The neuron, ``n K + k``.
        operator
            ``dilation``, ``erosion``, ``anti_dilation`` or ``anti_erosion`` (the complements).
        element
            Structuring element as in :func:`shapewright.morphology.dilation`, of odd size, at most the kernel's.
        sharpness
            The scaled distance of the bias from both ends of its interval; 4 gives outputs within 0.0004 of 0 and 1.

        Raises
        ------
        InputError
            Another operator, or an element that does not fit.
        """
        if operator not in OPERATORS:
            raise unknown("operator", operator, OPERATORS)
        mask = as_binary(element, "element")
        if operator.endswith("erosion"):
            mask = mask[tuple(slice(None, None, -1) for _ in mask.shape)]
        fits = mask.ndim == len(self.kernel) and all(
            size % 2 and size <= limit for size, limit in zip(mask.shape, self.kernel, strict=True)
        )
        if not fits or not mask.any():
            raise InputError(f"element must have odd sizes up to {self.kernel} and a set pixel; got {mask.shape}")
        full = torch.zeros(self.kernel, dtype=torch.bool)
        inside = tuple(
            slice((limit - size) // 2, (limit + size) // 2) for size, limit in zip(mask.shape, self.kernel, strict=True)
        )
        full[inside] = torch.from_numpy(mask.copy())
        self._set(unit, full[None], operator.endswith("erosion"), operator.startswith("anti"), sharpness)

    def extra_repr(self) -> str:
        """Name channels and kernel."""
        return f"{self.in_channels}, {self.multiplier}, kernel_size={self.kernel}, stride={self.stride}"


class LUI(_Threshold):
    """Layer of unions and intersections: each of ``K`` outputs combines its own ``N`` channels.

    ``y_k = (1 + tanh(p_k * (sum_n softplus(beta_kn) x_kn - B_k))) / 2``: a BiSE whose support is the channel axis.

    Parameters
    ----------
    in_channels
        Channels N per output.
    out_channels
        Outputs K.

    References
    ----------
    Aouad and Talbot, DGMM 2022, definition 4.

    Examples
    --------
    >>> layer = LUI(2)
    >>> layer.set_operator(0, "intersection")
    >>> layer(torch.tensor([[[[1.0, 1.0]], [[0.0, 1.0]]]])).round()
    tensor([[[[0., 1.]]]], grad_fn=<RoundBackward0>)
    """

    def __init__(self, in_channels: int, out_channels: int = 1) -> None:
        if min(in_channels, out_channels) < 1:
            raise InputError(f"in_channels and out_channels must be at least 1; got {in_channels}, {out_channels}")
        super().__init__(out_channels, (in_channels,))
        self.in_channels, self.out_channels = in_channels, out_channels
        self.reset(spread=0.05)

    def forward(self, image: Tensor) -> Tensor:
        """Return ``[B, K, *spatial]`` of an image ``[B, N K, *spatial]`` whose channel ``n K + k`` belongs to k."""
        if image.ndim < 3 or image.shape[1] != self.in_channels * self.out_channels:
            raise InputError(
                f"the input must have {self.in_channels * self.out_channels} channels; got shape {tuple(image.shape)}"
            )
        branches = image.reshape(image.shape[0], self.in_channels, self.out_channels, *image.shape[2:])
        sums = torch.einsum("bnk...,kn->bk...", branches, self.positive_weight())
        per_channel = (-1, *[1] * (image.ndim - 2))
        centred = sums - self.positive_bias().reshape(per_channel)
        return 0.5 + 0.5 * torch.tanh(self.scale.reshape(per_channel) * centred)

    def set_operator(
        self,
        unit: int,
        operator: str,
        channels: Sequence[int] | None = None,
        *,
        complement: bool = False,
        sharpness: float = 4.0,
    ) -> None:
        """Make one output the union or intersection of channels (by default all), exactly, or its complement.

        Raises
        ------
        InputError
            An operator other than ``union`` and ``intersection``, or channels that do not exist.
        """
        if operator not in ("union", "intersection"):
            raise unknown("operator", operator, ("union", "intersection"))
        chosen = list(range(self.in_channels) if channels is None else channels)
        if not chosen or not all(0 <= channel < self.in_channels for channel in chosen):
            raise InputError(f"channels must be numbers between 0 and {self.in_channels - 1}; got {channels}")
        element = torch.zeros(self.in_channels, dtype=torch.bool)
        element[chosen] = True
        self._set(unit, element, operator == "intersection", complement, sharpness)

    def extra_repr(self) -> str:
        """Name channels."""
        return f"{self.in_channels}, {self.out_channels}"


class BiSEL(nn.Module):
    """A layer of set operators: output k is the union or intersection of one BiSE of every input channel.

    Parameters
    ----------
    in_channels, out_channels
        Channels N and K; the layer has ``N K`` BiSE neurons and K LUI.
    kernel_size, spatial_dims, stride
        As in :class:`BiSE`.

    References
    ----------
    Aouad and Talbot, DGMM 2022, definition 5.

    Examples
    --------
    >>> BiSEL(2, 3, kernel_size=5)(torch.rand(1, 2, 16, 16)).shape
    torch.Size([1, 3, 16, 16])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int] = 7,
        spatial_dims: int = 2,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.bise = BiSE(in_channels, out_channels, kernel_size, spatial_dims, stride)
        self.lui = LUI(in_channels, out_channels)

    def forward(self, image: Tensor) -> Tensor:
        """Return ``[B, K, *spatial]`` of an image ``[B, N, *spatial]`` in [0, 1]."""
        combined: Tensor = self.lui(self.bise(image))
        return combined


def _inverse_softplus(values: Tensor) -> Tensor:
    return values + torch.log(-torch.expm1(-values))
