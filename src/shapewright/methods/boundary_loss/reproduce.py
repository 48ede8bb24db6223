"""When does the boundary loss help? The paper's relations on a phantom, with the controls that decide.

A small U-Net is trained with and without the boundary loss on images with lesions of a few pixels. Beside the paper's
comparison at a constant learning rate stand its controls: how the rate falls, how many training images there are, the
network's normalisation, whether the best epoch is chosen on validation images, the size of the problem (3D, real MRI).
"""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shapewright.data import open_dataset, samples, split_cases
from shapewright.geometry import class_distance_maps
from shapewright.losses import BoundaryLoss, CrossEntropyLoss, GeneralisedDiceLoss, ScheduledSum, WeightSchedule
from shapewright.metrics import dice, hausdorff_distance, lesion_scores, trivial_floor
from shapewright.simulate import SmallLesionPhantom
from shapewright.training.reproduction import Relation, Reproduction
from shapewright.training.study import (
    Runs,
    StudyProgress,
    by_setting,
    compare,
    every_seed,
    index_batches,
    load_labelled_volume,
    make_reproduction,
    make_row,
    mean,
    measure_arms,
    study_unet,
)

LOSSES = {
    "gdl": "GDL",
    "rebalance": "GDL + boundary, rebalance",
    "increase": "GDL + boundary, increase",
    "constant": "GDL + boundary, constant 0.1",
    "gentle": "GDL + boundary, constant 0.01",
    "ce": "cross-entropy",
    "boundary": "boundary alone",
}
STEPS = 12  # training steps in an epoch
TAIL = 10  # the last epochs, over which scores are averaged
DICE, SLICE_DICE, HD95 = "Dice, lesion images", "Dice, all images (empty = 1)", "HD95"
STD, BEST, RECALL, ALARMS = "std of the last 10 epochs", "Dice, best validation epoch", "lesions found", "false alarms"
FLOOR = "floor"
COLUMNS = (DICE, HD95, STD, BEST, SLICE_DICE, FLOOR, RECALL, ALARMS)
PAPER = {
    "gdl": {SLICE_DICE: "0.575 (0.028) ISLES, 0.727 (0.006) WMH"},
    "rebalance": {SLICE_DICE: "0.656 (0.023) ISLES, 0.748 (0.005) WMH"},
    "boundary": {SLICE_DICE: "0.321 (0.000) ISLES, 0.569 (0.000) WMH"},
}

NOTES = (
    "Scores are means over the last 10 epochs on images with lesions; std is the scatter of Dice between these epochs, "
    "and the best epoch is the one of them with the highest Dice on validation images.",
    "HD95 in pixels; a lesion image without any prediction counts with the image's diagonal (67.9 in 2D).",
    "Every seed has its own training, validation and test images; differences are paired by seed.",
    "The floor is what the empty prediction scores as Dice over all images: the share of lesion-free ones. The paper's "
    "Dice is probably of that kind; its data sets (ISLES, WMH) need a registration, so only signs can be compared.",
    "The paper's Hausdorff distances (4.0 and 1.0 mm) are left out: its code computed them between image rows.",
)

Arrays = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Arm:
    """One training: what is varied, and the seed of its data, weights and order."""

    loss: str
    rate: str = "constant"  # or cosine, or plateau
    learning_rate: float = 5e-3
    images: int = 96
    norm: Literal["batch", "instance"] = "batch"
    task: str = "phantom"
    seed: int = 0
    epochs: int = 40

    @property
    def setting(self) -> str:
        """Name everything but the seed, leaving out what is as usual."""
        usual = Arm(self.loss)
        parts = [LOSSES[self.loss], f"{self.rate} rate"]
        parts += [f"from {self.learning_rate:g}"] if self.learning_rate != usual.learning_rate else []
        parts += [f"{self.images} images"] if self.images != usual.images else []
        parts += [f"{self.norm} norm"] if self.norm != usual.norm else []
        return ", ".join(parts + ([self.task] if self.task != usual.task else []))


def study(*, quick: bool, seeds: Sequence[int]) -> list[Arm]:
    """Return the arms in the order of their importance; ``quick`` keeps the central comparison, at half the length."""
    pair = [Arm(loss, rate) for rate in ("constant", "cosine") for loss in ("gdl", "rebalance")]
    collapse = [Arm("boundary", epochs=20)]
    steady = Arm("constant", "cosine")
    gentle = Arm("gentle", "cosine")
    if quick:
        arms = [replace(arm, epochs=20, learning_rate=2e-2) for arm in pair] + collapse
    else:
        arms = pair + collapse
        arms += [replace(arm, learning_rate=2e-2) for arm in pair]
        arms += [replace(arm, images=24) for arm in pair]
        arms += [replace(arm, norm="instance") for arm in pair]
        for arm in (steady, gentle):
            arms += [arm, replace(arm, learning_rate=2e-2), replace(arm, images=24), replace(arm, norm="instance")]
        arms += [replace(steady, rate="constant")]
        arms += [Arm(loss, rate) for rate in ("constant", "cosine") for loss in ("ce", "increase")]
        arms += [replace(arm, task="MRI slices") for arm in pair]
        arms += [Arm(loss, "plateau") for loss in ("gdl", "rebalance")]
        arms += [replace(arm, learning_rate=1e-3) for arm in pair]
        arms += [replace(arm, task="3D phantom", images=24, epochs=20) for arm in pair]
    return [replace(arm, seed=seed) for arm in arms for seed in seeds]


def reproduce(
    *, quick: bool, seeds: Sequence[int], data: Path | None, out: Path, progress: StudyProgress
) -> Reproduction:
    """Measure the study's arms and return the table and the relations.

    Parameters
    ----------
    quick
        Only the central comparison, half as long: under 5 minutes on 2 cores.
    seeds
        One training per setting and seed; each seed has data of its own.
    data
        A data set folder for the check on real slices, of which the last label is segmented; None takes the bundled
        hippocampus volumes.
    out
        Folder; every finished arm is a file in ``out/arms``, which a repeated call reads instead of training again.
    progress
        Called with the number of finished arms, of all arms, and the present arm's name.
    """
    arms = study(quick=quick, seeds=seeds)
    results = measure_arms(
        arms, lambda arm: train_arm(arm, data), folder=out / "arms", progress=progress, inputs=str(data)
    )
    return summarise(results, seeds)


def train_arm(arm: Arm, data: Path | None = None) -> dict[str, float]:
    """Train one network and return its scores, averaged over the last epochs."""
    started = time.perf_counter()
    (images, labels), validation, test = task_data(arm, data)
    maps = class_distance_maps(labels, 2, spatial_dims=labels.ndim - 1)
    network = study_unet(images.ndim - 2, 1, 2, seed=arm.seed, norm=arm.norm)
    loss = build_loss(arm.loss)
    optimizer = torch.optim.Adam(network.parameters(), lr=arm.learning_rate)
    scheduler = build_scheduler(arm, optimizer)
    batch = 8 if images.ndim == 4 else 2
    tail: list[dict[str, float]] = []
    for epoch in range(arm.epochs):
        loss.set_progress(epoch, arm.epochs)
        network.train()
        for index in index_batches(len(images), batch, STEPS, seed=[arm.seed, epoch]):
            logits = network(images[index])
            value = loss(logits, {"regional": labels[index], "boundary": maps[index]})
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        in_tail = epoch >= arm.epochs - TAIL
        known = evaluate(network, *validation) if in_tail or arm.rate == "plateau" else {}
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            scheduler.step(known[DICE])
        elif scheduler is not None:
            scheduler.step()
        if in_tail:
            tail.append({**evaluate(network, *test, distances=True), "validation": known[DICE]})
    best = max(tail, key=lambda scores: scores["validation"])
    mean = {name: statistics.mean(scores[name] for scores in tail) for name in (DICE, HD95, SLICE_DICE, RECALL, ALARMS)}
    spread = statistics.pstdev(scores[DICE] for scores in tail)
    floor = trivial_floor(test[1].bool().numpy(), spatial_dims=test[1].ndim - 1).empty
    return {**mean, STD: spread, BEST: best[DICE], FLOOR: floor, "seconds": time.perf_counter() - started}


def build_loss(name: str) -> ScheduledSum:
    """Return the loss of that name; its regional term takes labels and its boundary term maps."""
    boundary = BoundaryLoss()
    if name == "boundary":
        return ScheduledSum({"boundary": (boundary, 1.0)})
    if name in ("gdl", "ce"):
        return ScheduledSum({"regional": (GeneralisedDiceLoss() if name == "gdl" else CrossEntropyLoss(), 1.0)})
    schedule = WeightSchedule("constant", weight=0.01) if name == "gentle" else WeightSchedule(name)
    return ScheduledSum(
        {"regional": (GeneralisedDiceLoss(), schedule.regional), "boundary": (boundary, schedule.boundary)}
    )


def build_scheduler(arm: Arm, optimizer: torch.optim.Optimizer) -> Any:
    """Return what lowers the learning rate, stepped once per epoch; None for a constant one."""
    if arm.rate == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, arm.epochs)
    if arm.rate == "plateau":  # the paper's rule
        return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", factor=0.5, patience=20)
    return None


def task_data(arm: Arm, data: Path | None) -> tuple[Arrays, Arrays, Arrays]:
    """Return images and labels for training, validation (24; 12 in 3D) and test (48; 24), new for every seed."""
    counts = (arm.images, 12, 24) if arm.task == "3D phantom" else (arm.images, 24, 48)
    if arm.task == "MRI slices":
        training, validation, test = real_slices(data, counts, arm.seed)
    else:
        phantom = SmallLesionPhantom(shape=(32,) * 3 if arm.task == "3D phantom" else (48, 48))
        sets = [phantom.generate(count, seed=3 * arm.seed + part) for part, count in enumerate(counts)]
        training, validation, test = [_tensors(images, labels) for images, labels in sets]
    return training, validation, test


def real_slices(data: Path | None, counts: Sequence[int], seed: int) -> list[Arrays]:
    """Return axial tiles of 48 x 48 from training, validation and test volumes; four in five show the last label."""
    dataset = samples.load("hippocampus") if data is None else open_dataset(data)
    value = list(dataset.labels.values())[-1]
    split = split_cases(dataset.ids, seed=seed)
    rng = np.random.default_rng(seed)
    sets = []
    for names, count in zip((split["train"], split["val"], split["test"]), counts, strict=True):
        tiles = []
        for first, name in enumerate(names[:count]):
            image, labels = load_labelled_volume(dataset, name)
            volume = image.array[0].astype(np.float32)
            volume = (volume - volume.mean()) / (volume.std() + 1e-6)
            tiles += [_tile(volume, labels.array[0] == value, rng) for _ in range(first, count, len(names))]
        images = np.stack([tile for tile, _ in tiles])[:, None]
        sets.append(_tensors(images, np.stack([mask for _, mask in tiles]).astype(np.uint8)))
    return sets


def _tile(
    volume: NDArray[np.float32], mask: NDArray[np.bool_], rng: np.random.Generator, size: int = 48
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Cut an axial tile near a random foreground voxel, or one time in five near any voxel."""
    places = np.argwhere(mask if mask.any() and rng.random() < 0.8 else np.ones_like(mask))
    z, *centre = places[rng.integers(len(places))]
    border = 3 * size // 4
    corner = np.array(centre) + border - size // 2 + rng.integers(-size // 8, size // 8 + 1, 2)
    window = tuple(slice(start, start + size) for start in corner)
    return np.pad(volume[z], border, mode="edge")[window], np.pad(mask[z], border)[window]


def _tensors(images: NDArray[np.float32], labels: NDArray[np.uint8]) -> Arrays:
    return torch.from_numpy(images), torch.from_numpy(labels).long()


@torch.no_grad()
def evaluate(network: nn.Module, images: Tensor, labels: Tensor, *, distances: bool = False) -> dict[str, float]:
    """Return the scores of a network: Dice always, and with ``distances`` all the others."""
    network.eval()
    predicted = torch.cat([network(part).argmax(1) for part in torch.split(images, 12)]).numpy() == 1
    truth = labels.numpy() == 1
    scores = np.array([dice(p, t) for p, t in zip(predicted, truth, strict=True)])
    present = truth.reshape(len(truth), -1).any(1)
    result = {DICE: float(scores[present].mean())}
    if distances:
        pairs = [(p, t) for p, t, has in zip(predicted, truth, present, strict=True) if has]
        lesions = [lesion_scores(p, t) for p, t in pairs]
        result[SLICE_DICE] = float(scores.mean())
        result[HD95] = statistics.mean(hausdorff_distance(p, t) for p, t in pairs)
        result[RECALL] = sum(score.found for score in lesions) / sum(score.truth_count for score in lesions)
        alarms = predicted[~present].reshape(-1, truth[0].size).any(1)
        result[ALARMS] = float(alarms.mean()) if len(alarms) else 0.0
    return result


def summarise(results: Mapping[Arm, Mapping[str, float]], seeds: Sequence[int]) -> Reproduction:
    """Return the table and the relations of finished arms."""
    settings = by_setting(results)
    rows = [
        make_row(arm.setting, runs, COLUMNS, PAPER.get(arm.loss) if arm == Arm(arm.loss, epochs=arm.epochs) else None)
        for arm, runs in settings.items()
    ]
    title = "Boundary loss for highly unbalanced segmentation (Kervadec et al., MIDL 2019)"
    return make_reproduction(title, COLUMNS, rows, relations(settings), NOTES, seeds=seeds, measured=results.values())


def relations(settings: Mapping[Arm, Runs]) -> Iterator[Relation]:
    """Yield the paper's relations (R1 to R3) in every context, and what becomes of them under the controls."""
    for gdl in [arm for arm in settings if arm.loss == "gdl"]:
        context = gdl.setting.removeprefix(f"{LOSSES['gdl']}, ")
        without, with_it = settings[gdl], settings[replace(gdl, loss="rebalance")]
        statement = "The boundary loss raises Dice with every seed"
        yield compare(f"R1 Dice, {context}", statement, DICE, without, with_it, every_seed)
        statement = "The boundary loss lowers HD95 with every seed"
        yield compare(
            f"R1 HD95, {context}", statement, HD95, without, with_it, lambda change: max(change) < 0, digits=1
        )
        if gdl.rate == "constant":
            before, after = mean(STD, without), mean(STD, with_it)
            statement = "The boundary loss at least halves the scatter of Dice between epochs"
            yield Relation(f"R3, {context}", statement, after <= 0.5 * before, f"{before:.3f} to {after:.3f}")
            statement = "Dice rises with every seed where the epoch is chosen on validation images, too"
            name = f"control: best epoch, {context}"
            yield compare(name, statement, BEST, without, with_it, every_seed, means=False)
        if gdl.rate == "constant" and replace(gdl, rate="cosine") in settings:
            decayed = mean(DICE, settings[replace(gdl, rate="cosine")])
            yield Relation(
                f"control: rate, {context}",
                "A cosine rate without the boundary loss reaches the Dice of a constant rate with it",
                decayed >= mean(DICE, with_it),
                f"{decayed:.3f} against {mean(DICE, with_it):.3f}",
            )
    for alone in [arm for arm in settings if arm.loss == "boundary"]:
        score = mean(DICE, settings[alone])
        statement = "The boundary loss alone collapses to the empty mask (Dice below 0.05)"
        yield Relation("R2", statement, score < 0.05, f"Dice {score:.3f}")
    yield from _defaults(settings)


def _defaults(settings: Mapping[Arm, Runs]) -> Iterator[Relation]:
    """Yield, for each loss and rate tried in several contexts, its largest shortfall from the best one of a context."""
    contexts: dict[Arm, dict[tuple[str, str], float]] = {}
    for arm, runs in settings.items():
        context = replace(arm, loss="gdl", rate="cosine")
        if context in settings:
            contexts.setdefault(context, {})[arm.loss, arm.rate] = mean(DICE, runs)
    shortfalls: dict[tuple[str, str], list[float]] = {}
    for scores in contexts.values():
        for policy, score in scores.items():
            shortfalls.setdefault(policy, []).append(max(scores.values()) - score)
    for (loss, rate), missing in shortfalls.items():
        if len(missing) > 1:
            yield Relation(
                f"default, {LOSSES[loss]}, {rate} rate",
                "Within 0.02 Dice of the best loss and rate in every context",
                max(missing) <= 0.02,
                f"largest shortfall {max(missing):.3f}, mean {statistics.mean(missing):.3f} "
                f"over {len(missing)} contexts",
            )
