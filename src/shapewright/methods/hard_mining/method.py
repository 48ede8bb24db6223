"""Hard-example mining and the compound network (Burlutskiy et al., MIDL 2019).

Patches are drawn in proportion to the present network's error (figure A.1 of the paper), once per epoch instead of in a
second process. A fine network sees the image, a coarse one the image and the fine one's probabilities at half the
resolution; both learn at once, the coarse network's loss stopping at the fine one's probabilities.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shapewright.data.mining import error_map
from shapewright.data.patches import TrainingCase
from shapewright.data.task import Task
from shapewright.methods.hard_mining.config import Config
from shapewright.networks.compound import CompoundNetwork
from shapewright.networks.segmentation import build_network
from shapewright.training.method import Batch, Progress, Step
from shapewright.training.segmentation import SegmentationNetwork, regional_loss


class CompoundSegmentation(SegmentationNetwork):
    """A fine and a coarse network, or the fine one alone.

    Parameters
    ----------
    settings
        Networks and loss.
    task
        Channels, classes and patch size.
    """

    def __init__(self, settings: Config, task: Task) -> None:
        super().__init__(settings.network, task)
        self.settings = settings
        self.loss = regional_loss(settings.loss)
        if settings.compound:
            coarse = build_network(
                settings.network,
                spatial_dims=task.spatial_dims,
                in_channels=len(task.channels) + task.classes - 1,
                out_channels=task.classes,
                patch_size=[max(size // settings.scale, 8) for size in task.patch_size],
            )
            self.network = CompoundNetwork(self.network, coarse, scale=settings.scale, end_to_end=settings.end_to_end)

    def step(self, batch: Batch, progress: Progress) -> Step:  # noqa: ARG002 - nothing is scheduled
        """Return the sum of both networks' losses."""
        labels, mask = batch["labels"], batch.get("mask")
        if not self.settings.compound:
            return Step(self.loss(self(batch["image"]), labels, mask=mask))
        fine, coarse = (self.loss(logits, labels, mask=mask) for logits in self.network(batch["image"]))
        return Step(fine + coarse, {"loss/fine": fine.detach(), "loss/coarse": coarse.detach()})

    def predict(self, image: Tensor) -> Tensor:
        """Return the coarse network's class probabilities [B, K, *spatial], or the fine one's where it is alone."""
        logits = self.network(image)
        return torch.softmax((logits[1] if self.settings.compound else logits).float(), dim=1)


class HardMining(CompoundSegmentation):
    """The same networks, trained where they are wrong."""

    def patch_density(self, case: TrainingCase, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the error of the present network as a density for patch centres."""
        settings = self.settings
        return error_map(
            probabilities,
            case.labels,
            floor=settings.floor,
            smooth=settings.smooth,
            drop_above=settings.drop_above,
            temperature=settings.temperature,
        )


def build(settings: Config, task: Task) -> CompoundSegmentation:
    """Return the method, with or without mining."""
    return (HardMining if settings.mining else CompoundSegmentation)(settings, task)
