"""When does the boundary loss help? The paper's relations on a phantom, with the controls that decide.

A small U-Net is trained with and without the boundary loss on images with lesions of a few pixels. Beside the paper's
comparison at a constant learning rate stand its controls: how the rate falls, how many training images there are, the
network's normalisation, whether the best epoch is chosen on validation images, the size of the problem (3D, real MRI).
"""

import hashlib
import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shapewright.geometry import class_distance_maps
from shapewright.losses import BoundaryLoss, CrossEntropyLoss, GeneralisedDiceLoss, ScheduledSum, WeightSchedule
from shapewright.metrics import dice, hausdorff_distance, lesion_scores, trivial_floor
from shapewright.simulate import SmallLesionPhantom
from shapewright.training.reproduction import Relation, Reproduction, Row

LOSSES = {
    "gdl": "GDL",
    "rebalance": "GDL + boundary, rebalance",
    "increase": "GDL + boundary, increase",
    "constant": "GDL + boundary, constant 0.1",
    "ce": "cross-entropy",
    "boundary": "boundary alone",
}
RATES = ("constant", "cosine", "plateau", "constant 1e-3")
TAIL = 10  # the last epochs, over which scores are averaged
DICE, SLICE_DICE, HD95 = "Dice, lesion images", "Dice, all images (empty = 1)", "HD95"
STD, BEST, RECALL, ALARMS = "std of the last 10 epochs", "Dice, best validation epoch", "lesions found", "false alarms"
COLUMNS = (DICE, HD95, STD, BEST, SLICE_DICE, RECALL, ALARMS)
PAPER = {
    "gdl": {SLICE_DICE: "0.575 (0.028) ISLES, 0.727 (0.006) WMH"},
    "rebalance": {SLICE_DICE: "0.656 (0.023) ISLES, 0.748 (0.005) WMH"},
    "boundary": {SLICE_DICE: "0.321 (0.000) ISLES, 0.569 (0.000) WMH"},
}

Progress = Callable[[int, int, str], None]
Arrays = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Arm:
    """One training: what is varied, and the seed of its data, weights and order."""

    loss: str
    rate: str = "constant"
    images: int = 96
    norm: str = "batch"
    task: str = "phantom"
    seed: int = 0
    epochs: int = 60

    @property
    def setting(self) -> str:
        """Name everything but the seed, leaving out what is as usual."""
        usual = Arm(self.loss)
        parts = [LOSSES[self.loss], f"{self.rate} rate"]
        parts += [f"{self.images} images"] if self.images != usual.images else []
        parts += [f"{self.norm} norm"] if self.norm != usual.norm else []
        return ", ".join(parts + ([self.task] if self.task != usual.task else []))


def study(*, quick: bool, seeds: Sequence[int]) -> list[Arm]:
    """Return the arms in the order of their importance; ``quick`` keeps the central comparison, at half the length."""
    pair = [Arm(loss, rate) for rate in ("constant", "cosine") for loss in ("gdl", "rebalance")]
    collapse = [Arm("boundary")]
    if quick:
        arms = [replace(arm, epochs=30) for arm in pair + collapse]
    else:
        arms = pair + collapse
        arms += [replace(arm, norm="instance") for arm in pair]
        arms += [replace(arm, images=24) for arm in pair]
        arms += [Arm(loss, rate) for loss in ("ce", "increase", "constant") for rate in ("constant", "cosine")]
        arms += [Arm(loss, rate) for rate in ("plateau", "constant 1e-3") for loss in ("gdl", "rebalance")]
        arms += [replace(arm, task="MRI slices") for arm in pair]
        arms += [replace(arm, task="3D phantom", images=24, epochs=40) for arm in pair]
    return [replace(arm, seed=seed) for arm in arms for seed in seeds]


def reproduce(
    *, quick: bool, seeds: Sequence[int], data: Path | None, out: Path, progress: Progress
) -> Reproduction:
    """Measure the study's arms and return the table and the relations.

    Parameters
    ----------
    quick
        Only the central comparison, half as long: under 5 minutes on 2 cores.
    seeds
        One training per setting and seed; each seed has data of its own.
    data
        A data set folder for the check on real slices, of which the rarest label is segmented; None takes the bundled
        hippocampus volumes.
    out
        Folder; every finished arm is a file in ``out/arms``, which a repeated call reads instead of training again.
    progress
        Called with the number of finished arms, of all arms, and the present arm's name.
    """
    arms = study(quick=quick, seeds=seeds)
    folder = out / "arms"
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[Arm, dict[str, float]] = {}
    for done, arm in enumerate(arms):
        progress(done, len(arms), f"{arm.setting}, seed {arm.seed}")
        results[arm] = _measured(arm, data, folder)
    progress(len(arms), len(arms), "done")
    return summarise(results, seeds)


def _measured(arm: Arm, data: Path | None, folder: Path) -> dict[str, float]:
    """Return an arm's scores: from its file if it was run before, else by training."""
    key = json.dumps([asdict(arm), str(data)], sort_keys=True)
    name = f"{arm.setting} seed {arm.seed}".replace(", ", "_").replace(" ", "-")
    path = folder / f"{name}_{hashlib.sha256(key.encode()).hexdigest()[:8]}.json"
    if not path.exists():
        scores = train_arm(arm, data)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps({"arm": asdict(arm), "scores": scores}, indent=1), encoding="utf-8")
        partial.replace(path)
    scores = json.loads(path.read_text(encoding="utf-8"))["scores"]
    return dict(scores)


def train_arm(arm: Arm, data: Path | None = None) -> dict[str, float]:
    """Train one network and return its scores, averaged over the last epochs."""
    started = time.perf_counter()
    (images, labels), validation, test = task_data(arm, data)
    maps = class_distance_maps(labels, 2, spatial_dims=labels.ndim - 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(arm.seed)
        network = build_unet(images.ndim - 2, arm.norm)
    loss = build_loss(arm.loss)
    base_rate = 1e-3 if arm.rate == "constant 1e-3" else 5e-3
    optimizer = torch.optim.Adam(network.parameters(), lr=base_rate)
    scheduler = build_scheduler(arm, optimizer)
    batch, steps = (8, 12) if images.ndim == 4 else (2, 12)
    tail: list[dict[str, float]] = []
    for epoch in range(arm.epochs):
        loss.set_progress(epoch, arm.epochs)
        network.train()
        for index in batches(len(images), batch, steps, seed=[arm.seed, epoch]):
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
    return {**mean, STD: spread, BEST: best[DICE], "floor": floor, "seconds": time.perf_counter() - started}


def build_loss(name: str) -> ScheduledSum:
    """Return the loss of that name; its regional term takes labels and its boundary term maps."""
    boundary = BoundaryLoss()
    if name == "boundary":
        return ScheduledSum({"boundary": (boundary, 1.0)})
    if name in ("gdl", "ce"):
        return ScheduledSum({"regional": (GeneralisedDiceLoss() if name == "gdl" else CrossEntropyLoss(), 1.0)})
    schedule = WeightSchedule(name)
    return ScheduledSum(
        {"regional": (GeneralisedDiceLoss(), schedule.regional), "boundary": (boundary, schedule.boundary)}
    )


def build_unet(spatial_dims: int, norm: str) -> nn.Module:
    """Return a U-Net of four levels, 8 to 64 channels, two convolutions each."""
    from monai.networks.nets import DynUNet

    network: nn.Module = DynUNet(
        spatial_dims=spatial_dims,
        in_channels=1,
        out_channels=2,
        kernel_size=[3] * 4,
        strides=[1, 2, 2, 2],
        upsample_kernel_size=[2] * 3,
        filters=(8, 16, 32, 64),
        norm_name=norm if norm == "batch" else (norm, {"affine": True}),
    )
    return network.to(memory_format=torch.channels_last) if spatial_dims == 2 else network


def build_scheduler(arm: Arm, optimizer: torch.optim.Optimizer) -> Any:
    """Return what lowers the learning rate, stepped once per epoch; None for a constant one."""
    if arm.rate == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, arm.epochs)
    if arm.rate == "plateau":  # the paper's rule
        return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", factor=0.5, patience=20)
    return None


def batches(count: int, size: int, steps: int, seed: Sequence[int]) -> Iterator[NDArray[np.intp]]:
    """Yield ``steps`` batches of indices: as many shuffled passes over the images as they need."""
    rng = np.random.default_rng(seed)
    passes = -(-steps * size // count)
    order = np.concatenate([rng.permutation(count) for _ in range(passes)])
    for step in range(steps):
        yield order[step * size : (step + 1) * size]


def task_data(arm: Arm, data: Path | None) -> tuple[Arrays, Arrays, Arrays]:
    """Return images and labels for training, validation (24) and test (48; 24 in 3D), new for every seed."""
    if arm.task == "MRI slices":
        return tuple(real_slices(data, count, part, arm.seed) for part, count in enumerate((arm.images, 24, 48)))  # type: ignore[return-value]
    phantom = SmallLesionPhantom() if arm.task == "phantom" else SmallLesionPhantom(shape=(32, 32, 32))
    counts = (arm.images, 24, 48) if arm.task == "phantom" else (arm.images, 12, 24)
    sets = [phantom.generate(count, seed=3 * arm.seed + part) for part, count in enumerate(counts)]
    training, validation, test = [_tensors(images, labels) for images, labels in sets]
    return training, validation, test


def _tensors(images: NDArray[np.float32], labels: NDArray[np.uint8]) -> Arrays:
    return torch.from_numpy(images), torch.from_numpy(labels).long()


@torch.no_grad()
def evaluate(network: nn.Module, images: Tensor, labels: Tensor, *, distances: bool = False) -> dict[str, float]:
    """Return the scores of a network: Dice always, and with ``distances`` all the others."""
    network.eval()
    predicted = torch.cat([network(part).argmax(1) for part in images.split(12)]).numpy() == 1
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
        result[ALARMS] = float(predicted[~present].reshape((~present).sum(), -1).any(1).mean()) if (~present).any() else 0.0
    return result
