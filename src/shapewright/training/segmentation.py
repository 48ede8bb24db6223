"""What segmentation methods share: a network that predicts class probabilities, and regional losses by name."""

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shapewright.data.patches import TrainingCase
from shapewright.data.task import Task
from shapewright.errors import unknown
from shapewright.losses import CrossEntropyLoss, DiceLoss, GeneralisedDiceLoss, ScheduledSum
from shapewright.networks import NetworkConfig
from shapewright.networks.segmentation import build_network
from shapewright.training.method import Batch, Progress, Step

REGIONAL_LOSSES = ("dice_ce", "gdl", "dice", "ce")


def regional_loss(name: str) -> nn.Module:
    """Return a loss that sums over regions.

    Parameters
    ----------
    name
        ``dice_ce`` (Dice plus cross-entropy, the usual choice), ``gdl`` (generalised Dice), ``dice`` or ``ce``.

    Raises
    ------
    InputError
        Another name.
    """
    if name == "dice_ce":
        return ScheduledSum({"dice": (DiceLoss(batch=True), 1.0), "ce": (CrossEntropyLoss(), 1.0)})
    if name == "gdl":
        return GeneralisedDiceLoss()
    if name == "dice":
        return DiceLoss(batch=True)
    if name == "ce":
        return CrossEntropyLoss()
    raise unknown("regional loss", name, REGIONAL_LOSSES)


class SegmentationNetwork(nn.Module):
    """A network whose softmax are class probabilities: the part that most segmentation methods share.

    Parameters
    ----------
    network
        Which network.
    task
        Channels, classes and patch size.
    out_channels
        Channels of the output; default one per class, background included.
    """

    def __init__(self, network: NetworkConfig, task: Task, *, out_channels: int | None = None) -> None:
        super().__init__()
        self.network: nn.Module = build_network(
            network,
            spatial_dims=task.spatial_dims,
            in_channels=len(task.channels),
            out_channels=out_channels or task.classes,
            patch_size=task.patch_size,
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [B, K, *spatial] of an image [B, C, *spatial]."""
        logits: Tensor = self.network(image)
        return logits

    def predict(self, image: Tensor) -> Tensor:
        """Return class probabilities [B, K, *spatial] of an image [B, C, *spatial]."""
        return torch.softmax(self(image).float(), dim=1)

    def image_targets(self, case: TrainingCase) -> Mapping[str, NDArray[Any]]:  # noqa: ARG002
        """Return no whole-image targets; methods that need some override this."""
        return {}


class RegionalNetwork(SegmentationNetwork):
    """A segmentation network trained with one regional loss on the voxels that are known.

    Parameters
    ----------
    network
        Which network.
    task
        Channels, classes and patch size.
    loss
        Name of the loss, see :func:`regional_loss`.
    """

    def __init__(self, network: NetworkConfig, task: Task, loss: str) -> None:
        super().__init__(network, task)
        self.loss = regional_loss(loss)

    def step(self, batch: Batch, progress: Progress) -> Step:  # noqa: ARG002 - the weight does not change
        """Return the regional loss of a batch."""
        return Step(self.loss(self(batch["image"]), batch["labels"], mask=batch.get("mask")))
