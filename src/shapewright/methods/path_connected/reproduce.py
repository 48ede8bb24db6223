"""Flow or no flow, teacher or no teacher, on real images with strokes; and in how many pieces the masks are.

The paper's table compares a convex network with and without a flow before it, and with and without a teacher, on one
photograph. Here the four settings are fitted to strokes that people drew and to simulated ones. The paper's unbounded
flow is fitted beside them, and the pieces of random regions of both constructions are counted inside the image.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from shapewright.data import samples
from shapewright.methods.path_connected.census import Census, censuses, take, total
from shapewright.methods.path_connected.scribbles import fit_scribbles
from shapewright.metrics import iou
from shapewright.networks.connected_region import is_one_piece
from shapewright.simulate import ScribbleSimulator
from shapewright.training.connected_config import FitConfig
from shapewright.training.reproduction import Relation, Reproduction
from shapewright.training.study import StudyProgress, make_reproduction, make_row, measure_arms

HUMAN, SIMULATED, PIECES = "IoU, human strokes", "IoU, simulated strokes", "masks in one piece"
COLUMNS = (HUMAN, SIMULATED, PIECES)
FLOWS = {"none": "FICNN", "box": "flow + FICNN", "affine": "unbounded flow + FICNN"}
TEACHERS = {"none": "no teacher", "network": "the paper's teacher", "walks": "random walks"}
PAPER = {
    ("none", "none"): "0.9152",
    ("none", "network"): "0.9345",
    ("affine", "none"): "0.9422",
    ("affine", "network"): "0.9592",
}

NOTES = (
    "IoU with the true mask, mean over the images of a seed; seed s takes the strokes of person s modulo 3, and draws "
    "simulated strokes and weights of its own.",
    "The paper's figures are of one photograph (Mandarins) that is not public: only the order can be compared.",
    "Bundled images: two femurs, two cervices; nothing was chosen on them.",
    "'Masks in one piece': share of fitted masks that are one piece without holes; those of the unbounded flow are "
    "neither checked nor repaired.",
    "Pieces are counted on samples, before any repair, whichever way samples touch. Random regions: 6 couplings, "
    "weights of the last layers 10 times as large as PyTorch draws them, for both flows.",
)


@dataclass(frozen=True)
class Arm:
    """One setting and seed."""

    flow: str
    teacher: str
    seed: int
    steps: int = 300

    @property
    def setting(self) -> str:
        """The row of the table."""
        return f"{FLOWS[self.flow]}, {TEACHERS[self.teacher]}"


def study(*, quick: bool, seeds: Sequence[int]) -> list[Arm]:
    """Return the arms, the central comparison first."""
    arms = [Arm(flow, teacher, 0) for teacher in ("none", "walks") for flow in ("none", "box")]
    if not quick:
        arms += [Arm(flow, "network", 0) for flow in ("none", "box")] + [
            Arm("affine", t, 0) for t in ("none", "network")
        ]
    return [replace(arm, seed=seed, steps=120 if quick else 300) for arm in arms for seed in seeds]


def reproduce(
    *, quick: bool, seeds: Sequence[int], data: Path | None, out: Path, progress: StudyProgress
) -> Reproduction:
    """Fit the settings to strokes and return the table and the relations.

    Parameters
    ----------
    quick
        The paper's four settings only, with two images and 120 steps, and fewer random regions.
    seeds
        One fit per setting, image, kind of strokes and seed.
    data
        A folder of NPZ files with ``img``, ``seg`` and ``scribbles``; None takes the bundled ones.
    out
        Folder; every finished arm is a file in ``out/arms``, which a repeated call reads instead of fitting again.
    progress
        Called with the number of finished arms, of all, and the present arm's name.
    """
    images = samples.load_scribbles(data)
    images = images[:: max(1, len(images) // 2)][:2] if quick else images
    folder = out / "arms"
    names = ", ".join(image.name for image in images)
    results = measure_arms(
        study(quick=quick, seeds=seeds),
        lambda arm: measure(arm, images),
        folder=folder,
        progress=progress,
        inputs=names,
    )
    counts = measure_arms(
        censuses(quick=quick), take, folder=folder, progress=progress, name=lambda census: census.name
    )
    return summarise(results, counts, seeds)


def measure(arm: Arm, images: Sequence[samples.ScribbledImage]) -> dict[str, float]:
    """Return the mean IoU with both kinds of strokes, and the share of masks in one piece."""
    settings = FitConfig(teacher=arm.teacher, flow=arm.flow, steps=arm.steps)  # type: ignore[arg-type]
    overlaps: dict[str, list[float]] = {HUMAN: [], SIMULATED: []}
    whole = []
    for image in images:
        drawn = ScribbleSimulator().draw(image.mask.astype(np.uint8), seed=arm.seed)
        for kind, scribbles in ((HUMAN, image.scribbles[arm.seed % len(image.scribbles)]), (SIMULATED, drawn)):
            mask = fit_scribbles(image.image, scribbles, seed=arm.seed, settings=settings).mask
            overlaps[kind].append(iou(mask, image.mask))
            whole.append(is_one_piece(mask))
    return {**{kind: statistics.mean(values) for kind, values in overlaps.items()}, PIECES: statistics.mean(whole)}


def summarise(
    results: Mapping[Arm, Mapping[str, float]], counts: Mapping[Census, Mapping[str, float]], seeds: Sequence[int]
) -> Reproduction:
    """Return the table and the relations of finished arms."""
    rows = []
    for name in dict.fromkeys(arm.setting for arm in results):
        runs = {arm: scores for arm, scores in results.items() if arm.setting == name}
        first = next(iter(runs))
        paper = {HUMAN: PAPER[first.flow, first.teacher]} if (first.flow, first.teacher) in PAPER else {}
        rows.append(make_row(name, list(runs.values()), COLUMNS, paper))
    title = "Path connectedness for pixelwise image segmentation (Ismail and Moeller, 2023)"
    return make_reproduction(
        title,
        COLUMNS,
        rows,
        relations(results, counts),
        NOTES,
        seeds=seeds,
        measured=[*results.values(), *counts.values()],
    )


def relations(
    results: Mapping[Arm, Mapping[str, float]], counts: Mapping[Census, Mapping[str, float]]
) -> Iterator[Relation]:
    """Yield the order of the paper's table, and what became of the pieces."""
    means = {
        (flow, teacher, column): statistics.mean(
            scores[column] for arm, scores in results.items() if (arm.flow, arm.teacher) == (flow, teacher)
        )
        for flow, teacher in {(arm.flow, arm.teacher) for arm in results}
        for column in COLUMNS
    }
    for column in (HUMAN, SIMULATED):
        strokes = column.removeprefix("IoU, ")
        for teacher in ("none", "walks"):
            without, with_it = means["none", teacher, column], means["box", teacher, column]
            yield Relation(
                f"flow, {TEACHERS[teacher]}, {strokes}",
                "Flow + FICNN beats FICNN, in the mean over images and seeds",
                with_it > without,
                f"{without:.3f} to {with_it:.3f}",
            )
        for flow in ("none", "box"):
            without, with_it = means[flow, "none", column], means[flow, "walks", column]
            yield Relation(
                f"teacher, {FLOWS[flow]}, {strokes}",
                "With the teacher beats without, in the mean over images and seeds",
                with_it > without,
                f"{without:.3f} to {with_it:.3f}",
            )
    shares = [scores[PIECES] for arm, scores in results.items() if arm.flow != "affine"]
    yield Relation(
        "one piece, fits", "Every mask of the box construction is one piece without holes", min(shares) == 1,
        f"{100 * statistics.mean(shares):.0f} % of the masks of {len(shares)} arms",
    )  # fmt: skip
    for kind, name in (("random", "one piece, random weights"), ("fitted", "one piece, fits on a fine grid")):
        found = [scores for census, scores in counts.items() if (census.kind, census.flow) == (kind, "box")]
        if found:
            yield Relation(
                name,
                f"Every {kind} region of the box construction is one piece without holes, tunnels or cavities",
                sum(scores["broken"] for scores in found) == 0,
                total(counts, kind, "box"),
            )
    yield Relation(
        "the paper's construction",
        "Random regions of the unbounded flow fall into pieces inside the image",
        sum(scores["broken"] for census, scores in counts.items() if census.flow == "affine") > 0,
        total(counts, "random", "affine"),
    )
