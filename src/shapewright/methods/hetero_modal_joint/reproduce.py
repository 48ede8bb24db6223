"""What keeps tissue that was learnt from T1 when FLAIR is added? The paper's relations on a brain phantom.

Controls: T1 alone, tissue labels, no lesions. Patients: T1 and FLAIR, lesion labels only. Tested on patients whose
every label is known, with both modalities and with T1 alone, and on controls. Arms differ in their objective alone.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shapewright.data.task import Task
from shapewright.errors import InputError
from shapewright.losses import JaccardLoss, LabelSpace
from shapewright.methods.hetero_modal_joint.config import Config
from shapewright.methods.hetero_modal_joint.method import UNKNOWN_CLASSES, HeteroModalJoint
from shapewright.metrics import dice
from shapewright.networks import AdditiveUNet, ModalityMeanNet
from shapewright.networks.additive_unet import Norm
from shapewright.simulate import BrainPhantom
from shapewright.training.method import Progress
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
    signed,
    train_network,
)

ARMS = {
    "tissue": "tissue network (N)",
    "lesion": "lesion network (W)",
    "plain": "joint, no consistency",
    "joint": "joint, with consistency (W+N)",
    "naive": "joint, missing labels read as background",
    "oracle": "all labels known (M)",
    "tanimoto": "joint, with consistency, Tanimoto form",
    "detached": "joint, with consistency, T1 prediction detached from it",
    "batch": "joint, with consistency, batch norm",
    "cold": "joint, with consistency from the first step",
    "other site": "joint, with consistency, patients' brightness to the power 1.6",
}
CENTRAL = ("tissue", "lesion", "plain", "joint", "naive")
TISSUES = ("csf", "grey", "white")
LESION, OTHER = 4, 5  # class, and the label of any other
MODALITIES = ("T1", "FLAIR")
TISSUE, FROM_T1, CONTROLS = "tissue", "tissue, T1 alone", "tissue of controls"
LESION_FROM_T1, OWN = "lesion, T1 alone", "tissue, own statistics"
COLUMNS = (*TISSUES, "lesion", TISSUE, FROM_T1, LESION_FROM_T1, CONTROLS, OWN)
PAPER = {
    "tissue": {CONTROLS: "0.907"},
    "lesion": {"lesion": "0.619"},
    "joint": {"lesion": "0.599", CONTROLS: "0.915"},
}
SHAPE, BATCH = (48, 48), 2  # pixels; images per data set and step
NOTES = (
    "Dice, mean over the images that show the class, on 24 patients with T1 and FLAIR and on 24 controls with T1; 'T1 "
    "alone': the same patients without FLAIR. Every seed has its own images; 40 controls and 40 patients, half of them "
    "without lesion, train: 2 whole images of each per step, 400 steps, Adam with a one-cycle rate; the consistency "
    "counts from the middle. A network of widths 8, 16, 32 behind one stem per modality.",
    "'Own statistics': batch normalisation evaluated with each image's own mean and variance, as in the paper.",
    "'All labels known' gives the lesion half of the weight, as in the paper.",
    "The paper's values are means over the 6 tissues of Neuromorphometrics, and of the lesions of the WMH challenge, "
    "which cannot be had here; only relations compare. SPM, its relation R2, is not part of this study.",
)


@dataclass(frozen=True)
class Arm:
    """One training: its objective, and the seed of its data, weights and order."""

    objective: str
    seed: int = 0
    steps: int = 400

    @property
    def setting(self) -> str:
        """Name everything but the seed."""
        return ARMS[self.objective]


def study(*, quick: bool, seeds: Sequence[int]) -> list[Arm]:
    """Return the trainings of the study."""
    names = CENTRAL if quick else tuple(ARMS)
    return [Arm(name, seed) for name in names for seed in seeds]


def reproduce(
    *, quick: bool, seeds: Sequence[int], data: Path | None, out: Path, progress: StudyProgress
) -> Reproduction:
    """Measure the study's arms and return the table and the relations.

    Parameters
    ----------
    quick
        The central comparison alone: about 5 minutes on 2 cores.
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
    settings = {arm.objective: runs for arm, runs in by_setting(results).items()}
    return make_reproduction(
        "Joint lesion and tissue segmentation from task-specific hetero-modal data sets (Dorent et al., MIDL 2019)",
        COLUMNS,
        [make_row(ARMS[name], runs, COLUMNS, PAPER.get(name)) for name, runs in settings.items()],
        relations(settings),
        NOTES,
        seeds=seeds,
        measured=results.values(),
    )


# -- data --------------------------------------------------------------------------------------------------------------

Labelled = tuple[Tensor, Tensor]


@functools.lru_cache(maxsize=2)
def make_sets(seed: int, gamma: float = 1.1) -> dict[str, Labelled]:
    """Return images, missing channels NaN, and complete labels of controls, patients and both test sets."""
    phantom = BrainPhantom(shape=SHAPE, modalities=MODALITIES, lesions=(3, 6), lesion_axes=(2.5, 5.0), noise=0.08)
    healthy, other = replace(phantom, lesion_free=1.0), replace(phantom, gamma=gamma, gain=0.97)
    made = {
        "controls": healthy.generate(40, seed=4 * seed),
        "patients": replace(other, lesion_free=0.5).generate(40, seed=4 * seed + 1),
        "test controls": healthy.generate(24, seed=4 * seed + 2),
        "test patients": other.generate(24, seed=4 * seed + 3),
    }
    sets = {
        name: (torch.from_numpy(images), torch.from_numpy(labels).long()) for name, (images, labels) in made.items()
    }
    for name in ("controls", "test controls"):
        sets[name] = without_flair(sets[name][0]), sets[name][1]
    return sets


def without_flair(images: Tensor) -> Tensor:
    """Return images [B, 2, *spatial] of which FLAIR is missing."""
    return torch.stack([images[:, 0], torch.full_like(images[:, 1], torch.nan)], dim=1)


def label_space() -> LabelSpace:
    """Return what the labels of both sets mean: the lesion set's other label is any class but lesion."""
    controls = {name: name for name in ("background", *TISSUES)}
    return LabelSpace.union({"controls": controls, "patients": {"lesion": "lesion"}})


# -- training ----------------------------------------------------------------------------------------------------------


def train_arm(arm: Arm) -> dict[str, float]:
    """Train an arm's network and return its scores."""
    sets = make_sets(arm.seed, gamma=1.6 if arm.objective == "other site" else 1.1)
    method = build(arm)
    train(method, arm, sets)
    return scores(method, sets)


def train(method: HeteroModalJoint, arm: Arm, sets: Mapping[str, Labelled]) -> None:
    """Train a method on the sets that an arm sees, with the labels that it is told."""
    seen = {"tissue": ["controls"], "lesion": ["patients"]}.get(arm.objective, ["controls", "patients"])
    told = [(sets[name][0], known_labels(arm, name, sets[name][1])) for name in seen]
    unknown = torch.cat([unknown_classes(arm, name) for name in seen for _ in range(BATCH)])
    done = iter(range(arm.steps))

    def loss(_: Tensor) -> Tensor:
        drawn = [torch.randint(len(labels), (BATCH,)) for _, labels in told]
        images = torch.cat([of_set[index] for (of_set, _), index in zip(told, drawn, strict=True)])
        labels = torch.cat([of_set[index] for (_, of_set), index in zip(told, drawn, strict=True)])
        batch = {"image": images, "labels": labels, UNKNOWN_CLASSES: unknown}
        return method.step(batch, Progress(epoch=0, epochs=1, step=next(done), steps=arm.steps)).loss

    train_network(method, loss, images=BATCH, steps=arm.steps, seed=arm.seed, batch_size=BATCH)


def known_labels(arm: Arm, name: str, labels: Tensor) -> Tensor:
    """Return a set's labels as an arm is told them."""
    if name == "controls" or arm.objective == "oracle":
        return labels
    return torch.where(labels == LESION, LESION, 0 if arm.objective == "naive" else OTHER)


def unknown_classes(arm: Arm, name: str) -> Tensor:
    """Return which classes [1, K] a set does not tell an arm."""
    unknown = torch.zeros(1, LESION + 1)
    if name == "patients" and arm.objective not in ("naive", "oracle"):
        unknown[:, :LESION] = 1
    return unknown


def build(arm: Arm) -> HeteroModalJoint:
    """Return the method with an arm's objective on a small network with the weights of its seed."""
    labels = {name: number for number, name in enumerate((*TISSUES, "lesion"), start=1)}
    task = Task(2, 2, MODALITIES, labels, SHAPE, (1.0, 1.0), label_sets=label_space().sets)
    settings = Config(
        form="tanimoto" if arm.objective == "tanimoto" else "l1",
        consistency=0.0 if arm.objective in ("plain", "lesion") else 1.0,
        warmup_steps=0 if arm.objective == "cold" else arm.steps // 2,
        detach="target" if arm.objective == "detached" else "none",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(arm.seed)
        method = HeteroModalJoint(settings, task)
        method.network = small_network("batch" if arm.objective == "batch" else "instance")
    if arm.objective == "oracle":  # as much for the lesion as for all tissues, as in the other arms
        method.supervised = JaccardLoss(channels=range(LESION + 1), class_weights=(1, 1, 1, 1, 4))
    method.shared.copy_(torch.tensor([True, False]))
    return method


def small_network(norm: Norm = "instance") -> nn.Module:
    """Return a network that trains within seconds."""
    widths = (8, 16, 32)
    body = AdditiveUNet(widths[0], LESION + 1, widths=widths, norm=norm)
    network = ModalityMeanNet(MODALITIES, body, width=widths[0], norm=norm)
    for weight in network.parameters():
        if weight.ndim == 4:  # faster on a processor
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return network


# -- what is measured --------------------------------------------------------------------------------------------------


def scores(network: nn.Module, sets: Mapping[str, Labelled]) -> dict[str, float]:
    """Return Dice on patients, per class and with T1 alone, and of the tissue on controls."""
    images, truth = sets["test patients"]
    found = _dice(predict_probabilities(network, images), truth)
    from_t1 = _dice(predict_probabilities(network, without_flair(images)), truth)
    controls = _dice(predict_probabilities(network, sets["test controls"][0]), sets["test controls"][1])
    result = dict(zip((*TISSUES, "lesion"), found, strict=True))
    result |= {TISSUE: _tissue(found), FROM_T1: _tissue(from_t1), CONTROLS: _tissue(controls)}
    result[LESION_FROM_T1] = from_t1[LESION - 1]
    if any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        result[OWN] = _tissue(_dice(predict_with_own_statistics(network, images), truth))
    return result


def predict_with_own_statistics(network: nn.Module, images: Tensor) -> NDArray[np.float32]:
    """Return probabilities by batch normalisation with each image's own mean and variance."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats, module.running_mean, module.running_var = False, None, None
    return predict_probabilities(network, images, batch_size=1)


def _dice(probabilities: NDArray[np.float32], labels: Tensor) -> list[float]:
    """Return the mean Dice of every class over the images that show it."""
    found, truth = probabilities.argmax(axis=1), labels.numpy()
    result = []
    for k in range(1, LESION + 1):
        pairs = [(f == k, t == k) for f, t in zip(found, truth, strict=True) if (t == k).any()]
        result.append(float(np.mean([dice(f, t) for f, t in pairs])) if pairs else 0.0)
    return result


def _tissue(values: Sequence[float]) -> float:
    return float(np.mean(values[: len(TISSUES)]))


def relations(runs: Mapping[str, Runs]) -> Iterator[Relation]:
    """Yield the paper's relations and the controls."""
    joint, close = runs["joint"], on_average(-0.03)
    for name, column in (("tissue", CONTROLS), ("lesion", "lesion")):
        statement = f"The joint network is as good as the {ARMS[name]} at its own task (mean Dice at most 0.03 lower)"
        yield compare(f"R1 {name}", statement, column, runs[name], joint, close)
    for name, other, statement in (
        ("R4", "plain", "The consistency raises the tissue Dice on T1 and FLAIR by at least 0.30 with every seed"),
        ("control: naive", "naive", "Reading missing labels as background costs 0.30 tissue Dice with every seed"),
    ):
        yield compare(name, statement, TISSUE, runs[other], joint, lambda gains: min(gains) >= 0.3)
    statement = "The joint network with T1 and FLAIR finds patients' tissue better than the {} with {} with every seed"
    both = statement.format(ARMS["tissue"], "both")
    yield compare("patients", both, TISSUE, runs["tissue"], joint, every_seed)
    gains = [b[TISSUE] - a[FROM_T1] for a, b in zip(runs["tissue"], joint, strict=True)]
    yield Relation(
        "patients, control",
        statement.format(ARMS["tissue"], "T1 alone"),
        every_seed(gains),
        f"{mean(FROM_T1, runs['tissue']):.3f} to {mean(TISSUE, joint):.3f}: {signed(gains)}",
    )
    if "oracle" in runs:
        yield from _controls(runs)


def _controls(runs: Mapping[str, Runs]) -> Iterator[Relation]:
    joint = runs["joint"]
    for column in ("lesion", TISSUE):
        statement = f"The joint network equals full supervision (mean {column} Dice at most 0.03 lower)"
        yield compare(f"R3 {column}", statement, column, runs["oracle"], joint, on_average(-0.03))
    gains = differences(TISSUE, runs["batch"], joint)
    yield Relation(
        "control: batch norm",
        "Running averages of batch normalisation cost 0.10 tissue Dice with every seed",
        min(gains) >= 0.1,
        f"{mean(TISSUE, runs['batch']):.3f} to {mean(TISSUE, joint):.3f}: {signed(gains)}; with each image's own "
        f"statistics {mean(OWN, runs['batch']):.3f}",
    )
    for other in ("tanimoto", "detached"):
        statement = f"The default is no worse than '{ARMS[other]}' (mean tissue Dice at most 0.01 lower)"
        yield compare(f"choice: {other}", statement, TISSUE, runs[other], joint, on_average(-0.01))
    for column in (TISSUE, "lesion"):
        statement = f"The consistency from the first step on costs {column} Dice with every seed"
        yield compare(f"warm-up {column}", statement, column, runs["cold"], joint, every_seed)
    statement = "A scanner that differs more, against assumption H4, costs tissue Dice with every seed"
    yield compare("limit: other site", statement, TISSUE, runs["other site"], joint, every_seed)
