"""BiMoNN (Aouad and Talbot, DGMM 2022) on a folder of pairs of binary images.

Images are thresholded, a network of set operators is trained by gradient descent, and when training is over a discrete
search turns it into the program of set operations that explains the training cases best; see ``fit.py`` for both in
one call.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shapewright.data.patches import TrainingCase
from shapewright.data.preprocess import UNKNOWN
from shapewright.data.task import Task
from shapewright.errors import InputError
from shapewright.methods.bimonn.config import Config
from shapewright.methods.bimonn.fit import fit_cases
from shapewright.methods.bimonn.objective import activation_penalty, balanced_cross_entropy, interior, reach
from shapewright.morphology.program import Program
from shapewright.networks.bimonn import BiMoNN
from shapewright.networks.binarization import binarize
from shapewright.training.method import Batch, Progress, Step


class BinaryMorphology(nn.Module):
    """A BiMoNN whose outputs are the classes.

    Parameters
    ----------
    settings
        Architecture, threshold and search.
    task
        Channels and classes.
    """

    finished: Tensor

    def __init__(self, settings: Config, task: Task) -> None:
        super().__init__()
        self.settings, self.task = settings, task
        channels = (len(task.channels), *settings.hidden, task.classes - 1)
        self.network = BiMoNN(channels, settings.kernel_size, task.spatial_dims)
        self.register_buffer("finished", torch.tensor(False))
        self._program: Program | None = None

    @property
    def whole_images(self) -> bool:
        """Say whether the network is a program: windows would give it borders that the image does not have."""
        return bool(self.finished)

    def prepare(self, cases: Sequence[TrainingCase]) -> None:
        """Refuse grey images: the default threshold would take everything that is not black for foreground.

        Raises
        ------
        InputError
            An image of more than two whole numbers, unless a threshold was chosen.
        """
        if self.settings.threshold != Config.threshold:
            return
        for case in cases:
            values = np.unique(case.image[np.isfinite(case.image)])
            if len(values) > 2 and values[-1] > 1 and (values == np.round(values)).all():
                raise InputError(
                    f"{case.id} is a grey image with {len(values)} values from {values[0]:g} to {values[-1]:g}; bimonn "
                    "learns from binary images: threshold them, or choose settings.threshold"
                )

    def step(self, batch: Batch, progress: Progress) -> Step:
        """Return the balanced cross-entropy and, growing over the training, the pull towards set operators."""
        images = self._binary(batch["image"])
        labels = batch["labels"]
        classes = torch.arange(1, self.task.classes, device=labels.device).reshape(-1, *[1] * (labels.ndim - 1))
        targets = (labels[:, None] == classes).float()
        valid = interior(tuple(labels.shape[1:]), reach(self.network), images).expand(len(images), *images.shape[1:])
        valid = valid[:, :1]
        if "mask" in batch:
            valid = valid & batch["mask"]
        entropy = balanced_cross_entropy(self.network(images), images, targets, valid)
        penalty = activation_penalty(self.network)
        share = (progress.step / max(progress.steps, 1)) ** 2
        loss = entropy + self.settings.activation * share * penalty
        return Step(loss, {"loss/entropy": entropy.detach(), "loss/activation": penalty.detach()})

    def predict(self, image: Tensor) -> Tensor:
        """Return class probabilities [B, K, *spatial]: 0 and 1 once the network is a program."""
        binary = self._binary(image)
        if bool(self.finished):
            if self._program is None:
                self._program = binarize(self.network).simplified()
            found = self._program(binary.bool()).to(binary)
        else:
            found = self.network(binary)
        background = 1 - found.amax(dim=1, keepdim=True)
        return nn.functional.normalize(torch.cat([background, found], dim=1), p=1, dim=1)

    def image_targets(self, case: TrainingCase) -> Mapping[str, NDArray[Any]]:  # noqa: ARG002
        """Return no whole-image targets."""
        return {}

    def finish(self, cases: Sequence[TrainingCase], validation: Sequence[TrainingCase], folder: Path) -> None:
        """Search for the program that explains the cases best, keep it as the network's weights, and write it down.

        Writes ``program.json``, ``program.txt``, ``program.png`` (a diagram with elements and weights), ``program.py``
        (plain NumPy).
        """
        trained = binarize(self.network)
        if self.settings.kicks:
            pairs, held = self._pairs(cases), self._pairs(validation)
            fit_cases(self.network, pairs, held, kicks=self.settings.kicks)
        self.finished.fill_(True)
        self._program = None
        program = binarize(self.network)
        exact = np.mean([neuron.exact for neuron in trained.neurons])
        text = f"{program}\n\nAfter the training {exact:.0%} of the neurons were set operators exactly; now "
        text += f"{np.mean([neuron.exact for neuron in program.neurons]):.0%}.\n"
        (folder / "program.txt").write_text(text, encoding="utf-8")
        (folder / "program.py").write_text(program.to_numpy_source(), encoding="utf-8")
        program.save(folder / "program.json")
        program.simplified().draw(folder / "program.png")

    def _pairs(self, cases: Sequence[TrainingCase]) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
        """Return binary inputs [C, *spatial] and targets [K, *spatial]; slices of volumes where the network is flat."""
        pairs = []
        for case in cases:
            image = case.image > self.settings.threshold
            labels = np.where(case.labels == UNKNOWN, 0, case.labels)
            targets = np.stack([labels == k for k in range(1, self.task.classes)])
            if image.ndim - 1 > self.task.spatial_dims:
                pairs += [(image[:, z], targets[:, z]) for z in range(image.shape[1])]
            else:
                pairs.append((image, targets))
        return pairs

    def _binary(self, image: Tensor) -> Tensor:
        return (image > self.settings.threshold).float()


build = BinaryMorphology
