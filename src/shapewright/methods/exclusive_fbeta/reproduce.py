"""Does leaving one class out help? The paper's arms on an isointense brain phantom, and on real volumes.

A small network is trained with the single-label, multi-label and exclusive multi-label designs, the same data, order,
steps and decaying rate for all; only outputs, loss and decoding differ. The network is a U-Net; single-label and
exclusive designs are repeated with a small FC-DenseNet, on images and on volumes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shapewright.data import open_dataset, samples, split_cases
from shapewright.data.preprocess import normalise_intensity
from shapewright.losses import CrossEntropyLoss, FBetaLoss, auto_beta
from shapewright.metrics import dice, hausdorff_distance
from shapewright.networks.fc_densenet import FCDenseNet
from shapewright.simulate import IsointensePhantom
from shapewright.training.exclusive import exclusive_decode
from shapewright.training.reproduction import Relation, Reproduction
from shapewright.training.study import (
    Runs,
    StudyProgress,
    by_setting,
    compare,
    cut_middle,
    every_seed,
    load_labelled_volume,
    make_reproduction,
    make_row,
    mean,
    measure_arms,
    on_average,
    study_unet,
    train_network,
)

OUTPUTS = {
    "ce": "softmax, cross-entropy",
    "single": "softmax, F-beta 1.5",
    "multi": "a sigmoid per class, F-beta",
    "exclusive": "exclusive, F-beta",
    "penalised": "exclusive, F-beta, exclusion penalty 0.5",
}
TISSUES = ("CSF", "GM", "WM")
PARTS = ("anterior", "posterior")
RECALL, PRECISION, HD = "recall WM", "precision WM", "HD95 GM"
COLUMNS = (*(f"Dice {name}" for name in (*TISSUES, *PARTS)), RECALL, PRECISION, HD)
PAPER = {
    "single": {"Dice CSF": "0.949", "Dice GM": "0.912", "Dice WM": "0.893"},
    "exclusive": {"Dice CSF": "0.952", "Dice GM": "0.918", "Dice WM": "0.904"},
}
NOTES = (
    "Phantom: 64 x 64 pixels, two channels, grey and white matter half a standard deviation of the noise apart, labels "
    "of the training images jittered at their border, those of the test images true. 24 images to train, 24 to test, "
    "new for every seed. Exclusive: fluid and white matter are trained, grey matter is the rest of the brain.",
    "Every arm: the same images in the same order, 400 steps of 8, Adam with a one-cycle rate, half turns, a U-Net of "
    "three levels (8 to 32 channels). Beta follows from the class sizes unless it is given; Dice is the mean over test "
    "images.",
    "FC-DenseNet: growth 6, two layers per block, two transitions down, 31 000 weights (77 000 for volumes). In 3D 24 "
    "volumes of 32 x 32 x 32 voxels train and 24 test, with 200 steps of 2.",
    "Real: slices of the bundled hippocampus volumes, and of those of --data, in windows of 48 x 48 pixels around the "
    "labels; the background is what is left out.",
    "The paper's column: validation images of iSeg-2017, single-label and exclusive FC-DenseNet. The images need a "
    "registration, so only signs can be compared.",
)


@dataclass(frozen=True)
class Arm:
    """One training: outputs and loss, beta (0: by size), network, data, the seed of images, weights and order."""

    outputs: str
    beta: float = 0.0
    network: Literal["U-Net", "FC-DenseNet"] = "U-Net"
    data: Literal["phantom", "phantom 3D", "hippocampus", "given volumes"] = "phantom"
    steps: int = 400
    seed: int = 0

    @property
    def simulated(self) -> bool:
        """Whether the images are brain phantoms, which are 0 outside the brain."""
        return self.data.startswith("phantom")

    @property
    def setting(self) -> str:
        """Name everything but the seed."""
        parts = [self.data, self.network, OUTPUTS[self.outputs]]
        return ", ".join(parts + ([f"beta {self.beta:g}"] if self.beta else []))


@dataclass(frozen=True)
class Design:
    """What an arm trains and how it decides."""

    trained: tuple[int, ...]
    left_out: int | None


def study(*, quick: bool, seeds: Sequence[int], data: Path | None = None) -> list[Arm]:
    """Return the arms in the order of their importance; ``quick`` keeps the comparison of the designs."""
    four = ("ce", "single", "multi", "exclusive")
    arms = [Arm(name) for name in four]
    arms += [Arm("exclusive", beta=beta) for beta in (0.5, 1.0, 2.0)]
    if quick:
        arms = [replace(arm, steps=300) for arm in arms]
    else:
        arms += [Arm("penalised")]
        arms += [Arm(name, network="FC-DenseNet") for name in ("single", "exclusive")]
        arms += [Arm(name, network="FC-DenseNet", data="phantom 3D", steps=200) for name in ("single", "exclusive")]
        arms += [Arm(name, data="hippocampus") for name in ("ce", "single", "exclusive")]
        if data is not None:
            arms += [Arm(name, data="given volumes") for name in ("ce", "single", "exclusive")]
            arms += [Arm("exclusive", beta=1.5, data="given volumes")]
            arms += [Arm(name, network="FC-DenseNet", data="given volumes") for name in ("single", "exclusive")]
    return [replace(arm, seed=seed) for arm in arms for seed in seeds]


def reproduce(
    *, quick: bool, seeds: Sequence[int], data: Path | None, out: Path, progress: StudyProgress
) -> Reproduction:
    """Measure the study's arms and return the table and the relations.

    Parameters
    ----------
    quick
        Only the comparison of the designs and of three betas on the phantom: about 4 minutes on 2 cores.
    seeds
        One training per setting and seed; each seed has data of its own.
    data
        A folder of labelled volumes that are measured as well, such as all of MSD Task04.
    out
        Folder; finished arms are kept in ``out/arms`` and not trained again.
    progress
        Called with the number of finished arms, of all arms, and the present arm's name.
    """
    arms = study(quick=quick, seeds=seeds, data=data)
    results = measure_arms(
        arms, lambda arm: train_arm(arm, data), folder=out / "arms", progress=progress, inputs=str(data)
    )
    return summarise(results, seeds)


def design(arm: Arm, classes: int) -> Design:
    """Return the classes with an output and the one without; the phantom's background is outside the mask."""
    every = (1, 2, 3) if arm.simulated else tuple(range(classes))
    if arm.outputs not in ("exclusive", "penalised"):
        return Design(every, None)
    left_out = 2 if arm.simulated else 0
    return Design(tuple(k for k in every if k != left_out), left_out)


def train_arm(arm: Arm, data: Path | None = None) -> dict[str, float]:
    """Train one network and return its scores on the test images."""
    (images, labels), (test_images, test_labels), names = task_data(arm, data)
    chosen = design(arm, len(names) + 1)
    network = build_network(arm, images, len(chosen.trained))
    function = build_loss(arm, chosen, labels)
    random = np.random.default_rng([arm.seed, 1])

    def loss(index: Tensor) -> Tensor:
        turned = torch.from_numpy(random.random(len(index)) < 0.5)
        batch, truth = images[index], labels[index]
        batch = torch.where(turned.view(-1, *[1] * (batch.ndim - 1)), batch.flip((-2, -1)), batch)
        truth = torch.where(turned.view(-1, *[1] * (truth.ndim - 1)), truth.flip((-2, -1)), truth)
        return function(network(batch), truth, truth > 0 if arm.simulated else None)

    size = 8 if images.ndim == 4 else 2
    train_network(network, loss, images=len(images), steps=arm.steps, seed=arm.seed, batch_size=size)
    found = decide(network, test_images, chosen, (test_images != 0).any(1) if arm.simulated else None)
    return scores(found, test_labels.numpy(), names)


def build_network(arm: Arm, images: Tensor, outputs: int) -> nn.Module:
    """Return the arm's small network with the weights of its seed."""
    dims, channels = images.ndim - 2, images.shape[1]
    if arm.network == "U-Net":
        return study_unet(dims, channels, outputs, seed=arm.seed, filters=(8, 16, 32))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(arm.seed)
        return FCDenseNet(dims, channels, outputs, growth=6, layers=2, pools=2, stem=16)


def build_loss(arm: Arm, chosen: Design, labels: Tensor) -> "Loss":
    """Return the loss of logits, labels and the voxels that count."""
    if arm.outputs in ("ce", "single"):
        first = chosen.trained[0]
        softmax: nn.Module = (
            CrossEntropyLoss()
            if arm.outputs == "ce"
            else FBetaLoss(1.5, classes=range(len(chosen.trained)), batch=True, reduction="sum")
        )
        return Loss(softmax, first, 0.0)
    counts = torch.bincount(labels.flatten(), minlength=max(chosen.trained) + 1).tolist()
    beta = arm.beta or auto_beta(counts, trained=chosen.trained)
    sigmoids = FBetaLoss(beta, activation="sigmoid", classes=chosen.trained, batch=True, reduction="sum")
    return Loss(sigmoids, 0, 0.5 if arm.outputs == "penalised" else 0.0)


@dataclass(frozen=True)
class Loss:
    """A loss on labels that start at ``first``, and a penalty on voxels that two classes claim."""

    function: nn.Module
    first: int
    penalty: float

    def __call__(self, logits: Tensor, labels: Tensor, mask: Tensor | None) -> Tensor:
        """Return the value of a batch."""
        value: Tensor = self.function(logits, (labels - self.first).clamp_min(0), mask=mask)
        if not self.penalty:
            return value
        both = torch.sigmoid(logits).prod(dim=1)
        share = both.mean() if mask is None else (both * mask).sum() / mask.sum()
        return value + self.penalty * share


@torch.no_grad()
def decide(network: nn.Module, images: Tensor, chosen: Design, mask: Tensor | None) -> NDArray[np.int64]:
    """Return the labels ``[N, *spatial]`` of images."""
    logits = torch.cat([network(part) for part in torch.split(images, 16)])
    if chosen.left_out is not None:
        found = exclusive_decode(torch.sigmoid(logits), chosen.trained, chosen.left_out, mask=mask)
    else:
        found = torch.tensor(chosen.trained)[logits.argmax(1)]
        found = found if mask is None else found.masked_fill(~mask, 0)
    return np.asarray(found.numpy(), np.int64)


def task_data(arm: Arm, data: Path | None) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], Sequence[str]]:
    """Return images and labels for training and test, new for every seed, and the names of the labels."""
    if not arm.simulated:
        return real_slices(arm, data)
    shape = (64, 64) if arm.data == "phantom" else (32, 32, 32)
    parts = []
    for part, jitter in enumerate((0.5, 0.0)):
        images, labels = IsointensePhantom(shape=shape, jitter=jitter).generate(24, seed=2 * arm.seed + part)
        scaled = np.stack([normalise_intensity(image, "nonzero_mean") for image in images])
        parts.append((torch.from_numpy(scaled), torch.from_numpy(labels).long()))
    return parts[0], parts[1], TISSUES


def real_slices(
    arm: Arm, data: Path | None, size: int = 48
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], Sequence[str]]:
    """Return slices across the first axis of at most 12 volumes to train and 12 to test: 48, or four per volume."""
    source = None if arm.data == "hippocampus" else data
    dataset = samples.load("hippocampus") if source is None else open_dataset(source)
    values = list(dataset.labels.values())
    order = split_cases(dataset.ids, seed=arm.seed, fractions={"train": 0.5, "test": 0.5})
    parts = []
    for names in (order["train"][:12], order["test"][:12]):
        images, labels = [], []
        for name in names:
            image, label = load_labelled_volume(dataset, name)
            volume = normalise_intensity(image.array.astype(np.float32), "volume")
            truth = np.asarray(sum(k * (label.array[0] == value) for k, value in enumerate(values, start=1)))
            depth = len(truth)
            for z in np.linspace(0.25 * depth, 0.75 * depth, max(4, 48 // len(names))).astype(int):
                window = window_around(truth[z], size)
                images.append(cut_middle(volume[:, z][(slice(None), *window)], (size, size)))
                labels.append(cut_middle(truth[z][window], (size, size)))
        parts.append((torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(labels)).long()))
    return parts[0], parts[1], PARTS if source is None else tuple(dataset.labels)


def window_around(labels: NDArray[np.generic], size: int) -> tuple[slice, ...]:
    """Return a window around the middle of what is labelled; all of an axis that is not twice as long."""
    places = np.argwhere(labels != 0)
    middle = places.mean(axis=0) if len(places) else np.array(labels.shape) / 2
    starts = [int(np.clip(m - size / 2, 0, max(n - size, 0))) for m, n in zip(middle, labels.shape, strict=True)]
    return tuple(
        slice(first, first + size) if n >= 2 * size else slice(None)
        for first, n in zip(starts, labels.shape, strict=True)
    )


def scores(found: NDArray[np.int64], truth: NDArray[np.int64], names: Sequence[str]) -> dict[str, float]:
    """Return the mean Dice of every class, and recall, precision and HD95 where there is white or grey matter."""
    result = {}
    for number, name in enumerate(names, start=1):
        pairs = [(f == number, t == number) for f, t in zip(found, truth, strict=True) if (t == number).any()]
        result[f"Dice {name}"] = float(np.mean([dice(f, t) for f, t in pairs]))
        if name == "GM":
            result[HD] = float(np.mean([hausdorff_distance(f, t) for f, t in pairs]))
        if name == "WM" or len(names) == 1:
            result[f"recall {name}"] = float(np.mean([(f & t).sum() / t.sum() for f, t in pairs]))
            result[f"precision {name}"] = float(np.mean([(f & t).sum() / max(f.sum(), 1) for f, t in pairs]))
    return result


def summarise(results: Mapping[Arm, Mapping[str, float]], seeds: Sequence[int]) -> Reproduction:
    """Return the table and the relations of finished arms."""
    settings = by_setting(results)
    columns = list(dict.fromkeys([*COLUMNS, *(c for runs in settings.values() for c in runs[0] if c != "seconds")]))
    rows = [
        make_row(
            arm.setting, runs, columns, PAPER.get(arm.outputs) if arm == Arm(arm.outputs, steps=arm.steps) else None
        )
        for arm, runs in settings.items()
    ]
    title = "Exclusive independent probabilities with the F-beta loss (Hashemi et al., MIDL 2019)"
    return make_reproduction(title, columns, rows, relations(settings), NOTES, seeds=seeds, measured=results.values())


def relations(settings: Mapping[Arm, Runs]) -> Iterator[Relation]:
    """Yield the paper's relations and the checks that are fair to both designs, in every context."""
    gain = partial(compare, means=False)
    for arm in [arm for arm in settings if arm.outputs == "exclusive" and not arm.beta]:
        exclusive, single = settings[arm], settings[replace(arm, outputs="single")]
        names = [c for c in exclusive[0] if c.startswith("Dice")]
        context = f"{arm.data}, {arm.network}"
        for column in names:
            left = " (never trained)" if column == "Dice GM" else ""
            name = f"{'R2' if left else 'R1'} {column}, {context}"
            tissue = column.removeprefix("Dice ")
            statement = f"Exclusive beats the softmax with F-beta on {tissue}{left} with every seed"
            yield gain(name, statement, column, single, exclusive, every_seed)
        rivals = [settings[r] for r in (replace(arm, outputs="ce"), replace(arm, outputs="single")) if r in settings]
        behind = [max(mean(c, runs) for runs in rivals) - mean(c, exclusive) for c in names]
        yield Relation(
            f"not worse, {context}",
            "Exclusive is at most 0.01 Dice behind the best softmax on every class",
            max(behind) <= 0.01,
            f"largest shortfall {max(behind):+.4f}",
        )
        multi = replace(arm, outputs="multi")
        if multi in settings:
            worst = [
                min(float(np.mean([run[c] for c in names])) for run in runs) for runs in (settings[multi], exclusive)
            ]
            yield Relation(
                f"steadier, {context}",
                "The worst seed of exclusive beats the worst seed of a sigmoid per class (mean Dice)",
                worst[1] > worst[0],
                f"{worst[1]:.3f} against {worst[0]:.3f}",
            )
        if RECALL in exclusive[0]:
            statement = "Exclusive raises the recall of white matter over the softmax with every seed"
            yield gain(f"R4, {context}", statement, RECALL, single, exclusive, every_seed)
            statement = "The Hausdorff distance of grey matter does not improve along (not lower on average)"
            yield gain(f"R3, {context}", statement, HD, single, exclusive, on_average(0), digits=2)
        penalised = replace(arm, outputs="penalised")
        if penalised in settings:
            statement = "A penalty on voxels that two classes claim raises the Dice of white matter with every seed"
            name = f"exclusion penalty, {context}"
            yield gain(name, statement, "Dice WM", exclusive, settings[penalised], every_seed)
    sweep = sorted((arm for arm in settings if arm.beta and arm.data == "phantom"), key=lambda arm: arm.beta)
    recall, precision = ([mean(c, settings[arm]) for arm in sweep] for c in (RECALL, PRECISION))
    ordered = recall == sorted(recall) and precision == sorted(precision, reverse=True)
    evidence = "; ".join(f"beta {a.beta:g}: {r:.3f}, {p:.3f}" for a, r, p in zip(sweep, recall, precision, strict=True))
    statement = "Recall of white matter rises and its precision falls with beta"
    yield Relation("beta", statement, ordered, f"recall, precision: {evidence}")
