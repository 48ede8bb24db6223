"""A U-Net that joins each block's input to its output."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ConcatUNet(nn.Module):
    """U-Net whose blocks of two convolutions hand on their input beside their last feature map.

    Parameters
    ----------
    spatial_dims
        2 or 3.
    in_channels, classes
        Channels of the image and of the logits.
    channels
        Feature maps per level; the paper has (32, 64, 128, 256, 512).
    dropout
        Share of channels dropped after each block in training.

    Notes
    -----
    Down by max-pooling, up by repeating voxels and a convolution of 3 voxels. The paper says nothing of padding and
    normalisation: convolutions are padded and followed by batch normalisation here. Sizes must be divisible by
    ``2 ** (len(channels) - 1)``.

    References
    ----------
    Bokhorst et al., "Learning from sparsely annotated data for semantic segmentation in histopathology images",
    MIDL 2019, section 2.2.

    Examples
    --------
    >>> ConcatUNet(2, 3, 5, (4, 8, 16))(torch.zeros(1, 3, 16, 24)).shape
    torch.Size([1, 5, 16, 24])
    """

    def __init__(
        self, spatial_dims: int, in_channels: int, classes: int, channels: Sequence[int], *, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2) if spatial_dims == 2 else nn.MaxPool3d(2)
        self.grow = nn.Upsample(scale_factor=2, mode="nearest")
        self.down, self.reduce, self.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        width, widths = in_channels, []
        for level in channels:
            self.down.append(_Block(spatial_dims, width, level, dropout))
            width += level
            widths.append(width)
        for level, skipped in zip(reversed(channels[:-1]), reversed(widths[:-1]), strict=True):
            self.reduce.append(_convolution(spatial_dims, width, level))
            self.up.append(_Block(spatial_dims, level + skipped, level, dropout))
            width = 2 * level + skipped
        self.last = (nn.Conv2d if spatial_dims == 2 else nn.Conv3d)(width, classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [B, classes, *spatial] of an image [B, in_channels, *spatial]."""
        features, skipped = image, []
        for level, block in enumerate(self.down):
            features = block(features if level == 0 else self.pool(features))
            skipped.append(features)
        for reduce, block, skip in zip(self.reduce, self.up, reversed(skipped[:-1]), strict=True):
            features = block(torch.cat([reduce(self.grow(features)), skip], dim=1))
        logits: Tensor = self.last(features)
        return logits


class _Block(nn.Module):
    """Two convolutions, and the input beside their result."""

    def __init__(self, spatial_dims: int, width: int, level: int, dropout: float) -> None:
        super().__init__()
        self.first = _convolution(spatial_dims, width, level)
        self.second = _convolution(spatial_dims, level, level)
        self.drop = (nn.Dropout2d if spatial_dims == 2 else nn.Dropout3d)(dropout)

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([features, self.drop(self.second(self.first(features)))], dim=1)


def _convolution(spatial_dims: int, width: int, level: int) -> nn.Module:
    flat = spatial_dims == 2
    convolution = (nn.Conv2d if flat else nn.Conv3d)(width, level, 3, padding=1, bias=False)
    normalisation = (nn.BatchNorm2d if flat else nn.BatchNorm3d)(level)
    return nn.Sequential(convolution, normalisation, nn.ReLU(inplace=True))
