"""Do sizes help a network that saw a few masks? The paper's figure on real slices, with the controls that decide.

A small U-Net is trained on m slices of the hippocampus with masks until it no longer improves, and then on all training
slices with only the size of the hippocampus known, by the paper's loss and by this library's. The control spends
the same further steps on the m masks alone.
"""

import copy
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from shapewright.data import DatasetFolder, open_dataset, samples, split_cases
from shapewright.errors import InputError
from shapewright.geometry import object_size
from shapewright.losses import SizeLevelLoss, SizeLoss
from shapewright.training.reproduction import Relation, Reproduction, Row
from shapewright.training.study import (
    Runs,
    StudyProgress,
    by_setting,
    cut_middle,
    index_batches,
    load_labelled_volume,
    make_reproduction,
    make_row,
    measure_arms,
    signed,
    study_unet,
)

SHAPE = (48, 32)
BATCH = 16
CHECKS = 4  # times that the network is looked at in the second stage
MASKS = (32, 64, 128, 256, 512)
FEW = 64  # masks, up to which sizes should help

PRETRAINED, CONTROL, PAPER, OURS = "pre-training", "masks alone, as long", "size (paper)", "masks + size + level"
STAGES = (CONTROL, PAPER, OURS)
IOU, ERROR, BY_SIZE = "IoU", "size error", "IoU stopped by size"

NOTES = (
    "IoU is the mean over the test slices. Splits are by volume: no test volume has a slice in training. Each seed has "
    "its own split, masks, weights and order.",
    "Both stages have a cosine learning rate. Every second stage starts from the same pre-trained network and is "
    f"looked at {CHECKS} times; of these and the pre-trained network, the one with the best IoU on the validation "
    "slices counts, for the control as well. 'Stopped by size' takes the best validation size error, as the paper.",
    "The size error is the mean squared difference of the inscribed sizes, in pixels².",
    "Sizes are known for all training slices, masks for m of them.",
    "The paper reports about +0.05 IoU for m < 100 and no effect for large m, in a figure; its slices were split at "
    "random, so that neighbours of a test slice were trained on.",
)


@dataclass(frozen=True)
class Arm:
    """One pre-training and the second stages that follow it."""

    masks: int = 64
    seed: int = 0
    steps: int = 400
    augment: Literal["mirror", "move"] = "mirror"
    cost: bool = False

    @property
    def setting(self) -> str:
        """Name everything but the seed."""
        moved = ", moved" if self.augment == "move" else ""
        return "time of a step" if self.cost else f"{self.masks} masks{moved}"

    @property
    def stages(self) -> tuple[str, ...]:
        """The second stages; the paper's in one setting only, to see its decline."""
        return STAGES if self.masks == FEW and self.augment == "mirror" else (CONTROL, OURS)


@dataclass(frozen=True)
class Slices:
    """Images [N, 1, 48, 32], masks [N, 48, 32] and inscribed sizes [N]."""

    images: Tensor
    masks: Tensor
    sizes: Tensor


def study(*, quick: bool, seeds: Sequence[int]) -> list[Arm]:
    """Return the arms in the order of their importance; ``quick`` keeps two numbers of masks, a third as long."""
    steps = 120 if quick else Arm().steps
    settings = [Arm(masks, steps=steps) for masks in ((64, 512) if quick else (64, 32, 512, 128, 256))]
    if not quick:
        settings.insert(3, Arm(augment="move"))
    return [replace(arm, seed=seed) for arm in [*settings, Arm(steps=steps, cost=True)] for seed in seeds]


def reproduce(
    *, quick: bool, seeds: Sequence[int], data: Path | None, out: Path, progress: StudyProgress
) -> Reproduction:
    """Measure the study's arms, draw the paper's figure and return the table and the relations.

    Parameters
    ----------
    quick
        Two numbers of masks, a third of the steps: about 40 s a seed on one core.
    seeds
        One training per number of masks and seed.
    data
        A folder with more volumes of the hippocampus (Medical Segmentation Decathlon, Task04); None takes the bundled
        ones.
    out
        Folder for ``iou.png`` and ``arms/``; a repeated call reads finished arms instead of training again.
    progress
        Called with the number of finished arms, of all arms, and the present arm's name.
    """
    arms = study(quick=quick, seeds=seeds)
    results = measure_arms(
        arms,
        lambda arm: measure_cost(arm, data) if arm.cost else train_arm(arm, data),
        folder=out / "arms",
        progress=progress,
        inputs=str(data),
    )
    table = summarise(results, seeds)
    draw(table, out / "iou.png")
    return table


# -- data --------------------------------------------------------------------------------------------------------------


def hippocampus_slices(data: Path | None, seed: int) -> dict[str, Slices]:
    """Return the slices with at least 1 % foreground, all classes merged, of 70, 10 and 20 % of the volumes."""
    dataset = samples.load("hippocampus") if data is None else open_dataset(data)
    split = split_cases(dataset.ids, seed=seed)
    return {part: _slices(dataset, names) for part, names in split.items()}


def _slices(dataset: DatasetFolder, names: Sequence[str]) -> Slices:
    images, masks = [], []
    for name in names:
        image, labels = load_labelled_volume(dataset, name)
        volume = image.canonical().array[0].astype(np.float32)
        volume = (volume - volume.mean()) / (volume.std() + 1e-6)
        for picture, mask in zip(volume, labels.canonical().array[0] > 0, strict=True):
            cut = fitted(mask)
            if cut.mean() >= 0.01:
                images.append(fitted(picture))
                masks.append(cut)
    if not images:
        raise InputError(f"{dataset.path}: too few volumes with a visible object for training, validation and test")
    pictures, truth = torch.from_numpy(np.stack(images))[:, None], torch.from_numpy(np.stack(masks))
    return Slices(pictures, truth, object_size(truth, spatial_dims=2))


def fitted(picture: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return the middle of a slice, padded with zeros to 48 x 32 pixels.

    Examples
    --------
    >>> fitted(np.ones((50, 30), np.float32)).sum()
    np.float32(1440.0)
    """
    return cut_middle(picture, SHAPE, "constant")


# -- training ----------------------------------------------------------------------------------------------------------

Loss = Callable[[nn.Module], Tensor]
"""The loss of a network on its next batch."""


@dataclass(frozen=True)
class Material:
    """What a stage may use: the training slices, which of them have masks, and its random numbers."""

    train: Slices
    known: NDArray[np.intp]
    steps: int
    seed: int
    change: Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]

    def masked(self, size: int) -> Iterator[NDArray[np.intp]]:
        """Return batches of slices with masks."""
        return (self.known[index] for index in index_batches(len(self.known), size, self.steps, seed=[self.seed, 0]))

    def sized(self, size: int) -> Iterator[NDArray[np.intp]]:
        """Return batches of all slices, of which the sizes are known."""
        return index_batches(len(self.train.images), size, self.steps, seed=[self.seed, 1])


def mask_loss(material: Material) -> Loss:
    """Return the cross-entropy on slices with masks, mirrored at random."""
    batches, random = material.masked(BATCH), torch.Generator().manual_seed(material.seed)

    def loss(network: nn.Module) -> Tensor:
        index = next(batches)
        images, masks = material.change(material.train.images[index], material.train.masks[index], random)
        return cross_entropy(network(images), masks)

    return loss


def size_loss(material: Material) -> Loss:
    """Return the paper's loss of the second stage: the size error alone, without augmentation."""
    batches = material.sized(BATCH)
    size = SizeLoss(generator=torch.Generator().manual_seed(material.seed))

    def loss(network: nn.Module) -> Tensor:
        index = next(batches)
        error: Tensor = PAPER_WEIGHT * size(network(material.train.images[index]), material.train.sizes[index])
        return error

    return loss


def mixed_loss(material: Material) -> Loss:
    """Return the loss of a batch of which one half has masks and the other half sizes."""
    masked, sized = material.masked(BATCH // 2), material.sized(BATCH // 2)
    random = torch.Generator().manual_seed(material.seed)
    size, level = SizeLoss(generator=random), SizeLevelLoss()

    def loss(network: nn.Module) -> Tensor:
        index, other = next(masked), next(sized)
        images, masks = material.change(material.train.images[index], material.train.masks[index], random)
        logits = network(torch.cat([images, material.train.images[other]]))
        guided, sizes = logits[len(index) :], material.train.sizes[other]
        of_sizes: Tensor = level(guided, sizes) + SIZE_WEIGHT * size(guided, sizes)
        return cross_entropy(logits[: len(index)], masks) + of_sizes

    return loss


LOSSES: Mapping[str, Callable[[Material], Loss]] = {CONTROL: mask_loss, PAPER: size_loss, OURS: mixed_loss}
RATES = {CONTROL: 3e-3, PAPER: 3e-4, OURS: 3e-3}
SIZE_WEIGHT, PAPER_WEIGHT = 0.01, 0.1


def train_arm(arm: Arm, data: Path | None = None) -> dict[str, float]:
    """Pre-train one network, go on from it in each way, and return all scores."""
    slices = hippocampus_slices(data, arm.seed)
    train = slices["train"]
    if len(train.images) < arm.masks:
        raise InputError(f"{arm.masks} masks need as many training slices; the data have {len(train.images)}")
    known = np.random.default_rng([arm.seed, 1]).permutation(len(train.images))[: arm.masks]
    pretrained = study_unet(2, 1, 1, seed=arm.seed)
    first = Material(train, known, arm.steps, arm.seed, AUGMENTATIONS[arm.augment])
    optimise(pretrained, mask_loss(first), arm.steps, RATES[CONTROL])
    start = looked_at(pretrained, slices)
    scores = {f"{IOU}, {PRETRAINED}": start["test IoU"], f"{ERROR}, {PRETRAINED}": start["test error"]}
    for stage in arm.stages:
        network, looks = copy.deepcopy(pretrained), [start]
        loss = LOSSES[stage](replace(first, seed=arm.seed + 1000))
        optimise(network, loss, arm.steps, RATES[stage], look=partial(_append_look, looks, network, slices))
        best = max(looks, key=lambda look: look["val IoU"])
        scores |= {f"{IOU}, {stage}": best["test IoU"], f"{ERROR}, {stage}": best["test error"]}
        scores[f"{BY_SIZE}, {stage}"] = min(looks, key=lambda look: look["val error"])["test IoU"]
        for number, look in enumerate(looks):
            scores |= {f"{IOU} {number}, {stage}": look["test IoU"], f"{ERROR} {number}, {stage}": look["test error"]}
    return scores


def optimise(
    network: nn.Module, loss: Loss, steps: int, rate: float, *, look: Callable[[], None] | None = None
) -> None:
    """Train in place with AdamW and a cosine rate; look at the network a few times on the way."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(1, steps + 1):
        network.train()
        value = loss(network)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if look is not None and step * CHECKS % steps < CHECKS:
            look()


def _append_look(looks: list[dict[str, float]], network: nn.Module, slices: Mapping[str, Slices]) -> None:
    looks.append(looked_at(network, slices))


def looked_at(network: nn.Module, slices: Mapping[str, Slices]) -> dict[str, float]:
    """Return IoU and squared size error on validation and test slices."""
    scores = {}
    for part in ("val", "test"):
        truth = slices[part]
        found = torch.from_numpy(predicted_masks(network, truth.images))
        shared, joint = (found & truth.masks).flatten(1).sum(1), (found | truth.masks).flatten(1).sum(1)
        scores[f"{part} IoU"] = float((shared / joint).mean())
        scores[f"{part} error"] = float((object_size(found, spatial_dims=2) - truth.sizes).square().mean())
    return scores


@torch.no_grad()
def predicted_masks(network: nn.Module, images: Tensor) -> NDArray[np.bool_]:
    """Return masks [N, 48, 32]."""
    network.eval()
    masks: NDArray[np.bool_] = torch.cat([network(part)[:, 0] > 0 for part in torch.split(images, 64)]).numpy()
    return masks


def measure_cost(arm: Arm, data: Path | None = None) -> dict[str, float]:
    """Return the time of a step with sizes relative to a supervised one, measured in turns."""
    train = hippocampus_slices(data, arm.seed)["train"]
    steps = 20 if arm.steps < Arm().steps else 60
    material = Material(train, np.arange(FEW), steps, arm.seed, AUGMENTATIONS[arm.augment])
    network = study_unet(2, 1, 1, seed=arm.seed)
    losses = {stage: loss(material) for stage, loss in LOSSES.items()}
    seconds: dict[str, list[float]] = {stage: [] for stage in losses}
    for _ in range(steps):
        for stage, loss in losses.items():
            began = time.perf_counter()
            loss(network).backward()  # type: ignore[no-untyped-call]
            seconds[stage].append(time.perf_counter() - began)
    usual = statistics.median(seconds[CONTROL])
    return {stage: statistics.median(times) / usual for stage, times in seconds.items()}


def cross_entropy(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the binary cross-entropy of logits [N, 1, 48, 32] and masks [N, 48, 32]."""
    return functional.binary_cross_entropy_with_logits(logits[:, 0], masks.float())


def mirrored(images: Tensor, masks: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirror each image and its mask up and down and left and right at random, the paper's augmentation."""
    for axis in (-2, -1):
        turned = torch.rand(len(images), 1, 1, generator=random) < 0.5
        images = torch.where(turned[:, None], images.flip(axis), images)
        masks = torch.where(turned, masks.flip(axis), masks)
    return images, masks


def moved(images: Tensor, masks: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Move each image and its mask by up to 4 pixels, and change its contrast: a stronger augmentation."""
    count, reach = len(images), 4
    shifts = torch.randint(0, 2 * reach + 1, (count, 2), generator=random).tolist()
    windows = [(slice(y, y + SHAPE[0]), slice(x, x + SHAPE[1])) for y, x in shifts]
    wide = functional.pad(images, [reach] * 4, mode="replicate")
    wide_masks = functional.pad(masks, [reach] * 4)
    images = torch.stack([picture[:, *window] for picture, window in zip(wide, windows, strict=True)])
    masks = torch.stack([mask[window] for mask, window in zip(wide_masks, windows, strict=True)])
    gain, offset = (0.2 * torch.randn(count, 1, 1, 1, generator=random) for _ in range(2))
    return images * (1 + gain) + offset + 0.05 * torch.randn(images.shape, generator=random), masks


AUGMENTATIONS = {"mirror": mirrored, "move": moved}


# -- judging -----------------------------------------------------------------------------------------------------------


def summarise(results: Mapping[Arm, Mapping[str, float]], seeds: Sequence[int]) -> Reproduction:
    """Return the table and the relations of finished arms."""
    settings = by_setting(results)
    usual = {arm.masks: runs for arm, runs in settings.items() if arm.augment == "mirror" and not arm.cost}
    trained = {masks: usual[masks] for masks in sorted(usual)}
    moving = next((runs for arm, runs in settings.items() if arm.augment == "move"), None)
    cost = next((runs for arm, runs in settings.items() if arm.cost), None)
    columns = [f"{what}, {stage}" for what in (IOU, ERROR) for stage in (PRETRAINED, *STAGES)]
    rows = [make_row(f"{masks} masks", runs, columns) for masks, runs in trained.items()]
    if moving is not None:
        rows.append(make_row(f"{FEW} masks, moved", moving, columns))
    if FEW in trained:
        rows += _curve(trained[FEW])
    if cost is not None:
        rows.append(_row("time of a step, supervised = 1", cost, {f"{IOU}, {s}": s for s in STAGES}))
    title = "Learning to segment from object sizes (Barucic and Kybic, ITAT 2022)"
    return make_reproduction(
        title, columns, rows, relations(trained, moving, cost), NOTES, seeds=seeds, measured=results.values()
    )


def _row(name: str, runs: Runs, source: Mapping[str, str]) -> Row:
    """Return a row whose columns show the scores that ``source`` names."""
    return make_row(name, [{c: scores[n] for c, n in source.items() if n in scores} for scores in runs], list(source))


def _curve(runs: Runs) -> Iterator[Row]:
    """Yield the scores along the second stage, and where the smallest validation size error would have stopped it."""
    both = [(what, stage) for what in (IOU, ERROR) for stage in STAGES]
    for number in range(1, CHECKS + 1):
        source = {f"{what}, {stage}": f"{what} {number}, {stage}" for what, stage in both}
        yield _row(f"{FEW} masks, {number}/{CHECKS} of the second stage", runs, source)
    source = {f"{IOU}, {stage}": f"{BY_SIZE}, {stage}" for stage in STAGES}
    yield _row(f"{FEW} masks, stopped by size", runs, source)


def relations(trained: Mapping[int, Runs], moving: Runs | None, cost: Runs | None) -> Iterator[Relation]:
    """Yield what the paper claims and what this library adds, as measured."""
    before, after, control = f"{IOU}, {PRETRAINED}", f"{IOU}, {OURS}", f"{IOU}, {CONTROL}"
    few: Runs = [scores for masks, runs in trained.items() if masks <= FEW for scores in runs]
    comparisons = [
        ("R1", "raise the mean IoU of the pre-trained network by at least 0.05", few, before, after, 0.05),
        ("R1, control", "beat as many further steps on the masks alone, in the mean", few, control, after, 0.0),
        ("no decline", "still help at the end of the second stage", few, before, f"{IOU} {CHECKS}, {OURS}", 0.0),
    ]
    if moving is not None:
        claim = "beat further steps on the masks alone where images are moved and their contrast changed"
        comparisons.append(("R1, moved", claim, moving, control, after, 0.0))
    if FEW in trained:
        claim = "do better with masks and level sets than by the size error alone (the paper)"
        comparisons.append(("level sets", claim, trained[FEW], f"{IOU}, {PAPER}", after, 0.0))
    for name, claim, runs, first, second, least in comparisons:
        values = _differences(runs, first, second)
        masks = f"{FEW} masks" if runs is not few else f"{FEW} masks or fewer"
        yield Relation(name, f"With {masks}, sizes {claim}", statistics.mean(values) >= least, signed(values))
    if FEW in trained:
        values = _differences(trained[FEW], f"{IOU} 1, {PAPER}", f"{IOU} {CHECKS}, {PAPER}")
        statement = f"With {FEW} masks and the size error alone, the IoU declines after the first quarter (the paper)"
        yield Relation("R2", statement, statistics.mean(values) < 0, signed(values))
    for number, runs in trained.items():
        if number > FEW:
            values = _differences(runs, before, after)
            statement = "Sizes lower the mean IoU by no more than 0.005"
            yield Relation(f"R3, {number} masks", statement, statistics.mean(values) >= -0.005, signed(values))
            values = _differences(runs, control, after)
            statement = "Sizes are worth at least as much as further steps on the masks alone, in the mean"
            yield Relation(f"R3, control, {number} masks", statement, statistics.mean(values) >= 0, signed(values))
    if cost is not None:
        ratios = [max(scores[PAPER], scores[OURS]) for scores in cost]
        statement = "A step with sizes takes at most 1.2 times as long as a supervised one (the paper: about 10 times)"
        yield Relation("cost", statement, max(ratios) <= 1.2, ", ".join(f"{ratio:.2f}" for ratio in ratios))


def _differences(runs: Runs, first: str, second: str) -> list[float]:
    return [scores[second] - scores[first] for scores in runs]


def draw(table: Reproduction, path: Path) -> None:
    """Draw IoU against the number of masks, and IoU along the second stage, with the spread over the seeds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = {row.name: row.ours for row in table.rows}
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
    numbers = [number for number in MASKS if f"{number} masks" in rows]
    along = [f"{FEW} masks, {number}/{CHECKS} of the second stage" for number in range(1, CHECKS + 1)]
    start = rows[f"{FEW} masks"][f"{IOU}, {PRETRAINED}"]
    for stage, colour in zip((PRETRAINED, *STAGES), ("#888888", "#444444", "#ffb000", "#0072b2"), strict=True):
        column = f"{IOU}, {stage}"
        there = [number for number in numbers if column in rows[f"{number} masks"]]
        _line(left, there, [rows[f"{number} masks"][column] for number in there], stage, colour)
        if stage != PRETRAINED:
            _line(right, range(CHECKS + 1), [start, *(rows[name][column] for name in along)], stage, colour)
    left.set(xscale="log", xlabel="masks", ylabel="IoU on test slices", xticks=numbers)
    left.set_xticks(numbers, labels=[str(number) for number in numbers])
    left.minorticks_off()
    right.set(xlabel=f"quarters of the second stage, {FEW} masks", xticks=range(CHECKS + 1))
    left.legend(frameon=False)
    figure.savefig(path, dpi=110, bbox_inches="tight", facecolor="white")
    plt.close(figure)


def _line(axis: Any, places: Sequence[int], values: Sequence[Sequence[float]], label: str, colour: str) -> None:
    means = np.array([statistics.mean(value) for value in values])
    spread = np.array([statistics.stdev(value) if len(value) > 1 else 0.0 for value in values])
    axis.plot(places, means, "o-", color=colour, label=label)
    axis.fill_between(places, means - spread, means + spread, color=colour, alpha=0.15)
