"""What do Voronoi labels, cluster labels and a CRF loss each add? The paper's relations on simulated nuclei.

A small U-Net learns nuclei from one point each, with either label map, with both, and with the CRF loss at the end, and
from full masks. Nuclei of a prediction are its connected components: nothing splits them afterwards. Otsu's threshold
is the control that learns nothing. The same is repeated on real nuclei of the bundled sample, or of ``--data``; on the
phantom alone, with a CRF loss that acts for longer, with points further off, and with some of them missing.
"""

import functools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from shapewright.data import open_dataset, read_image, read_labels, samples
from shapewright.data.preprocess import normalise_intensity
from shapewright.errors import InputError
from shapewright.losses import CrossEntropyLoss, DenseCRFLoss
from shapewright.methods.point_nuclei.config import Config
from shapewright.methods.point_nuclei.method import label_maps
from shapewright.metrics import aggregated_jaccard, dice, object_dice, surface_dice
from shapewright.simulate import NucleiPhantom, points_in_objects
from shapewright.training.reproduction import Relation, Reproduction
from shapewright.training.study import (
    Runs,
    StudyProgress,
    by_setting,
    compare,
    make_reproduction,
    make_row,
    mean,
    measure_arms,
    on_average,
    predict_probabilities,
    study_unet,
    train_network,
)

Labels = Literal["full", "voronoi", "cluster", "both", "Otsu"]
NAMES: Mapping[Labels, str] = {
    "full": "full masks",
    "voronoi": "Voronoi labels",
    "cluster": "cluster labels",
    "both": "both",
    "Otsu": "Otsu's threshold",
}
SIZE = 64
TRAIN, TEST, BATCH = 40, 24, 4
F1, AJI, OBJECT, BOUNDARY = "F1", "AJI", "object Dice", "boundary F1"
COLUMNS = (F1, BOUNDARY, OBJECT, AJI)
CRF_SHARE, JITTER = Config().crf_share, 2.0  # of the steps, the last ones; of a point, in pixels
PAPER = {
    "full": {F1: "0.877", OBJECT: "0.852", AJI: "0.698"},
    "voronoi": {F1: "0.660", OBJECT: "0.647", AJI: "0.479"},
    "cluster": {F1: "0.766", OBJECT: "0.594", AJI: "0.233"},
    "both": {F1: "0.803", OBJECT: "0.789", AJI: "0.633"},
}
PAPER_CRF = {F1: "0.812", OBJECT: "0.800", AJI: "0.650"}
SMALLEST = 12  # pixels; smaller pieces of a prediction are dropped
NOTES = (
    "Scores are means over test tiles of 64 x 64 pixels; F1 counts pixels, AJI and object Dice nuclei, boundary F1 is "
    "the share of all outlines within one pixel of each other. The paper's figures are those of its Lung Cancer "
    "images, which are not public.",
    "Points lie up to 2 pixels from the middle of a nucleus unless said otherwise. Every arm has the same network, "
    "number of steps and one-cycle rate; the CRF loss is added in the last seventh of the steps unless said otherwise, "
    "so that it gets no training of its own.",
    "Predictions are cut into connected components, without a watershed: full masks teach touching nuclei as one.",
    "Real nuclei: the bundled images (or --data) at half the resolution, one image never in both training and test.",
)


@dataclass(frozen=True)
class Arm:
    """One training: the labels, the images, and the seed of data, weights and order.

    ``crf`` is the share of the steps, the last ones, with the CRF loss; points lie up to ``jitter`` pixels from the
    middle, and a share ``missing`` of the nuclei has none. ``told`` says that the label makers know the usual radius.
    """

    labels: Labels
    images: str = "phantom"
    crf: float = 0.0
    jitter: float = JITTER
    missing: float = 0.0
    told: bool = False
    steps: int = 350
    seed: int = 0

    @property
    def setting(self) -> str:
        """Name everything but the seed."""
        late = "CRF loss at the end" if self.crf <= CRF_SHARE else f"CRF loss for {self.crf:.0%} of the steps"
        parts = {
            late: self.crf > 0,
            f"points up to {self.jitter:g} pixels off": self.jitter != JITTER,
            f"{self.missing:.0%} of the points missing": self.missing > 0,
            "radius told": self.told,
            self.images: self.images != "phantom",
        }
        return ", ".join([NAMES[self.labels], *(part for part, shown in parts.items() if shown)])


@dataclass(frozen=True)
class Tiles:
    """Images [N, 3, y, x] with channels of deviation 1, and numbered nuclei [N, y, x]."""

    images: NDArray[np.float32]
    instances: NDArray[np.int32]


def study(*, quick: bool, seeds: Sequence[int]) -> list[Arm]:
    """Return the arms; ``quick`` leaves out the real images and trains for 250 steps."""
    arms = [*(Arm(labels) for labels in NAMES), Arm("both", crf=CRF_SHARE)]
    if quick:
        arms = [replace(arm, steps=250) for arm in arms]
    else:
        arms += [replace(arm, images="real nuclei") for arm in arms] + [Arm("both", "real nuclei", told=True)]
        arms += [Arm("both", crf=0.5), Arm("both", jitter=4.0), Arm("both", missing=0.2)]
    return [replace(arm, seed=seed) for arm in arms for seed in seeds]


def reproduce(
    *, quick: bool, seeds: Sequence[int], data: Path | None, out: Path, progress: StudyProgress
) -> Reproduction:
    """Measure the study's arms and return the table and the relations.

    Parameters
    ----------
    quick
        The phantom only, shorter training; about 4 minutes on 2 cores.
    seeds
        One training per setting and seed; each seed has data of its own.
    data
        A folder with numbered nuclei for the real images; None takes the bundled sample.
    out
        Folder; every finished arm is a file in ``out/arms``, which a repeated call reads instead of training again.
    progress
        Called with the number of finished arms, of all arms, and the present arm's name.
    """
    arms = study(quick=quick, seeds=seeds)
    results = measure_arms(
        arms, lambda arm: train_arm(arm, data), folder=out / "arms", progress=progress, inputs=str(data)
    )
    return summarise(results, seeds)


@functools.lru_cache(maxsize=4)
def make_tiles(images: str, seed: int, data: Path | None) -> tuple[Tiles, Tiles]:
    """Return training and test tiles of a seed."""
    if images == "phantom":
        phantom = NucleiPhantom(shape=(SIZE, SIZE), nuclei=(9, 13))
        sets = [phantom.generate(count, seed=2 * seed + part) for part, count in enumerate((TRAIN, TEST))]
        return tuple(Tiles(_normalised(pictures), nuclei) for pictures, nuclei in sets)  # type: ignore[return-value]
    return real_tiles(data, seed)


def real_tiles(data: Path | None, seed: int) -> tuple[Tiles, Tiles]:
    """Return tiles of real images at half the resolution; two thirds of the images train."""
    dataset = samples.load("nuclei") if data is None else open_dataset(data, labels="binary")
    rng = np.random.default_rng(seed)
    cases = [dataset.cases[index] for index in rng.permutation(len(dataset.cases))[:60]]
    border = 2 * len(cases) // 3
    sets = []
    for group, count in ((cases[:border], TRAIN), (cases[border:], TEST)):
        images, instances = [], []
        for index in range(count):
            case = group[index % len(group)]
            if case.label is None:
                raise InputError(f"{dataset.path}: the study needs masks of numbered nuclei; {case.id} has none")
            image, numbers = read_image(case.images[0]).array[:3, ::2, ::2], read_labels(case.label).array[0, ::2, ::2]
            places = np.argwhere(numbers > 0)
            middle = places[rng.integers(len(places))] if len(places) else np.array(numbers.shape) // 2
            start = [
                int(np.clip(c - SIZE // 2, 0, max(n - SIZE, 0))) for c, n in zip(middle, numbers.shape, strict=True)
            ]
            window = tuple(slice(first, first + SIZE) for first in start)
            images.append(np.broadcast_to(image[:, *window], (3, SIZE, SIZE)))
            instances.append(_renumbered(numbers[window]))
        sets.append(Tiles(_normalised(np.stack(images).astype(np.float32)), np.stack(instances)))
    return sets[0], sets[1]


def _renumbered(numbers: NDArray[np.integer]) -> NDArray[np.int32]:
    """Return the objects numbered from 1 without gaps, those of fewer than 12 pixels left out."""
    values, inverse, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    kept = (counts >= SMALLEST) & (values > 0)
    order = np.where(kept, np.cumsum(kept), 0)
    return order[inverse].reshape(numbers.shape).astype(np.int32)


def _normalised(images: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.stack([normalise_intensity(image, "volume") for image in images])


def train_arm(arm: Arm, data: Path | None = None) -> dict[str, float]:
    """Train one network and return its scores on the test tiles."""
    training, test = make_tiles(arm.images, arm.seed, data)
    if arm.labels == "Otsu":
        return evaluate(np.stack([_otsu(image) for image in test.images]), test.instances)
    images = torch.from_numpy(training.images)
    network = study_unet(2, 3, 2, seed=arm.seed, filters=(8, 16, 32))
    entropy, crf = CrossEntropyLoss(ignore_label=255), DenseCRFLoss(colour_sigma=Config().crf_colour)
    targets = make_targets(arm, training)
    steps = iter(range(arm.steps))

    def loss(index: Tensor) -> Tensor:
        logits = network(images[index])
        value: Tensor = torch.stack([entropy(logits, target[index]) for target in targets]).sum()
        if next(steps) >= arm.steps * (1 - arm.crf):
            value = value + Config().crf_weight * crf(logits, images[index])
        return value

    train_network(network, loss, images=TRAIN, steps=arm.steps, seed=arm.seed, batch_size=BATCH)
    predicted = predict_probabilities(network, torch.from_numpy(test.images)).argmax(axis=1) == 1
    return evaluate(predicted, test.instances)


def make_targets(arm: Arm, tiles: Tiles) -> list[Tensor]:
    """Return the label maps [N, y, x] that an arm is trained on."""
    if arm.labels == "full":
        return [torch.from_numpy(tiles.instances > 0).long()]
    settings = replace(Config(), radius=usual_radius(tiles.instances) if arm.told else None)
    maps: dict[str, list[NDArray[np.uint8]]] = {"voronoi": [], "cluster": []}
    for number, (image, instances) in enumerate(zip(tiles.images, tiles.instances, strict=True)):
        seed = 1000 * arm.seed + number
        points = points_in_objects(instances, seed=seed, jitter=arm.jitter)
        points = points[np.random.default_rng(seed).random(len(points)) >= arm.missing]
        made = label_maps(image, points, np.ones(len(points), np.uint8), (1.0, 1.0), settings)
        for name, array in made.items():
            maps[name].append(array[0])
    wanted = [arm.labels] if arm.labels in maps else ["voronoi", "cluster"]
    return [torch.from_numpy(np.stack(maps[name])).long() for name in wanted]


def usual_radius(instances: NDArray[np.int32]) -> float:
    """Return the radius in pixels of a disc of the median size of the nuclei."""
    sizes = [size for numbers in instances for size in np.bincount(numbers.ravel())[1:]]
    return float(np.sqrt(np.median(sizes) / np.pi))


def _otsu(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the rarer side of Otsu's threshold on the brightness."""
    from skimage.filters import threshold_otsu

    grey = image.mean(axis=0)
    dark = grey < threshold_otsu(grey)  # type: ignore[no-untyped-call]
    rarer: NDArray[np.bool_] = dark if dark.mean() < 0.5 else ~dark
    return rarer


def evaluate(predicted: NDArray[np.bool_], instances: NDArray[np.int32]) -> dict[str, float]:
    """Return mean scores over tiles, nuclei being the filled components of what is predicted."""
    scores: dict[str, list[float]] = {column: [] for column in COLUMNS}
    for mask, truth in zip(predicted, instances, strict=True):
        pieces, count = ndimage.label(ndimage.binary_fill_holes(mask))
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)
        pieces = np.where(sizes[pieces] >= SMALLEST, pieces, 0)
        scores[F1].append(dice(pieces > 0, truth > 0))
        scores[BOUNDARY].append(surface_dice(pieces > 0, truth > 0, tolerance=1.0))
        scores[OBJECT].append(object_dice(truth, pieces))
        scores[AJI].append(aggregated_jaccard(truth, pieces))
    return {column: statistics.mean(values) for column, values in scores.items()}


def summarise(results: Mapping[Arm, Mapping[str, float]], seeds: Sequence[int]) -> Reproduction:
    """Return the table and the relations of finished arms."""
    settings = by_setting(results)
    rows = [make_row(arm.setting, runs, COLUMNS, paper(arm)) for arm, runs in settings.items()]
    found: list[Relation] = []
    for images in dict.fromkeys(arm.images for arm in settings):
        found += relations({arm: runs for arm, runs in settings.items() if arm.images == images})
    title = "Nuclei from one point each (Qu et al., MIDL 2019)"
    return make_reproduction(title, COLUMNS, rows, found, NOTES, seeds=seeds, measured=results.values())


def paper(arm: Arm) -> Mapping[str, str] | None:
    """Return what the paper reports of a setting."""
    if arm.images != "phantom" or arm.told or arm.jitter != JITTER or arm.missing:
        return None
    return PAPER.get(arm.labels) if not arm.crf else PAPER_CRF if arm.crf <= CRF_SHARE else None


def relations(settings: Mapping[Arm, Runs]) -> Iterator[Relation]:
    """Yield the paper's relations on one kind of images, then what longer CRF and worse points do."""
    usual = next(arm for arm in settings if arm.labels == "both" and not arm.crf)
    where = "" if usual.images == "phantom" else f", {usual.images}"
    runs = {labels: settings[replace(usual, labels=labels)] for labels in NAMES}
    both, crf = runs["both"], settings[replace(usual, crf=CRF_SHARE)]

    def gain(name: str, statement: str, column: str, first: Runs, second: Runs, least: float) -> Relation:
        return compare(name + where, statement, column, first, second, on_average(least))

    singles: tuple[Labels, Labels] = ("voronoi", "cluster")
    for single in singles:
        statement = f"Both label maps beat {NAMES[single]} by 0.05 AJI"
        yield gain(f"R1 {single}", statement, AJI, runs[single], both, 0.05)
    yield gain("R2 F1", "Cluster labels beat Voronoi labels in F1", F1, runs["voronoi"], runs["cluster"], 0.0)
    yield gain("R2 AJI", "Voronoi labels beat cluster labels in AJI", AJI, runs["cluster"], runs["voronoi"], 0.0)
    yield gain("R3", "The CRF loss gains 0.005 AJI", AJI, both, crf, 0.005)
    yield gain("R3 sign", "The CRF loss loses no AJI", AJI, both, crf, 0.0)
    yield gain("R3 boundary", "The CRF loss loses no boundary F1", BOUNDARY, both, crf, 0.0)
    yield gain("R4 AJI", "Points beat full masks in AJI, where nothing splits nuclei", AJI, runs["full"], both, 0.0)
    share = mean(F1, both) / mean(F1, runs["full"])
    yield Relation("R4 F1" + where, "Points reach 0.9 of the F1 of full masks", share >= 0.9, f"{share:.3f}")
    yield gain("control", "Both label maps beat Otsu's threshold in AJI", AJI, runs["Otsu"], both, 0.0)
    longer = replace(usual, crf=0.5)
    if longer in settings:
        yield gain("longer CRF", "A CRF loss in half of the steps gains 0.005 AJI", AJI, both, settings[longer], 0.005)
    for worse in (replace(usual, jitter=4.0), replace(usual, missing=0.2)):
        if worse in settings:
            how = worse.setting.removeprefix("both, ")
            yield gain(how, "At most 0.05 AJI is lost", AJI, both, settings[worse], -0.05)
    told = replace(usual, told=True)
    if told in settings:
        statement = "Telling the label makers the usual radius gains 0.05 AJI"
        yield gain("radius", statement, AJI, both, settings[told], 0.05)
        statement = "With the radius told, both label maps beat Otsu's threshold in AJI"
        yield gain("control, radius told", statement, AJI, runs["Otsu"], settings[told], 0.0)
