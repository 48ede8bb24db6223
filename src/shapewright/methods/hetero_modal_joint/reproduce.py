"""What keeps tissue that was learnt from T1 when FLAIR is added? The paper's relations on a brain phantom.

Controls: T1 alone, tissue labels, no lesions. Patients: T1 and FLAIR, lesion labels only. Tested on patients whose
every label is known, with T1 and FLAIR, and on controls. Arms differ in their objective alone.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shapewright.errors import InputError
from shapewright.losses import JaccardLoss, LabelSpace
from shapewright.losses.jaccard import Form, modality_consistency
from shapewright.metrics import dice
from shapewright.networks import ModalityMeanNet
from shapewright.simulate import BrainPhantom
from shapewright.training.reproduction import Relation, Reproduction, Row
from shapewright.training.study import (
    BalancedPatches,
    Runs,
    StudyProgress,
    by_setting,
    differences,
    mean,
    measure_arms,
    predict_probabilities,
    signed,
    train_network,
)

ARMS = {
    "tissue": "tissue network (N)",
    "lesion": "lesion network (W)",
    "plain": "joint, no consistency",
    "joint": "joint, with consistency (W+N)",
    "tanimoto": "joint, with consistency, Tanimoto form",
    "detached": "joint, with consistency, T1 prediction detached from it",
    "batch": "joint, with consistency, batch norm",
    "naive": "joint, missing labels read as background",
    "oracle": "all labels known",
}
TISSUES = ("csf", "grey", "white")
LESION, OTHER = 4, 5  # class, and the label of any other
MODALITIES = ("T1", "FLAIR")
TISSUE, CONTROLS, OWN = "tissue", "tissue, T1 controls", "tissue, statistics of the image"
COLUMNS = (*TISSUES, "lesion", TISSUE, CONTROLS, OWN)
PAPER = {
    "tissue": {CONTROLS: "0.907"},
    "lesion": {"lesion": "0.619"},
    "joint": {"lesion": "0.599", CONTROLS: "0.915"},
}
PATCH, BATCH = 32, 4  # pixels per axis; patches per data set and step
NOTES = (
    "Dice on 24 patients with T1 and FLAIR, and on 24 controls with T1; means over the images that show the class. "
    "Every seed has its own images: 40 controls, 40 patients of another scanner (half of them without lesion). A network "
    "of widths 8, 16, 32 behind one stem per modality; Adam with a one-cycle rate; the consistency counts after a fifth "
    "of the steps; patches of 32 x 32 centred on a pixel of a label drawn uniformly.",
    "'Statistics of the image': batch normalisation evaluated with each image's own mean and variance, as the paper "
    "does, instead of running averages.",
    "The paper's values are means over its 6 tissues (Neuromorphometrics) and of the WMH challenge's lesions.",
)


@dataclass(frozen=True)
class Arm:
    """One training: its objective, and the seed of its data, weights and order."""

    objective: str
    seed: int = 0
    steps: int = 250


def study(*, quick: bool, seeds: Sequence[int]) -> list[Arm]:
    """Return the trainings of the study."""
    central = ("tissue", "lesion", "plain", "joint", "naive")
    names = central if quick else (*central, "oracle", "batch", "tanimoto", "detached")
    return [Arm(name, seed, 150 if quick else 250) for name in names for seed in seeds]


def reproduce(
    *, quick: bool, seeds: Sequence[int], data: Path | None, out: Path, progress: StudyProgress
) -> Reproduction:
    """Measure the study's arms and return the table and the relations.

    Parameters
    ----------
    quick
        The central comparison, 150 steps: about 4 minutes on 2 cores.
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
    results = measure_arms(
        study(quick=quick, seeds=seeds),
        train_arm,
        folder=out / "arms",
        progress=progress,
        name=lambda arm: f"{ARMS[arm.objective]}, seed {arm.seed}",
    )
    settings = {arm.objective: runs for arm, runs in by_setting(results).items()}
    rows = [
        Row(
            ARMS[name],
            ours={c: [round(scores[c], 4) for scores in runs] for c in COLUMNS if c in runs[0]},
            paper=PAPER.get(name, {}),
        )
        for name, runs in settings.items()
    ]
    return Reproduction(
        title="Joint lesion and tissue segmentation from task-specific hetero-modal data sets (Dorent et al., 2019)",
        columns=[column for column in COLUMNS if any(column in row.ours for row in rows)],
        rows=rows,
        relations=list(relations(settings)),
        notes=NOTES,
        seeds=list(seeds),
        seconds=round(sum(scores["seconds"] for scores in results.values()), 1),
    )


# -- data --------------------------------------------------------------------------------------------------------------

Labelled = tuple[Tensor, Tensor]


@functools.lru_cache(maxsize=2)
def make_sets(seed: int) -> dict[str, Labelled]:
    """Return images, missing channels NaN, and complete labels of controls, patients and both test sets."""
    phantom = BrainPhantom(shape=(48, 48), modalities=MODALITIES, lesions=(3, 6), lesion_axes=(2.5, 5.0), noise=0.08)
    healthy, other = replace(phantom, lesion_free=1.0), replace(phantom, gamma=1.1, gain=0.97)
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
        sets[name][0][:, 1] = torch.nan
    return sets


def label_space() -> LabelSpace:
    """Return what the labels of both sets mean: the lesion set's other label is any class but lesion."""
    controls = {name: name for name in ("background", *TISSUES)}
    return LabelSpace.union({"controls": controls, "patients": {"lesion": "lesion"}})


# -- training ----------------------------------------------------------------------------------------------------------


def train_arm(arm: Arm) -> dict[str, float]:
    """Train an arm's network and return its scores."""
    sets = make_sets(arm.seed)
    network = build(arm)
    patches = {name: source(arm, name, *sets[name]) for name in ("controls", "patients")}
    if arm.objective in ("tissue", "lesion"):
        del patches["patients" if arm.objective == "tissue" else "controls"]
    space, form = label_space(), "tanimoto" if arm.objective == "tanimoto" else "l1"
    supervised = JaccardLoss(space.sets, channels=range(LESION + 1 + len(space.sets)), form=_form(form))
    consistent = arm.objective in ("joint", "tanimoto", "detached", "batch")
    step = 0

    def loss(_: Tensor) -> Tensor:
        nonlocal step
        step += 1
        drawn = [one.draw(BATCH) for one in patches.values()]
        images, labels = (torch.cat(parts) for parts in zip(*drawn, strict=True))
        logits = network(images)
        value: Tensor = supervised(logits, labels)
        if not consistent or step <= arm.steps // 5:
            return value
        tissue = torch.ones(BATCH, LESION + 1, dtype=torch.bool)
        tissue[:, LESION] = False
        distances = modality_consistency(
            network,
            images[BATCH:],
            [0],
            logits=logits[BATCH:],
            classes=tissue,
            form=_form(form),
            detach="target" if arm.objective == "detached" else "none",
        )
        return value + distances.sum() / len(images)

    train_network(network, loss, images=BATCH, steps=arm.steps, seed=arm.seed, batch_size=BATCH)
    return scores(network, sets)


def _form(name: str) -> Form:
    return "tanimoto" if name == "tanimoto" else "l1"


def source(arm: Arm, name: str, images: Tensor, labels: Tensor) -> BalancedPatches:
    """Return the patches of a set, with the labels that an arm is told."""
    lesion = labels == LESION
    if name == "controls" or arm.objective == "oracle":
        known = labels
    else:
        known = torch.where(lesion, LESION, 0 if arm.objective == "naive" else OTHER)
    return BalancedPatches(images, known, labels if name == "controls" else lesion.long(), size=PATCH)


def build(arm: Arm) -> nn.Module:
    """Return a small network with the weights of the arm's seed."""
    norm: Literal["batch", "instance"] = "batch" if arm.objective == "batch" else "instance"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(arm.seed)
        network: nn.Module = ModalityMeanNet(MODALITIES, LESION + 1, widths=(8, 16, 32), norm=norm)
    for weight in network.parameters():
        if weight.ndim == 4:  # faster on a processor
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return network


# -- what is measured --------------------------------------------------------------------------------------------------


def scores(network: nn.Module, sets: Mapping[str, Labelled]) -> dict[str, float]:
    """Return Dice per class on patients with both modalities, and of the tissue on controls with T1."""
    found = _dice(predict_probabilities(network, sets["test patients"][0]), sets["test patients"][1])
    controls = _dice(predict_probabilities(network, sets["test controls"][0]), sets["test controls"][1])
    result = dict(zip((*TISSUES, "lesion"), found, strict=True))
    result[TISSUE], result[CONTROLS] = float(np.mean(found[:3])), float(np.mean(controls[:3]))
    if any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        own = predict_with_own_statistics(network, sets["test patients"][0])
        result[OWN] = float(np.mean(_dice(own, sets["test patients"][1])[:3]))
    return result


def predict_with_own_statistics(network: nn.Module, images: Tensor) -> NDArray[np.float32]:
    """Return probabilities of every image alone, batch normalisation with its mean and variance."""
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats, module.running_mean, module.running_var = False, None, None
    with torch.no_grad():
        return torch.cat([torch.softmax(network(image[None]), dim=1) for image in images]).numpy()


def _dice(probabilities: NDArray[np.float32], labels: Tensor) -> list[float]:
    """Return the mean Dice of every class over the images that show it."""
    found, truth = probabilities.argmax(axis=1), labels.numpy()
    result = []
    for k in range(1, LESION + 1):
        pairs = [(f == k, t == k) for f, t in zip(found, truth, strict=True) if (t == k).any()]
        result.append(float(np.mean([dice(f, t) for f, t in pairs])) if pairs else 0.0)
    return result


def relations(runs: Mapping[str, Runs]) -> Iterator[Relation]:
    """Yield the paper's relations and the controls."""
    for name, column, alone in (("R1 tissue", CONTROLS, "tissue"), ("R1 lesion", "lesion", "lesion")):
        gains = differences(column, runs[alone], runs["joint"])
        yield Relation(
            name,
            f"The joint network is as good as the {ARMS[alone]} at its own task (mean Dice at most 0.03 lower)",
            float(np.mean(gains)) >= -0.03,
            f"{mean(column, runs[alone]):.3f} to {mean(column, runs['joint']):.3f}: {signed(gains)}",
        )
    for name, other, what in (
        ("R4", "plain", "The consistency keeps the tissue when FLAIR is added: it raises tissue Dice by 0.30"),
        ("control: naive", "naive", "Reading missing labels as background costs 0.30 tissue Dice"),
    ):
        gains = differences(TISSUE, runs[other], runs["joint"])
        yield Relation(
            name,
            f"{what} with every seed",
            min(gains) >= 0.3,
            f"{mean(TISSUE, runs[other]):.3f} against {mean(TISSUE, runs['joint']):.3f}: {signed(gains)}",
        )
    gains = differences(TISSUE, runs["tissue"], runs["joint"])
    yield Relation(
        "joint on patients",
        "On patients with FLAIR the joint network finds tissue better than the tissue network with every seed",
        min(gains) > 0,
        f"{mean(TISSUE, runs['tissue']):.3f} to {mean(TISSUE, runs['joint']):.3f}: {signed(gains)}",
    )
    if "oracle" in runs:
        yield from _controls(runs)


def _controls(runs: Mapping[str, Runs]) -> Iterator[Relation]:
    for column in ("lesion", TISSUE):
        gains = differences(column, runs["oracle"], runs["joint"])
        yield Relation(
            f"R3 {column}",
            f"The joint network equals full supervision (mean {column} Dice at most 0.03 lower)",
            float(np.mean(gains)) >= -0.03,
            f"{mean(column, runs['oracle']):.3f} to {mean(column, runs['joint']):.3f}: {signed(gains)}",
        )
    gains = differences(TISSUE, runs["batch"], runs["joint"])
    yield Relation(
        "control: batch norm",
        "Running averages of batch normalisation cost 0.10 tissue Dice with every seed",
        min(gains) >= 0.1,
        f"{mean(TISSUE, runs['batch']):.3f} against {mean(TISSUE, runs['joint']):.3f}: {signed(gains)}; with the "
        f"statistics of each image {mean(OWN, runs['batch']):.3f}",
    )
    for other in ("tanimoto", "detached"):
        gains = differences(TISSUE, runs[other], runs["joint"])
        yield Relation(
            f"choice: {other}",
            f"{ARMS[other].capitalize()}: the default is no worse (mean tissue Dice at most 0.01 lower)",
            float(np.mean(gains)) >= -0.01,
            f"{mean(TISSUE, runs[other]):.3f} against {mean(TISSUE, runs['joint']):.3f}: {signed(gains)}",
        )
