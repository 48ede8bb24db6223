"""What a method is: a protocol, not a base class with a loop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from shapewright.data.patches import TrainingCase

Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class Step:
    """The result of one training step.

    Parameters
    ----------
    loss
        Scalar to minimise.
    logs
        Detached numbers for the learning curves, such as ``{"loss/region": 0.31, "weight/boundary": 0.2}``.
    """

    loss: Tensor
    logs: Mapping[str, float | Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """Where training stands; schedules are pure functions of it.

    Parameters
    ----------
    epoch, epochs
        Current epoch, counted from 0, and their number.
    step, steps
        Current optimiser step, counted from 0, and their number.
    """

    epoch: int
    epochs: int
    step: int = 0
    steps: int = 1


@runtime_checkable
class Method(Protocol):
    """A published system, ready to be trained and to predict.

    A method is a ``torch.nn.Module`` whose parameters are everything that is learned. ``training`` runs it in
    Lightning; any other loop can call the same two functions.
    """

    def step(self, batch: Batch, progress: Progress) -> Step:
        """Return the loss of one batch.

        ``batch["image"]`` is [B, C, *spatial], ``batch["labels"]`` [B, *spatial] class indices, ``batch["mask"]``
        (where present) [B, 1, *spatial] False for voxels to ignore; other entries are the arrays that
        ``image_targets`` made.
        """
        ...

    def predict(self, image: Tensor) -> Tensor:
        """Return class probabilities [B, K, *spatial] of an image [B, C, *spatial]."""
        ...

    def image_targets(self, case: TrainingCase) -> Mapping[str, NDArray[Any]]:
        """Return arrays made once from a whole training image and what is known about it.

        The type of an array says what it is: floating point [N, *spatial] are distances in mm and uint8
        [N, *spatial] class indices (255 unknown), both cropped and turned with every patch; [N] are facts about the
        case, such as its object's size, and reach ``step`` as [B, N]. The entry ``labels``, uint8 [1, *spatial],
        replaces the case's labels. ``case.supervision`` holds points, boxes and all else that is known.
        """
        ...


@runtime_checkable
class Preparing(Protocol):
    """An optional hook: what a method computes from all training cases before the first step."""

    def prepare(self, cases: Sequence[TrainingCase]) -> None:
        """Keep facts about the data set, such as class frequencies, in buffers, so that checkpoints hold them."""
        ...


@runtime_checkable
class Mining(Protocol):
    """An optional hook: a method that says, once per epoch, where its patches are to be taken."""

    def patch_density(self, case: TrainingCase, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return how much every voxel [*spatial] is worth as the centre of a patch, not negative.

        ``probabilities`` [K, *spatial] are the present network's for the whole training image.
        """
        ...


@runtime_checkable
class Finishing(Protocol):
    """An optional hook: what a method does with the best weights when training is over."""

    def finish(self, cases: Sequence[TrainingCase], validation: Sequence[TrainingCase], folder: Path) -> None:
        """Change the weights, which become those of the best checkpoint, and write files into the run's folder.

        Called on the CPU by one process; called again where it was interrupted.
        """
        ...


@runtime_checkable
class WholeImages(Protocol):
    """An optional hook: a method that may take an image of any size at once, without windows."""

    @property
    def whole_images(self) -> bool:
        """Say whether it does so now."""
        ...
