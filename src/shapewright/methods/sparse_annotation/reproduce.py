"""How much do a few labelled blobs teach, and what does balancing add? The paper's relations on a tissue mosaic.

A small U-Net is trained on mosaics of six tissues with very unequal shares: on a few labelled blobs, usually of one
tissue per image, on few full masks, or on both. Beside the paper's three weightings stand two controls: constant class
weights from the whole data set, and the mistake of teaching unknown pixels as a class of their own; and two options: a
bound on the weights, and a Dice loss of the labelled pixels.
"""

import functools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shapewright.losses import BalancedCrossEntropy, CrossEntropyLoss, DiceLoss, ScheduledSum
from shapewright.losses.weights import class_balance
from shapewright.metrics import dice
from shapewright.simulate import TissueMosaic, sparse_annotation
from shapewright.simulate.tissue_mosaic import TISSUES
from shapewright.training.reproduction import Relation, Reproduction
from shapewright.training.study import (
    Runs,
    StudyProgress,
    by_setting,
    compare,
    differences,
    every_seed,
    make_reproduction,
    make_row,
    mean,
    measure_arms,
    on_average,
    predict_probabilities,
    study_unet,
    train_network,
)

Labels = Literal["sparse", "dense", "mixed"]
Weighting = Literal["mask", "instance", "batch", "dataset", "class", "capped", "dice"]
UNKNOWN = 255
SPARSE, DENSE, TEST = 120, 24, 60  # images with sparse and with full masks, and test images
SHARE = 0.8  # of the images with sparse masks in the mixture, as in the paper
WEIGHTINGS: Mapping[Weighting, str] = {
    "mask": "no balancing",
    "instance": "instance balancing",
    "batch": "batch balancing",
    "dataset": "constant class weights",
    "class": "unknown taught as a class",
    "capped": "batch balancing, weights up to 5",
    "dice": "batch balancing + Dice",
}
MACRO = "macro Dice"
TISSUE_COLUMNS = tuple(tissue.name for tissue in TISSUES)
COLUMNS = (MACRO, *TISSUE_COLUMNS)
PAPER = {
    ("sparse", "mask"): {MACRO: "0.61", "mucus": "0.22", "necrosis": "0.28", "muscle": "0.66", "tumour": "0.86"},
    ("sparse", "instance"): {MACRO: "0.62", "mucus": "0.20", "necrosis": "0.38", "muscle": "0.61", "tumour": "0.86"},
    ("sparse", "batch"): {MACRO: "0.65", "mucus": "0.47", "necrosis": "0.39", "muscle": "0.54", "tumour": "0.86"},
    ("dense", "mask"): {MACRO: "0.68", "mucus": "0.96", "necrosis": "0.41", "muscle": "0.65", "tumour": "0.86"},
    ("dense", "instance"): {MACRO: "0.68", "mucus": "0.96", "necrosis": "0.41", "muscle": "0.65", "tumour": "0.85"},
    ("dense", "batch"): {MACRO: "0.68", "mucus": "0.96", "necrosis": "0.41", "muscle": "0.66", "tumour": "0.86"},
    ("mixed", "mask"): {MACRO: "0.62", "mucus": "0.42", "necrosis": "0.42", "muscle": "0.70", "tumour": "0.84"},
    ("mixed", "instance"): {MACRO: "0.68", "mucus": "0.76", "necrosis": "0.42", "muscle": "0.70", "tumour": "0.85"},
    ("mixed", "batch"): {MACRO: "0.67", "mucus": "0.89", "necrosis": "0.39", "muscle": "0.65", "tumour": "0.84"},
}
NOTES = (
    "Scores are Dice over all pixels of 60 fully labelled test mosaics, tissue by tissue, and their mean. The paper's "
    "are from 13 tissues in slides of its own, which are not public: only signs can be compared.",
    "120 mosaics of 32 x 32 pixels with about 4 % of their pixels labelled, usually of one tissue; 24 with full masks. "
    "The mixture draws four sparse images to one full one.",
    "Every arm has the same network, the same number of steps and a one-cycle rate that falls to nothing. Every seed "
    "has images of its own; differences are paired by seed.",
)


@dataclass(frozen=True)
class Arm:
    """One training: the labels, the weighting, and the seed of data, weights and order."""

    labels: Labels
    weighting: Weighting
    steps: int = 500
    seed: int = 0

    @property
    def setting(self) -> str:
        """Name everything but the seed."""
        return f"{self.labels}, {WEIGHTINGS[self.weighting]}"


@dataclass(frozen=True)
class Data:
    """The images of a seed: with sparse labels, with full ones, and for the test."""

    sparse: tuple[Tensor, Tensor]
    dense: tuple[Tensor, Tensor]
    test: tuple[Tensor, NDArray[np.uint8]]


def study(*, quick: bool, seeds: Sequence[int]) -> list[Arm]:
    """Return the arms; ``quick`` leaves out those that no relation needs, and trains for 300 steps."""
    sparse: list[Weighting] = ["mask", "instance", "batch", "dataset", "class"]
    arms = [Arm("sparse", weighting) for weighting in sparse]
    arms += [Arm("dense", weighting) for weighting in ("mask", "instance", "batch")]
    arms += [Arm("mixed", weighting) for weighting in ("mask", "instance", "batch")]
    arms += [Arm("sparse", "capped"), Arm("sparse", "dice")]
    if quick:
        more = (("dense", "instance"), ("sparse", "capped"), ("sparse", "dice"))
        arms = [replace(arm, steps=300) for arm in arms if (arm.labels, arm.weighting) not in more]
    return [replace(arm, seed=seed) for arm in arms for seed in seeds]


def reproduce(
    *,
    quick: bool,
    seeds: Sequence[int],
    data: Path | None,  # noqa: ARG001 - the study is of simulated images alone
    out: Path,
    progress: StudyProgress,
) -> Reproduction:
    """Measure the study's arms and return the table and the relations.

    Parameters
    ----------
    quick
        Shorter training; about 4 minutes on 2 cores.
    seeds
        One training per setting and seed; each seed has data of its own.
    data
        Not used.
    out
        Folder; every finished arm is a file in ``out/arms``, which a repeated call reads instead of training again.
    progress
        Called with the number of finished arms, of all arms, and the present arm's name.
    """
    arms = study(quick=quick, seeds=seeds)
    results = measure_arms(arms, train_arm, folder=out / "arms", progress=progress)
    return summarise(results, seeds)


@functools.lru_cache(maxsize=4)
def make_data(seed: int) -> Data:
    """Return the images of a seed."""
    mosaic = TissueMosaic(shape=(32, 32), regions=(4, 9))
    images, labels = mosaic.generate(SPARSE + DENSE, seed=2 * seed)
    strokes = [sparse_annotation(full, seed=1000 * seed + index) for index, full in enumerate(labels[:SPARSE])]
    test_images, test_labels = mosaic.generate(TEST, seed=2 * seed + 1)
    return Data(
        sparse=(torch.from_numpy(images[:SPARSE]), torch.from_numpy(np.stack(strokes)).long()),
        dense=(torch.from_numpy(images[SPARSE:]), torch.from_numpy(labels[SPARSE:]).long()),
        test=(torch.from_numpy(test_images), test_labels),
    )


def train_arm(arm: Arm) -> dict[str, float]:
    """Train one network and return its Dice on the test images."""
    data = make_data(arm.seed)
    classes = len(TISSUES)
    outputs = classes + (arm.weighting == "class")
    network = study_unet(2, 3, outputs, seed=arm.seed, filters=(8, 16, 32))
    loss = build_loss(arm.weighting, data)

    def batch_loss(index: Tensor) -> Tensor:
        images, labels = data.dense if arm.labels == "dense" else data.sparse
        images, labels = images[index], labels[index]
        if arm.labels == "mixed":
            full = torch.rand(len(index)) >= SHARE
            other = torch.randint(DENSE, (len(index),))
            images = torch.where(full.view(-1, 1, 1, 1), data.dense[0][other], images)
            labels = torch.where(full.view(-1, 1, 1), data.dense[1][other], labels)
        if arm.weighting == "class":
            labels = labels.masked_fill(labels == UNKNOWN, classes)
        value: Tensor = loss(network(images), labels)
        return value

    count = DENSE if arm.labels == "dense" else SPARSE
    train_network(network, batch_loss, images=count, steps=arm.steps, seed=arm.seed)
    return evaluate(network, *data.test)


def build_loss(weighting: Weighting, data: Data) -> nn.Module:
    """Return the loss of a weighting."""
    if weighting == "class":
        return CrossEntropyLoss()
    if weighting == "dataset":
        labels = data.sparse[1]
        counts = torch.bincount(labels[labels != UNKNOWN], minlength=len(TISSUES))
        return CrossEntropyLoss(class_weights=class_balance(counts.float()).tolist(), ignore_label=UNKNOWN)
    if weighting == "capped":
        return BalancedCrossEntropy("batch", cap=5.0, ignore_label=UNKNOWN)
    if weighting == "dice":
        overlap = DiceLoss(channels=range(len(TISSUES)), batch=True, ignore_label=UNKNOWN)
        return ScheduledSum({"ce": (BalancedCrossEntropy("batch", ignore_label=UNKNOWN), 1.0), "dice": (overlap, 1.0)})
    return BalancedCrossEntropy(weighting, ignore_label=UNKNOWN)


def evaluate(network: nn.Module, images: Tensor, labels: NDArray[np.uint8]) -> dict[str, float]:
    """Return Dice of every tissue over all pixels, and the mean."""
    predicted = predict_probabilities(network, images).argmax(axis=1)
    scores = {
        tissue.name: dice(predicted.reshape(1, -1) == number, labels.reshape(1, -1) == number)
        for number, tissue in enumerate(TISSUES)
    }
    return {**scores, MACRO: statistics.mean(scores.values())}


def summarise(results: Mapping[Arm, Mapping[str, float]], seeds: Sequence[int]) -> Reproduction:
    """Return the table and the relations of finished arms."""
    settings = by_setting(results)
    rows = [
        make_row(arm.setting, runs, COLUMNS, PAPER.get((arm.labels, arm.weighting))) for arm, runs in settings.items()
    ]
    named = {(arm.labels, arm.weighting): runs for arm, runs in settings.items()}
    title = "Learning from sparsely annotated data (Bokhorst et al., MIDL 2019)"
    return make_reproduction(title, COLUMNS, rows, relations(named), NOTES, seeds=seeds, measured=results.values())


def relations(runs: Mapping[tuple[Labels, Weighting], Runs]) -> Iterator[Relation]:
    """Yield the paper's relations, then what the controls say."""
    mask, instance, batch = (runs["sparse", weighting] for weighting in ("mask", "instance", "batch"))
    statement = "Sparse labels: batch balancing beats none by 0.03 macro Dice"
    yield compare("R1", statement, MACRO, mask, batch, on_average(0.03))
    statement = "Sparse labels: batch balancing beats instance balancing by 0.05 macro Dice"
    yield compare("R1 batch", statement, MACRO, instance, batch, on_average(0.05))
    statement = "Sparse labels: instance balancing is not worse than none by more than 0.02"
    yield compare("R1 instance", statement, MACRO, mask, instance, on_average(-0.02))
    dense = [mean(MACRO, group) for (labels, _), group in runs.items() if labels == "dense"]
    yield Relation(
        "R2",
        "Full masks: the weightings lie within 0.03 of each other",
        max(dense) - min(dense) <= 0.03,
        ", ".join(f"{value:.3f}" for value in dense),
    )
    full, mixed = runs["dense", "mask"], [runs["mixed", name] for name in ("instance", "batch")]
    best = max(mixed, key=lambda group: mean(MACRO, group))
    statement = "One full mask in five: with balancing at most 0.06 below full masks alone"
    yield compare("R3", statement, MACRO, full, best, on_average(-0.06))
    statement = "One full mask in five: without balancing it is worse"
    yield compare("R3 unbalanced", statement, MACRO, runs["mixed", "mask"], best, _rises)
    rare, frequent = ([statistics.mean(differences(t, mask, batch)) for t in part] for part in (RARE, FREQUENT))
    yield Relation(
        "R4",
        "Batch balancing helps the rare tissues more than the frequent ones",
        statistics.mean(rare) > statistics.mean(frequent),
        f"{statistics.mean(rare):+.3f} for {', '.join(RARE)}; {statistics.mean(frequent):+.3f} for "
        f"{', '.join(FREQUENT)}",
    )
    statement = "Leaving unknown pixels out gains 0.10 over teaching them as a class"
    yield compare("control: unknown as a class", statement, MACRO, runs["sparse", "class"], mask, on_average(0.10))
    constant = runs["sparse", "dataset"]
    statement = "Batch balancing beats constant class weights from the whole data set by 0.02 macro Dice"
    yield compare("control: constant weights", statement, MACRO, constant, batch, on_average(0.02))
    statement = "Batch balancing beats constant class weights from the whole data set by anything"
    yield compare("control: constant weights, sign", statement, MACRO, constant, batch, _rises)
    options: Mapping[Weighting, str] = {
        "capped": "A bound of 5 on the weights",
        "dice": "A Dice loss of the labelled pixels",
    }
    for name, option in options.items():
        if ("sparse", name) in runs:
            statement = f"{option} raises macro Dice with every seed"
            yield compare(f"option: {name}", statement, MACRO, batch, runs["sparse", name], every_seed)


def _rises(gains: Sequence[float]) -> bool:
    return statistics.mean(gains) > 0


FREQUENT, RARE = TISSUE_COLUMNS[:2], TISSUE_COLUMNS[3:]
