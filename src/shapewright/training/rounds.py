"""Training in rounds: a network's own predictions, corrected by what is known, become the labels of the next round."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from shapewright.data.patches import TrainingCase
from shapewright.training.checkpoint import write_atomically

Labels = NDArray[np.uint8]
Predict = Callable[[int], Labels]
"""Returns the predicted class indices of the training image of this number."""


@runtime_checkable
class Relabelling(Protocol):
    """An optional hook of a method: training in rounds.

    The epochs are divided into ``rounds`` equal parts, each with a learning rate that falls anew. The first trains on
    the labels that ``image_targets`` made. Before each later one every training image is predicted and ``relabel``
    says what its labels are from then on. They are kept in the run's folder, ``rounds/round-1.npz``, so that a resumed
    run trains on the same.

    Attributes
    ----------
    rounds
        Number of rounds, 1 or more.
    warm_start
        Whether a round goes on with the weights of the last one; else it begins with the initial ones.
    """

    rounds: int
    warm_start: bool

    def relabel(
        self, cases: Sequence[TrainingCase], predicted: Sequence[Labels], round_number: int
    ) -> Sequence[Labels]:
        """Return the labels of all training cases, uint8 [*spatial] with 255 unknown, for a round counted from 1."""
        ...


@dataclass(frozen=True)
class Round:
    """One round of self-training.

    Parameters
    ----------
    labels
        What it was trained on.
    predict
        The network it trained.
    changed
        Share of the pixels whose label the round changed; 0 in the first.
    """

    labels: Sequence[Labels]
    predict: Predict
    changed: float


def self_train(
    labels: Sequence[Labels],
    train: Callable[[Sequence[Labels], int], Predict],
    refine: Callable[[Sequence[Labels], int], Sequence[Labels]],
    *,
    rounds: int,
    stop: float = 0.0,
) -> Iterator[Round]:
    """Yield round after round: train on labels, predict the same images, refine the predictions into new labels.

    Parameters
    ----------
    labels
        Labels of the first round.
    train
        Trains a network, from the start or further, on labels in the round of a number and returns what predicts the
        images.
    refine
        Turns predictions into the labels of the round of a number, counted from 1.
    rounds
        Largest number of rounds.
    stop
        End where a round would change at most this share of the pixels: nothing more is to be learned.

    Examples
    --------
    >>> known = [np.array([[0, 1, 1, 1, 0]], np.uint8)]
    >>> def shrink(labels, number):
    ...     return lambda image: np.where(np.arange(5) < 2, labels[image], 0).astype(np.uint8)
    >>> [round(step.changed, 1) for step in self_train(known, shrink, lambda found, number: found, rounds=5)]
    [0.0, 0.4]
    """
    changed = 0.0
    for number in range(rounds):
        predict = train(labels, number)
        yield Round(labels, predict, changed)
        if number + 1 == rounds:
            return
        refined = refine([predict(index) for index in range(len(labels))], number + 1)
        changed = share_changed(labels, refined)
        if changed <= stop:
            return
        labels = refined


def share_changed(before: Sequence[Labels], after: Sequence[Labels]) -> float:
    """Return the share of all pixels whose label differs."""
    pixels = sum(labels.size for labels in before)
    return sum(int((a != b).sum()) for a, b in zip(before, after, strict=True)) / max(pixels, 1)


def round_file(folder: Path, number: int) -> Path:
    """Return where a run keeps the labels of a round."""
    return folder / "rounds" / f"round-{number}.npz"


def write_round(path: Path, labels: Sequence[Labels]) -> None:
    """Write the labels of all training cases, in their order."""
    import io

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{f"case{index}": array for index, array in enumerate(labels)})  # type: ignore[arg-type]
    write_atomically(path, buffer.getvalue())


def read_round(path: Path) -> list[Labels]:
    """Return what :func:`write_round` wrote."""
    with np.load(path, allow_pickle=False) as content:
        return [content[f"case{index}"] for index in range(len(content.files))]
