"""FCN-8s: a VGG encoder whose coarse class scores are refined by those of two finer levels."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from shapewright.errors import InputError, unknown

FUSIONS = ("sum", "concat")


class FCN8s(nn.Module):
    """Fully convolutional network: VGG stages, class scores at the lowest level, skips from the levels above.

    Parameters
    ----------
    in_channels, out_channels
        Image channels C and classes K.
    spatial_dims
        2 or 3.
    widths
        Channels per stage. A stage is two convolutions (three from the third stage on) and a pooling by 2; the
        default is VGG-16.
    head
        Channels of the two layers that replace VGG's fully connected ones.
    fuse
        ``sum``: scores of the skips are added, as in the original FCN-8s. ``concat``: the skips themselves are
        concatenated with what is up-sampled, then ReLU and dropout.
    dropout
        Share of channels dropped in the head and after every concatenation.

    Raises
    ------
    InputError
        An unknown fusion, fewer than two stages, or another rank.

    Notes
    -----
    Convolutions keep the size; the original pads its first one by 100 pixels and crops, to the same end. The size must
    be divisible by ``2 ** len(widths)``. With the default five stages the scores of strides 32, 16 and 8 meet, and are
    up-sampled by 8; with fewer stages everything is finer by as many halvings. No weights are downloaded.

    References
    ----------
    Long, Shelhamer, Darrell, "Fully convolutional networks for semantic segmentation", CVPR 2015; Simonyan and
    Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015.

    Examples
    --------
    >>> FCN8s(3, 6, widths=(4, 8, 16), head=32)(torch.zeros(1, 3, 40, 32)).shape
    torch.Size([1, 6, 40, 32])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        spatial_dims: int = 2,
        widths: Sequence[int] = (64, 128, 256, 512, 512),
        head: int = 4096,
        fuse: Literal["sum", "concat"] = "sum",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if fuse not in FUSIONS:
            raise unknown("fusion", fuse, FUSIONS)
        if len(widths) < 2 or spatial_dims not in (2, 3):
            raise InputError(
                f"FCN-8s needs at least 2 stages and 2 or 3 spatial axes; got {len(widths)} and {spatial_dims}"
            )
        conv = nn.Conv2d if spatial_dims == 2 else nn.Conv3d
        drop = nn.Dropout2d if spatial_dims == 2 else nn.Dropout3d
        self.fuse = fuse
        self.stages = nn.ModuleList(
            _stage(source, width, 2 if level < 2 else 3, spatial_dims)
            for level, (source, width) in enumerate(zip((in_channels, *widths[:-1]), widths, strict=True))
        )
        self.head = nn.Sequential(
            conv(widths[-1], head, 7, padding=3),
            nn.ReLU(),
            drop(dropout),
            conv(head, head, 1),
            nn.ReLU(),
            drop(dropout),
            conv(head, out_channels, 1),
        )
        skips = list(reversed(widths[:-1]))[:2]
        self.ups = nn.ModuleList(bilinear_upsampling(out_channels, 2, spatial_dims) for _ in skips)
        self.last = bilinear_upsampling(out_channels, 2 ** (len(widths) - len(skips)), spatial_dims)
        if fuse == "sum":
            self.scores = nn.ModuleList(conv(width, out_channels, 1) for width in skips)
        else:
            self.scores = nn.ModuleList(
                nn.Sequential(nn.ReLU(), drop(dropout), conv(width + out_channels, out_channels, 1)) for width in skips
            )
        for module in [*self.stages.modules(), *self.head.modules()]:
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.head[-1].weight, std=0.01)  # type: ignore[arg-type]  # scores start near 0, not by chance large

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [B, K, *spatial] of an image [B, C, *spatial]."""
        levels = []
        for stage in self.stages:
            image = stage(image)
            levels.append(image)
        scores: Tensor = self.head(image)
        for up, score, skip in zip(self.ups, self.scores, reversed(levels[:-1]), strict=False):
            scores = up(scores)
            scores = scores + score(skip) if self.fuse == "sum" else score(torch.cat([skip, scores], dim=1))
        logits: Tensor = self.last(scores)
        return logits


def _stage(in_channels: int, width: int, count: int, spatial_dims: int) -> nn.Sequential:
    conv = nn.Conv2d if spatial_dims == 2 else nn.Conv3d
    layers: list[nn.Module] = []
    for number in range(count):
        layers += [conv(in_channels if number == 0 else width, width, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.MaxPool2d(2) if spatial_dims == 2 else nn.MaxPool3d(2))


def bilinear_upsampling(channels: int, factor: int, spatial_dims: int = 2) -> nn.Module:
    """Return a transposed convolution, to be learned, that begins as linear interpolation of every channel for itself.

    Parameters
    ----------
    channels
        Channels, in and out.
    factor
        By which every axis grows; even.
    spatial_dims
        2 or 3.

    Notes
    -----
    *Convention*: away from the border equals ``torch.nn.functional.interpolate(mode="bilinear")`` with
    ``align_corners=False``; outside the image counts as 0.

    Examples
    --------
    >>> up = bilinear_upsampling(1, 2)
    >>> up(torch.arange(4.0).expand(1, 1, 4, 4))[0, 0, 3].tolist()
    [0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 2.25]
    """
    if factor < 2 or factor % 2:
        raise InputError(f"factor must be even and at least 2; got {factor}")
    kind = nn.ConvTranspose2d if spatial_dims == 2 else nn.ConvTranspose3d
    layer = kind(channels, channels, 2 * factor, stride=factor, padding=factor // 2, bias=False)
    line = 1 - (torch.arange(2 * factor) - (factor - 0.5)).abs() / factor
    kernel = math.prod(
        line.view([-1 if axis == own else 1 for axis in range(spatial_dims)]) for own in range(spatial_dims)
    )
    with torch.no_grad():
        layer.weight.zero_()
        for channel in range(channels):
            layer.weight[channel, channel] = kernel
    return layer
