"""From a dataset's folder to prepared cases."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.data import CaseFiles, DatasetFolder, Image, load_case, open_dataset, read_split, samples, split_cases
from shapewright.data.kinds import usable
from shapewright.data.patches import TrainingCase
from shapewright.data.preprocess import UNKNOWN, missing_channels, prepare_image, prepare_labels, target_shape
from shapewright.data.supervision import Supervision
from shapewright.data.task import Task, choose_patch_size, choose_spacing
from shapewright.data.weak_labels import load_supervision
from shapewright.errors import InputError
from shapewright.training.config import PrepareConfig, SplitConfig

SAMPLE_PREFIX = "sample:"
SPLITS = ("train", "val", "test")
MASKS = {"dense", "partial", "sparse", "scribbles"}

ImageTargets = Callable[[TrainingCase], Mapping[str, NDArray[Any]]]
"""What a method makes of a whole image, :meth:`shapewright.training.method.Method.image_targets`."""

Split = Mapping[str, tuple[CaseFiles, ...]]
Track = Callable[[Iterable[Any], str], Iterable[Any]]
"""Wraps an iterable to show progress: ``track(items, description)``."""


@dataclass(frozen=True)
class LoadedCase:
    """A case in canonical orientation, as read; ``labels`` is None without a mask."""

    id: str
    split: str
    image: Image
    labels: Image | None
    supervision: Supervision
    member: str = ""


def open_data(source: str, *, binary: bool = False) -> DatasetFolder:
    """Open a dataset's folder, a collection's YAML file or a bundled folder named ``sample:NAME``.

    ``binary`` makes all labels one class.
    """
    bundled = source.startswith(SAMPLE_PREFIX)
    path = samples.load(source.removeprefix(SAMPLE_PREFIX)).path if bundled else Path(source)
    return open_dataset(path, labels="binary" if binary else "auto")


def split_dataset(dataset: DatasetFolder, config: SplitConfig, supervision: Sequence[str] = ("dense",)) -> Split:
    """Return the cases of each split.

    Cases with a mask are split; the others, which nothing can be measured against, all train. The data sets of a
    collection are split one by one, so that each is measured.

    Parameters
    ----------
    dataset, config
        The folder, and how to split it.
    supervision
        Kinds of label that the method can use; cases without a mask join where they have one of them.

    Raises
    ------
    InputError
        No case to train on, an invalid pattern, or a split file that does not fit the folder.
    """
    if dataset.members and config.file is None:
        return _split_members(dataset, config)
    labelled = {case.id: case for case in dataset.cases if case.has_mask}
    weak = {case.id: case for case in dataset.cases if not case.has_mask and usable(_kinds(case), supervision)}
    if not labelled and not weak:
        raise InputError(f"{dataset.path} has no labelled case to train on; see shapewright doctor {dataset.path}")
    names: Mapping[str, Sequence[str]]
    if config.file is not None:
        file = Path(config.file)
        mentioned = {name for cases in read_split(file).values() for name in cases}
        without = {case.id for case in dataset.cases if not case.has_mask} & mentioned
        names = read_split(file, [*labelled, *without])
        unmeasured = [name for split in ("val", "test") for name in names.get(split, ()) if name in without]
        if unmeasured:
            raise InputError(f"{file}: {unmeasured[0]} has no mask to measure against; it can only train")
        able = {**labelled, **weak}
        names = {split: [name for name in members if name in able] for split, members in names.items()}
        labelled = able
    elif not labelled:
        return {"train": tuple(weak.values()), "val": (), "test": ()}
    else:
        train = 1.0 - config.validation - config.test
        names = split_cases(
            labelled,
            seed=config.seed,
            fractions={"train": train, "val": config.validation, "test": config.test},
            group_by=config.group_by,
        )
        names = {**names, "train": (*names["train"], *weak)}
        labelled |= weak
    return {split: tuple(labelled[name] for name in names.get(split, ())) for split in SPLITS}


def _split_members(dataset: DatasetFolder, config: SplitConfig) -> Split:
    """Split every data set of a collection, or put it where its ``use`` says."""
    whole: dict[str, tuple[CaseFiles, ...]] = dict.fromkeys(SPLITS, ())
    for name, member in dataset.members.items():
        cases = tuple(case for case in dataset.cases if case.member == name)
        if member.use == "split":
            parts = split_dataset(dataclasses.replace(dataset, cases=cases, members={}), config)
        else:
            parts = {member.use: cases}
        whole = {split: (*cases, *parts.get(split, ())) for split, cases in whole.items()}
    return whole


def _kinds(case: CaseFiles) -> tuple[str, ...]:
    """Return the kinds of label of a case without a mask, by its files."""
    return tuple(kind for kind in case.weak if kind != "partial") or ("unlabelled",)


def load_cases(dataset: DatasetFolder, split: Split, track: Track) -> list[LoadedCase]:
    """Read the cases of all splits.

    Raises
    ------
    InputError
        A file cannot be read, its label does not fit, or it holds what cannot be trained or measured on.
    """
    planned = [(name, case) for name in SPLITS for case in split[name]]
    loaded = []
    for name, case in track(planned, "reading"):
        image, labels = load_case(case, dataset)
        _check_values(case, image, labels, dataset.ignore_label)
        image = image.canonical()
        labels = labels and labels.canonical()
        supervision = load_supervision(case, dataset, image, labels)
        loaded.append(LoadedCase(case.id, name, image, labels, supervision, case.member))
    return loaded


def usable_cases(cases: Sequence[LoadedCase], supervision: Sequence[str], method: str) -> list[LoadedCase]:
    """Return the cases without those that would train, but have no label that the method can use.

    A mask that the method cannot use is taken from the cases it trains on: a method that learns from points must not
    see it, not even in where patches are cut.

    Raises
    ------
    InputError
        No case to train on is left.
    """
    kept = []
    for case in cases:
        if case.split != "train":
            kept.append(case)
        elif seen := usable(case.supervision.kinds, supervision):
            kept.append(case if set(seen) & MASKS else _without_mask(case))
    if any(case.split == "train" for case in kept):
        return kept
    there = sorted({kind for case in cases if case.split == "train" for kind in case.supervision.kinds})
    raise InputError(
        f"{method} learns from {' or '.join(supervision)} labels; the cases to train on have {', '.join(there)}. "
        "shapewright doctor DATA says which methods fit"
    )


def _without_mask(case: LoadedCase) -> LoadedCase:
    known = dataclasses.replace(case.supervision, mask=None, annotated=None)
    return dataclasses.replace(case, labels=None, supervision=known)


def _check_values(case: CaseFiles, image: Image, labels: Image | None, ignore: int | None) -> None:
    """Refuse before training what would only be noticed when the held-out cases are measured."""
    there = image.array[~missing_channels(image.array)] if case.member else image.array
    if not np.isfinite(there).all():
        raise InputError(f"{case.images[0]} holds NaN or infinite values; see shapewright doctor")
    if labels is not None and labels.array.min() < 0 and not case.member:
        raise InputError(f"{case.label}: label values must not be negative; found {int(labels.array.min())}")
    if labels is not None and ignore is not None and (labels.array == ignore).all():
        raise InputError(f"{case.label} marks every voxel as 'ignore': it says nothing. Annotate it, or remove it")


def plan_task(dataset: DatasetFolder, cases: Sequence[LoadedCase], config: PrepareConfig) -> Task:
    """Fix what the network works on: rank, spacing, patch size, classes.

    Raises
    ------
    InputError
        Images of different rank, no label or too many, or options that do not fit them.
    """
    if not 0 < len(dataset.labels) < UNKNOWN:
        raise InputError(f"{dataset.path} has {len(dataset.labels)} labels, but training needs 1 to {UNKNOWN - 1}")
    ranks = Counter(case.image.spatial_dims for case in cases)
    if len(ranks) > 1:
        raise InputError(f"{dataset.path} mixes 2D and 3D images ({dict(ranks)}); train on one rank at a time")
    image_dims = next(iter(ranks))
    single = image_dims == 3 and all(case.image.spatial_shape[0] == 1 for case in cases)  # 2D images in a volume format
    spatial_dims = config.spatial_dims or (2 if single else image_dims)
    if spatial_dims > image_dims:
        raise InputError(f"prepare.spatial_dims is {spatial_dims}, but the images of {dataset.path} have {image_dims}")
    spacing = config.spacing or choose_spacing([case.image.spacing for case in cases])
    if len(spacing) != image_dims or min(spacing) <= 0:
        raise InputError(f"prepare.spacing must have {image_dims} positive values in mm; got {spacing}")
    label_sets = _label_sets(dataset, cases)
    if len(dataset.labels) + len(label_sets) + 1 > UNKNOWN:
        raise InputError(f"{dataset.path}: {len(label_sets)} different sets of annotated labels are too many")
    shapes = [target_shape(case.image.spatial_shape, case.image.spacing, spacing) for case in cases]
    return Task(
        spatial_dims=spatial_dims,
        image_dims=image_dims,
        channels=tuple(dataset.channels),
        labels=dict(dataset.labels),
        patch_size=choose_patch_size(
            shapes, spatial_dims=spatial_dims, max_voxels=config.patch_voxels, given=config.patch_size
        ),
        spacing=tuple(spacing),
        normalise=config.normalise,
        ignore_label=dataset.ignore_label,
        label_sets=label_sets,
        optional_channels=any(missing_channels(case.image.array).any() for case in cases),
    )


def _label_sets(dataset: DatasetFolder, cases: Sequence[LoadedCase]) -> tuple[tuple[int, ...], ...]:
    """Return the sets of classes that labels stand for: as declared, or what is background in partial masks."""
    if dataset.members:
        return dataset.label_sets
    partial = {case.supervision.annotated for case in cases if case.supervision.annotated is not None}
    return tuple(sorted(_background(annotated, len(dataset.labels)) for annotated in partial))


def _background(annotated: frozenset[int], labels: int) -> tuple[int, ...]:
    """Return what the background of a partial mask may be: background, or a class nobody looked for."""
    return tuple(k for k in range(labels + 1) if k not in annotated)


def prepare_case(case: LoadedCase, task: Task, targets: ImageTargets) -> TrainingCase:
    """Return a case as training sees it, with what the method made of the whole image."""
    prepared = prepare_image(case.image, task)
    shape = prepared.array.shape[1:]
    labels = np.full(shape, UNKNOWN, np.uint8) if case.labels is None else prepare_labels(case.labels, task)
    annotated = case.supervision.annotated
    if annotated is not None and not case.member:
        labels[labels == 0] = task.classes + task.label_sets.index(_background(annotated, len(task.labels)))
    supervision = case.supervision.resized(case.image.spatial_shape, shape)
    plain = TrainingCase(case.id, prepared.array, labels, prepared.spacing, supervision=supervision, member=case.member)
    made = dict(targets(plain))
    if not made:
        return plain
    made_labels = made.pop("labels", labels[None])[0]
    return dataclasses.replace(plain, labels=made_labels, targets=made)


def summarise_data(dataset: DatasetFolder, source: str, task: Task, cases: Sequence[LoadedCase]) -> dict[str, Any]:
    """Return the facts about the data that the report shows."""
    return {
        "name": dataset.name,
        "path": source if source.startswith(SAMPLE_PREFIX) else str(dataset.path),
        "licence": dataset.licence,
        "spatial_dims": task.image_dims,
        "channels": list(task.channels),
        "labels": dict(task.labels),
        "binary": dataset.binary,
        "splits": {split: [case.id for case in cases if case.split == split] for split in SPLITS},
        "cases": [
            {
                "id": case.id,
                "split": case.split,
                "shape": list(case.image.spatial_shape),
                "spacing": [round(value, 6) for value in case.image.spacing],
                "supervision": list(case.supervision.kinds),
                "volumes_ml": _volumes(case.labels, task),
            }
            for case in cases
        ],
    }


def _volumes(labels: Image | None, task: Task) -> dict[str, float]:
    """Return each label's volume in ml; nothing without a mask."""
    if labels is None:
        return {}
    voxel = float(np.prod(labels.spacing)) / 1000
    return {name: round(float((labels.array == value).sum()) * voxel, 6) for name, value in task.labels.items()}
