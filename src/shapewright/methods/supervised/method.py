"""Supervised segmentation with a regional loss."""

from shapewright.data.task import Task
from shapewright.methods.supervised.config import Config
from shapewright.training.segmentation import RegionalNetwork


class Supervised(RegionalNetwork):
    """A U-Net trained with one regional loss.

    Parameters
    ----------
    settings
        Loss and network.
    task
        Channels, classes and patch size.
    """

    def __init__(self, settings: Config, task: Task) -> None:
        super().__init__(settings.network, task, settings.loss)


build = Supervised
