"""What the studies behind ``shapewright reproduce`` share: small networks trained alike, arms measured once, means.

A study compares *arms*: frozen dataclasses that say what is varied and which seed is used. Every finished arm is a
file, so a study that was stopped goes on where it was.
"""

import dataclasses
import hashlib
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

A = TypeVar("A")

StudyProgress = Callable[[int, int, str], None]
"""Called with the number of finished arms, of all arms, and the present arm's name."""

Runs = Sequence[Mapping[str, float]]
"""The scores of one setting, seed by seed."""


def measure_arms(
    arms: Sequence[A],
    measure: Callable[[A], Mapping[str, float]],
    *,
    folder: Path,
    progress: StudyProgress,
    name: Callable[[A], str],
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


class BalancedPatches:
    """Patches of flat images, centred on a pixel of a label drawn uniformly among those of the data set.

    Parameters
    ----------
    images, labels
        What the patches are cut from.
    centred_on
        The data set's own labels.
    size
        Pixels per axis of a patch.
    by_image
        Draw an image first, then a label that it shows.
    """

    def __init__(
        self, images: Tensor, labels: Tensor, centred_on: Tensor, *, size: int, by_image: bool = False
    ) -> None:
        self.images, self.labels, self.size = images, labels, size
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
            limits = [length - self.size for length in self.labels.shape[1:]]
            y, x = (min(max(at - self.size // 2, 0), most) for at, most in zip(centre, limits, strict=True))
            images.append(self.images[index, :, y : y + self.size, x : x + self.size])
            labels.append(self.labels[index, y : y + self.size, x : x + self.size])
        return torch.stack(images), torch.stack(labels)


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
