"""Several data sets as one: folders with different labels and channels, declared in a YAML file.

Every data set keeps its own folder, label values and channels. The file says what its labels mean in a common set of
classes; what a data set does not annotate is unknown, not background.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray

from shapewright.data.folder import CaseFiles, DatasetFolder, open_dataset
from shapewright.data.formats.files import existing
from shapewright.data.image import Image
from shapewright.errors import InputError, suggest, unknown
from shapewright.losses.label_space import BACKGROUND, LabelSpace, Meaning

ENDINGS = (".yaml", ".yml")
IGNORE = 255  # value of voxels to ignore in every case of a collection that has some
Use = Literal["split", "train", "test"]


@dataclass(frozen=True, eq=False)
class Member:
    """One data set of a collection.

    Parameters
    ----------
    name
        Its name in the file.
    dataset
        Its folder, with its channels named as in the collection.
    numbers
        Its labels, the background included, to their numbers in the collection's label space.
    annotated
        Class indices that it annotates; None for all.
    zero_is_background
        Voxels that are 0 in every channel, as outside the head of a skull-stripped image, are certainly background.
    use
        ``split`` as configured, ``train`` or ``test`` for all of its cases.
    """

    name: str
    dataset: DatasetFolder
    numbers: Mapping[str, int]
    annotated: frozenset[int] | None
    zero_is_background: bool = False
    use: Use = "split"

    def number_labels(self, labels: Image, image: Image, classes: int) -> NDArray[np.int16]:
        """Return labels as written by the data set as class indices; ``-1 - i`` is label set i of the collection.

        Raises
        ------
        InputError
            The mask shows a label that the collection's file does not list.
        """
        values = {BACKGROUND: 0, **self.dataset.labels}
        result = np.full(labels.array.shape, IGNORE, np.int16)
        for name, value in values.items():
            there = labels.array == value
            if name not in self.numbers:
                if there.any():
                    raise InputError(
                        f"{labels.path} shows {name!r} (value {value}), but the data set {self.name!r} does not list "
                        f"{name!r} among its labels: {', '.join(self.numbers)}. Add it, or correct the mask"
                    )
                continue
            number = self.numbers[name]
            result[there] = number if number < classes else classes - 1 - number
        if self.zero_is_background:
            result[(labels.array == 0) & (image.array == 0).all(axis=0)] = 0
        return result


def is_collection(path: str | os.PathLike[str]) -> bool:
    """Say whether a path is that of a collection's file."""
    return Path(path).suffix.lower() in ENDINGS


def open_collection(path: str | os.PathLike[str]) -> DatasetFolder:
    """Open the data sets that a YAML file declares as one.

    Parameters
    ----------
    path
        The file: ``datasets``, a mapping of names to data sets, and optionally ``name`` and ``classes`` (their order).
        A data set has ``folder`` (relative to the file) and optionally ``channels`` (names, in the folder's order),
        ``labels`` (a list of the folder's labels that its masks were annotated for, or a mapping of each to the class
        or classes that it stands for), ``background`` (classes that its background may be; default the background and
        all classes that it does not annotate), ``zero_is_background`` and ``use`` (``split``, ``train``, ``test``).

    Returns
    -------
    DatasetFolder
        Cases are named ``dataset-case``; ``members`` holds the data sets, ``label_sets`` the sets of classes.

    Raises
    ------
    InputError
        The file cannot be understood; a folder cannot be opened; a label or channel that the folder does not have; a
        data set without a channel in common with another; a class that no data set tells from the others; a data set
        that tells no class from the others and is not for training alone.
    """
    source = existing(path)
    content = _read(source)
    declared = content["datasets"]
    opened = {name: _open(source, name, given) for name, given in declared.items()}
    meanings = {name: _meaning(source, name, declared[name], opened[name]) for name in declared}
    try:
        space = LabelSpace.union(meanings, content.get("classes"))
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    every = frozenset(range(1, len(space.classes) + 1))
    members = {
        name: Member(
            name,
            dataset,
            space.numbers[name],
            None if space.annotated(name) == every else space.annotated(name),
            bool(declared[name].get("zero_is_background", False)),
            declared[name].get("use", "split"),
        )
        for name, dataset in opened.items()
    }
    _check_channels(source, opened)
    for name, member in members.items():
        if member.annotated is not None and not member.annotated and member.use != "train":
            raise InputError(
                f"{source}: the labels of the data set {name!r} tell no class from all others, so nothing can be "
                "measured on it. Name a class under 'labels', or say 'use: train'"
            )
    cases = [
        dataclasses.replace(case, id=f"{name}-{case.id}", member=name, weak={})
        for name, member in members.items()
        for case in member.dataset.cases
        if case.has_mask
    ]
    return DatasetFolder(
        path=source,
        name=str(content.get("name", source.stem)),
        channels=tuple(dict.fromkeys(channel for one in opened.values() for channel in one.channels)),
        labels={name: index for index, name in enumerate(space.classes, start=1)},
        cases=tuple(cases),
        ignore_label=IGNORE if any(one.ignore_label is not None for one in opened.values()) else None,
        description=str(content.get("description", "")),
        licence="; ".join(dict.fromkeys(one.licence for one in opened.values() if one.licence)),
        members=members,
        label_sets=space.sets,
    )


def common_channels(dataset: DatasetFolder) -> DatasetFolder:
    """Return a dataset with the channels alone that all its data sets have.

    Raises
    ------
    InputError
        There is none.
    """
    names = tuple(
        name for name in dataset.channels if all(name in one.dataset.channels for one in dataset.members.values())
    )
    if not names:
        has = "; ".join(f"{name} has {', '.join(one.dataset.channels)}" for name, one in dataset.members.items())
        raise InputError(
            f"{dataset.path}: this method needs channels that every data set has, and there is none: {has}"
        )
    return dataclasses.replace(dataset, channels=names)


def load_member_case(
    case: CaseFiles, dataset: DatasetFolder, image: Image, labels: Image | None
) -> tuple[Image, Image | None]:
    """Return a case's image and labels, as read by its data set, in terms of the collection.

    The image has the collection's channels; one that the data set lacks is NaN throughout. Labels are class indices;
    ``-1 - i`` stands for any class of ``dataset.label_sets[i]``.
    """
    member = dataset.members[case.member]
    if labels is not None:
        numbered = member.number_labels(labels, image, len(dataset.labels) + 1)
        labels = dataclasses.replace(labels, array=numbered)
    return place_channels(image, member.dataset.channels, dataset.channels), labels


def place_channels(image: Image, names: Sequence[str], wanted: Sequence[str]) -> Image:
    """Return an image whose channels are ``names`` with the channels ``wanted``; those it lacks are NaN throughout."""
    there = dict(zip(names, image.array, strict=True))
    blank = np.full(image.spatial_shape, np.nan, np.float32)
    return dataclasses.replace(image, array=np.stack([there.get(name, blank) for name in wanted]))


def _read(source: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{source}: cannot be read as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not isinstance(content.get("datasets"), dict) or not content["datasets"]:
        raise InputError(f"{source}: must have 'datasets', a mapping of names to data sets with a 'folder' each")
    _check_keys(source, "the file", content, ("name", "description", "classes", "datasets"))
    classes = content.get("classes")
    if classes is not None:
        named = isinstance(classes, list) and all(isinstance(one, str) for one in classes)
        if not named or len(set(classes)) < len(classes):
            raise InputError(f"{source}: classes must be a list of names, each once; got {classes!r}")
    return content


def _check_keys(source: Path, what: str, given: Mapping[str, Any], accepted: Sequence[str]) -> None:
    for key in given:
        if key not in accepted:
            raise InputError(f"{source}: {what} has no option {key!r}{suggest(str(key), accepted)}; it has {accepted}")


def _open(source: Path, name: str, given: Any) -> DatasetFolder:
    """Open one data set's folder, its channels renamed."""
    if not isinstance(given, dict) or not isinstance(given.get("folder"), str):
        raise InputError(f"{source}: the data set {name!r} needs a 'folder'; got {given!r}")
    accepted = ("folder", "channels", "labels", "background", "zero_is_background", "use")
    _check_keys(source, f"the data set {name!r}", given, accepted)
    if given.get("use", "split") not in ("split", "train", "test"):
        problem = unknown(f"use of the data set {name!r}", str(given["use"]), ("split", "train", "test"))
        raise InputError(f"{source}: {problem}")
    zero = given.get("zero_is_background", False)
    if not isinstance(zero, bool):
        raise InputError(f"{source}: zero_is_background of the data set {name!r} must be true or false; got {zero!r}")
    if is_collection(given["folder"]):
        raise InputError(f"{source}: the data set {name!r} must be a folder, not a file; got {given['folder']!r}")
    dataset = open_dataset(source.parent / given["folder"])
    channels = given.get("channels")
    if channels is None:
        return dataset
    if not isinstance(channels, list) or len(channels) != len(dataset.channels):
        raise InputError(
            f"{source}: channels of the data set {name!r} must name its {len(dataset.channels)} channel(s) "
            f"({', '.join(dataset.channels)}) in order; got {channels!r}"
        )
    return dataclasses.replace(dataset, channels=tuple(str(channel) for channel in channels))


def _meaning(source: Path, name: str, given: Mapping[str, Any], dataset: DatasetFolder) -> Meaning:
    """Return what a data set's labels stand for."""
    labels = given.get("labels", list(dataset.labels))
    if isinstance(labels, list):
        labels = {str(label): str(label) for label in labels}
    if not isinstance(labels, dict) or not labels:
        raise InputError(f"{source}: labels of the data set {name!r} must be a list or a mapping; got {labels!r}")
    labels = {str(label): meant for label, meant in labels.items()}
    for label in labels:
        if label not in dataset.labels:
            hint = suggest(label, dataset.labels)
            raise InputError(
                f"{source}: the data set {name!r} has no label {label!r}{hint}; it has {', '.join(dataset.labels)}"
            )
    if given.get("background") is not None:
        labels[BACKGROUND] = given["background"]
    return {label: _classes(source, f"{label!r} of the data set {name!r}", meant) for label, meant in labels.items()}


def _classes(source: Path, what: str, meant: Any) -> str | tuple[str, ...]:
    """Return the class or classes that a label stands for."""
    if isinstance(meant, str):
        return meant
    if not isinstance(meant, list) or not meant or not all(isinstance(one, str) for one in meant):
        raise InputError(f"{source}: {what} must stand for a class or a list of classes, by name; got {meant!r}")
    return tuple(meant)


def _check_channels(source: Path, opened: Mapping[str, DatasetFolder]) -> None:
    """Refuse a data set that shares no channel with any other: nothing could be learned from one for the other."""
    for name, dataset in opened.items():
        others = {channel for other, one in opened.items() if other != name for channel in one.channels}
        if others and not others & set(dataset.channels):
            near = next(
                (hint for channel in dataset.channels if (hint := suggest(channel.lower(), _lower(others)))), ""
            )
            raise InputError(
                f"{source}: the data set {name!r} shares no channel with another: it has "
                f"{', '.join(dataset.channels)}, the others have {', '.join(sorted(others))}{near}. Name what is equal "
                "equally under 'channels'"
            )


def _lower(names: set[str]) -> list[str]:
    return sorted(name.lower() for name in names)
