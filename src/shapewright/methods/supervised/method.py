"""Supervised segmentation with a regional loss."""

from shapewright.data.task import Task
from shapewright.methods.supervised.config import Config
from shapewright.training.method import Batch, Progress, Step
from shapewright.training.segmentation import SegmentationNetwork, regional_loss


class Supervised(SegmentationNetwork):
    """A U-Net trained with one regional loss.

    Parameters
    ----------
    settings
        Loss and network.
    task
        Channels, classes and patch size.
    """

    def __init__(self, settings: Config, task: Task) -> None:
        super().__init__(settings.network, task)
        self.loss = regional_loss(settings.loss)

    def step(self, batch: Batch, progress: Progress) -> Step:  # noqa: ARG002 - the weight does not change
        """Return the regional loss of a batch."""
        return Step(self.loss(self(batch["image"]), batch["labels"], mask=batch.get("mask")))


build = Supervised
