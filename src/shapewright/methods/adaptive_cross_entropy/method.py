"""Adaptive cross-entropy (Roulet et al., MIDL 2019): one network from data sets with different labels.

Equation 4: where a data set says "not mine", the loss is minus the logarithm of the summed probabilities of all
classes that it does not annotate; elsewhere it is cross-entropy. Which classes a label stands for is part of the task
(``task.label_sets``); batches hold as many patches of every data set.
"""

from shapewright.data.task import Task
from shapewright.losses import AdaptiveCrossEntropyLoss, MarginalDiceLoss
from shapewright.methods.adaptive_cross_entropy.config import Config
from shapewright.training.method import Batch, Progress, Step
from shapewright.training.segmentation import SegmentationNetwork


class AdaptiveCrossEntropy(SegmentationNetwork):
    """A network trained on labels that may stand for several classes.

    Parameters
    ----------
    settings
        Loss and network.
    task
        Channels, classes, label sets and patch size.
    """

    def __init__(self, settings: Config, task: Task) -> None:
        super().__init__(settings.network, task)
        self.settings = settings
        self.entropy = AdaptiveCrossEntropyLoss(task.label_sets, reading=settings.reading)
        self.dice = MarginalDiceLoss(task.label_sets)

    def step(self, batch: Batch, progress: Progress) -> Step:  # noqa: ARG002 - the weights do not change
        """Return the loss of a batch, whose labels are classes or label sets."""
        logits, labels, mask = self(batch["image"]), batch["labels"], batch.get("mask")
        entropy = self.entropy(logits, labels, mask=mask)
        if self.settings.dice == 0:
            return Step(entropy)
        dice = self.dice(logits, labels, mask=mask)
        return Step(
            entropy + self.settings.dice * dice,
            {"loss/entropy": entropy.detach(), "loss/dice": dice.detach()},
        )


build = AdaptiveCrossEntropy
