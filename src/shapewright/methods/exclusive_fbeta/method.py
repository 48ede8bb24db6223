"""Exclusive independent probabilities (Hashemi et al., MIDL 2019): one class left out, F-beta for each of the others.

Equation 3 of the paper is the loss of one class, summed over the trained ones; equation 4 its beta. Decoding: the
strongest sigmoid of at least 1/2, else the class left out.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from shapewright.data.patches import TrainingCase
from shapewright.data.preprocess import UNKNOWN
from shapewright.data.task import Task
from shapewright.errors import InputError, unknown
from shapewright.losses import FBetaLoss, auto_beta
from shapewright.methods.exclusive_fbeta.config import Config
from shapewright.networks.segmentation import build_network
from shapewright.training.exclusive import choose_left_out, exclusive_probabilities
from shapewright.training.method import Batch, Progress, Step
from shapewright.training.segmentation import SegmentationNetwork

SINGLE_BETA = 1.5  # a softmax needs one beta for all classes; the paper does not say which


class ExclusiveFBeta(SegmentationNetwork):
    """A network with one sigmoid per trained class.

    Parameters
    ----------
    settings
        Outputs, loss and network.
    task
        Channels, labels and patch size.
    """

    counts: Tensor

    def __init__(self, settings: Config, task: Task) -> None:
        nn.Module.__init__(self)
        self.settings = settings
        self.names = ("background", *task.labels)
        self.nonzero = settings.region == "nonzero"
        if self.nonzero and task.normalise == "volume":
            raise InputError(
                "settings.region 'nonzero' needs prepare.normalise 'nonzero_mean' or 'none': 'volume' moves 0, the "
                "outside of the skull-stripped image, to another value"
            )
        if settings.left_out is not None and settings.left_out not in self.names:
            raise unknown("settings.left_out", settings.left_out, self.names)
        if self.nonzero and settings.left_out == "background":
            raise InputError("settings.left_out must be a label where settings.region is 'nonzero'; got 'background'")
        if self.nonzero and len(task.labels) < 2:
            raise InputError("settings.region 'nonzero' needs two labels or more; every voxel that is not 0 has one")
        first = 1 if self.nonzero else 0
        self.classes = list(range(first, task.classes))
        # How many voxels each class has in the training images: fixes betas and, by default, the class left out.
        self.register_buffer("counts", torch.ones(task.classes, dtype=torch.float64))
        outputs = len(self.classes) - (settings.outputs == "exclusive")
        self.network = build_network(
            settings.network,
            spatial_dims=task.spatial_dims,
            in_channels=len(task.channels),
            out_channels=outputs,
            patch_size=task.patch_size,
        )

    def prepare(self, cases: Sequence[TrainingCase]) -> None:
        """Count the voxels of every class."""
        total = np.zeros(len(self.names))
        for case in cases:
            total += np.bincount(case.labels[case.labels != UNKNOWN].ravel(), minlength=len(total))[: len(total)]
        self.counts.copy_(torch.from_numpy(np.maximum(total, 1)))

    @property
    def left_out(self) -> int:
        """The class without an output."""
        if self.settings.left_out is not None:
            return self.names.index(self.settings.left_out)
        return choose_left_out(self.counts.tolist(), self.classes) if self.nonzero else 0

    @property
    def trained(self) -> list[int]:
        """The classes with a sigmoid, in the order of the channels."""
        return [k for k in self.classes if self.settings.outputs != "exclusive" or k != self.left_out]

    def step(self, batch: Batch, progress: Progress) -> Step:  # noqa: ARG002 - nothing is scheduled
        """Return the sum of the trained classes' F-beta losses, counted over the batch."""
        logits, labels, mask = self(batch["image"]), batch["labels"], batch.get("mask")
        if self.nonzero:
            inside = (labels > 0)[:, None]
            mask = inside if mask is None else mask.bool() & inside
        settings = self.settings
        if settings.outputs == "single":
            if self.nonzero:  # the channels are the labels: 1 becomes 0
                labels = (labels - 1).clamp_min(0)
            beta: float | tuple[float, ...] = settings.beta or SINGLE_BETA
            loss = FBetaLoss(beta, classes=range(logits.shape[1]), batch=True, reduction="sum")
            return Step(loss(logits, labels, mask=mask))
        trained = self.trained
        beta = settings.beta or auto_beta(self.counts.tolist(), extra_recall=settings.extra_recall, trained=trained)
        loss = FBetaLoss(beta, activation="sigmoid", classes=trained, batch=True, reduction="none")
        losses = loss(logits, labels, mask=mask)
        logs: dict[str, float | Tensor] = {
            f"loss/{self.names[k]}": value.detach() for k, value in zip(trained, losses, strict=True)
        }
        total = losses.sum()
        if settings.exclusion and len(trained) > 1:
            claimed = torch.sigmoid(logits.float())
            # The sum of all products of two of them.
            both = (claimed.sum(1, keepdim=True).square() - claimed.square().sum(1, keepdim=True)) / 2
            overlap = both.mean() if mask is None else (both * mask).sum() / mask.sum().clamp_min(1)
            total = total + settings.exclusion * overlap
            logs["loss/exclusion"] = overlap.detach()
        return Step(total, logs)

    def predict(self, image: Tensor) -> Tensor:
        """Return class probabilities [B, K, *spatial] of an image [B, C, *spatial]."""
        logits = self(image).float()
        inside = (image != 0).any(dim=1, keepdim=True) if self.nonzero else None
        if self.settings.outputs == "exclusive":
            return exclusive_probabilities(
                torch.sigmoid(logits), self.trained, self.left_out, len(self.names), mask=inside
            )
        shares = torch.softmax(logits, 1) if self.settings.outputs == "single" else torch.sigmoid(logits)
        shares = shares / shares.sum(dim=1, keepdim=True).clamp_min(1e-6)
        if inside is None:
            return shares
        return torch.cat([(~inside).to(shares), shares * inside], dim=1)


build = ExclusiveFBeta
