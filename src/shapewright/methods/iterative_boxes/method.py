"""Boxes and unlabelled images (Gupta et al., MIDL 2019): the network's own predictions, corrected, are its next labels.

Stage 1 begins with filled boxes; before every later round the images with boxes are predicted and corrected by what
the boxes say. In stage 2 unlabelled images join with their predicted objects of typical size and eccentricity.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.data.patches import TrainingCase
from shapewright.data.preprocess import UNKNOWN
from shapewright.data.task import Task
from shapewright.errors import InputError
from shapewright.geometry import ShapePrior, box_cues, fill_boxes
from shapewright.methods.iterative_boxes.config import Config
from shapewright.training.rounds import Labels
from shapewright.training.segmentation import RegionalNetwork


class IterativeBoxes(RegionalNetwork):
    """A network that relabels its training images between rounds.

    Parameters
    ----------
    settings
        Rounds, cues and network.
    task
        Channels, classes and patch size.
    """

    def __init__(self, settings: Config, task: Task) -> None:
        super().__init__(settings.network, task, settings.loss)
        self.settings = settings
        self.classes = task.classes
        self.rounds = settings.box_rounds + settings.prior_rounds
        self.warm_start = settings.warm_start

    def prepare(self, cases: Sequence[TrainingCase]) -> None:
        """Look whether there is anything to begin with, and whether the second stage has images."""
        if not any(case.supervision.boxes for case in cases):
            raise InputError("iterative-boxes needs boxes in at least one training image; see docs/data.md")
        if all(case.supervision.boxes is not None for case in cases):
            self.rounds = self.settings.box_rounds

    def image_targets(self, case: TrainingCase) -> Mapping[str, NDArray[Any]]:
        """Return filled boxes as labels; nothing is known of an image without."""
        boxes = case.supervision.boxes
        if boxes is None:
            return {"labels": np.full((1, *case.labels.shape), UNKNOWN, np.uint8)}
        shape = case.labels.shape
        return {"labels": fill_boxes(shape, boxes.slices(shape), boxes.classes.tolist())[None]}

    def relabel(self, cases: Sequence[TrainingCase], predicted: Sequence[Labels], round_number: int) -> list[Labels]:
        """Return the labels of a round: corrected by boxes, or by typical shapes where there are none."""
        labels = [self._by_boxes(case, found) for case, found in zip(cases, predicted, strict=True)]
        if round_number < self.settings.box_rounds:
            return labels
        boxed = [
            (new, case.spacing) for case, new in zip(cases, labels, strict=True) if case.supervision.boxes is not None
        ]
        priors = {
            k: ShapePrior.fit([new == k for new, _ in boxed], level=self.settings.level, spacing=boxed[0][1])
            for k in range(1, self.classes)
            if any((new == k).any() for new, _ in boxed)
        }
        return [
            new if case.supervision.boxes is not None else self._by_shape(found, priors, case.spacing)
            for case, found, new in zip(cases, predicted, labels, strict=True)
        ]

    def _by_boxes(self, case: TrainingCase, predicted: Labels) -> Labels:
        boxes = case.supervision.boxes
        if boxes is None:
            return np.full(predicted.shape, UNKNOWN, np.uint8)
        return box_cues(
            predicted,
            boxes.slices(predicted.shape),
            boxes.classes.tolist(),
            min_fill=self.settings.min_fill,
            exhaustive=self.settings.exhaustive,
        )

    def _by_shape(self, predicted: Labels, priors: Mapping[int, ShapePrior], spacing: tuple[float, ...]) -> Labels:
        """Keep objects of typical shape; a class that no box shows teaches nothing."""
        labels = predicted.copy()
        for k in range(1, self.classes):
            if k not in priors:
                labels[predicted == k] = UNKNOWN
                continue
            kept = priors[k].filter(predicted == k, removed=self.settings.removed, spacing=spacing)
            labels[predicted == k] = np.where(kept == 1, k, kept)[predicted == k]
        return labels


build = IterativeBoxes
