"""What do the adversaries add to masking what was not annotated? The paper's relations, with the controls that decide.

Two data sets of retinas, photographed by two cameras: A with its vessels drawn, B with its disc and four kinds of
lesion. One network learns from both, and is measured on images of both cameras with everything drawn: on the classes
that the image's own data set annotated, and on those that only the other did.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shapewright.data import load_case, open_dataset, samples
from shapewright.data.preprocess import normalise_intensity, resample_labels
from shapewright.data.task import Task
from shapewright.errors import InputError
from shapewright.methods.multitask_adversaries.config import Config
from shapewright.methods.multitask_adversaries.method import MultitaskAdversaries
from shapewright.metrics import ThresholdScores, best_over_thresholds, dice
from shapewright.networks import NetworkConfig
from shapewright.simulate import FUNDUS_CLASSES, FundusPhantom
from shapewright.training.method import Progress
from shapewright.training.reproduction import Relation, Reproduction, Row
from shapewright.training.study import (
    Runs,
    StudyProgress,
    by_setting,
    compare,
    differences,
    every_seed,
    make_reproduction,
    make_row,
    measure_arms,
    signed,
    train_network,
)

DICE: dict[str, Any] = {"dice": 0.5}  # beside cross-entropy alone, no network of this size draws a disc in 200 steps
OFF: dict[str, Any] = {**DICE, "presence_weight": 0.0, "realism_weight": 0.0}
PAPER_GAME: dict[str, Any] = {**DICE, "unannotated": "absent"}
ARMS: dict[str, dict[str, Any]] = {
    "naive": OFF,
    "masked": OFF,
    "all": PAPER_GAME,
    "masked, colours": OFF,
    "masked, pseudo-labels": OFF,
    "masked, cross-entropy alone": {**OFF, "dice": 0.0},
    "D1": {**PAPER_GAME, "realism_weight": 0.0},
    "D2": {**DICE, "presence_weight": 0.0},
    "all, permuted target": {**PAPER_GAME, "permute_target": True},
    "all, hinge, R1, spectral": {**PAPER_GAME, "game": "hinge", "gradient_penalty": 1.0, "spectral": True},
    "all, five times the weight": {**PAPER_GAME, "presence_weight": 5.0, "realism_weight": 5.0},
    "all, unknown lesions": DICE,
    "masked, focal": {**OFF, "focus": 2.0},
}
CONTROLS = ("masked, colours", "masked, pseudo-labels", "masked, cross-entropy alone")
OPTIONS = (
    "all, permuted target",
    "all, unknown lesions",
    "all, hinge, R1, spectral",
    "all, five times the weight",
    "masked, focal",
)
STEPS, BATCH, SHAPE, LEARNING_RATE = 200, 4, (64, 64), 5e-3
OWN, CROSS = "own", "other"  # classes that the image's data set annotates, and those that only the other one does
VESSELS_A, DISC_B, LESIONS_B = "vessels on A (own)", "disc on B (own)", "lesions on B (own)"
VESSELS_B, DISC_A, LESIONS_A = "vessels on B (other)", "disc on A (other)", "lesions on A (other)"
OWN_MEAN, CROSS_MEAN = "mean, own", "mean, other"
D1_RIGHT, D2_EARLY, D2_LATE = "D1 right", "D2 right, early", "D2 right, end"
F1, SE, SP, ACC, AUC = "F1", "SE", "SP", "ACC", "AUC"
PHANTOM_COLUMNS = (CROSS_MEAN, OWN_MEAN, VESSELS_B, DISC_A, LESIONS_A, VESSELS_A, DISC_B, LESIONS_B)
GAME_COLUMNS = (D1_RIGHT, D2_EARLY, D2_LATE)
REAL_COLUMNS = (SE, SP, ACC, F1, AUC)
COLUMNS = (*PHANTOM_COLUMNS, *GAME_COLUMNS, *REAL_COLUMNS)
PAPER = {
    "masked": dict(zip(REAL_COLUMNS, (".7731", ".9724", ".9467", ".7612", ".9588"), strict=True)),
    "all": dict(zip(REAL_COLUMNS, (".7906", ".9839", ".9641", ".7925", ".9812"), strict=True)),
}
OBSERVER = "second observer"

NOTES = (
    "own: classes that the image's own data set annotates; other: classes that only the other data set does. Vessels "
    "and disc: mean Dice of the test images at a threshold of 0.5; lesions: average precision of all test pixels, mean "
    "of the four kinds.",
    "Every seed has its own eyes, weights and order; all networks of a table take the same number of steps with a "
    "one-cycle rate. masked, pseudo-labels takes three trainings: one teacher per data set, then the student.",
    "D1 right: share of the six classes that the first discriminator names rightly on test images of B; a constant "
    "answer is right for 0.73 of them, vessels and disc being in every image. D2 right: 0.5 is chance.",
    "The paper's game tells D1 that A shows no lesions. permuted target: D1 answers in the order of its shuffled maps.",
    "chase: A is photographs of CHASE_DB1 at a quarter of their size, tested on children that were not trained on; B "
    "is the phantom. SE and SP belong to the threshold of the best F1 of all test pixels in the field of view, ACC is "
    "the best of all thresholds. The paper's figures are from DRIVE, so only signs can be compared.",
)

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Arm:
    """One training: what is varied, and the seed of its eyes, weights and order."""

    name: str
    eyes: str = "phantom"  # or chase: real photographs in place of data set A
    network: str = "light"
    seed: int = 0
    steps: int = STEPS

    @property
    def setting(self) -> str:
        """Name everything but the seed, leaving out what is as usual."""
        usual = Arm(self.name)
        extra = [getattr(self, key) for key in ("eyes", "network") if getattr(self, key) != getattr(usual, key)]
        return " / ".join([self.name, *extra])


@dataclass(frozen=True)
class Eyes:
    """Training images [N, 3, y, x] and what is known about them: labels, annotated classes, classes shown."""

    images: Tensor
    labels: Tensor
    annotated: Tensor
    present: Tensor


@dataclass(frozen=True)
class TestEyes:
    """Test images [N, 3, y, x], masks [N, 6, y, x] (all of them, or the vessels alone) and fields of view [N, y, x]."""

    images: Tensor
    masks: NDArray[np.bool_]
    fields: NDArray[np.bool_]


def study(*, quick: bool, seeds: Sequence[int]) -> list[Arm]:
    """Return the arms in the order of their importance; ``quick`` keeps the central ones."""
    arms = [Arm(name) for name in ("naive", "masked", "all")]
    arms += [replace(arm, eyes="chase") for arm in arms[1:]]
    if not quick:
        arms += [Arm(name) for name in ARMS if Arm(name) not in arms]
        arms += [Arm(name, network="fcn8s") for name in ("masked", "all")]
    return [replace(arm, seed=seed) for arm in arms for seed in seeds]


def reproduce(
    *, quick: bool, seeds: Sequence[int], data: Path | None, out: Path, progress: StudyProgress
) -> Reproduction:
    """Measure the study's arms and return the table and the relations.

    Parameters
    ----------
    quick
        Only naive, masked and all: about 4 minutes on 2 cores.
    seeds
        One training per setting and seed; each seed has eyes of its own.
    data
        CHASE_DB1 as it is distributed (``Image_01L.jpg``, ``Image_01L_1stHO.png``, ...), or a data set's folder of
        colour photographs whose first label is the vessels; None takes the bundled photographs.
    out
        Folder; every finished arm is a file in ``out/arms``, which a repeated call reads instead of training again.
    progress
        Called with the number of finished arms, of all arms, and the present arm's name.
    """
    arms = study(quick=quick, seeds=seeds)
    results = measure_arms(
        arms, lambda arm: train_arm(arm, data), folder=out / "arms", progress=progress, inputs=str(data)
    )
    return summarise(results, seeds, observer_scores(data, seeds))


def train_arm(arm: Arm, data: Path | None = None) -> dict[str, float]:
    """Train one network and return its scores on images of both data sets."""
    eyes_a, eyes_b, test_a, test_b = load_eyes(arm.eyes, arm.seed, data)
    if arm.name == "masked, pseudo-labels":
        return scores(taught_by_teachers(arm, eyes_a, eyes_b), test_a, test_b)
    model, game = train_model(arm, eyes_a, eyes_b)
    found = scores(model, test_a, test_b)
    if model.realism is not None:
        tenth = arm.steps // 10
        found |= {D2_EARLY: statistics.mean(game[tenth : 2 * tenth]), D2_LATE: statistics.mean(game[-tenth:])}
    return found


def train_model(arm: Arm, eyes_a: Eyes, eyes_b: Eyes) -> tuple[MultitaskAdversaries, list[float]]:
    """Return the trained network and how often the second discriminator was right in each step."""
    model = build_model(arm)
    game: list[float] = []

    def loss(index: Tensor) -> Tensor:
        batch = draw_batch((eyes_a, eyes_b), index, seed=[arm.seed, len(game)], colours=arm.name == "masked, colours")
        if arm.name == "naive":
            batch["annotated"] = torch.ones_like(batch["annotated"])
        if model.settings.unannotated == "unknown":
            batch["present"] = batch["present"].masked_fill(batch["present"] == 0, torch.nan)
        step = model.step(batch, Progress(0, 1, len(game), arm.steps))
        game.append(float(step.logs.get("realism/accuracy", 0.5)))
        return step.loss

    train(model, loss, (eyes_a, eyes_b), arm)
    return model, game


def build_model(arm: Arm) -> MultitaskAdversaries:
    """Return the method with small networks and the weights of the arm's seed."""
    network = NetworkConfig("fcn8s", 8, 3, 0.2) if arm.network == "fcn8s" else NetworkConfig("light", 8, 4)
    settings = Config(network=network, discriminator_widths=(8, 16, 32), **ARMS[arm.name])
    labels = {name: value for value, name in enumerate(FUNDUS_CLASSES, start=1)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(arm.seed)
        return MultitaskAdversaries(settings, Task(2, 2, ("red", "green", "blue"), labels, SHAPE, (1.0, 1.0)))


def train(model: MultitaskAdversaries, loss: Any, sets: Sequence[Eyes], arm: Arm) -> None:
    """Train as every arm is trained."""
    count = sum(len(eyes.images) for eyes in sets)
    train_network(
        model, loss, images=count, steps=arm.steps, seed=arm.seed, batch_size=BATCH, learning_rate=LEARNING_RATE
    )


def draw_batch(sets: Sequence[Eyes], index: Tensor, *, seed: Sequence[int], colours: bool = False) -> dict[str, Tensor]:
    """Return crops of images, numbered through all sets, mirrored at random and with ``colours`` re-exposed."""
    rng = np.random.default_rng([1, *seed])
    parts: dict[str, list[Tensor]] = {"image": [], "labels": [], "annotated": [], "present": []}
    for number in index.tolist():
        eyes = sets[0] if number < len(sets[0].images) else sets[1]
        number -= 0 if eyes is sets[0] else len(sets[0].images)
        corner = [int(rng.integers(size - side + 1)) for size, side in zip(eyes.labels.shape[1:], SHAPE, strict=True)]
        window = (number, ..., *(slice(c, c + side) for c, side in zip(corner, SHAPE, strict=True)))
        axes = [axis for axis in (-2, -1) if rng.random() < 0.5]
        image = eyes.images[window].flip(axes)
        if colours:
            gain, shift = (torch.from_numpy(rng.normal(0, 0.3, (2, 3, 1, 1))).float()).unbind()
            image = image * (1 + gain) + shift
        parts["image"].append(image)
        parts["labels"].append(eyes.labels[window].flip(axes))
        parts["annotated"].append(eyes.annotated[number])
        parts["present"].append(eyes.present[number])
    return {name: torch.stack(tensors) for name, tensors in parts.items()}


def taught_by_teachers(arm: Arm, eyes_a: Eyes, eyes_b: Eyes) -> MultitaskAdversaries:
    """Return a network trained on each data set's annotations and, for the rest, on a teacher's of the other one."""
    filled = []
    for own, other in ((eyes_a, eyes_b), (eyes_b, eyes_a)):
        teacher = build_model(arm)
        steps = iter(range(arm.steps))

        def loss(index: Tensor, other: Eyes = other, teacher: Any = teacher, steps: Iterator[int] = steps) -> Tensor:
            step: Tensor = teacher.step(draw_batch((other,), index, seed=[arm.seed, next(steps)]), Progress(0, 1)).loss
            return step

        train(teacher, loss, (other,), arm)
        filled.append((probabilities(teacher, own.images) > 0.5).astype(np.float32))
    student = build_model(arm)
    images = torch.cat([eyes_a.images, eyes_b.images])
    numbers = torch.arange(1, len(FUNDUS_CLASSES) + 1).view(1, -1, 1, 1)
    drawn = (torch.cat([eyes_a.labels, eyes_b.labels])[:, None] == numbers).float()
    annotated = torch.cat([eyes_a.annotated, eyes_b.annotated])[:, :, None, None] > 0.5
    truth = torch.where(annotated, drawn, torch.from_numpy(np.concatenate(filled)))
    rng = np.random.default_rng([2, arm.seed])

    def student_loss(index: Tensor) -> Tensor:
        axes = [axis for axis in (-2, -1) if rng.random() < 0.5]
        value: Tensor = student.segmentation(student(images[index].flip(axes)), truth[index].flip(axes))
        return student.settings.segmentation_weight * value

    train(student, student_loss, (eyes_a, eyes_b), arm)
    return student


@torch.no_grad()
def probabilities(model: MultitaskAdversaries, images: Tensor) -> Array:
    """Return the probability of every class for itself, [N, 6, y, x]."""
    from monai.inferers.utils import sliding_window_inference

    model.eval()
    found = [
        sliding_window_inference(part, SHAPE, 16, model.class_probabilities, overlap=0.5)  # as large as in training
        for part in torch.split(images, 8)
    ]
    result: Array = torch.cat([torch.as_tensor(part) for part in found]).numpy()
    return result


def scores(model: MultitaskAdversaries, test_a: TestEyes, test_b: TestEyes) -> dict[str, float]:
    """Return the scores on test images; of real photographs those of their vessels only."""
    on_a, on_b = probabilities(model, test_a.images), probabilities(model, test_b.images)
    found = {VESSELS_A: _dice(on_a, test_a, 0), VESSELS_B: _dice(on_b, test_b, 0), DISC_B: _dice(on_b, test_b, 1)}
    found[LESIONS_B] = _lesion_precision(on_b, test_b)
    if test_a.masks.shape[1] > 1:
        found |= {DISC_A: _dice(on_a, test_a, 1), LESIONS_A: _lesion_precision(on_a, test_a)}
        found[OWN_MEAN] = statistics.mean(found[name] for name in (VESSELS_A, DISC_B, LESIONS_B))
        found[CROSS_MEAN] = statistics.mean(found[name] for name in (VESSELS_B, DISC_A, LESIONS_A))
    else:
        found |= vessel_scores(best_over_thresholds(on_a[:, 0], test_a.masks[:, 0], test_a.fields))
    if model.presence is not None:
        with torch.no_grad():
            answers = model.presence(torch.cat([test_b.images, torch.from_numpy(on_b)], dim=1)).numpy() > 0
        found[D1_RIGHT] = float((answers == test_b.masks.any(axis=(2, 3))).mean())
    return found


def vessel_scores(best: ThresholdScores) -> dict[str, float]:
    """Return the paper's five scores of vessels."""
    return {SE: best.sensitivity, SP: best.specificity, ACC: best.accuracy, F1: best.f1, AUC: best.roc_auc}


def _dice(predicted: Array, test: TestEyes, channel: int) -> float:
    pairs = zip(predicted[:, channel] > 0.5, test.masks[:, channel], strict=True)
    return statistics.mean(dice(found, truth) for found, truth in pairs)


def _lesion_precision(predicted: Array, test: TestEyes) -> float:
    kinds = range(2, len(FUNDUS_CLASSES))
    return statistics.mean(best_over_thresholds(predicted[:, k], test.masks[:, k]).average_precision for k in kinds)


# -- eyes --------------------------------------------------------------------------------------------------------------


@cache
def load_eyes(kind: str, seed: int, data: Path | None) -> tuple[Eyes, Eyes, TestEyes, TestEyes]:
    """Return training images of A and B (48 each) and test images of both (16 each), new for every seed.

    A shows its vessels and, as everybody knows, a disc, and no lesions; B shows vessels, as everybody knows.
    """
    unknown = torch.nan
    images_b, masks_b = FundusPhantom(SHAPE).generate(48, seed=4 * seed)
    eyes_b = _eyes(images_b, _labels(masks_b, range(1, 6)), [0, 1, 1, 1, 1, 1], [1.0] + [unknown] * 5)
    test_b = _test(*FundusPhantom(SHAPE).generate(16, seed=4 * seed + 1), FundusPhantom(SHAPE).field())
    if kind == "chase":
        train_a, test_a = chase(seed, data)
        present = [1.0, unknown, 0.0, 0.0, 0.0, 0.0]  # a crop need not show the disc
        balanced = np.arange(48) % len(train_a[0])  # few photographs, seen as often as the many of B, in other crops
        eyes_a = _eyes(train_a[0][balanced], train_a[1][balanced], [1, 0, 0, 0, 0, 0], present)
        return eyes_a, eyes_b, test_a, test_b
    images_a, masks_a = FundusPhantom(SHAPE, style="dark", lesions=0.0).generate(48, seed=4 * seed + 2)
    eyes_a = _eyes(images_a, _labels(masks_a, range(1)), [1, 0, 0, 0, 0, 0], [1.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    test_a = _test(*FundusPhantom(SHAPE, style="dark").generate(16, seed=4 * seed + 3), FundusPhantom(SHAPE).field())
    return eyes_a, eyes_b, test_a, test_b


def _labels(masks: NDArray[np.bool_], annotated: Sequence[int]) -> NDArray[np.uint8]:
    """Return a label map of the annotated classes, later ones on top."""
    labels = np.zeros((len(masks), *masks.shape[2:]), np.uint8)
    for channel in annotated:
        labels[masks[:, channel]] = channel + 1
    return labels


def _eyes(images: Array, labels: NDArray[np.uint8], annotated: list[int], present: list[float]) -> Eyes:
    prepared = np.stack([normalise_intensity(image, "volume") for image in images])
    count = len(images)
    facts = [torch.tensor(values, dtype=torch.float32).expand(count, -1) for values in (annotated, present)]
    return Eyes(torch.from_numpy(prepared), torch.from_numpy(labels).long(), *facts)


def _test(images: Array, masks: NDArray[np.bool_], field: NDArray[np.bool_]) -> TestEyes:
    prepared = np.stack([normalise_intensity(image, "volume") for image in images])
    fields = np.broadcast_to(field, (len(images), *images.shape[2:]))
    return TestEyes(torch.from_numpy(prepared), masks, fields)


def chase(seed: int, data: Path | None) -> tuple[tuple[Array, NDArray[np.uint8]], TestEyes]:
    """Return photographs and vessels for training, and for testing those of two fifths of the children."""
    eyes = chase_eyes(data)
    children = sorted({name[:-1] for name in eyes})
    order = np.random.default_rng(seed).permutation(len(children))
    held_out = {children[place] for place in order[: max(2 * len(children) // 5, 1)]}
    train = [eye for name, eye in eyes.items() if name[:-1] not in held_out]
    test = [eye for name, eye in eyes.items() if name[:-1] in held_out]
    if not train:
        raise InputError(f"{data}: the study needs photographs of at least 2 children; got {list(eyes)}")
    images = np.stack([image for image, *_ in test])
    masks = np.stack([vessels for _, vessels, _ in test])[:, None] > 0
    return (np.stack([image for image, *_ in train]), np.stack([vessels for _, vessels, _ in train])), _test(
        images, masks, np.stack([image[0] > 0.15 for image in images])
    )


@cache
def chase_eyes(data: Path | None) -> dict[str, tuple[Array, NDArray[np.uint8], NDArray[np.uint8] | None]]:
    """Return by name each photograph in [0, 1], its vessels, and those of a second observer, a quarter as large."""
    if data is not None and list(data.glob("*_1stHO.png")):
        from shapewright.data import read_image, read_labels

        files = {path.name.removesuffix("_1stHO.png"): path for path in sorted(data.glob("*_1stHO.png"))}
        read = {
            name: (read_image(data / f"{name}.jpg").array, read_labels(path).array[0] > 0, second)
            for name, path in files.items()
            for second in [read_labels(data / f"{name}_2ndHO.png").array[0] > 0]
        }
    else:
        dataset = samples.load("vessels") if data is None else open_dataset(data)
        read = {}
        for case in dataset.cases:
            image, labels = load_case(case, dataset)
            if labels is None or image.array.shape[0] != 3 or image.spatial_dims != 2:
                raise InputError(
                    f"{dataset.path}: the study needs colour photographs with labels; {case.id} is not one"
                )
            read[case.id] = (image.array, labels.array[0] == next(iter(dataset.labels.values())), None)
    return {name: _quarter(*eye) for name, eye in read.items()}


def _quarter(
    image: NDArray[Any], vessels: NDArray[np.bool_], second: NDArray[np.bool_] | None
) -> tuple[Array, NDArray[np.uint8], NDArray[np.uint8] | None]:
    rows, columns = image.shape[1] // 4, image.shape[2] // 4
    shape = (rows, columns)
    blocks = image[:, : 4 * rows, : 4 * columns].reshape(3, rows, 4, columns, 4).mean(axis=(2, 4)) / 255
    drawn = [None if mask is None else resample_labels(mask.astype(np.uint8), shape) for mask in (vessels, second)]
    assert drawn[0] is not None
    return blocks.astype(np.float32), drawn[0], drawn[1]


def observer_scores(data: Path | None, seeds: Sequence[int]) -> dict[str, list[float]]:
    """Return what the second observer of CHASE_DB1 scores against the first on each seed's test images, if known."""
    found: dict[str, list[float]] = {}
    for seed in seeds if data is not None else ():
        test = chase(seed, data)[1]
        seconds = {eye[1].tobytes(): eye[2] for eye in chase_eyes(data).values()}
        drawn = [seconds[mask[0].astype(np.uint8).tobytes()] for mask in test.masks]
        if any(mask is None for mask in drawn):
            return {}
        best = best_over_thresholds(
            np.stack([mask for mask in drawn if mask is not None]), test.masks[:, 0], test.fields
        )
        for name, value in vessel_scores(best).items():
            found.setdefault(name, []).append(round(value, 4))
    found.pop(AUC, None)
    return found


# -- the table ---------------------------------------------------------------------------------------------------------


def summarise(
    results: Mapping[Arm, Mapping[str, float]], seeds: Sequence[int], observer: Mapping[str, Sequence[float]]
) -> Reproduction:
    """Return the table and the relations of finished arms."""
    settings = by_setting(results)
    rows = [
        make_row(arm.setting, runs, COLUMNS, PAPER.get(arm.name) if arm.eyes == "chase" else None)
        for arm, runs in settings.items()
    ]
    if observer:
        rows.append(Row(f"{OBSERVER} / chase", ours=observer))
    title = "Learning with multitask adversaries (Saha et al., MIDL 2019)"
    return make_reproduction(title, COLUMNS, rows, relations(settings), NOTES, seeds=seeds, measured=results.values())


def relations(settings: Mapping[Arm, Runs]) -> Iterator[Relation]:
    """Yield what the mask gives, what the adversaries add (R1, R2), and what the controls and improvements do."""
    for masked in [arm for arm in settings if arm.name == "masked"]:
        context = masked.setting.removeprefix("masked").removeprefix(" / ")
        suffix = f", {context}" if context else ""

        def partner(name: str, masked: Arm = masked) -> Runs | None:
            return settings.get(replace(masked, name=name))

        if naive := partner("naive"):
            statement = "Masking what is not annotated gains at least 0.20 on classes of the other data set"
            yield compare(
                f"mask{suffix}", statement, CROSS_MEAN, naive, settings[masked], lambda g: statistics.median(g) >= 0.20
            )
        if masked.eyes == "chase":
            yield from _vessel_relations(settings[masked], partner("all"), suffix)
            continue
        for name in [name for name in ARMS if name not in ("naive", "masked")]:
            runs = partner(name)
            if runs is not None:
                yield from _gain_relations(name, settings[masked], runs, suffix)


def _vessel_relations(masked: Runs, adversaries: Runs | None, suffix: str) -> Iterator[Relation]:
    for column, printed in ((F1, "0.031"), (AUC, "0.022")) if adversaries else ():
        assert adversaries is not None
        statement = f"Both adversaries raise the {column} of vessels with every seed (printed: by {printed})"
        yield compare(f"R1 {column}{suffix}", statement, column, masked, adversaries, every_seed)


def _gain_relations(name: str, masked: Runs, runs: Runs, suffix: str) -> Iterator[Relation]:
    others, owns = (differences(column, masked, runs) for column in (CROSS_MEAN, OWN_MEAN))
    label = "R2" if name == "all" else "control" if name in CONTROLS else "option" if name in OPTIONS else "part"
    yield Relation(
        f"{label}: {name}{suffix}",
        "Over masking alone, gains at least 0.02 on classes of the other data set and loses at most 0.01 on its own",
        statistics.median(others) >= 0.02 and statistics.median(owns) >= -0.01,
        f"other {signed(others)}; own {signed(owns)}",
    )
    if D1_RIGHT in runs[0] and name in ("D1", "all"):
        right = [scores[D1_RIGHT] for scores in runs]
        statement = "The first discriminator names more than 0.85 of the classes of unseen images rightly"
        yield Relation(
            f"D1: {name}{suffix}", statement, statistics.median(right) > 0.85, f"median {statistics.median(right):.3f}"
        )
    if D2_LATE in runs[0] and name in ("D2", "all"):
        late = [scores[D2_LATE] for scores in runs]
        early = [scores[D2_EARLY] for scores in runs]
        statement = "The second discriminator tells drawn from predicted masks ever less well, below 0.8 at the end"
        yield Relation(
            f"D2: {name}{suffix}",
            statement,
            statistics.median(late) < min(0.8, statistics.median(early)),
            f"median {statistics.median(early):.3f} early, {statistics.median(late):.3f} at the end",
        )
