"""One network from two data sets with different labels: the paper's relations on a brain phantom, with controls.

A set with tissue labels (no lesions), a set with lesion labels only (another site, half of the images without lesion)
and a test set with both. Every arm sees the same images as often, with the same network and falling learning rate.
"""

import functools
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shapewright.errors import InputError
from shapewright.losses import AdaptiveCrossEntropyLoss, CrossEntropyLoss, DiceLoss, LabelSpace, MarginalDiceLoss
from shapewright.metrics import dice
from shapewright.networks import AdditiveUNet
from shapewright.simulate import BrainPhantom
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
    predict_probabilities,
    signed,
    train_network,
)

ARMS = {
    "multi": "two networks, overwritten",
    "multi_T1": "two networks, both T1 alone",
    "naive_ce": "cross-entropy, background as given",
    "naive_dice": "Dice, background as given",
    "ace": "adaptive cross-entropy",
    "ace_air": "adaptive cross-entropy, air not known",
    "ace_patch": "adaptive cross-entropy, reading patch",
    "ace_by_image": "adaptive cross-entropy, images drawn first",
    "ace_patch_by_image": "adaptive cross-entropy, reading patch, images drawn first",
    "ace_dice": "adaptive cross-entropy + marginal Dice",
    "oracle": "all labels known",
}
TASKS = {"spots": "tissue and white-matter lesions", "tumour": "tissue and tumour"}
TISSUES = ("csf", "grey", "white")
MODALITIES = ("T1", "FLAIR", "T2")
PATCH, BATCH = 32, 4  # pixels per axis; patches per data set and step
ERASED, FALSE = "tissue called background", "false lesion pixels per image"
PAPER = {
    ("spots", "multi"): ("0.694", "0.757", "0.770", "0.516"),
    ("spots", "naive_ce"): ("0.075", "0.112", "0.000", "0.411"),
    ("spots", "naive_dice"): ("0.721", "0.750", "0.783", "0.508"),
    ("spots", "ace"): ("0.750", "0.802", "0.807", "0.540"),
    ("tumour", "multi"): ("0.778", "0.877", "0.874", "0.509", "0.586"),
    ("tumour", "naive_ce"): ("0.002", "0.013", "0.003", "0.335", "0.000"),
    ("tumour", "naive_dice"): ("0.432", "0.863", "0.846", "0.114", "0.282"),
    ("tumour", "ace"): ("0.779", "0.891", "0.891", "0.414", "0.415"),
}
NOTES = (
    "Dice per class, mean over the test images that show it. Every seed has its own images; 40 with tissue labels, 40 "
    "with lesion labels, 24 tested; a network of widths 8, 16, 32 with added skips; Adam with a one-cycle rate; every "
    "step 4 patches of 32 x 32 from each set, centred on a pixel of a label drawn uniformly, as in the paper.",
    "In the task with lesions all networks see T1 and FLAIR. In the one with a tumour the joint networks see T1 alone, "
    "the only contrast that both sets have; the lesion network of 'two networks' sees T1, T2 and FLAIR as in the "
    "paper, that of 'both T1 alone' the same as the joint one.",
    "Except under 'air not known', voxels outside the head count as background in both sets: there is a head mask in "
    "any real study. The paper does not say what it did.",
    "The paper's values are from MRBrainS18 and simulated tumours, which cannot be had here; only relations compare.",
)


@dataclass(frozen=True)
class Arm:
    """One training: what is learned how, and the seed of its data, weights and order."""

    loss: str
    task: str = "spots"
    seed: int = 0
    steps: int = 300

    @property
    def setting(self) -> str:
        """Name everything but the seed."""
        return f"{TASKS[self.task]}: {ARMS[self.loss]}"


def study(*, quick: bool, seeds: Sequence[int]) -> list[Arm]:
    """Return the trainings of the study."""
    central = [Arm(loss) for loss in ("multi", "naive_ce", "naive_dice", "ace", "ace_patch")]
    if quick:
        arms = [replace(arm, steps=150) for arm in central]
    else:
        arms = central + [Arm(loss) for loss in ("ace_by_image", "ace_patch_by_image", "ace_air", "ace_dice", "oracle")]
        arms += [Arm(loss, "tumour") for loss in ("multi", "multi_T1", "naive_ce", "naive_dice", "ace")]
    return [replace(arm, seed=seed) for arm in arms for seed in seeds]


def reproduce(
    *, quick: bool, seeds: Sequence[int], data: Path | None, out: Path, progress: StudyProgress
) -> Reproduction:
    """Measure the study's arms and return the table and the relations.

    Parameters
    ----------
    quick
        Only the first task and 150 steps: about 4 minutes on 2 cores.
    seeds
        One training per setting and seed; each seed has data of its own.
    data
        Must be None: the study is of phantoms, whose every label is known.
    out
        Folder; every finished arm is a file in ``out/arms``, which a repeated call reads instead of training again.
    progress
        Called with the number of finished arms, of all arms, and the present arm's name.
    """
    if data is not None:
        raise InputError("this study needs images whose every label is known, and makes them itself; leave out --data")
    arms = study(quick=quick, seeds=seeds)
    results = measure_arms(arms, train_arm, folder=out / "arms", progress=progress)
    settings = by_setting(results)
    columns = list(dict.fromkeys(name for runs in settings.values() for name in runs[0] if name != "seconds"))
    return make_reproduction(
        "Adaptive cross-entropy: lesion and anatomy from heterogeneous data sets (Roulet et al., MIDL 2019)",
        columns,
        [make_row(arm.setting, runs, columns, _paper(arm)) for arm, runs in settings.items()],
        relations(settings),
        NOTES,
        seeds=seeds,
        measured=results.values(),
    )


# -- data --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Sets:
    """The images of one task and seed; labels are complete."""

    phantom: BrainPhantom
    anatomy: tuple[Tensor, Tensor]
    lesion: tuple[Tensor, Tensor]
    test: tuple[Tensor, NDArray[np.uint8]]

    @property
    def space(self) -> LabelSpace:
        """What the labels of both sets mean."""
        lesions = [name for name in self.phantom.classes if name not in TISSUES]
        anatomy = {name: name for name in (*TISSUES, "background")}
        return LabelSpace.union({"anatomy": anatomy, "lesion": {name: name for name in lesions}}, self.phantom.classes)

    def channels(self, *names: str) -> list[int]:
        """Return the channels of contrasts."""
        return [self.phantom.modalities.index(name) for name in names]


@functools.lru_cache(maxsize=2)
def make_sets(task: str, seed: int) -> Sets:
    """Return the sets of a task; the lesion set and half of what differs between sites come from another scanner."""
    kind: Literal["spots", "tumour"] = "spots" if task == "spots" else "tumour"
    phantom = BrainPhantom(
        shape=(48, 48), modalities=MODALITIES, lesion=kind, lesions=(3, 6), lesion_axes=(2.5, 5.0), noise=0.08
    )
    other = replace(phantom, gamma=1.15, gain=0.95)
    images, labels = replace(phantom, lesion_free=1.0).generate(40, seed=3 * seed)
    patients, lesions = replace(other, lesion_free=0.5 if task == "spots" else 0.2).generate(40, seed=3 * seed + 1)
    tests, truth = replace(phantom, gamma=1.07).generate(24, seed=3 * seed + 2)
    return Sets(phantom, _tensors(images, labels), _tensors(patients, lesions), (torch.from_numpy(tests), truth))


def _tensors(images: NDArray[np.float32], labels: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(images), torch.from_numpy(labels).long()


# -- training ----------------------------------------------------------------------------------------------------------


def train_arm(arm: Arm) -> dict[str, float]:
    """Train an arm's network or networks and return its scores on the test set."""
    sets = make_sets(arm.task, arm.seed)
    common = ("T1", "FLAIR") if arm.task == "spots" else ("T1",)
    if arm.loss.startswith("multi"):
        wide = common if arm.task == "spots" or arm.loss == "multi_T1" else MODALITIES
        found = train_two(arm, sets, sets.channels(*common), sets.channels(*wide))
    else:
        found = train_joint(arm, sets, sets.channels(*common))
    return scores(found, sets)


def train_joint(arm: Arm, sets: Sets, channels: Sequence[int]) -> NDArray[np.uint8]:
    """Train one network on both sets, half a batch from each, and return the predicted labels of the test set."""
    known = known_labels(arm.loss, sets)
    own = sets.anatomy[1], (sets.lesion[1] - len(TISSUES)).clamp(min=0)
    patches = [
        BalancedPatches(part[0][:, channels], labels, centred_on, by_image=arm.loss.endswith("by_image"))
        for part, labels, centred_on in zip((sets.anatomy, sets.lesion), known, own, strict=True)
    ]
    network = _network(arm, len(channels), 1 + len(sets.phantom.classes))
    objective = build_objective(arm.loss, sets.space)

    def loss(_: Tensor) -> Tensor:
        drawn = [source.draw(BATCH) for source in patches]
        images, labels = (torch.cat(parts) for parts in zip(*drawn, strict=True))
        return objective(network(images), labels)

    train_network(network, loss, images=BATCH, steps=arm.steps, seed=arm.seed, batch_size=BATCH)
    return _predict(network, sets.test[0][:, channels])


class BalancedPatches:
    """Patches centred on a pixel of a label drawn uniformly among those of the data set.

    Parameters
    ----------
    images, labels
        What the patches are cut from.
    centred_on
        The data set's own labels.
    by_image
        Draw an image first, then a label that it shows.
    """

    def __init__(self, images: Tensor, labels: Tensor, centred_on: Tensor, *, by_image: bool = False) -> None:
        self.images, self.labels = images, labels
        shown = [torch.argwhere(centred_on == k) for k in range(int(centred_on.max()) + 1)]
        self.places = [places for places in shown if len(places)]
        self.of_image = [
            [places[places[:, 0] == index] for places in self.places if (places[:, 0] == index).any()]
            for index in range(len(images) if by_image else 0)
        ]

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Return ``count`` patches of images and labels, drawn by torch's global generator."""
        images, labels = [], []
        for _ in range(count):
            labelled = self.of_image[int(torch.randint(len(self.of_image), ()))] if self.of_image else self.places
            places = labelled[int(torch.randint(len(labelled), ()))]
            index, *centre = places[int(torch.randint(len(places), ()))].tolist()
            limits = [size - PATCH for size in self.labels.shape[1:]]
            y, x = (min(max(at - PATCH // 2, 0), most) for at, most in zip(centre, limits, strict=True))
            images.append(self.images[index, :, y : y + PATCH, x : x + PATCH])
            labels.append(self.labels[index, y : y + PATCH, x : x + PATCH])
        return torch.stack(images), torch.stack(labels)


def known_labels(loss: str, sets: Sets) -> tuple[Tensor, Tensor]:
    """Return the labels of both sets as an arm is told them."""
    tissue, patients = sets.anatomy[1], sets.lesion[1]
    if loss == "oracle":
        return tissue, patients
    lesion = patients > len(TISSUES)
    other = sets.space.numbers["lesion"]["background"]
    if loss.startswith("naive"):
        return tissue, torch.where(lesion, patients, 0)
    inside = patients > 0 if loss != "ace_air" else torch.ones_like(lesion)
    return tissue, torch.where(lesion, patients, torch.where(inside, other, 0))


def build_objective(loss: str, space: LabelSpace) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss of logits and labels."""
    if loss in ("naive_ce", "oracle"):
        return CrossEntropyLoss()
    if loss == "naive_dice":
        return DiceLoss(channels=range(len(space.classes) + 1), batch=True)
    entropy = AdaptiveCrossEntropyLoss(space.sets, reading="patch" if loss.startswith("ace_patch") else "dataset")
    if loss != "ace_dice":
        return entropy
    overlap = MarginalDiceLoss(space.sets)

    def both(logits: Tensor, labels: Tensor) -> Tensor:
        value: Tensor = entropy(logits, labels) + overlap(logits, labels)
        return value

    return both


def train_two(arm: Arm, sets: Sets, common: Sequence[int], wide: Sequence[int]) -> NDArray[np.uint8]:
    """Train a network per set and return the tissue overwritten with the lesions."""
    patients, lesion = sets.lesion[0][:, wide], (sets.lesion[1] - len(TISSUES)).clamp(min=0)
    tissue = _train_alone(arm, sets.anatomy[0][:, common], sets.anatomy[1], sets.test[0][:, common])
    lesions = _train_alone(arm, patients, lesion, sets.test[0][:, wide])
    return overwrite(tissue, np.where(lesions > 0, lesions + len(TISSUES), 0).astype(np.uint8))


def _train_alone(arm: Arm, images: Tensor, labels: Tensor, tests: Tensor) -> NDArray[np.uint8]:
    network = _network(arm, images.shape[1], 1 + int(labels.max()))
    patches, entropy = BalancedPatches(images, labels, labels), CrossEntropyLoss()

    def loss(_: Tensor) -> Tensor:
        drawn, known = patches.draw(BATCH)
        value: Tensor = entropy(network(drawn), known)
        return value

    train_network(network, loss, images=BATCH, steps=arm.steps, seed=arm.seed, batch_size=BATCH)
    return _predict(network, tests)


def overwrite(tissue: NDArray[np.uint8], lesion: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the tissue labels with every lesion label in their place."""
    return np.where(lesion > 0, lesion, tissue)


def _network(arm: Arm, channels: int, classes: int) -> nn.Module:
    """Return a small network with the weights of the arm's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(arm.seed)
        network = AdditiveUNet(channels, classes, widths=(8, 16, 32))
    for weight in network.parameters():
        if weight.ndim == 4:  # faster on a processor
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return network


def _predict(network: nn.Module, images: Tensor) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = predict_probabilities(network, images).argmax(axis=1).astype(np.uint8)
    return found


# -- what is measured --------------------------------------------------------------------------------------------------


def scores(found: NDArray[np.uint8], sets: Sets) -> dict[str, float]:
    """Return Dice per class, the share of tissue called background, and false lesion pixels per image."""
    truth = sets.test[1]
    result = {}
    for k, name in enumerate(sets.phantom.classes, start=1):
        result[name] = float(
            np.mean([dice(f == k, t == k) for f, t in zip(found, truth, strict=True) if (t == k).any()])
        )
    tissue, lesion = np.isin(truth, (1, 2, 3)), truth > len(TISSUES)
    result["tissue"] = float(np.mean([result[name] for name in TISSUES]))
    result[ERASED] = float((found[tissue] == 0).mean())
    result[FALSE] = float(((found > len(TISSUES)) & ~lesion).sum() / len(truth))
    return result


def _paper(arm: Arm) -> dict[str, str]:
    names = [*TISSUES, *(("lesion",) if arm.task == "spots" else ("edema", "core"))]
    return dict(zip(names, PAPER.get((arm.task, arm.loss), ()), strict=False))


def relations(settings: Mapping[Arm, Runs]) -> Iterator[Relation]:
    """Yield the paper's relations and the controls."""
    for ace in [arm for arm in settings if arm.loss == "ace"]:
        runs = {arm.loss: settings[arm] for arm in settings if arm.task == ace.task}
        lesions = [name for name in ("lesion", "edema", "core") if name in runs["ace"][0]]
        yield from _tissue_relations(TASKS[ace.task], runs)
        yield from _lesion_relations(TASKS[ace.task], runs, lesions)


def _tissue_relations(task: str, runs: Mapping[str, Runs]) -> Iterator[Relation]:
    statement = "Adaptive cross-entropy reaches the tissue Dice of two networks with every seed, within 0.01"
    yield compare(f"R1, {task}", statement, "tissue", runs["multi"], runs["ace"], lambda gains: min(gains) >= -0.01)
    for naive, name, margin in (("naive_ce", "R2", 0.3), ("naive_dice", "R3", 0.1)):
        gains = differences("tissue", runs[naive], runs["ace"])
        yield Relation(
            f"{name}, {task}",
            f"{ARMS[naive].capitalize()}, loses at least {margin} tissue Dice against adaptive cross-entropy",
            min(gains) >= margin,
            f"{mean('tissue', runs[naive]):.3f} against {mean('tissue', runs['ace']):.3f}: {signed(gains)}; it calls "
            f"{mean(ERASED, runs[naive]):.0%} of the tissue background, adaptive cross-entropy "
            f"{mean(ERASED, runs['ace']):.1%}",
        )
    if "ace_air" in runs:
        statement = "Knowing what is outside the head raises the Dice of the outer fluid with every seed"
        yield compare(f"control: air, {task}", statement, "csf", runs["ace_air"], runs["ace"], every_seed)


def _lesion_relations(task: str, runs: Mapping[str, Runs], lesions: Sequence[str]) -> Iterator[Relation]:
    for name in lesions:
        statement = "The joint network finds the lesion as well as the network for it alone (mean Dice within 0.04)"
        yield compare(f"R4 {name}, {task}", statement, name, runs["multi"], runs["ace"], _within)
        if "multi_T1" in runs:
            statement = "Where both see T1 alone, the difference is gone (mean Dice within 0.04)"
            yield compare(f"R4 control {name}, {task}", statement, name, runs["multi_T1"], runs["ace"], _within)
    for with_set, with_patch in (("ace", "ace_patch"), ("ace_by_image", "ace_patch_by_image")):
        if with_patch not in runs:
            continue
        more = differences(FALSE, runs[with_set], runs[with_patch])
        before, after = mean(FALSE, runs[with_set]), mean(FALSE, runs[with_patch])
        how = ", half of the patches without lesion" if with_set == "ace_by_image" else ""
        yield Relation(
            f"reading, {task}{how}",
            "The equation as printed (reading patch) finds more false lesion with every seed",
            min(more) > 0,
            f"{before:.1f} to {after:.1f} pixels: {signed(more, digits=1)}",
        )
    if "ace_dice" in runs:
        for name in ("tissue", *lesions):
            statement = "Adding marginal Dice raises Dice with every seed"
            yield compare(f"extension {name}, {task}", statement, name, runs["ace"], runs["ace_dice"], every_seed)


def _within(gains: Sequence[float]) -> bool:
    return abs(statistics.mean(gains)) <= 0.04
