"""SPDA (Zhang et al., MIDL 2019): half of what the network sees is raw, half superpixelised.

Equation 5 of the paper gives the raw image the weight of all its superpixelised versions together, whose number of
cells is drawn anew every time (algorithm 1). Prediction uses raw images only.
"""

import numpy as np
import torch

from shapewright.data.folder import COLOURS
from shapewright.data.superpixels import SuperpixelPairs
from shapewright.data.task import Task
from shapewright.methods.spda.config import Config
from shapewright.training.method import Batch, Progress, Step
from shapewright.training.segmentation import SegmentationNetwork, regional_loss


class SuperpixelAugmented(SegmentationNetwork):
    """A U-Net trained on pairs of raw and superpixelised patches.

    Parameters
    ----------
    settings
        Superpixels, loss and network.
    task
        Channels, classes, spacing and patch size. Channels red, green and blue are compared in CIELAB.
    """

    def __init__(self, settings: Config, task: Task) -> None:
        super().__init__(settings.network, task)
        self.loss = regional_loss(settings.loss)
        self.consistency = settings.consistency
        self.pairs = SuperpixelPairs(
            cell_size=settings.cell_size,
            compactness=settings.compactness,
            spacing=task.patch_spacing,
            colour=task.channels == COLOURS,
            smoothing=settings.smoothing,
        )

    def step(self, batch: Batch, progress: Progress) -> Step:
        """Return the loss over a batch and its superpixelised copy, and their consistency where that has a weight."""
        # torch's seed is set from the run's seed and the step: the cells depend on nothing else.
        random = np.random.default_rng([torch.initial_seed() % 2**63, progress.step])
        doubled = self.pairs(dict(batch), random)
        logits, mask = self(doubled["image"]), doubled.get("mask")
        loss = self.loss(logits, doubled["labels"], mask=mask)
        if not self.consistency:
            return Step(loss)
        raw, smooth = torch.softmax(logits.float(), dim=1).chunk(2)
        apart = (raw - smooth).square().sum(dim=1, keepdim=True)
        if "mask" in batch:
            apart = apart * batch["mask"]
        consistency = apart.mean()
        logs = {"loss/supervised": loss.detach(), "loss/consistency": consistency.detach()}
        return Step(loss + self.consistency * consistency, logs)


build = SuperpixelAugmented
