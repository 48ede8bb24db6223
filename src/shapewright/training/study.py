"""What the studies behind ``shapewright reproduce`` share: networks trained alike, arms measured once, their table.

A study compares *arms*: frozen dataclasses that say what is varied and which seed is used. Every finished arm is a
file, so a study that was stopped goes on where it was. Arms that differ in their seed alone are one *setting*: a row of
the table, and one side of a relation.
"""

import dataclasses
import hashlib
import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shapewright.data import DatasetFolder, Image, load_case
from shapewright.errors import InputError
from shapewright.training.reproduction import Relation, Reproduction, Row

A = TypeVar("A")

StudyProgress = Callable[[int, int, str], None]
"""Called with the number of finished arms, of all arms, and the present arm's name."""

Runs = Sequence[Mapping[str, float]]
"""The scores of one setting, seed by seed."""


def arm_name(arm: Any) -> str:
    """Return an arm's setting and seed."""
    return f"{arm.setting}, seed {arm.seed}"


def measure_arms(
    arms: Sequence[A],
    measure: Callable[[A], Mapping[str, float]],
    *,
    folder: Path,
    progress: StudyProgress,
    name: Callable[[A], str] = arm_name,
    inputs: str = "",
) -> dict[A, dict[str, float]]:
    """Return the scores of every arm: from its file if it was measured before, else by ``measure``.

    Parameters
    ----------
    arms
        Frozen dataclasses of plain values, all different.
    measure
        Trains an arm and returns its scores by name; ``seconds`` is added.
    folder
        Where each finished arm is a JSON file.
    progress
        Called before every arm, and at the end.
    name
        An arm's name, for the progress line and the file.
    inputs
        What else the scores depend on, such as a data folder's path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[A, dict[str, float]] = {}
    for done, arm in enumerate(arms):
        progress(done, len(arms), name(arm))
        results[arm] = _measured(arm, measure, folder, name(arm), inputs)
    progress(len(arms), len(arms), "done")
    return results


def _measured(
    arm: A, measure: Callable[[A], Mapping[str, float]], folder: Path, name: str, inputs: str
) -> dict[str, float]:
    values = dataclasses.asdict(arm)  # type: ignore[call-overload]  # arms are dataclasses
    key = hashlib.sha256(json.dumps([values, inputs], sort_keys=True).encode()).hexdigest()[:8]
    path = folder / f"{name.replace(', ', '_').replace('/', '-').replace(' ', '-')}_{key}.json"
    if not path.exists():
        started = time.perf_counter()
        scores = {**measure(arm)}
        scores.setdefault("seconds", time.perf_counter() - started)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps({"arm": values, "scores": scores}, indent=1), encoding="utf-8")
        partial.replace(path)
    return dict(json.loads(path.read_text(encoding="utf-8"))["scores"])


def study_unet(
    spatial_dims: int,
    in_channels: int,
    classes: int,
    *,
    seed: int,
    filters: Sequence[int] = (8, 16, 32, 64),
    norm: Literal["batch", "instance"] = "batch",
) -> nn.Module:
    """Return a small U-Net, two convolutions per level, with the weights of a seed.

    Parameters
    ----------
    spatial_dims, in_channels, classes
        Rank, image channels and output channels.
    seed
        Seed of the initial weights; torch's own generator is left as it was.
    filters
        Channels per level; the image's size must be divisible by ``2 ** (len(filters) - 1)``.
    norm
        Normalisation after every convolution.

    Examples
    --------
    >>> study_unet(2, 3, 4, seed=0, filters=(8, 16, 32))(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 4, 32, 32])
    """
    from monai.networks.nets.dynunet import DynUNet

    levels = len(filters)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: nn.Module = DynUNet(
            spatial_dims=spatial_dims,
            in_channels=in_channels,
            out_channels=classes,
            kernel_size=[3] * levels,
            strides=[1] + [2] * (levels - 1),
            upsample_kernel_size=[2] * (levels - 1),
            filters=list(filters),
            norm_name=norm if norm == "batch" else (norm, {"affine": True}),
        )
    for weight in network.parameters():
        if weight.ndim == 4:  # twice as fast on a processor
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return network


def train_network(
    network: nn.Module,
    loss: Callable[[Tensor], Tensor],
    *,
    images: int,
    steps: int,
    seed: int,
    batch_size: int = 8,
    learning_rate: float = 4e-3,
    schedule: Literal["one-cycle", "constant"] = "one-cycle",
) -> None:
    """Train a network with Adam; arms that differ in their loss alone see the same images in the same order.

    Parameters
    ----------
    network
        Anything with parameters; trained in place and left in evaluation mode.
    loss
        The loss of a batch, given its images' indices [batch_size].
    images
        Number of training images.
    steps
        Optimiser steps.
    seed
        Seed of the order of the images and of all that is random inside ``loss``.
    batch_size
        Images per step.
    learning_rate
        Adam's peak rate; 4e-3 suits a small network on a few hundred steps.
    schedule
        ``one-cycle`` rises, then falls to nothing: without a decay the last steps' noise hides what is compared.

    Examples
    --------
    >>> points = torch.linspace(-1, 1, 64)[:, None]
    >>> line = nn.Linear(1, 1)
    >>> train_network(line, lambda i: (line(points[i]) - 2 * points[i]).square().mean(), images=64, steps=200, seed=0,
    ...               learning_rate=0.1)
    >>> round(line.weight.item(), 2)
    2.0
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    scheduler = (
        torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps)
        if schedule == "one-cycle"
        else None
    )
    network.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for index in index_batches(images, batch_size, steps, seed=[seed]):
            value = loss(torch.from_numpy(index))
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
    network.eval()


def index_batches(count: int, size: int, steps: int, seed: Sequence[int]) -> Iterator[NDArray[np.intp]]:
    """Yield ``steps`` batches of indices: as many shuffled passes over the images as they need.

    Examples
    --------
    >>> sorted(int(i) for batch in index_batches(4, 2, 2, seed=[0]) for i in batch)
    [0, 1, 2, 3]
    """
    rng = np.random.default_rng(seed)
    passes = -(-steps * size // count)
    order = np.concatenate([rng.permutation(count) for _ in range(passes)])
    for step in range(steps):
        yield order[step * size : (step + 1) * size]


@torch.no_grad()
def predict_probabilities(network: nn.Module, images: Tensor, *, batch_size: int = 16) -> NDArray[np.float32]:
    """Return class probabilities [N, K, *spatial] of images [N, C, *spatial], the network in evaluation mode."""
    network.eval()
    parts = [torch.softmax(network(part).float(), dim=1) for part in torch.split(images, batch_size)]
    probabilities: NDArray[np.float32] = torch.cat(parts).numpy()
    return probabilities


def load_labelled_volume(dataset: DatasetFolder, name: str) -> tuple[Image, Image]:
    """Return a case's image and labels; refuse what is not a volume with labels."""
    image, labels = load_case(dataset.case(name), dataset)
    if labels is None or image.spatial_dims != 3:
        raise InputError(f"{dataset.path}: the study needs labelled volumes; {name} is not one")
    return image, labels


def cut_middle(array: NDArray[Any], shape: Sequence[int], mode: Literal["edge", "constant"] = "edge") -> NDArray[Any]:
    """Return the middle of an array's last axes, padded where it is smaller: with its border, or with zeros.

    Examples
    --------
    >>> cut_middle(np.array([[1, 2, 3, 4]]), (2, 2)).tolist()
    [[2, 3], [2, 3]]
    """
    leading = array.ndim - len(shape)
    missing = [max(size - length, 0) for size, length in zip(shape, array.shape[leading:], strict=True)]
    padded = np.pad(array, [(0, 0)] * leading + [(m // 2, m - m // 2) for m in missing], mode=mode)
    starts = [(length - size) // 2 for size, length in zip(shape, padded.shape[leading:], strict=True)]
    window: Any = (..., *(slice(start, start + size) for start, size in zip(starts, shape, strict=True)))
    middle: NDArray[Any] = padded[window]
    return middle


def by_setting(results: Mapping[A, Mapping[str, float]]) -> dict[A, list[Mapping[str, float]]]:
    """Return the scores seed by seed under each arm with its ``seed`` set to 0."""
    settings: dict[Any, list[Mapping[str, float]]] = {}
    for arm, scores in results.items():
        settings.setdefault(dataclasses.replace(arm, seed=0), []).append(scores)  # type: ignore[type-var]
    return settings


def mean(column: str, runs: Runs) -> float:
    """Return a column's mean over the seeds."""
    return statistics.mean(scores[column] for scores in runs)


def differences(column: str, without: Runs, with_it: Runs) -> list[float]:
    """Return what is gained in a column, seed by seed."""
    return [b[column] - a[column] for a, b in zip(without, with_it, strict=True)]


def signed(values: Sequence[float], digits: int = 3) -> str:
    """Return the mean of differences and that of every seed, as text.

    Examples
    --------
    >>> signed([0.1, -0.02])
    '+0.040 (+0.100, -0.020)'
    """
    each = ", ".join(f"{value:+.{digits}f}" for value in values)
    return f"{statistics.mean(values):+.{digits}f} ({each})"


def compare(
    name: str,
    statement: str,
    column: str,
    without: Runs,
    with_it: Runs,
    holds: Callable[[Sequence[float]], bool],
    *,
    means: bool = True,
    digits: int = 3,
) -> Relation:
    """Return the relation of two settings in one column, paired by seed.

    Parameters
    ----------
    name, statement
        What is claimed.
    column
        The score that is compared.
    without, with_it
        The runs of both settings, in the order of the same seeds.
    holds
        Decides from what is gained with each seed, such as :func:`every_seed` or :func:`on_average`.
    means
        Show the means of both settings before what is gained.
    digits
        Digits of the evidence.

    Examples
    --------
    >>> dice = [[{"Dice": 0.5}, {"Dice": 0.6}], [{"Dice": 0.6}, {"Dice": 0.61}]]
    >>> relation = compare("R1", "Dice rises with every seed", "Dice", *dice, every_seed)
    >>> relation.holds, relation.evidence
    (True, '0.550 to 0.605: +0.055 (+0.100, +0.010)')
    """
    gains = differences(column, without, with_it)
    evidence = signed(gains, digits)
    if means:
        evidence = f"{mean(column, without):.{digits}f} to {mean(column, with_it):.{digits}f}: {evidence}"
    return Relation(name, statement, holds(gains), evidence)


def every_seed(gains: Sequence[float]) -> bool:
    """Return whether something is gained with every seed."""
    return min(gains) > 0


def on_average(least: float) -> Callable[[Sequence[float]], bool]:
    """Return the rule that at least so much is gained in the mean over the seeds."""
    return lambda gains: statistics.mean(gains) >= least


def make_row(name: str, runs: Runs, columns: Sequence[str], paper: Mapping[str, str] | None = None) -> Row:
    """Return a setting's row, of those columns that all its runs have."""
    shown = [column for column in columns if all(column in scores for scores in runs)]
    return Row(name, {column: [round(scores[column], 4) for scores in runs] for column in shown}, paper or {})


def make_reproduction(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Row],
    relations: Iterable[Relation],
    notes: Sequence[str],
    *,
    seeds: Sequence[int],
    measured: Iterable[Mapping[str, float]],
) -> Reproduction:
    """Return the table of a study, without the columns that no row has.

    Parameters
    ----------
    title, columns, rows, relations, notes, seeds
        As in :class:`~shapewright.training.reproduction.Reproduction`.
    measured
        The scores of every arm, for the sum of their ``seconds``.
    """
    return Reproduction(
        title=title,
        columns=[column for column in columns if any(column in row.ours for row in rows)],
        rows=rows,
        relations=list(relations),
        notes=notes,
        seeds=list(seeds),
        seconds=round(sum(scores["seconds"] for scores in measured), 1),
    )
