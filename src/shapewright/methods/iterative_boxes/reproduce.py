"""Do rounds of relabelling make masks out of boxes, and do unlabelled images help after that? On simulated kidneys.

A small U-Net learns glomeruli from boxes in four rounds, with and without the cues that correct its labels, and then
from unlabelled images of another stain, whose untypical objects are taught as background (as in the paper), ignored,
or kept. Beside it stand full masks and the cheap control: Otsu's threshold within each box; and two options: rounds
that go on with the last one's weights, and boxes filled again when they are less than 0.7 full.
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
from scipy import ndimage
from torch import Tensor

from shapewright.data.preprocess import normalise_intensity
from shapewright.geometry import ShapePrior, box_cues, fill_boxes
from shapewright.losses import CrossEntropyLoss
from shapewright.metrics import dice
from shapewright.simulate import KidneyPhantom, boxes_around_objects
from shapewright.training.reproduction import Relation, Reproduction
from shapewright.training.rounds import Labels, Predict, self_train
from shapewright.training.study import (
    Runs,
    StudyProgress,
    compare,
    differences,
    make_reproduction,
    make_row,
    measure_arms,
    on_average,
    predict_probabilities,
    study_unet,
    train_network,
)

Start = Literal[
    "masks",
    "Otsu in boxes",
    "all cues",
    "no cue outside boxes",
    "no cue of filling",
    "no cue",
    "warm start",
    "boxes at least 0.7 full",
]
BOXED, FREE, TEST, SIZE, BATCH = 20, 20, 24, 64, 4  # images with boxes, without labels, for the test; pixels; batch
ROUNDS, MORE = 4, 2  # of stage 1 and of stage 2
F, PRECISION, RECALL, OBJECTS = "F", "precision", "recall", "object F (IoU 0.5)"
COLUMNS = (F, PRECISION, RECALL, OBJECTS)
STAGE2 = {"background": "untypical objects as background", "ignore": "untypical objects ignored", "keep": "all objects"}
PAPER = {
    "full masks": {F: "0.89"},
    "stage 1, round 4": {F: "0.79 (round 6)"},
    "stage 2, round 1, untypical objects as background": {F: "0.87"},
}
NOTES = (
    "Scores are over all pixels of 24 test images, or over their glomeruli. The paper's are from slides of mouse "
    "kidneys that are not public, with a round chosen on test images; here every round is reported.",
    "Every round starts from the same initial weights and has the same steps and one-cycle rate. Unlabelled and test "
    "images vary more in stain than those with boxes.",
    "A chain ends where a round would change no label; later rounds then have its scores.",
    "Stage 2 trains on the boxed images with their labels of stage 1 and on the unlabelled ones.",
)


@dataclass(frozen=True)
class Arm:
    """A chain of trainings: what it starts from, and the seed of data, weights and order."""

    start: Start
    steps: int = 150
    seed: int = 0


@dataclass(frozen=True)
class Data:
    """The images of a seed, channels of deviation 1, and their numbered glomeruli."""

    boxed: tuple[NDArray[np.float32], NDArray[np.int32]]
    free: tuple[NDArray[np.float32], NDArray[np.int32]]
    test: tuple[NDArray[np.float32], NDArray[np.int32]]


def study(*, quick: bool, seeds: Sequence[int]) -> list[Arm]:
    """Return the arms; ``quick`` trains for 100 steps a round."""
    starts: list[Start] = ["masks", "Otsu in boxes", "all cues", "no cue outside boxes", "no cue of filling", "no cue"]
    starts += [] if quick else ["warm start", "boxes at least 0.7 full"]
    return [Arm(start, steps=100 if quick else 150, seed=seed) for start in starts for seed in seeds]


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
        Shorter rounds; about 5 minutes on 2 cores.
    seeds
        One chain of trainings per start and seed; each seed has data of its own.
    data
        Not used.
    out
        Folder; every finished arm is a file in ``out/arms``, which a repeated call reads instead of training again.
    progress
        Called with the number of finished arms, of all arms, and the present arm's name.
    """
    arms = study(quick=quick, seeds=seeds)
    results = measure_arms(
        arms, train_arm, folder=out / "arms", progress=progress, name=lambda arm: f"{arm.start}, seed {arm.seed}"
    )
    return summarise(results, seeds)


@functools.lru_cache(maxsize=4)
def make_data(seed: int) -> Data:
    """Return the images of a seed."""
    usual = KidneyPhantom(shape=(SIZE, SIZE), glomeruli=(2, 4), radius=7.0)
    varied = replace(usual, stain_shift=0.06)
    sets = [
        phantom.generate(count, seed=3 * seed + part)
        for part, (phantom, count) in enumerate(((usual, BOXED), (varied, FREE), (varied, TEST)))
    ]
    return Data(*[(np.stack([normalise_intensity(i, "volume") for i in images]), found) for images, found in sets])


def train_arm(arm: Arm) -> dict[str, float]:
    """Train a chain and return the scores of its trainings, as ``name/column``."""
    data = make_data(arm.seed)
    images, instances = data.boxed
    boxes = [[_slices(box) for box in boxes_around_objects(numbers)] for numbers in instances]
    if arm.start == "masks":
        return _named("full masks", evaluate(train(arm, images, [n > 0 for n in instances], 0), data.test))
    if arm.start == "Otsu in boxes":
        labels = [_otsu_in_boxes(image, where) for image, where in zip(images, boxes, strict=True)]
        return _named("Otsu in boxes", evaluate(train(arm, images, labels, 0), data.test))

    def refine(predicted: Sequence[Labels], number: int) -> list[Labels]:  # noqa: ARG001 - every round has the same cues
        fill = 0.7 if arm.start == "boxes at least 0.7 full" else 0.5
        fill = 0.0 if arm.start in ("no cue of filling", "no cue") else fill
        exhaustive = arm.start not in ("no cue outside boxes", "no cue")
        return [box_cues(p, b, min_fill=fill, exhaustive=exhaustive) for p, b in zip(predicted, boxes, strict=True)]

    filled = [fill_boxes((SIZE, SIZE), where) for where in boxes]
    suffix = "" if arm.start == "all cues" else f", {arm.start}"
    scores: dict[str, float] = {}
    networks: list[Network] = []

    def train_round(labels: Sequence[Labels], number: int) -> Predict:
        last = networks[-1] if networks and arm.start == "warm start" else None
        networks.append(train(arm, images, labels, number, last))
        found = networks[-1](images)
        scores.update(_named(f"stage 1, round {number + 1}{suffix}", evaluate(networks[-1], data.test)))
        return lambda index: found[index]

    chain = list(self_train(filled, train_round, refine, rounds=ROUNDS))
    if arm.start == "all cues":
        for begun, name in ((ROUNDS - 1, "stage 2"), (0, "stage 2 begun after round 1")):
            own = refine([chain[begun].predict(index) for index in range(len(images))], begun + 1)
            for removed in STAGE2 if begun else ("ignore",):
                found = _stage2(arm, data, own, networks[begun], removed)
                scores |= {f"{name}, {key}": value for key, value in found.items()}
    return scores


def _stage2(arm: Arm, data: Data, own: Sequence[Labels], network: "Network", removed: str) -> dict[str, float]:
    """Return the scores of the rounds with unlabelled images."""
    prior = ShapePrior.fit([labels == 1 for labels in own])
    images = np.concatenate([data.boxed[0], data.free[0]])
    scores: dict[str, float] = {}
    for number in range(MORE):
        found = network(data.free[0])
        if removed != "keep":
            found = [prior.filter(p == 1, removed=removed) for p in found]  # type: ignore[arg-type]
        network = train(arm, images, [*own, *found], ROUNDS + number)
        scores |= _named(f"round {number + 1}, {STAGE2[removed]}", evaluate(network, data.test))
    return scores


class Network:
    """A trained network: images to masks."""

    def __init__(self, arm: Arm) -> None:
        self.module = study_unet(2, 3, 2, seed=arm.seed, filters=(8, 16, 32))

    def __call__(self, images: NDArray[np.float32]) -> list[Labels]:
        """Return the class indices of images."""
        return list(predict_probabilities(self.module, torch.from_numpy(images)).argmax(axis=1).astype(np.uint8))


def train(
    arm: Arm,
    images: NDArray[np.float32],
    labels: Sequence[NDArray[np.generic]],
    number: int,
    last: "Network | None" = None,
) -> Network:
    """Return a network trained, from the start or from a last one, on labels in which 255 is unknown."""
    network, loss = last or Network(arm), CrossEntropyLoss(ignore_label=255)
    pictures, truth = torch.from_numpy(images), torch.from_numpy(np.stack(labels).astype(np.int64))

    def batch_loss(index: Tensor) -> Tensor:
        value: Tensor = loss(network.module(pictures[index]), truth[index])
        return value

    seed = 100 * arm.seed + number
    train_network(network.module, batch_loss, images=len(images), steps=arm.steps, seed=seed, batch_size=BATCH)
    return network


def _slices(box: NDArray[np.int64]) -> tuple[slice, ...]:
    return tuple(slice(int(first), int(last) + 1) for first, last in box.T)


def _otsu_in_boxes(image: NDArray[np.float32], boxes: Sequence[tuple[slice, ...]]) -> Labels:
    """Return the darker part of every box."""
    from skimage.filters import threshold_otsu

    labels = np.zeros((SIZE, SIZE), np.uint8)
    grey = image.mean(axis=0)
    for box in boxes:
        labels[box] |= grey[box] < threshold_otsu(grey[box])  # type: ignore[no-untyped-call]
    return labels


def _named(name: str, scores: Mapping[str, float]) -> dict[str, float]:
    return {f"{name}/{column}": value for column, value in scores.items()}


def evaluate(network: Network, test: tuple[NDArray[np.float32], NDArray[np.int32]]) -> dict[str, float]:
    """Return scores over all pixels, and over all objects that overlap by half."""
    predicted, instances = np.stack(network(test[0])) == 1, test[1]
    truth = instances > 0
    shared = int((predicted & truth).sum())
    found, matched, wanted = 0, 0, 0
    for mask, numbers in zip(predicted, instances, strict=True):
        pieces, count = ndimage.label(mask)
        pairs = [(pieces == k, numbers[pieces == k]) for k in range(1, count + 1)]
        for piece, inside in pairs:
            best = int(np.bincount(inside).argmax())
            union = (piece | (numbers == best)).sum()
            matched += best > 0 and int((piece & (numbers == best)).sum()) > 0.5 * int(union)
        found, wanted = found + count, wanted + int(numbers.max())
    return {
        F: dice(predicted.reshape(1, -1), truth.reshape(1, -1)),
        PRECISION: shared / max(int(predicted.sum()), 1),
        RECALL: shared / max(int(truth.sum()), 1),
        OBJECTS: 2 * matched / max(found + wanted, 1),
    }


def summarise(results: Mapping[Arm, Mapping[str, float]], seeds: Sequence[int]) -> Reproduction:
    """Return the table and the relations of finished arms."""
    runs: dict[str, list[dict[str, float]]] = {}
    for arm, measured in results.items():
        scores = _kept(measured, "" if arm.start == "all cues" else f", {arm.start}")
        for name in dict.fromkeys(key.rpartition("/")[0] for key in scores if "/" in key):
            runs.setdefault(name, []).append({column: scores[f"{name}/{column}"] for column in COLUMNS})
    rows = [make_row(name, group, COLUMNS, PAPER.get(name)) for name, group in runs.items()]
    title = "Masks from boxes and unlabelled images (Gupta et al., MIDL 2019)"
    return make_reproduction(title, COLUMNS, rows, relations(runs), NOTES, seeds=seeds, measured=results.values())


def _kept(scores: Mapping[str, float], suffix: str) -> dict[str, float]:
    """Return scores in which rounds after the one that changed nothing, which ends a chain, have those of that one."""
    kept = dict(scores)
    for number in range(2, ROUNDS + 1):
        for column in COLUMNS:
            before = f"stage 1, round {number - 1}{suffix}/{column}"
            if before in kept:
                kept.setdefault(f"stage 1, round {number}{suffix}/{column}", kept[before])
    return kept


def relations(runs: Mapping[str, Runs]) -> Iterator[Relation]:
    """Yield the paper's relations and the controls."""

    def gain(name: str, statement: str, first: str, second: str, least: float, column: str = F) -> Relation:
        return compare(name, statement, column, runs[first], runs[second], on_average(least))

    first, last = "stage 1, round 1", f"stage 1, round {ROUNDS}"
    yield gain("R1 F", "Rounds gain 0.015 F over filled boxes", first, last, 0.015)
    yield gain("R1 precision", "Rounds gain precision", first, last, 0.0, PRECISION)
    for cue in ("no cue outside boxes", "no cue of filling", "no cue"):
        yield gain(f"R1 {cue}", "All cues are at least as good after four rounds", f"{last}, {cue}", last, 0.0)
    paper, ours = (f"stage 2, round 1, {STAGE2[removed]}" for removed in ("background", "ignore"))
    yield gain("R2", "Stage 2 as in the paper gains 0.05 F in its first round", last, paper, 0.05)
    early = f"stage 2 begun after round 1, round 1, {STAGE2['ignore']}"
    yield gain("R2 early", "Begun after round 1, stage 2 gains 0.05 F in its first round", first, early, 0.05)
    yield gain(
        "R2 ignored", "Ignoring untypical objects beats teaching them as background by 0.10 F", paper, ours, 0.10
    )
    yield gain("R2 sign", "Ignoring untypical objects is not worse than teaching them as background", paper, ours, 0.0)
    yield gain("R2 loss", "Stage 2 with untypical objects ignored loses at most 0.04 F", last, ours, -0.04)
    kept = f"stage 2, round 1, {STAGE2['keep']}"
    yield gain("R2 prior", "Ignoring untypical objects is not worse than keeping all", kept, ours, 0.0)
    second = f"stage 2, round 2, {STAGE2['ignore']}"
    change = statistics.mean(differences(F, runs[ours], runs[second]))
    yield Relation("R3", "A second round of stage 2 changes F by less than 0.02", abs(change) < 0.02, f"{change:+.3f}")
    yield gain("R4", "Boxes and unlabelled images come within 0.03 F of full masks", "full masks", ours, -0.03)
    yield gain("control", "Rounds beat Otsu's threshold in the boxes", "Otsu in boxes", last, 0.0)
    for option in ("warm start", "boxes at least 0.7 full"):
        if f"{last}, {option}" in runs:
            statement = "It raises F after four rounds"
            yield gain(f"option: {option}", statement, last, f"{last}, {option}", 0.0)
