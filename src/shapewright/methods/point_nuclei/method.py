"""Points (Qu et al., MIDL 2019): cross-entropy on Voronoi and cluster labels, then a CRF loss besides.

Equation 2: each label map has its own mean of the cross-entropy over the pixels it knows; equation 5 adds the CRF's
energy, weighted by 5e-4, in the last tenth of training or so.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.data.patches import TrainingCase
from shapewright.data.preprocess import UNKNOWN
from shapewright.data.task import Task
from shapewright.errors import InputError
from shapewright.geometry import cluster_labels, voronoi_labels
from shapewright.geometry.point_labels import typical_radius
from shapewright.losses import CrossEntropyLoss, DenseCRFLoss
from shapewright.methods.point_nuclei.config import Config
from shapewright.training.method import Batch, Progress, Step
from shapewright.training.segmentation import SegmentationNetwork

VORONOI, CLUSTER = "voronoi", "cluster"


class PointNuclei(SegmentationNetwork):
    """A network trained on two label maps made from points.

    Parameters
    ----------
    settings
        Label makers, losses and network.
    task
        Channels, classes, spacing and patch size.
    """

    def __init__(self, settings: Config, task: Task) -> None:
        super().__init__(settings.network, task)
        self.settings = settings
        self.names = (VORONOI, CLUSTER) if settings.labels == "both" else (settings.labels,)
        self.loss = CrossEntropyLoss(ignore_label=UNKNOWN)
        self.crf = DenseCRFLoss(
            position_sigma=settings.crf_position, colour_sigma=settings.crf_colour, spacing=task.patch_spacing
        )

    def step(self, batch: Batch, progress: Progress) -> Step:
        """Return the sum of the cross-entropies, and of the CRF loss towards the end."""
        logits = self(batch["image"])
        parts = {name: self.loss(logits, batch[name][:, 0]) for name in self.names}
        if progress.epoch >= progress.epochs * (1 - self.settings.crf_share) and self.settings.crf_weight:
            parts["crf"] = self.settings.crf_weight * self.crf(logits, batch["image"])
        loss = sum(parts.values(), logits.new_zeros(()))
        return Step(loss, {f"loss/{name}": part.detach() for name, part in parts.items()})

    def image_targets(self, case: TrainingCase) -> Mapping[str, NDArray[Any]]:
        """Return the label maps of the whole image."""
        points = case.supervision.points
        if points is None:
            raise InputError(f"case {case.id} has no points; add points/{case.id}.csv")
        return label_maps(
            case.image, points.voxels(case.labels.shape).astype(float), points.classes, case.spacing, self.settings
        )


def label_maps(
    image: NDArray[np.float32],
    points: NDArray[np.float64],
    classes: NDArray[np.uint8],
    spacing: tuple[float, ...],
    settings: Config,
) -> dict[str, NDArray[np.uint8]]:
    """Return the Voronoi and the cluster labels, ``[1, *spatial]``, of an image whose channels have deviation 1."""
    radius = settings.radius or typical_radius(points, spacing=spacing, largest=settings.largest_radius)
    shape = image.shape[1:]
    disc = max(settings.disc * radius, min(spacing))
    made = {}
    if settings.labels in ("both", VORONOI):
        made[VORONOI] = voronoi_labels(points, shape, classes=classes, radius=disc, spacing=spacing)[None]
    if settings.labels in ("both", CLUSTER):
        made[CLUSTER] = cluster_labels(
            image, points, radius=radius, classes=classes, spacing=spacing, colour_weight=settings.colour_weight
        )[None]
    return made


build = PointNuclei
