"""The image-conditioned teacher: a U-Net trained on masks or scribbles, whose predictions are made connected.

The network sees patches; connectedness is a property of the whole image. So the regions are fitted once per image, to
the assembled probabilities (``inference.connect``), and not in every window.
"""

from shapewright.data.task import Task
from shapewright.methods.path_connected.config import Config
from shapewright.training.segmentation import RegionalNetwork


class PathConnected(RegionalNetwork):
    """A U-Net trained with a regional loss on the marked voxels.

    Parameters
    ----------
    settings
        Loss and network.
    task
        Channels, classes and patch size.
    """

    def __init__(self, settings: Config, task: Task) -> None:
        super().__init__(settings.network, task, settings.loss)


build = PathConnected
