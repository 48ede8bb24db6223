"""The 3D fully convolutional DenseNet of Hashemi et al. (MIDL 2019), in 2D too."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from shapewright.errors import InputError, check_number


class FCDenseNet(nn.Module):
    """A U-shaped network of dense blocks that works at half the image's resolution and below.

    A stem of one strided and three plain convolutions, ``pools`` dense blocks each followed by a transition down (1 x 1
    convolution that keeps ``compression`` of the channels, max-pooling), one block at the bottom, as many transitions
    up with skip connections and dense blocks, and a transposed convolution back to full resolution. Every convolution
    but the last is followed by normalisation and ReLU. On the way up only a block's new maps are passed on, as in the
    100-layer Tiramisu; without that rule the paper's 1.4 million parameters cannot be met.

    Parameters
    ----------
    spatial_dims
        2 or 3.
    in_channels, out_channels
        Image channels and output maps.
    growth
        Maps that each layer of a block adds; 12 as in the paper.
    layers
        Layers per block; 4.
    pools
        Transitions down; 5 as in the paper, for patches of 128 voxels.
    stem
        Channels of the stem; 48. Not stated in the paper: with 48, and bottlenecks of ``4 * growth``, the count of
        parameters is the paper's.
    compression
        Share of the channels that a transition down keeps; 0.5.
    dropout
        After every 3 x 3 convolution of a block; 0.2.
    norm
        ``batch`` as in the paper, or ``instance`` for batches of one or two.

    Raises
    ------
    InputError
        A rank other than 2 or 3, or a number below 1.

    Notes
    -----
    Image sizes must be divisible by ``2 ** (pools + 1)``; :func:`shapewright.networks.build_network` pads others. The
    figure of the architecture is missing in the proceedings; this is a reconstruction from the text that has its depth
    of 60 layers (1 + 3 in the stem, 44 three-by-three ones in 11 blocks, 5 down, 5 up, 2 in the head).

    Examples
    --------
    >>> network = FCDenseNet(2, 1, 2, growth=4, layers=2, pools=2, stem=8)
    >>> network(torch.zeros(1, 1, 16, 24)).shape
    torch.Size([1, 2, 16, 24])
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        growth: int = 12,
        layers: int = 4,
        pools: int = 5,
        stem: int = 48,
        compression: float = 0.5,
        dropout: float = 0.2,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        if spatial_dims not in (2, 3):
            raise InputError(f"spatial_dims must be 2 or 3; got {spatial_dims}")
        for name, value in (("growth", growth), ("layers", layers), ("pools", pools), ("stem", stem)):
            check_number(name, value, minimum=1)
        check_number("compression", compression, above=0, maximum=1)
        self.pools = pools
        conv = _Unit if norm == "batch" else _InstanceUnit
        new = growth * layers
        self.stem = nn.Sequential(
            conv(spatial_dims, in_channels, stem, kernel=2, stride=2),
            *(conv(spatial_dims, stem, stem, kernel=3) for _ in range(3)),
        )
        channels, skips = stem, []
        self.down, self.transitions_down = nn.ModuleList(), nn.ModuleList()
        pool = nn.MaxPool2d(2) if spatial_dims == 2 else nn.MaxPool3d(2)
        for _ in range(pools):
            self.down.append(_DenseBlock(conv, spatial_dims, channels, growth, layers, dropout))
            channels += new
            skips.append(channels)
            kept = max(round(channels * compression), 1)
            self.transitions_down.append(nn.Sequential(conv(spatial_dims, channels, kept, kernel=1), pool))
            channels = kept
        self.bottom = _DenseBlock(conv, spatial_dims, channels, growth, layers, dropout)
        self.transitions_up, self.up = nn.ModuleList(), nn.ModuleList()
        for skip in reversed(skips):
            self.transitions_up.append(conv(spatial_dims, new, new, kernel=3, stride=2, transposed=True))
            self.up.append(_DenseBlock(conv, spatial_dims, new + skip, growth, layers, dropout))
        self.head = nn.Sequential(
            conv(spatial_dims, new, new, kernel=2, stride=2, transposed=True),
            _convolution(spatial_dims, new, out_channels, kernel=1, bias=True),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``[B, K, *spatial]`` of an image ``[B, C, *spatial]``."""
        if any(size % 2 ** (self.pools + 1) for size in image.shape[2:]):
            raise InputError(
                f"image sizes must be divisible by {2 ** (self.pools + 1)}; got {tuple(image.shape[2:])}. "
                "build_network pads images of any size"
            )
        values, skips = self.stem(image), []
        for block, transition in zip(self.down, self.transitions_down, strict=True):
            values = torch.cat([values, block(values)], dim=1)
            skips.append(values)
            values = transition(values)
        values = self.bottom(values)
        for transition, block in zip(self.transitions_up, self.up, strict=True):
            values = block(torch.cat([transition(values), skips.pop()], dim=1))
        logits: Tensor = self.head(values)
        return logits


class _DenseBlock(nn.Module):
    """Layers of a 1 x 1 bottleneck and a 3 x 3 convolution, each seeing all maps before it; returns the new maps."""

    def __init__(self, unit: "type[_Unit]", dims: int, channels: int, growth: int, layers: int, dropout: float) -> None:
        super().__init__()
        drop = nn.Dropout2d if dims == 2 else nn.Dropout3d
        self.layers = nn.ModuleList(
            nn.Sequential(
                unit(dims, channels + growth * index, 4 * growth, kernel=1),
                unit(dims, 4 * growth, growth, kernel=3),
                drop(dropout),
            )
            for index in range(layers)
        )

    def forward(self, values: Tensor) -> Tensor:
        new: list[Tensor] = []
        for layer in self.layers:
            new.append(layer(torch.cat([values, *new], dim=1)))
        return torch.cat(new, dim=1)


class _Unit(nn.Sequential):
    """Convolution, batch normalisation, ReLU."""

    def __init__(
        self, dims: int, inputs: int, outputs: int, *, kernel: int, stride: int = 1, transposed: bool = False
    ) -> None:
        convolution = _convolution(dims, inputs, outputs, kernel=kernel, stride=stride, transposed=transposed)
        super().__init__(convolution, self.norm(dims, outputs), nn.ReLU(inplace=True))

    @staticmethod
    def norm(dims: int, channels: int) -> nn.Module:
        return nn.BatchNorm2d(channels) if dims == 2 else nn.BatchNorm3d(channels)


class _InstanceUnit(_Unit):
    """Convolution, instance normalisation, ReLU."""

    @staticmethod
    def norm(dims: int, channels: int) -> nn.Module:  # noqa: ARG004 - one for both ranks
        return nn.GroupNorm(channels, channels)  # instance normalisation that takes a single voxel


def _convolution(
    dims: int, inputs: int, outputs: int, *, kernel: int, stride: int = 1, transposed: bool = False, bias: bool = False
) -> nn.Module:
    """Return a convolution that keeps the size, or halves or doubles it with ``stride`` 2."""
    if transposed:
        maker: type[nn.Module] = nn.ConvTranspose2d if dims == 2 else nn.ConvTranspose3d
        padding = {"padding": (kernel - 1) // 2, "output_padding": kernel % 2}
        return maker(inputs, outputs, kernel, stride=stride, bias=bias, **padding)
    maker = nn.Conv2d if dims == 2 else nn.Conv3d
    return maker(inputs, outputs, kernel, stride=stride, padding=(kernel - 1) // 2, bias=bias)


def count_layers(network: FCDenseNet) -> int:
    """Return the depth as its authors count it: all convolutions but the 1 x 1 bottlenecks of the blocks.

    Examples
    --------
    >>> count_layers(FCDenseNet(3, 2, 2))
    60
    """
    convolutions = (nn.modules.conv._ConvNd,)
    blocks: Sequence[_DenseBlock] = [block for block in network.modules() if isinstance(block, _DenseBlock)]
    bottlenecks = sum(len(block.layers) for block in blocks)
    return sum(isinstance(module, convolutions) for module in network.modules()) - bottlenecks
