"""Learning to segment from object sizes (Barucic and Kybic, ITAT 2022).

Stage 1 trains on masks. Stage 2 adds images of which only the size of the object is known: the single-sample gradient
of the expected size error (equation 21 of the paper), and what the paper asks for in its discussion, a term that makes
the overlap follow the size error: cross-entropy with the level set of the prediction that has the known size.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shapewright.data.patches import TrainingCase
from shapewright.data.preprocess import UNKNOWN
from shapewright.data.task import Task
from shapewright.errors import InputError
from shapewright.geometry import object_size
from shapewright.losses import SizeLevelLoss, SizeLoss
from shapewright.methods.object_size.config import Config
from shapewright.training.method import Batch, Progress, Step
from shapewright.training.segmentation import SegmentationNetwork, regional_loss

SIZES = "sizes"


class ObjectSizeSegmentation(SegmentationNetwork):
    """A U-Net trained on masks, then on masks and object sizes.

    Parameters
    ----------
    settings
        Stages, losses and network.
    task
        Channels, classes, spacing and patch size.
    """

    def __init__(self, settings: Config, task: Task) -> None:
        super().__init__(settings.network, task)
        self.settings = settings
        self.task = task
        self.regional = regional_loss(settings.regional)
        self.generator = torch.Generator()
        self.size = SizeLoss(
            measure=settings.measure,
            samples=settings.samples,
            relative=settings.relative or settings.measure == "area",
            spacing=task.patch_spacing,
            generator=self.generator,
        )
        self.level = SizeLevelLoss(measure=settings.measure, spacing=task.patch_spacing)

    def step(self, batch: Batch, progress: Progress) -> Step:
        """Return the regional loss and, in the second stage, the losses of the sizes."""
        settings = self.settings
        logits, labels, mask = self(batch["image"]), batch["labels"], batch.get("mask")
        loss = self.regional(logits, labels, mask=mask)
        logs: dict[str, float | Tensor] = {"loss/regional": loss.detach()}
        if progress.epoch < settings.pretraining * progress.epochs or SIZES not in batch:
            return Step(loss, logs)
        sizes = batch[SIZES].reshape(len(logits), -1, 2)
        if not settings.keep_masks:
            loss = 0.0 * loss
        if settings.level_weight > 0:
            level = self.level(logits, sizes)
            logs["loss/level"] = level.detach()
            loss = loss + settings.level_weight * level
        if settings.size_weight > 0:
            size = self._random_masks(progress)(logits, sizes)
            logs["loss/size"] = size.detach()
            loss = loss + settings.size_weight * size
        return Step(loss, logs)

    def _random_masks(self, progress: Progress) -> SizeLoss:
        """Return the size loss, its random numbers a function of the run's seed and the step."""
        device = next(self.parameters()).device
        if self.generator.device != device:
            self.generator = self.size.generator = torch.Generator(device)
        self.generator.manual_seed(torch.initial_seed() ^ progress.step)
        return self.size

    def image_targets(self, case: TrainingCase) -> Mapping[str, NDArray[Any]]:
        """Return the bounds of every class's size, NaN where unknown; of a mask its own sizes.

        A patch that does not hold the whole image may show a part of the object, of which only the upper bound is
        known.
        """
        bounds = case.supervision.size_bounds(self.task.classes).reshape(-1, 2)
        if not np.isnan(bounds).all() and self.task.spatial_dims < self.task.image_dims:
            raise InputError(
                f"the size of case {case.id} is that of a volume, but with prepare.spatial_dims 2 the network sees "
                "slices; train on volumes, or make a case of every slice"
            )
        self._check_sizes(case, bounds)
        unknown = np.isnan(bounds).any(axis=1)
        if self.task.spatial_dims == self.task.image_dims and UNKNOWN not in case.labels:
            bounds[unknown] = self._mask_sizes(case)[unknown, None]
        if any(size > patch for size, patch in zip(case.labels.shape[::-1], self.task.patch_size[::-1], strict=False)):
            bounds[:, 0] = np.where(np.isnan(bounds[:, 0]), np.nan, 0.0)
        return {SIZES: bounds.ravel()}

    def _check_sizes(self, case: TrainingCase, bounds: NDArray[np.float32]) -> None:
        """Refuse sizes that no object in the image can have: they are in another unit."""
        sides = np.multiply(case.labels.shape, case.spacing)
        largest = {
            "inscribed": 2 * sides.max(),
            "inscribed_euclidean": 2 * np.hypot.reduce(sides),
            "area": sides.prod(),
        }
        measure = self.settings.measure
        for size in bounds[:, 0]:
            if size > largest[measure]:
                unit = f"mm{'²³'[len(sides) - 2]}" if measure == "area" else "mm"
                raise InputError(
                    f"case {case.id}: an object of size {size:g} does not fit into its image of "
                    f"{' x '.join(f'{side:g}' for side in sides)} mm; sizes for the measure {measure!r} are in {unit}"
                )

    def _mask_sizes(self, case: TrainingCase) -> NDArray[np.float32]:
        """Return the size of every class but the background in the case's mask."""
        classes = np.arange(1, self.task.classes).reshape(-1, *(1,) * case.labels.ndim)
        masks = case.labels == classes
        if self.settings.measure == "area":
            areas: NDArray[np.float32] = masks.reshape(len(masks), -1).sum(1) * np.float32(np.prod(case.spacing))
            return areas
        sizes: NDArray[np.float32] = object_size(
            masks,
            metric="chebyshev" if self.settings.measure == "inscribed" else "euclidean",
            spacing=case.spacing,
            spatial_dims=case.labels.ndim,
        )
        return sizes

    def prepare(self, cases: Sequence[TrainingCase]) -> None:
        """Refuse cases of which none has a mask: sizes alone do not say where objects are."""
        if all((case.labels == UNKNOWN).all() for case in cases):
            raise InputError("object-size needs masks of some of the training cases; here all have sizes only")


build = ObjectSizeSegmentation
