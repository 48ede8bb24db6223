"""In how many pieces regions are: random ones of both constructions, and fitted ones, on grids finer than an image.

Rasters are counted as they are sampled, before any repair.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from shapewright.data import samples
from shapewright.geometry import betti_numbers
from shapewright.methods.path_connected.scribbles import fit_scribbles
from shapewright.networks import ConnectedRegion
from shapewright.networks.connected_region import is_one_piece
from shapewright.simulate import ScribbleSimulator
from shapewright.training.connected_config import FitConfig
from shapewright.training.study import load_labelled_volume

WARP = 10.0  # how much larger the last weights of a random flow are than PyTorch draws them
COUPLINGS = 6
FIT_STEPS = 100
PART = 50  # regions counted at once: one file of a study


@dataclass(frozen=True)
class Census:
    """Some regions whose pieces and holes are counted.

    Parameters
    ----------
    kind
        ``random`` weights, or ``fitted`` to strokes on the bundled images and volumes.
    flow
        ``box``, or the paper's ``affine``.
    dims
        2 or 3.
    grid
        Samples along each side; where these do not show one piece, twice as many are taken.
    first, count
        The seeds.
    """

    kind: Literal["random", "fitted"]
    flow: Literal["box", "affine"]
    dims: int
    grid: int
    first: int
    count: int

    @property
    def name(self) -> str:
        """What is counted."""
        return f"{self.kind} {self.flow} regions in {self.dims}D, {self.first} to {self.first + self.count - 1}"


def censuses(*, quick: bool) -> list[Census]:
    """Return what a study counts, in parts."""
    if quick:
        return [Census("random", flow, 2, 128, 0, 40) for flow in ("affine", "box")]
    plan: list[tuple[Literal["random", "fitted"], Literal["box", "affine"], int, int, int]] = [
        ("random", "affine", 2, 512, 200),
        ("random", "box", 2, 512, 350),
        ("random", "box", 3, 96, 150),
        ("fitted", "box", 2, 512, 40),
        ("fitted", "box", 3, 96, 10),
    ]
    return [
        Census(kind, flow, dims, grid, first, min(PART, total - first))
        for kind, flow, dims, grid, total in plan
        for first in range(0, total, PART)
    ]


def take(census: Census) -> dict[str, float]:
    """Return how many regions are broken, the most pieces of one, and how many needed the finer grid.

    A region counts as broken where the finer grid, too, shows several pieces, holes, tunnels or cavities, whichever
    way samples touch.
    """
    regions = _random(census) if census.kind == "random" else _fitted(census)
    broken, most, finer = 0, 0, 0
    for region in regions:
        sampled = _sampled(region, census.grid)
        if census.flow == "box" and not is_one_piece(sampled):
            finer += 1
            sampled = _sampled(region, 2 * census.grid)
        broken += bool(sampled.any()) and not is_one_piece(sampled)  # nothing: smaller than a sample
        most = max(most, int(betti_numbers(sampled)[0]))
    return {"broken": float(broken), "most": float(most), "finer": float(finer), "count": float(census.count)}


def total(counts: Mapping[Census, Mapping[str, float]], kind: str, flow: str, dims: Sequence[int] = (2, 3)) -> str:
    """Return the figures of all parts in words.

    Examples
    --------
    >>> counts = {"broken": 1.0, "most": 3.0, "finer": 2.0, "count": 40.0}
    >>> total({Census("random", "box", 2, 128, 0, 40): counts}, "random", "box")
    '2D, 128 samples a side: 1 of 40 broken, up to 3 pieces; 2 looked at more finely'
    """
    texts = []
    for dim in dims:
        parts = {c: scores for c, scores in counts.items() if (c.kind, c.flow, c.dims) == (kind, flow, dim)}
        if not parts:
            continue
        broken, finer, count = (
            int(sum(scores[key] for scores in parts.values())) for key in ("broken", "finer", "count")
        )
        text = f"{dim}D, {next(iter(parts)).grid} samples a side: {broken} of {count} broken"
        text += f", up to {int(max(scores['most'] for scores in parts.values()))} pieces" if broken else ""
        texts.append(text + (f"; {finer} looked at more finely" if finer else ""))
    return "; ".join(texts)


def _sampled(region: ConnectedRegion, grid: int) -> NDArray[np.bool_]:
    return np.asarray(region.raster((grid,) * region.spatial_dims)[0] >= 0)


def _random(census: Census) -> Iterator[ConnectedRegion]:
    """Yield regions whose flows bend strongly."""
    for seed in range(census.first, census.first + census.count):
        region = ConnectedRegion(census.dims, flow=census.flow, couplings=COUPLINGS, seed=seed)
        grown = WARP if census.flow == "affine" else 10 * WARP  # the box flow's are drawn 10 times smaller
        with torch.no_grad():
            for networks in region.flow.children():
                for network in networks.children():
                    list(network.parameters())[-2].mul_(grown)
        yield region


def _fitted(census: Census) -> Iterator[ConnectedRegion]:
    """Yield regions fitted in few steps, to strokes of people and simulated ones in turn."""
    settings = FitConfig(steps=FIT_STEPS)
    for seed in range(census.first, census.first + census.count):
        image, scribbles = _flat(seed) if census.dims == 2 else _volume(seed)
        yield fit_scribbles(image, scribbles, seed=seed, settings=settings).region


def _flat(seed: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    images = samples.load_scribbles()
    one, turn = images[seed % len(images)], seed // len(images)
    if turn % 2:
        return one.image, ScribbleSimulator().draw(one.mask.astype(np.uint8), seed=seed)
    return one.image, one.scribbles[turn // 2 % len(one.scribbles)]


def _volume(seed: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return a hippocampus and simulated strokes."""
    dataset = samples.load("hippocampus")
    names = dataset.ids
    image, labels = load_labelled_volume(dataset, names[seed % len(names)])
    return image.array[0], ScribbleSimulator(thickness=1).draw((labels.array[0] > 0).astype(np.uint8), seed=seed)
