"""Do context and hard examples help? The paper's two ideas on tissue with glands, under labels that may be wrong.

Compound: a network of fine view, one of coarse view, and the coarse one fed with the fine one's probabilities, all
for the same number of steps. Mining: patches from anywhere, from both classes alike, or where the network is wrong.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shapewright.data.mining import ErrorMapSampler, HardMiningPool, error_map, image_chances
from shapewright.errors import InputError
from shapewright.losses import CrossEntropyLoss
from shapewright.metrics import best_over_thresholds
from shapewright.networks import NetworkConfig, build_network
from shapewright.networks.compound import CompoundNetwork, enlarge, shrink
from shapewright.simulate import GlandPhantom
from shapewright.simulate.glands import MIMIC
from shapewright.training.reproduction import Relation, Reproduction
from shapewright.training.study import (
    Runs,
    StudyProgress,
    by_setting,
    compare,
    every_seed,
    make_reproduction,
    make_row,
    mean,
    measure_arms,
    on_average,
    study_unet,
    train_network,
)

VIEWS = {
    "fine": "fine network",
    "coarse": "coarse network, no extra channel",
    "compound": "compound, one after the other",
    "joint": "compound, both at once",
    "end to end": "compound, both at once, end to end",
}
SAMPLINGS = {
    "uniform": "patches from anywhere",
    "balanced": "patches from both classes alike",
    "mined": "patches by error",
    "capped": "patches by error up to 0.9",
}
AP, F1, ALARMS, MIMICS = "average precision", "best F1", "false alarms at recall 0.9", "centres in mimics / their area"
COLUMNS = (AP, F1, ALARMS, MIMICS)
PAPER = {"fine": {AP: "0.62, 0.71, 0.83"}, "compound": {AP: "0.68, 0.78, 0.89", F1: "0.80 at most"}}
SIZE, TILE = 128, 64
NOTES = (
    "Phantom: tiles of 128 x 128 pixels with benign glands, clusters of suspicious glands and single ones that look "
    "the same and are benign; 24 tiles to train and 24 to test, new for every seed. Every pixel counts in the scores; "
    "false alarms are the share of negative pixels called positive at the threshold with recall 0.9.",
    "Compound: 10 % of the training glands are mislabelled as a whole, test labels are true. U-Nets of two levels (16 "
    "and 32 channels), so that the fine one sees a gland and not its neighbours, which lie 16 pixels away; 300 steps "
    "of 8 patches of 64 x 64 in all: the compound's networks get 150 each, one after the other, or 150 together.",
    "Mining: a quarter of the tiles hold a cluster of mimics, benign glands like the suspicious ones but for what is "
    "in their lumen. U-Net of three levels, 200 steps of 8 patches of 64 x 64 from a pool of 64 to 256 patches; every "
    "10 steps four tiles give 16 patches each.",
    "The paper's column: areas under precision-recall curves on 63 biopsies for its three training regimes, and the "
    "best F1. Its slides are private, so only signs can be compared; its regimes (prostatectomies, biopsies, one after "
    "the other) and its reader study were left out.",
)


@dataclass(frozen=True)
class Arm:
    """One training: networks, sampling, share of mislabelled glands, seed of tiles, weights and order."""

    view: str = "fine"
    sampling: str = "tiles"
    noise: float = 0.1
    steps: int = 300
    seed: int = 0

    @property
    def setting(self) -> str:
        """Name everything but the seed."""
        if self.sampling == "tiles":
            return f"compound study: {VIEWS[self.view]}"
        return f"mining study, {self.noise:.0%} of the glands mislabelled: {SAMPLINGS[self.sampling]}"


def study(*, quick: bool, seeds: Sequence[int]) -> list[Arm]:
    """Return the arms in the order of their importance; ``quick`` halves the steps and leaves label noise out."""
    arms = [Arm(view) for view in ("fine", "coarse", "compound", "joint")]
    arms += [Arm(sampling=name, noise=0.0, steps=200) for name in ("uniform", "balanced", "mined")]
    if quick:
        arms = [replace(arm, steps=arm.steps // 2) for arm in arms]
    else:
        arms += [Arm(sampling=name, noise=0.2, steps=200) for name in ("balanced", "mined", "capped")]
        arms += [Arm("end to end")]
    return [replace(arm, seed=seed) for arm in arms for seed in seeds]


def reproduce(
    *, quick: bool, seeds: Sequence[int], data: Path | None, out: Path, progress: StudyProgress
) -> Reproduction:
    """Measure the study's arms and return the table and the relations.

    Parameters
    ----------
    quick
        Half the steps, true labels in the mining study: about 4 minutes on 2 cores.
    seeds
        One training per setting and seed; each seed has tiles of its own.
    data
        Not used: the paper's slides are private, and the study needs to know which labels are wrong.
    out
        Folder; finished arms are kept in ``out/arms`` and not trained again.
    progress
        Called with the number of finished arms, of all arms, and the present arm's name.
    """
    if data is not None:
        raise InputError(f"--data {data}: this study runs on its phantom alone, whose wrong labels are known")
    arms = study(quick=quick, seeds=seeds)
    results = measure_arms(arms, train_arm, folder=out / "arms", progress=progress)
    return summarise(results, seeds)


def train_arm(arm: Arm) -> dict[str, float]:
    """Train an arm's networks and return its scores on the test tiles."""
    if arm.sampling == "tiles":
        images, labels, _ = tiles(24, seed=2 * arm.seed, noise=arm.noise, mimics=0)
        test, truth, _ = tiles(24, seed=2 * arm.seed + 1, noise=0.0, mimics=0)
        return scores(train_view(arm, images, labels)(test), truth)
    images, labels, kinds = tiles(24, seed=2 * arm.seed, noise=arm.noise, mimics=6)
    test, truth, _ = tiles(24, seed=2 * arm.seed + 1, noise=0.0, mimics=6)
    network, share = train_sampling(arm, images, labels, kinds)
    area = float((kinds == MIMIC).mean())
    return {**scores(network(test), truth), MIMICS: share / area}


def tiles(count: int, *, seed: int, noise: float, mimics: int) -> tuple[Tensor, Tensor, NDArray[np.uint8]]:
    """Return images, labels and kinds of tissue of tiles, the last ``mimics`` of which hold mimics."""
    if not mimics:  # as many single glands as there is room for: they take the wider view
        lonely = GlandPhantom(clusters=(1, 1), isolated=(5, 8), benign=(1, 2), label_noise=noise)
        images, labels, kinds = lonely.generate_kinds(count, seed=seed)
    else:
        images, labels, kinds = GlandPhantom(label_noise=noise).generate_kinds(count, seed=seed)
        other = GlandPhantom(label_noise=noise, mimics=(1, 1)).generate_kinds(count, seed=seed)
        images[-mimics:], labels[-mimics:], kinds[-mimics:] = (part[-mimics:] for part in other)
    return torch.from_numpy((images - 0.75) / 0.2), torch.from_numpy(labels).long(), kinds


def train_view(arm: Arm, images: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
    """Train the networks of the compound study; return the function from images to logits."""
    function = CrossEntropyLoss()
    fine = narrow_unet(3, arm.seed)
    random = np.random.default_rng([arm.seed, 1])

    def train(network: nn.Module, logits: Callable[[Tensor], Tensor | tuple[Tensor, Tensor]], steps: int) -> None:
        def loss(index: Tensor) -> Tensor:
            corners = random.integers(0, SIZE - TILE + 1, (len(index), 2))
            batch, truth = turned(*cut(images, labels, zip(index.tolist(), corners, strict=True)), random)
            found = logits(batch)
            parts = found if isinstance(found, tuple) else (found,)
            values: list[Tensor] = [function(part, truth) for part in parts]
            return torch.stack(values).sum()

        train_network(network, loss, images=len(images), steps=steps, seed=arm.seed)

    if arm.view == "fine":
        train(fine, fine, arm.steps)
        return batched(fine)
    if arm.view == "coarse":
        coarse = narrow_unet(3, arm.seed)

        def widened(batch: Tensor) -> Tensor:
            return enlarge(coarse(shrink(batch, 2)), 2, batch.shape[2:])

        train(coarse, widened, arm.steps)
        return batched(widened)
    compound = CompoundNetwork(fine, narrow_unet(4, arm.seed), end_to_end=arm.view == "end to end")
    if arm.view != "compound":
        train(compound, compound, arm.steps // 2)
    else:
        train(fine, fine, arm.steps // 2)

        def refined(batch: Tensor) -> Tensor:
            with torch.no_grad():
                detail = fine(batch)
            return compound.refine(batch, detail)

        train(compound.coarse, refined, arm.steps // 2)
    compound.eval()
    return batched(lambda batch: compound(batch)[1])


def narrow_unet(channels: int, seed: int) -> nn.Module:
    """Return a U-Net of two levels that sees some 10 pixels around a pixel."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = NetworkConfig("light", width=16, depth=2)
        return build_network(config, spatial_dims=2, in_channels=channels, out_channels=2, patch_size=(SIZE, SIZE))


def train_sampling(
    arm: Arm, images: Tensor, labels: Tensor, kinds: NDArray[np.uint8]
) -> tuple[Callable[[Tensor], Tensor], float]:
    """Train the fine network on patches of a pool; return it, and the share of centres that lay in mimics."""
    network = study_unet(2, 3, 2, seed=arm.seed, filters=(8, 16, 32))
    predict = batched(network)
    random = np.random.default_rng([arm.seed, 3])
    pool: HardMiningPool[tuple[Tensor, Tensor]] = HardMiningPool(minimum=64, capacity=256)
    seen: list[float | None] = [None] * len(images)
    function = CrossEntropyLoss()
    step, hits, centres_drawn = 0, 0, 0

    def visit(tile: int) -> None:
        nonlocal hits, centres_drawn
        truth = labels[tile].numpy()
        density = np.ones(truth.shape, np.float32)
        if arm.sampling in ("mined", "capped"):
            network.eval()
            probabilities = torch.softmax(predict(images[tile : tile + 1]), 1)[0].numpy()
            network.train()
            density = error_map(probabilities, truth, drop_above=0.9 if arm.sampling == "capped" else None)
            seen[tile] = float(density.mean())
        shares = None if arm.sampling == "uniform" else {0: 1.0, 1: 1.0}
        centres, _ = ErrorMapSampler(density, truth, shares).draw(16, random)
        if step >= arm.steps // 3:  # the network has learned something by then
            hits += int((kinds[tile][tuple(centres.T)] == MIMIC).sum())
            centres_drawn += len(centres)
        corners = (centres - TILE // 2).clip(0, SIZE - TILE)
        batch, classes = cut(images, labels, [(tile, corner) for corner in corners])
        pool.add(list(zip(batch, classes, strict=True)))

    def loss(_: Tensor) -> Tensor:
        nonlocal step
        if step % 10 == 0:
            mined = arm.sampling in ("mined", "capped")
            for tile in random.choice(len(images), size=4, p=image_chances(seen) if mined else None):
                visit(int(tile))
        while not pool.ready:
            visit(int(random.integers(len(images))))
        step += 1
        drawn = pool.draw(8, random)
        batch, truth = turned(torch.stack([a for a, _ in drawn]), torch.stack([b for _, b in drawn]), random)
        value: Tensor = function(network(batch), truth)
        return value

    train_network(network, loss, images=len(images), steps=arm.steps, seed=arm.seed)
    return predict, hits / max(centres_drawn, 1)


def cut(images: Tensor, labels: Tensor, places: Iterable[tuple[int, NDArray[np.intp]]]) -> tuple[Tensor, Tensor]:
    """Cut patches out of tiles, each given by the tile's number and the patch's corner."""
    windows = [(tile, slice(int(y), int(y) + TILE), slice(int(x), int(x) + TILE)) for tile, (y, x) in places]
    return (
        torch.stack([images[tile, :, rows, columns] for tile, rows, columns in windows]),
        torch.stack([labels[tile, rows, columns] for tile, rows, columns in windows]),
    )


def turned(images: Tensor, labels: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mirror and turn a batch by quarters, all of it alike."""
    turns, mirror = int(random.integers(4)), random.random() < 0.5
    images, labels = torch.rot90(images, turns, (-2, -1)), torch.rot90(labels, turns, (-2, -1))
    return (images.flip(-1), labels.flip(-1)) if mirror else (images, labels)


def batched(network: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return a function that runs a network on a few images at a time, without gradients."""

    @torch.no_grad()
    def run(images: Tensor) -> Tensor:
        return torch.cat([network(part) for part in torch.split(images, 8)])

    return run


def scores(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Return the scores over all pixels."""
    values = torch.softmax(logits, 1)[:, 1].numpy()
    truth = labels.numpy() == 1
    best = best_over_thresholds(values, truth)
    threshold = np.quantile(values[truth], 0.1)  # nine in ten of the positive pixels lie above it
    return {AP: best.average_precision, F1: best.f1, ALARMS: float((values[~truth] >= threshold).mean())}


def summarise(results: Mapping[Arm, Mapping[str, float]], seeds: Sequence[int]) -> Reproduction:
    """Return the table and the relations of finished arms."""
    settings = by_setting(results)
    rows = [
        make_row(arm.setting, runs, COLUMNS, PAPER.get(arm.view) if arm.sampling == "tiles" else None)
        for arm, runs in settings.items()
    ]
    title = "Hard-example mining and the compound network (Burlutskiy et al., MIDL 2019)"
    return make_reproduction(title, COLUMNS, rows, relations(settings), NOTES, seeds=seeds, measured=results.values())


def relations(settings: Mapping[Arm, Runs]) -> Iterator[Relation]:
    """Yield the paper's relations, and the cheap controls of each."""
    gain = partial(compare, means=False)
    views = {arm.view: runs for arm, runs in settings.items() if arm.sampling == "tiles"}
    for name, rival in (("R1", "fine"), ("control: wide view", "coarse")):
        statement = f"The compound raises average precision by 0.03 over the {VIEWS[rival]} with as many steps"
        yield gain(name, statement, AP, views[rival], views["compound"], on_average(0.03))
    statement = "Training both networks at once is as good as one after the other (average precision, within 0.01)"
    yield gain("both at once", statement, AP, views["compound"], views["joint"], on_average(-0.01))
    if "end to end" in views:
        statement = "The coarse network's loss training the fine one too raises average precision with every seed"
        yield gain("end to end", statement, AP, views["joint"], views["end to end"], every_seed)
    noises = sorted({arm.noise for arm in settings if arm.sampling == "mined"})
    for noise in noises:
        runs = {arm.sampling: r for arm, r in settings.items() if arm.sampling != "tiles" and arm.noise == noise}
        context = f"{noise:.0%} mislabelled"
        for rival in [name for name in ("uniform", "balanced") if name in runs]:
            statement = f"Mining raises average precision over {SAMPLINGS[rival]} with every seed"
            yield gain(f"R4 {rival}, {context}", statement, AP, runs[rival], runs["mined"], every_seed)
        statement = f"Mining lowers false alarms at recall 0.9 against {SAMPLINGS['balanced']} with every seed"
        yield gain(f"R4 alarms, {context}", statement, ALARMS, runs["balanced"], runs["mined"], _falls, digits=4)
        shares = [mean(MIMICS, runs[name]) for name in ("balanced", "mined")]
        statement = "Mining takes at least three times as many centres in the mimics as their area has"
        yield Relation(
            f"mimics, {context}",
            statement,
            shares[1] >= 3,
            f"{shares[1]:.1f} times; from both classes alike {shares[0]:.1f} times",
        )
        if "capped" in runs:
            statement = "Leaving the largest errors out raises average precision with every seed"
            yield gain(f"errors up to 0.9, {context}", statement, AP, runs["mined"], runs["capped"], every_seed)


def _falls(gains: Sequence[float]) -> bool:
    return max(gains) < 0
