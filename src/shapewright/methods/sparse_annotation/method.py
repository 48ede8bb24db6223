"""Sparse annotations (Bokhorst et al., MIDL 2019): cross-entropy on labelled pixels, classes evened out.

Equations 1 and 2 of the paper weigh pixel i of class y by ``L / (C * n_y)``: L labelled pixels, C classes and n_y
pixels of the class, counted in one image (instance balancing) or in the batch (mini-batch balancing).
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from shapewright.data.patches import TrainingCase
from shapewright.data.preprocess import UNKNOWN
from shapewright.data.task import Task
from shapewright.losses import BalancedCrossEntropy, DiceLoss
from shapewright.losses.weights import class_balance
from shapewright.methods.sparse_annotation.config import Config
from shapewright.training.method import Batch, Progress, Step
from shapewright.training.segmentation import SegmentationNetwork


class SparseAnnotation(SegmentationNetwork):
    """A network trained on the labelled pixels alone.

    Parameters
    ----------
    settings
        Balancing and network.
    task
        Channels, classes and patch size.
    """

    class_weights: Tensor

    def __init__(self, settings: Config, task: Task) -> None:
        super().__init__(settings.network, task)
        self.settings = settings
        scheme = "mask" if settings.balance == "dataset" else settings.balance
        self.loss = BalancedCrossEntropy(scheme, cap=settings.cap)
        self.single = BalancedCrossEntropy("mask", reduction="none")
        self.overlap = DiceLoss(channels=range(task.classes), batch=True)
        self.register_buffer("class_weights", torch.ones(task.classes))

    def prepare(self, cases: Sequence[TrainingCase]) -> None:
        """Count the labelled pixels of every class."""
        classes = len(self.class_weights)
        counts = sum(np.bincount(case.labels[case.labels != UNKNOWN].ravel(), minlength=classes) for case in cases)
        weights = class_balance(torch.as_tensor(counts).float())
        self.class_weights.copy_(weights if self.settings.cap is None else weights.clamp(max=self.settings.cap))

    def step(self, batch: Batch, progress: Progress) -> Step:  # noqa: ARG002 - the weights do not change
        """Return the balanced cross-entropy of a batch, and the Dice loss where it is asked for."""
        logits, labels, mask = self(batch["image"]), batch["labels"], batch.get("mask")
        if self.settings.balance == "dataset":
            weights = self.class_weights[labels] * (1.0 if mask is None else mask[:, 0])
            loss = (weights * self.single(logits, labels, mask=mask)).sum() / weights.sum().clamp(min=1e-6)
        else:
            loss = self.loss(logits, labels, mask=mask)
        if self.settings.dice:
            loss = loss + self.settings.dice * self.overlap(logits, labels, mask=mask)
        return Step(loss, {"labelled": 1.0 if mask is None else mask.float().mean()})


build = SparseAnnotation
