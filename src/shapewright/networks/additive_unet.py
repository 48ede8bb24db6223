"""A U-Net whose skips are added, not concatenated."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from shapewright.errors import InputError

Norm = Literal["batch", "instance"]


class AdditiveUNet(nn.Module):
    """A U-Net with two convolutions per level whose encoder's output is added to the decoder's input.

    Adding keeps the decoder's convolutions as narrow as the encoder's.

    Parameters
    ----------
    in_channels, out_channels
        Image channels C and classes K.
    spatial_dims
        2 or 3.
    widths
        Channels per level, the first at full resolution; the image's size must be divisible by
        ``2 ** (len(widths) - 1)``.
    norm
        Normalisation between convolution and ReLU: ``batch`` as in the paper; ``instance`` where the statistics of
        training and test images differ.

    Raises
    ------
    InputError
        No level, or a width below 1.

    Notes
    -----
    The paper does not say where its normalisation is (here: convolution, normalisation, ReLU), nor whether its fourth
    block is the lowest level (here: it is, 32, 64, 128, 256 channels). Weights are drawn as He et al. propose.

    References
    ----------
    Roulet, Fernandez Slezak, Ferrante, "Joint learning of brain lesion and anatomy segmentation from heterogeneous
    datasets", MIDL 2019, appendix A.

    Examples
    --------
    >>> import torch
    >>> AdditiveUNet(2, 5, widths=(4, 8, 16))(torch.zeros(1, 2, 16, 24)).shape
    torch.Size([1, 5, 16, 24])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        spatial_dims: int = 2,
        widths: Sequence[int] = (32, 64, 128, 256),
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        if not widths or min(widths) < 1:
            raise InputError(f"widths must be positive channel numbers, one per level; got {tuple(widths)}")
        self.down = nn.ModuleList(
            conv_block(first, second, spatial_dims, norm)
            for first, second in zip((in_channels, *widths[:-1]), widths, strict=True)
        )
        raised = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.raise_resolution = nn.ModuleList(
            _layer("ConvTranspose", spatial_dims)(low, high, kernel_size=2, stride=2) for low, high in raised
        )
        self.up = nn.ModuleList(conv_block(high, high, spatial_dims, norm) for _, high in raised)
        self.pool = _layer("MaxPool", spatial_dims)(2)
        self.head = _layer("Conv", spatial_dims)(widths[0], out_channels, kernel_size=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [B, K, *spatial] of an image [B, C, *spatial]."""
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            image = block(self.pool(image) if level else image)
            skips.append(image)
        image = skips.pop()
        for raise_resolution, block in zip(self.raise_resolution, self.up, strict=True):
            image = block(raise_resolution(image) + skips.pop())
        logits: Tensor = self.head(image)
        return logits


def conv_block(in_channels: int, out_channels: int, spatial_dims: int, norm: Norm) -> nn.Sequential:
    """Return two 3-wide convolutions, each with normalisation and ReLU."""
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers += [
            _layer("Conv", spatial_dims)(channels, out_channels, kernel_size=3, padding=1),
            _layer("BatchNorm", spatial_dims)(out_channels)
            if norm == "batch"
            else _layer("InstanceNorm", spatial_dims)(out_channels, affine=True),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def _layer(name: str, spatial_dims: int) -> type[nn.Module]:
    layer: type[nn.Module] = getattr(nn, f"{name}{spatial_dims}d")
    return layer
