"""Discriminators: networks that score whole images or maps."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from shapewright.errors import InputError, unknown

NORMS = ("batch", "instance", "none")


class Discriminator(nn.Module):
    """Five (or so) convolutions of width 4 with pooling between them, averaged to one vector of scores.

    Parameters
    ----------
    in_channels
        Channels of what is judged.
    outputs
        Number of scores (logits).
    spatial_dims
        2 or 3.
    widths
        Channels of all convolutions but the last, each followed by leaky ReLU, normalisation and a max-pooling of 3
        with stride 2. Four by default, for images of a few hundred pixels; fewer for small ones.
    norm
        ``batch`` as in the paper below, ``instance``, or ``none`` (for gradient penalties, which judge a sample by
        itself).
    spectral
        Divide every weight by its largest singular value, so that scores change slowly with the input.

    Raises
    ------
    InputError
        An unknown normalisation, or another rank.

    Notes
    -----
    The paper does not say how the last map becomes a vector, nor widths and slopes: here global average pooling and a
    slope of 0.2. An axis is pooled only while it is longer than 2, so that any image has a score.

    References
    ----------
    Saha et al., MIDL 2019, section 3.2 and figure 2b; Miyato et al., "Spectral normalization for generative
    adversarial networks", ICLR 2018.

    Examples
    --------
    >>> Discriminator(9, 6, widths=(8, 16, 32))(torch.zeros(2, 9, 96, 96)).shape
    torch.Size([2, 6])
    """

    def __init__(
        self,
        in_channels: int,
        outputs: int,
        *,
        spatial_dims: int = 2,
        widths: Sequence[int] = (32, 64, 128, 256),
        norm: Literal["batch", "instance", "none"] = "batch",
        spectral: bool = False,
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise unknown("normalisation", norm, NORMS)
        if spatial_dims not in (2, 3) or not widths:
            raise InputError(
                f"a discriminator needs 2 or 3 spatial axes and at least one width; got {spatial_dims}, {tuple(widths)}"
            )
        conv = nn.Conv2d if spatial_dims == 2 else nn.Conv3d
        self.convolutions = nn.ModuleList(
            conv(source, width, 4, padding=2)  # one more voxel per axis, so that none is too short
            for source, width in zip((in_channels, *widths), (*widths, outputs), strict=True)
        )
        layout = torch.channels_last if spatial_dims == 2 else torch.channels_last_3d  # fastest on a CPU
        for weight in self.convolutions.parameters():
            if weight.ndim > 1:
                weight.data = weight.data.contiguous(memory_format=layout)
        if spectral:
            for convolution in self.convolutions:
                nn.utils.parametrizations.spectral_norm(convolution)
        self.norms = nn.ModuleList(_normalisation(norm, width, spatial_dims) for width in widths)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [B, outputs] of [B, C, *spatial]."""
        logits: Tensor = self.convolutions[-1](self.features(image)[-1])
        return logits.flatten(2).mean(dim=2)

    def features(self, image: Tensor) -> list[Tensor]:
        """Return the maps after every pooling, finest first, as feature matching compares them."""
        maps = []
        for convolution, norm in zip(self.convolutions, self.norms, strict=False):
            image = _pooled(norm(nn.functional.leaky_relu(convolution(image), 0.2)))
            maps.append(image)
        return maps


def _normalisation(norm: str, width: int, spatial_dims: int) -> nn.Module:
    if norm == "batch":
        return nn.BatchNorm2d(width) if spatial_dims == 2 else nn.BatchNorm3d(width)
    return nn.GroupNorm(width, width) if norm == "instance" else nn.Identity()


def _pooled(image: Tensor) -> Tensor:
    """Pool by 3 with stride 2 along every axis that is longer than 2."""
    long = [size > 2 for size in image.shape[2:]]
    pool = nn.functional.max_pool2d if image.ndim == 4 else nn.functional.max_pool3d
    pooled: Tensor = pool(
        image,
        kernel_size=[3 if axis else 1 for axis in long],
        stride=[2 if axis else 1 for axis in long],
        padding=[1 if axis else 0 for axis in long],
    )
    return pooled


def random_orders(count: int, channels: int, generator: torch.Generator | None = None) -> Tensor:
    """Return one random order of the channels for every sample, int64 [count, channels], on the CPU.

    Examples
    --------
    >>> random_orders(2, 3, torch.Generator().manual_seed(0)).sort(dim=1).values.tolist()
    [[0, 1, 2], [0, 1, 2]]
    """
    return torch.rand(count, channels, generator=generator).argsort(dim=1)


def reorder_channels(maps: Tensor, orders: Tensor) -> Tensor:
    """Return maps [B, C, ...] with channel ``orders[b, i]`` of sample b in place i.

    Undone by the same with ``orders.argsort(dim=1)``.

    Examples
    --------
    >>> reorder_channels(torch.tensor([[10, 20, 30]]), torch.tensor([[2, 0, 1]]))
    tensor([[30, 10, 20]])
    """
    if orders.shape != maps.shape[:2]:
        raise InputError(f"orders must have the shape {tuple(maps.shape[:2])}; got {tuple(orders.shape)}")
    samples = torch.arange(len(maps), device=maps.device)[:, None]
    return maps[samples, orders.to(maps.device)]
