"""Do superpixels help a network that sees few images? The paper's relations, with a blur as control.

A small U-Net is trained on 4 images (or 16) with mirroring and quarter turns alone, with elastic deformation, with
superpixels, and with a Gaussian blur that removes as much variance as the superpixels do. Test images of the phantom
carry other textures than the training images; the nuclei are real, their test images of several stains.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shapewright.data import load_case, open_dataset, samples, split_cases
from shapewright.data.elastic import deform_elastically
from shapewright.data.superpixels import SuperpixelPairs
from shapewright.losses import CrossEntropyLoss
from shapewright.metrics import dice, iou, surface_distances
from shapewright.simulate import TextureCellsPhantom
from shapewright.training.reproduction import Relation, Reproduction
from shapewright.training.study import (
    Runs,
    StudyProgress,
    by_setting,
    compare,
    cut_middle,
    differences,
    every_seed,
    make_reproduction,
    make_row,
    mean,
    measure_arms,
    on_average,
    predict_probabilities,
    signed,
    study_unet,
    train_network,
)

AUGMENTATIONS = {
    "basic": "basic",
    "elastic": "basic + elastic",
    "superpixels": "basic + SPDA",
    "blur": "basic + blur of the same strength",
    "consistent": "basic + SPDA + consistency",
}
DATA = {
    "new textures": "cells, test textures unlike those of training",
    "membranes": "membranes of 2 pixels, test textures unlike those of training",
    "nuclei": "nuclei (real)",
}
IOU, RARE, DICE, HD95, BOUNDARY, GAP = (
    "mean IoU",
    "IoU, rarest class",
    "Dice",
    "HD95",
    "boundary F1",
    "train - test IoU",
)
COLUMNS = (IOU, RARE, DICE, HD95, BOUNDARY, GAP)
PAPER = {
    "basic": {IOU: "0.777 ± 0.008", RARE: "0.506 ± 0.029"},
    "elastic": {IOU: "0.802 ± 0.014", RARE: "0.549 ± 0.035"},
    "superpixels": {IOU: "0.856 ± 0.007", RARE: "0.667 ± 0.020"},
}
VERSIONS = 8  # smooth versions of every training image, made once
SIZE = 96
NOTES = (
    "Every arm: U-Net of three levels (8 to 32 channels), the same steps of 8 images of 96 x 96 pixels, Adam with a "
    "one-cycle rate, cross-entropy; every seed has its own images. Half of a batch of the two smoothing arms is raw, "
    "half smooth, with the same images in both halves.",
    "Means over test images and classes. HD95 in pixels; a class that is not found counts with the image's diagonal. "
    "Boundary F1 is the surface Dice within one pixel.",
    "The paper's column: fungus data, one image of 4000 x 4000 for training; its rarest class is nervous tissue. "
    "Those images are private, so only signs can be compared.",
)


@dataclass(frozen=True)
class Arm:
    """One training: the data, how many images, the augmentation, the seed of images, weights and order."""

    augmentation: str
    data: str = "new textures"
    images: int = 4
    steps: int = 250
    seed: int = 0

    @property
    def setting(self) -> str:
        """Name everything but the seed."""
        return f"{DATA[self.data]}, {self.images} images, {AUGMENTATIONS[self.augmentation]}"


def study(*, quick: bool, seeds: Sequence[int]) -> list[Arm]:
    """Return the arms in the order of their importance; ``quick`` keeps the central comparison and the real images."""
    four = ("basic", "elastic", "superpixels", "blur")
    arms = [Arm(name) for name in four] + [Arm(name, "nuclei") for name in four]
    if quick:
        arms = [replace(arm, steps=150) for arm in arms]
    else:
        three = ("basic", "superpixels", "blur")
        arms += [Arm(name, "membranes") for name in three]
        arms += [Arm(name, images=16) for name in three]
        arms += [Arm("consistent")]
    return [replace(arm, seed=seed) for arm in arms for seed in seeds]


def reproduce(
    *, quick: bool, seeds: Sequence[int], data: Path | None, out: Path, progress: StudyProgress
) -> Reproduction:
    """Measure the study's arms and return the table and the relations.

    Parameters
    ----------
    quick
        Only the central comparison, on the phantom and on nuclei: about 4 minutes on 2 cores.
    seeds
        One training per setting and seed; each seed has data of its own.
    data
        A folder of 2D images with one class in place of the bundled nuclei, such as the whole nuclei data set.
    out
        Folder; finished arms are kept in ``out/arms`` and not trained again.
    progress
        Called with the number of finished arms, of all arms, and the present arm's name.
    """
    arms = study(quick=quick, seeds=seeds)
    results = measure_arms(
        arms, lambda arm: train_arm(arm, data), folder=out / "arms", progress=progress, inputs=str(data)
    )
    return summarise(results, seeds)


def train_arm(arm: Arm, data: Path | None = None) -> dict[str, float]:
    """Train one network and return its scores on the test images."""
    (images, labels), (test_images, test_labels) = task_data(arm, data)
    classes = int(max(labels.max(), test_labels.max())) + 1
    network = study_unet(2, images.shape[1], classes, seed=arm.seed, filters=(8, 16, 32))
    smooth = smooth_versions(arm, images)
    random = np.random.default_rng([arm.seed, 1])
    function = CrossEntropyLoss()

    def loss(index: Tensor) -> Tensor:
        if len(smooth):
            index = index[: len(index) // 2]
        batch = {"image": images[index], "labels": labels[index]}
        if len(smooth):
            chosen = smooth[random.integers(VERSIONS, size=len(index)), index]
            batch = {"image": torch.cat([batch["image"], chosen]), "labels": batch["labels"].repeat(2, 1, 1)}
        batch = crop_and_turn(batch, random, pairs=len(smooth) > 0)
        if arm.augmentation == "elastic":
            batch = deform_elastically(batch, random)
        logits = network(batch["image"])
        value: Tensor = function(logits, batch["labels"])
        if arm.augmentation == "consistent":
            raw, other = torch.softmax(logits, 1).chunk(2)
            value = value + (raw - other).square().sum(1).mean()
        return value

    train_network(network, loss, images=len(images), steps=arm.steps, seed=arm.seed)
    test = scores(predict_probabilities(network, test_images).argmax(1), test_labels.numpy(), classes)
    train = scores(predict_probabilities(network, images).argmax(1), labels.numpy(), classes)
    return {**test, GAP: train[IOU] - test[IOU]}


def smooth_versions(arm: Arm, images: Tensor) -> Tensor:
    """Return smooth versions ``[VERSIONS, N, C, *spatial]`` of the training images; empty where the arm has none."""
    if arm.augmentation in ("basic", "elastic"):
        return torch.empty(0)
    pairs = SuperpixelPairs(
        smoothing="blur" if arm.augmentation == "blur" else "superpixels", colour=images.shape[1] == 3
    )
    random = np.random.default_rng([arm.seed, 2])
    return torch.stack([torch.stack([pairs.smoothen(image, random) for image in images]) for _ in range(VERSIONS)])


def crop_and_turn(batch: dict[str, Tensor], random: np.random.Generator, *, pairs: bool) -> dict[str, Tensor]:
    """Cut a random tile of every image and apply one of the square's eight symmetries; a pair gets the same."""
    count = len(batch["image"]) // (2 if pairs else 1)
    room = [size - SIZE for size in batch["image"].shape[2:]]
    changes = [[int(random.integers(bound)) for bound in (room[0] + 1, room[1] + 1, 8)] for _ in range(count)]
    changes *= 2 if pairs else 1

    def changed(tensor: Tensor, row: int, column: int, symmetry: int) -> Tensor:
        tile = tensor[..., row : row + SIZE, column : column + SIZE]
        tile = torch.rot90(tile, symmetry % 4, (-2, -1))
        turned: Tensor = tile.flip(-1) if symmetry >= 4 else tile
        return turned

    return {
        name: torch.stack([changed(one, *how) for one, how in zip(tensor, changes, strict=True)])
        for name, tensor in batch.items()
    }


def task_data(arm: Arm, data: Path | None) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return images and labels for training and test, new for every seed."""
    if arm.data == "nuclei":
        return real_images(arm, data)
    target: Any = "membranes" if arm.data == "membranes" else "cells"
    test_textures: Any = ("stripes", "blotches", "checks", "speckle")
    parts = []
    for part, (count, textures) in enumerate([(arm.images, ("grain",)), (30, test_textures)]):
        phantom = TextureCellsPhantom(textures=textures, target=target)
        images, labels = phantom.generate(count, seed=2 * arm.seed + part)
        parts.append((_normalised(images), torch.from_numpy(labels).long()))
    return parts[0], parts[1]


def real_images(arm: Arm, data: Path | None) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return the middle 256 x 256 pixels of colour images: a few for training, the others (at most 30) for test."""
    dataset = samples.load("nuclei") if data is None else open_dataset(data, labels="binary")
    order = split_cases(dataset.ids, seed=arm.seed, fractions={"train": 0.5, "test": 0.5})
    chosen = [order["train"][: arm.images], [*order["test"], *order["train"][arm.images :]][:30]]
    parts = []
    for names in chosen:
        images, labels = [], []
        for name in names:
            image, label = load_case(dataset.case(name), dataset)
            assert label is not None
            array, mask = (cut_middle(a, (256, 256)) for a in (image.array.astype(np.float32), label.array[0] != 0))
            images.append(array if len(array) == 3 else np.repeat(array[:1], 3, axis=0))
            labels.append(mask)
        parts.append((_normalised(np.stack(images)), torch.from_numpy(np.stack(labels)).long()))
    return parts[0], parts[1]


def _normalised(images: NDArray[np.float32]) -> Tensor:
    """Return images with mean 0 and standard deviation 1, each for itself, all channels together."""
    axes = tuple(range(1, images.ndim))
    deviation = images.std(axis=axes, keepdims=True)
    return torch.from_numpy((images - images.mean(axis=axes, keepdims=True)) / np.maximum(deviation, 1e-6))


def scores(found: NDArray[np.intp], truth: NDArray[np.int64], classes: int) -> dict[str, float]:
    """Return the mean scores over images and classes; a class counts where it is in the truth."""
    values: dict[str, list[float]] = {name: [] for name in COLUMNS if name != GAP}
    rarest = min(range(1, classes), key=lambda k: int((truth == k).sum()))
    for one, true in zip(found, truth, strict=True):
        for k in range(1, classes):
            if not (true == k).any():
                continue
            distances = surface_distances(one == k, true == k)
            overlap = iou(one == k, true == k)
            values[IOU].append(overlap)
            values[DICE].append(dice(one == k, true == k))
            values[HD95].append(distances.hausdorff(95))
            values[BOUNDARY].append(distances.surface_dice(tolerance=1.0))
            if k == rarest:
                values[RARE].append(overlap)
    return {name: float(np.mean(column)) for name, column in values.items()}


def summarise(results: Mapping[Arm, Mapping[str, float]], seeds: Sequence[int]) -> Reproduction:
    """Return the table and the relations of finished arms."""
    settings = by_setting(results)
    usual = [arm for arm in settings if (arm.data, arm.images) == ("new textures", 4)]
    rows = [
        make_row(arm.setting, runs, COLUMNS, PAPER.get(arm.augmentation) if arm in usual else None)
        for arm, runs in settings.items()
    ]
    title = "SPDA: superpixel-based data augmentation (Zhang et al., MIDL 2019)"
    return make_reproduction(title, COLUMNS, rows, relations(settings), NOTES, seeds=seeds, measured=results.values())


def relations(settings: Mapping[Arm, Runs]) -> Iterator[Relation]:
    """Yield the paper's relations in every context, and the control."""
    gain = partial(compare, means=False)
    for basic in [arm for arm in settings if arm.augmentation == "basic"]:
        context = f"{basic.data}, {basic.images} images"
        runs = {name: settings.get(replace(basic, augmentation=name), []) for name in AUGMENTATIONS}
        for name in [name for name in ("basic", "elastic") if runs[name]]:
            statement = f"SPDA raises mean IoU over {AUGMENTATIONS[name]} augmentation with every seed"
            yield gain(f"R1 {name}, {context}", statement, IOU, runs[name], runs["superpixels"], every_seed)
        ratio = mean(HD95, runs["superpixels"]) / mean(HD95, runs["basic"])
        statement = "SPDA lowers HD95 to 0.8 of that of basic augmentation or less"
        yield Relation(f"R3 distance, {context}", statement, ratio <= 0.8, f"ratio {ratio:.2f}")
        statement = "SPDA narrows the gap between training and test images with every seed"
        yield gain(f"gap, {context}", statement, GAP, runs["basic"], runs["superpixels"], lambda gaps: max(gaps) < 0)
        statement = "SPDA beats a blur of the same strength by 0.01 boundary F1 on average"
        name = f"control: blur, {context}"
        yield gain(name, statement, BOUNDARY, runs["blur"], runs["superpixels"], on_average(0.01))
        if runs["consistent"]:
            statement = "Asking both predictions of a pair to agree raises mean IoU with every seed"
            name = f"consistency, {context}"
            yield gain(name, statement, IOU, runs["superpixels"], runs["consistent"], every_seed)
    few = next(arm for arm in settings if arm.augmentation == "basic" and arm.data == "new textures")
    many = replace(few, images=16)
    if many in settings:
        gains = [
            mean(IOU, settings[replace(arm, augmentation="superpixels")]) - mean(IOU, settings[arm])
            for arm in (few, many)
        ]
        statement = "SPDA gains more with 4 training images than with 16"
        yield Relation("R2 scarcity", statement, gains[0] > gains[1], f"{gains[0]:+.3f} against {gains[1]:+.3f}")
    rare = differences(RARE, settings[few], settings[replace(few, augmentation="superpixels")])
    whole = differences(IOU, settings[few], settings[replace(few, augmentation="superpixels")])
    statement = "SPDA gains more on the rarest class than on average"
    yield Relation("R2 rare class", statement, float(np.mean(rare)) > float(np.mean(whole)), signed(rare))
