"""Segmentation networks: image [B, C, *spatial] to logits [B, K, *spatial]."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from shapewright.errors import InputError, unknown
from shapewright.networks.config import NetworkConfig

_MAX_DEPTH = {
    "light": 4,
    "unet": 5,
    "dynunet": 6,
    "fc_densenet": 7,
    "fcn8s": 5,
    "fcn8s_concat": 5,
    "additive": 4,
    "concat_unet": 5,
    "highresnet": 3,
}
_MIN_DEPTH = dict.fromkeys(_MAX_DEPTH, 2) | {"dynunet": 3, "fc_densenet": 3}
_WIDTH = dict.fromkeys(_MAX_DEPTH, 16) | {"dynunet": 32, "fc_densenet": 12, "concat_unet": 32}
_MAX_WIDTH = {2: 512, 3: 320}
_SMALLEST_AXIS = 4  # voxels that must remain per axis at the lowest level; 2 for the network whose paper has 2


def build_network(
    config: NetworkConfig,
    *,
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    patch_size: Sequence[int],
) -> "PaddedToStride":
    """Build the network that ``config`` describes.

    Any input size works: the returned module pads the image to a multiple of its total stride and crops the logits.

    Parameters
    ----------
    config
        Name, width, depth and dropout.
    spatial_dims
        2 or 3.
    in_channels, out_channels
        Image channels C and classes K (background included).
    patch_size
        Voxels per axis that the network will mostly see; fixes the depth where ``config`` leaves it open.

    Raises
    ------
    InputError
        An unknown name, or more levels than the patch can be halved.

    Examples
    --------
    >>> import torch
    >>> network = build_network(NetworkConfig(width=4), spatial_dims=3, in_channels=1, out_channels=3,
    ...                         patch_size=(16, 24, 16))
    >>> network(torch.zeros(1, 1, 15, 21, 17)).shape
    torch.Size([1, 3, 15, 21, 17])
    """
    if config.name not in _MAX_DEPTH:
        raise unknown("network", config.name, _MAX_DEPTH)
    shallowest, deepest = _MIN_DEPTH[config.name], _possible_depth(patch_size) + (config.name == "fc_densenet")
    depth = config.depth or min(_MAX_DEPTH[config.name], deepest)
    if deepest < shallowest:
        raise InputError(
            f"network.name {config.name!r} needs patches that can be halved {shallowest - 1} times; prepare.patch_size "
            f"is {tuple(patch_size)}. Enlarge it, or take another network"
        )
    if not shallowest <= depth <= deepest:
        raise InputError(
            f"network.depth must be between {shallowest} and {deepest} for {config.name!r} with patches of "
            f"{tuple(patch_size)} voxels; got {depth}. Enlarge prepare.patch_size or change network.depth"
        )
    width = config.width or _WIDTH[config.name]
    channels = [min(width * 2**level, _MAX_WIDTH[spatial_dims]) for level in range(depth)]
    builders: dict[str, Callable[..., nn.Module]] = {
        "light": _light,
        "unet": _unet,
        "dynunet": _dynunet,
        "fc_densenet": _fc_densenet,
        "fcn8s": partial(_fcn8s, fuse="sum"),
        "fcn8s_concat": partial(_fcn8s, fuse="concat"),
        "additive": _additive,
        "concat_unet": _concat_unet,
        "highresnet": _highresnet,
    }
    body = builders[config.name](spatial_dims, in_channels, out_channels, channels, config.dropout)
    for weight in body.parameters():
        if weight.ndim == spatial_dims + 2:  # the layout in which convolutions are fastest, up to 1.6 times on a CPU
            layout = torch.channels_last if spatial_dims == 2 else torch.channels_last_3d
            weight.data = weight.data.contiguous(memory_format=layout)
    halvings = {"fcn8s": depth, "fcn8s_concat": depth, "highresnet": 0}.get(config.name, depth - 1)
    return PaddedToStride(body, stride=2**halvings)


class PaddedToStride(nn.Module):
    """Run a network on images of any size by padding to a multiple of its stride with edge values.

    Parameters
    ----------
    body
        Network [B, C, *spatial] to [B, K, *spatial] for sizes divisible by ``stride``.
    stride
        Total down-sampling of the network.
    """

    def __init__(self, body: nn.Module, stride: int) -> None:
        super().__init__()
        self.body = body
        self.stride = stride

    def forward(self, image: Tensor) -> Tensor:
        """Return logits of the image's own size."""
        shape = image.shape[2:]
        target = [max(-(-size // self.stride), 2) * self.stride for size in shape]
        if list(shape) == target:
            logits: Tensor = self.body(image)
            return logits
        padding = [
            pad for size, full in zip(reversed(shape), reversed(target), strict=True) for pad in (0, full - size)
        ]
        padded = nn.functional.pad(image, padding, mode="replicate")
        crop = (slice(None), slice(None), *(slice(size) for size in shape))
        cropped: Tensor = self.body(padded)[crop]
        return cropped


def _possible_depth(patch_size: Sequence[int]) -> int:
    """Return how many levels a patch allows, the first included."""
    smallest = min(patch_size)
    depth = 1
    while smallest // 2 >= _SMALLEST_AXIS:
        smallest //= 2
        depth += 1
    return max(depth, 2)


def _light(dims: int, in_channels: int, classes: int, channels: list[int], dropout: float) -> nn.Module:
    return _monai_unet(dims, in_channels, classes, channels, dropout, residual_units=0)


def _unet(dims: int, in_channels: int, classes: int, channels: list[int], dropout: float) -> nn.Module:
    return _monai_unet(dims, in_channels, classes, channels, dropout, residual_units=2)


def _monai_unet(
    dims: int, in_channels: int, classes: int, channels: list[int], dropout: float, *, residual_units: int
) -> nn.Module:
    """Return MONAI's U-Net whose first level works at full resolution: boundaries need it."""
    from monai.networks.nets.unet import UNet

    return UNet(
        spatial_dims=dims,
        in_channels=in_channels,
        out_channels=classes,
        channels=[*channels, channels[-1]],
        strides=[1] + [2] * (len(channels) - 1),
        num_res_units=residual_units,
        norm="INSTANCE",
        act="LEAKYRELU",
        dropout=dropout,
    )


def _dynunet(dims: int, in_channels: int, classes: int, channels: list[int], dropout: float) -> nn.Module:
    from monai.networks.nets.dynunet import DynUNet

    depth = len(channels)
    return DynUNet(
        spatial_dims=dims,
        in_channels=in_channels,
        out_channels=classes,
        kernel_size=[3] * depth,
        strides=[1] + [2] * (depth - 1),
        upsample_kernel_size=[2] * (depth - 1),
        filters=channels,
        dropout=dropout or None,
    )


def _fc_densenet(dims: int, in_channels: int, classes: int, channels: list[int], dropout: float) -> nn.Module:
    from shapewright.networks.fc_densenet import FCDenseNet

    growth, pools = channels[0], len(channels) - 2
    return FCDenseNet(dims, in_channels, classes, growth=growth, pools=pools, stem=4 * growth, dropout=dropout)


def _fcn8s(
    dims: int, in_channels: int, classes: int, channels: list[int], dropout: float, *, fuse: Literal["sum", "concat"]
) -> nn.Module:
    from shapewright.networks.fcn8s import FCN8s

    head = min(64 * channels[0], 4096)  # the original's for its width of 64
    return FCN8s(in_channels, classes, spatial_dims=dims, widths=channels, head=head, fuse=fuse, dropout=dropout)


def _additive(dims: int, in_channels: int, classes: int, channels: list[int], dropout: float) -> nn.Module:
    from shapewright.networks.additive_unet import AdditiveUNet

    if dropout:
        raise InputError(f"network.dropout must be 0 for 'additive', which has none; got {dropout}")
    return AdditiveUNet(in_channels, classes, spatial_dims=dims, widths=channels)


def _concat_unet(dims: int, in_channels: int, classes: int, channels: list[int], dropout: float) -> nn.Module:
    from shapewright.networks.concat_unet import ConcatUNet

    return ConcatUNet(dims, in_channels, classes, channels, dropout=dropout)


def _highresnet(dims: int, in_channels: int, classes: int, channels: list[int], dropout: float) -> nn.Module:
    """Return MONAI's residual blocks, three per level at twice the dilation of the one before.

    MONAI's whole network normalises and rectifies its logits, which per image would fix every class's share.
    """
    from monai.networks.blocks.convolutions import Convolution
    from monai.networks.nets.highresnet import HighResBlock

    norm = ("instance", {"affine": True})
    layers: list[nn.Module] = [Convolution(dims, in_channels, channels[0], kernel_size=3, conv_only=True)]
    wide = channels[0]
    for level, width in enumerate(channels):
        for _ in range(3):
            layers.append(HighResBlock(dims, wide, width, dilation=2**level, norm_type=norm))
            wide = width
    layers += [
        Convolution(dims, wide, wide, kernel_size=1, adn_ordering="NAD", norm=norm, act="RELU", dropout=dropout),
        Convolution(dims, wide, classes, kernel_size=1, conv_only=True),
    ]
    return nn.Sequential(*layers)
