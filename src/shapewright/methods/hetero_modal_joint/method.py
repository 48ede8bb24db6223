"""Joint segmentation from task-specific hetero-modal data sets (Dorent et al., MIDL 2019).

With L a one-versus-all loss that obeys the triangle inequality, x all modalities and p(x) those that every data set
has, the tissue loss of patients whose tissue nobody drew is bounded (equation 3) by

    L(h(x), y) <= L(h(x), h(p(x))) + L(h(p(x)), y).

The first term needs no labels; the second is taken over the data set that has them (equation 5). The objective is the
loss of what each data set annotates plus, where an image has more than the shared modalities, the first term over the
classes that it does not annotate.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shapewright.data.patches import TrainingCase
from shapewright.data.preprocess import missing_channels
from shapewright.data.task import Task
from shapewright.errors import InputError
from shapewright.losses.jaccard import JaccardLoss, modality_consistency
from shapewright.methods.hetero_modal_joint.config import Config
from shapewright.networks.modality_mean import ModalityMeanNet, present_channels
from shapewright.networks.segmentation import PaddedToStride, build_network
from shapewright.training.method import Batch, Progress, Step

UNKNOWN_CLASSES = "unknown_classes"
STEM_WIDTH = 16  # channels of every modality's stem


class HeteroModalJoint(nn.Module):
    """A network that averages the features of the modalities that are there, and its objective.

    Parameters
    ----------
    settings
        Losses and network.
    task
        Modalities, classes, label sets and patch size.
    """

    def __init__(self, settings: Config, task: Task) -> None:
        super().__init__()
        self.settings = settings
        self.task = task
        width, dims = settings.network.width or STEM_WIDTH, task.spatial_dims
        body = build_network(
            settings.network,
            spatial_dims=dims,
            in_channels=width,
            out_channels=task.classes,
            patch_size=task.patch_size,
        )
        stems_and_body = ModalityMeanNet(task.channels, body.body, width=width, spatial_dims=dims)
        self.network: nn.Module = PaddedToStride(stems_and_body, body.stride)
        labels = range(task.classes + len(task.label_sets))
        self.supervised = JaccardLoss(task.label_sets, channels=labels, form=settings.form)
        self.shared: Tensor
        self.register_buffer("shared", torch.ones(len(task.channels), dtype=torch.bool))

    def prepare(self, cases: Sequence[TrainingCase]) -> None:
        """Find the modalities that all training cases have.

        Raises
        ------
        InputError
            There is none: nothing would tie the data sets together.
        """
        shared = np.all([~missing_channels(case.image) for case in cases], axis=0)
        if not shared.any():
            raise InputError(
                f"hetero-modal-joint needs a channel that every case has; none of {', '.join(self.task.channels)} is"
            )
        self.shared.copy_(torch.from_numpy(shared))

    def image_targets(self, case: TrainingCase) -> Mapping[str, NDArray[Any]]:
        """Return which classes, the background included, the case does not annotate, [K]."""
        annotated = case.supervision.annotated
        unknown = [float(annotated is not None and k not in annotated) for k in range(self.task.classes)]
        return {UNKNOWN_CLASSES: np.array(unknown, np.float32)}

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [B, K, *spatial] of an image [B, C, *spatial] whose missing channels are NaN."""
        logits: Tensor = self.network(image)
        return logits

    def step(self, batch: Batch, progress: Progress) -> Step:
        """Return the loss of what is annotated, and after the warm-up the consistency of what is not."""
        image = batch["image"]
        logits = self(image)
        supervised = self.supervised(logits, batch["labels"], mask=batch.get("mask"))
        warmup = progress.steps // 2 if self.settings.warmup_steps is None else self.settings.warmup_steps
        weight = self.settings.consistency if progress.step >= warmup else 0.0
        logs: dict[str, float | Tensor] = {"loss/supervised": supervised.detach(), "weight/consistency": weight}
        unknown = batch[UNKNOWN_CLASSES].bool()
        rows = (unknown.any(dim=1) & (present_channels(image) & ~self.shared).any(dim=1)).nonzero()[:, 0]
        if not weight or not len(rows):
            return Step(supervised, logs)
        distances = modality_consistency(
            self,
            image[rows],
            self.shared.nonzero()[:, 0].tolist(),
            logits=logits[rows],
            classes=unknown[rows],
            form=self.settings.form,
            detach=self.settings.detach,
        )
        consistency = distances.sum() / len(image)  # on the scale of the mean over the batch
        return Step(supervised + weight * consistency, {**logs, "loss/consistency": consistency.detach()})

    def predict(self, image: Tensor) -> Tensor:
        """Return class probabilities [B, K, *spatial] from the channels that are there; others are NaN."""
        return torch.softmax(self(image).float(), dim=1)


build = HeteroModalJoint
