"""BiMoNN: a stack of layers that learn set operators, and that become set morphology once trained."""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from shapewright.errors import InputError
from shapewright.layers.bise import BiSEL

Item = TypeVar("Item")


class BiMoNN(nn.Module):
    """Binary morphological neural network: BiSEL layers one after the other.

    Parameters
    ----------
    channels
        Channels of the input, of every layer's output, the last being the result: ``(1, 1, 1)`` has two layers.
    kernel_size
        Odd width of the structuring elements' support: one for all layers, or one per layer, each a number or one per
        axis.
    spatial_dims
        2 or 3.
    stride
        Every how many pixels a layer's result is kept: one for all layers, or one per layer.

    Raises
    ------
    InputError
        Fewer than two channel counts, or as many kernel sizes or strides as there are not layers.

    References
    ----------
    Aouad and Talbot, "Binary multi-channel morphological neural network", DGMM 2022, definition 6.

    Examples
    --------
    >>> network = BiMoNN(channels=(1, 2, 1), kernel_size=5)
    >>> network(torch.rand(4, 1, 20, 20)).shape
    torch.Size([4, 1, 20, 20])
    """

    def __init__(
        self,
        channels: Sequence[int] = (1, 1, 1),
        kernel_size: int | Sequence[int | Sequence[int]] = 7,
        spatial_dims: int = 2,
        stride: int | Sequence[int] = 1,
    ) -> None:
        super().__init__()
        count = len(channels) - 1
        if count < 1 or min(channels) < 1:
            raise InputError(f"channels must be at least two positive numbers, input and output; got {tuple(channels)}")
        kernels = _one_per_layer(kernel_size, count, "kernel_size")
        strides = _one_per_layer(stride, count, "stride")
        self.channels, self.spatial_dims = tuple(channels), spatial_dims
        self.layers = nn.ModuleList(
            BiSEL(inputs, outputs, kernel, spatial_dims, step)
            for inputs, outputs, kernel, step in zip(channels[:-1], channels[1:], kernels, strides, strict=True)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return values in [0, 1] ``[B, K, *spatial]`` of an image ``[B, C, *spatial]`` in [0, 1]."""
        for layer in self.layers:
            image = layer(image)
        return image

    @torch.no_grad()
    def reset(self, generator: torch.Generator | None = None) -> None:
        """Draw initial weights anew; see :meth:`shapewright.layers.BiSE`."""
        for layer in self.layers:
            assert isinstance(layer, BiSEL)
            layer.bise.reset(generator)
            layer.lui.reset(generator, spread=0.05)


def _one_per_layer(value: int | Sequence[Item], count: int, name: str) -> tuple[int | Item, ...]:
    values: tuple[int | Item, ...] = (value,) * count if isinstance(value, int) else tuple(value)
    if len(values) != count:
        raise InputError(f"{name} must be one number, or one for each of the {count} layers; got {values}")
    return values


class BiMoNNClassifier(nn.Module):
    """Classify binary images by the areas of what set operators leave of them.

    Layers that sub-sample shrink the image; the area of every output channel (its mean) goes into one linear layer.
    Once binarised, the areas are counts of set bits: ``model.classify(binarize(model.features)(image))``.

    Parameters
    ----------
    channels
        As in :class:`BiMoNN`; the last are the features.
    classes
        Number of classes.
    kernel_size, spatial_dims, stride
        As in :class:`BiMoNN`; a stride of 2 by default.

    Examples
    --------
    >>> model = BiMoNNClassifier((1, 4, 8), classes=10, kernel_size=5)
    >>> model(torch.rand(3, 1, 28, 28)).shape
    torch.Size([3, 10])
    """

    def __init__(
        self,
        channels: Sequence[int],
        classes: int,
        kernel_size: int | Sequence[int | Sequence[int]] = 7,
        spatial_dims: int = 2,
        stride: int | Sequence[int] = 2,
    ) -> None:
        super().__init__()
        if classes < 2:
            raise InputError(f"classes must be at least 2; got {classes}")
        self.features = BiMoNN(channels, kernel_size, spatial_dims, stride)
        self.head = nn.Linear(channels[-1], classes)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``[B, classes]`` of an image ``[B, C, *spatial]`` in [0, 1]."""
        return self.classify(self.features(image))

    def classify(self, features: Tensor) -> Tensor:
        """Return logits of features ``[B, K, *spatial]``, values in [0, 1] or bool."""
        logits: Tensor = self.head(features.float().flatten(2).mean(dim=2))
        return logits
