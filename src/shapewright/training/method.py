"""What a method is: a protocol, not a base class with a loop."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

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

    A method may have one more function, ``finish(cases, validation, folder)``: after the last epoch it is called with
    the best weights, the prepared cases and the run's folder; it may change the weights, which become those of
    ``best.safetensors``, and write files of its own. It is called again if it was interrupted.
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

    def image_targets(self, labels: NDArray[np.uint8], spacing: tuple[float, ...]) -> dict[str, NDArray[np.float32]]:
        """Return arrays [N, *spatial] made once from a whole image's labels and cropped with every patch."""
        ...
