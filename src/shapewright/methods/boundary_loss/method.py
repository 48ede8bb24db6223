"""Boundary loss (Kervadec et al., MIDL 2019): a regional loss plus the distance-weighted prediction.

Equation 6 of the paper: ``alpha * L_regional + (1 - alpha) * L_boundary``, with ``L_boundary`` the mean of
``phi * s`` over voxels and foreground classes (equation 5), phi the signed distance in mm to the class's boundary.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.data.patches import TrainingCase
from shapewright.data.preprocess import UNKNOWN
from shapewright.data.task import Task
from shapewright.geometry import class_distance_maps
from shapewright.losses import BoundaryLoss, WeightSchedule
from shapewright.methods.boundary_loss.config import Config
from shapewright.training.method import Batch, Progress, Step
from shapewright.training.segmentation import SegmentationNetwork, regional_loss

MAPS = "distance_maps"


class BoundaryLossSegmentation(SegmentationNetwork):
    """A U-Net trained with a regional loss and the boundary loss.

    Parameters
    ----------
    settings
        Losses, schedule and network.
    task
        Channels, classes, spacing and patch size.
    """

    def __init__(self, settings: Config, task: Task) -> None:
        super().__init__(settings.network, task)
        self.settings = settings
        self.classes = task.classes
        self.regional = regional_loss(settings.regional)
        self.boundary = BoundaryLoss(
            convention=settings.convention,
            spacing=task.patch_spacing,
            normalise=None if settings.normalise == "none" else settings.normalise,
            side=settings.side,
        )
        self.schedule = WeightSchedule(settings.schedule, weight=settings.weight)

    def step(self, batch: Batch, progress: Progress) -> Step:
        """Return the weighted sum of both losses at the epoch's weights."""
        logits, labels, mask = self(batch["image"]), batch["labels"], batch.get("mask")
        regional_weight, boundary_weight = self.schedule.weights(progress.epoch, progress.epochs)
        regional = self.regional(logits, labels, mask=mask)
        boundary = self.boundary(logits, batch.get(MAPS, labels), mask=mask)
        return Step(
            regional_weight * regional + boundary_weight * boundary,
            {
                "loss/regional": regional.detach(),
                "loss/boundary": boundary.detach(),
                "weight/regional": regional_weight,
                "weight/boundary": boundary_weight,
            },
        )

    def image_targets(self, case: TrainingCase) -> Mapping[str, NDArray[Any]]:
        """Return the signed distance map of every class but the background, on the whole image."""
        if self.settings.maps == "on_the_fly":
            return {}
        known = np.where(case.labels == UNKNOWN, 0, case.labels)
        maps = class_distance_maps(
            known, self.classes, spacing=case.spacing, spatial_dims=known.ndim, convention=self.settings.convention
        )
        return {MAPS: maps[1:].copy()}  # a view would keep the background's map in memory


build = BoundaryLossSegmentation
