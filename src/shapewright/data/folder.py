"""Dataset folders as people already have them: Medical Segmentation Decathlon, nnU-Net, or paired folders.

``MSD``: ``dataset.json`` with ``labels`` {"0": "background", "1": ...} and ``training`` [{"image": ..., "label": ...}].
``nnU-Net``: ``dataset.json`` with ``channel_names``, ``labels`` {"background": 0, ...} and ``file_ending``; files
``imagesTr/CASE_0000.nii.gz`` (one per channel) and ``labelsTr/CASE.nii.gz``.
``Paired``: ``images/`` and ``labels/`` (or ``masks/``) with files of the same name, the ending aside. A
``labels.json`` {"background": 0, "vessel": 1}, or a ``dataset.json`` with ``labels`` and optionally ``name``,
``description``, ``licence``, ``instances``, names the classes; without one they are found in the files and named by
their number.

Beside these may lie labels that are less than a mask, see :mod:`shapewright.data.weak_labels`: ``points/CASE.csv``,
``boxes/CASE.csv``, ``scribbles/CASE.png`` and the tables ``sizes.csv``, ``image_labels.csv``, ``annotated.csv``.
"""

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from shapewright.data.formats import read_geometry, read_labels, stem_of, suffix_of
from shapewright.data.formats.files import existing
from shapewright.data.tables import case_names
from shapewright.errors import InputError, suggest, unknown

if TYPE_CHECKING:
    from shapewright.data.collection import Member

IMAGE_FOLDERS = ("images", "imagesTr")
LABEL_FOLDERS = ("labels", "masks", "labelsTr")
TEST_FOLDERS = ("imagesTs", "test_images")
TABLES = {"size": "sizes.csv", "image": "image_labels.csv", "partial": "annotated.csv"}
COLOURS = ("red", "green", "blue")
MANY_VALUES = 50  # more label values than this without names are instance numbers, not classes


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case.

    Parameters
    ----------
    id
        Name of the case.
    images
        One file per channel, or one file (or DICOM folder) with all channels.
    label
        Its label file, or None.
    weak
        Kind of label (``points``, ``boxes``, ``scribbles``, ``size``, ``image``, ``partial``) to the file that has it.
    member
        Name of the data set that it comes from, in a collection of several.
    """

    id: str
    images: tuple[Path, ...]
    label: Path | None = None
    weak: Mapping[str, Path] = field(default_factory=dict, hash=False)
    member: str = ""

    @property
    def has_mask(self) -> bool:
        """Whether there is a mask to measure predictions against; strokes are none."""
        return self.label is not None and self.label != self.weak.get("scribbles")


@dataclass(frozen=True)
class DatasetFolder:
    """What a dataset folder holds.

    Parameters
    ----------
    path, name
        The folder and its name.
    channels
        Names of the channels.
    labels
        Class name to value in the label files, without background (0) and ignored samples.
    cases
        Cases for training and evaluation, sorted by name.
    test_cases
        Cases set apart by the folder (``imagesTs``), usually without labels.
    ignore_label
        Value of samples that count for nothing, or None.
    regions
        nnU-Net's region classes: name to the label values that it unites.
    binary
        Every value of a label file but 0 is the single class of value 1: instance numbers, or masks of 0 and 255.
    description, licence
        As the folder says.
    stray_images, stray_labels
        Files that belong to no case.
    members
        The data sets of a collection by name, see :mod:`shapewright.data.collection`.
    label_sets
        Sets of class indices that labels of a collection stand for, background 0.
    """

    path: Path
    name: str
    channels: tuple[str, ...]
    labels: dict[str, int]
    cases: tuple[CaseFiles, ...]
    test_cases: tuple[CaseFiles, ...] = ()
    ignore_label: int | None = None
    regions: dict[str, tuple[int, ...]] = field(default_factory=dict)
    binary: bool = False
    description: str = ""
    licence: str = ""
    stray_images: tuple[Path, ...] = ()
    stray_labels: tuple[Path, ...] = ()
    members: "Mapping[str, Member]" = field(default_factory=dict)
    label_sets: tuple[tuple[int, ...], ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """Names of the cases."""
        return tuple(case.id for case in self.cases)

    def case(self, name: str) -> CaseFiles:
        """Return a case by its name.

        Raises
        ------
        InputError
            There is none of that name; a similar one is suggested.
        """
        for case in (*self.cases, *self.test_cases):
            if case.id == name:
                return case
        raise unknown(f"case of {self.path}", name, self.ids)


def open_dataset(path: str | os.PathLike[str], *, labels: Literal["auto", "binary"] = "auto") -> DatasetFolder:
    """Say what a dataset folder holds: cases, channels, classes.

    Parameters
    ----------
    path
        Folder in the layout of the Medical Segmentation Decathlon, of nnU-Net (version 2), or with ``images/`` and
        ``labels/`` (or ``masks/``), see this module's description; or the YAML file of a collection, see
        :func:`shapewright.data.collection.open_collection`.
    labels
        ``binary`` treats every label value but 0 as one class, as needed for instance labels; ``auto`` does so for
        masks of 0 and 255 and where ``dataset.json`` says ``"instances": true``.

    Raises
    ------
    InputError
        No such folder, no images in it, a ``dataset.json`` that cannot be understood, or instance labels under
        ``auto``. Single damaged or missing files are left to :func:`check_dataset` and :func:`load_case`.

    Examples
    --------
    >>> from shapewright.data import samples
    >>> dataset = open_dataset(samples.load("hippocampus").path)
    >>> dataset.channels, dataset.labels, len(dataset.cases)
    (('MRI',), {'anterior': 1, 'posterior': 2}, 40)
    """
    folder = existing(path)
    if not folder.is_dir():
        from shapewright.data.collection import is_collection, open_collection

        if is_collection(folder):
            return open_collection(folder)
        raise InputError(
            f"{folder}: a dataset is a folder, not a file, unless it is a YAML file that names several folders"
        )
    if labels not in ("auto", "binary"):
        raise unknown("value for labels", labels, ("auto", "binary"))
    described = _read_json(folder / "dataset.json")
    if "channel_names" in described:
        dataset = _open_nnunet(folder, described)
    elif "training" in described:
        dataset = _open_decathlon(folder, described)
    else:
        dataset = _open_paired(folder, described, binary=labels == "binary")
    if not dataset.cases and not dataset.test_cases:
        raise InputError(f"{folder}: the folder holds no images in a known format; it needs images/ and labels/")
    dataset = _attach_weak_labels(dataset)
    return as_binary_dataset(dataset) if labels == "binary" else dataset


def as_binary_dataset(dataset: DatasetFolder) -> DatasetFolder:
    """Return the dataset with every label value but 0 as one class, named as before where there was one class."""
    name = next(iter(dataset.labels)) if len(dataset.labels) == 1 and not dataset.labels.get("1") else "foreground"
    return dataclasses.replace(dataset, labels={name: 1}, regions={}, ignore_label=None, binary=True)


def find_images(folder: Path) -> list[Path]:
    """Return the readable files of a folder, and its sub-folders with DICOM files, sorted by name.

    Raises
    ------
    InputError
        A file's name is not text, so that no table could name it.
    """
    if not folder.is_dir():
        return []
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    for entry in entries:
        try:
            entry.name.encode()
        except UnicodeEncodeError:
            raise InputError(f"{folder}: the file name {entry.name!r} is not valid UTF-8; rename the file") from None
    return [entry for entry in entries if (_holds_dicom(entry) if entry.is_dir() else suffix_of(entry) is not None)]


def _holds_dicom(folder: Path) -> bool:
    return any(file.suffix.lower() in ("", ".dcm", ".ima") for file in folder.iterdir() if file.is_file())


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: must hold an object {{...}}; got {type(content).__name__}")
    return content


def _open_decathlon(folder: Path, described: dict[str, Any]) -> DatasetFolder:
    source = folder / "dataset.json"
    try:
        cases = [
            CaseFiles(stem_of(entry["image"]), (folder / entry["image"],), folder / entry["label"])
            for entry in described["training"]
        ]
        tests = [entry["image"] if isinstance(entry, dict) else entry for entry in described.get("test", [])]
        test_cases = [CaseFiles(stem_of(entry), (folder / entry,)) for entry in tests]
    except (TypeError, KeyError) as error:
        raise InputError(
            f'{source}: "training" must be a list of {{"image": ..., "label": ...}}, "test" a list of image files'
        ) from error
    used = {path.resolve() for case in cases for path in (*case.images, case.label) if path}
    labels, regions, ignore = parse_labels(described.get("labels"), source)
    return DatasetFolder(
        path=folder,
        channels=_channel_names(described.get("modality") or described.get("channel_names") or {"0": "image"}, source),
        labels=labels,
        regions=regions,
        ignore_label=ignore,
        cases=_sorted(cases),
        test_cases=_sorted(test_cases),
        stray_images=_unused(folder / "imagesTr", used),
        stray_labels=_unused(folder / "labelsTr", used),
        **_texts(folder, described),
    )


def _open_nnunet(folder: Path, described: dict[str, Any]) -> DatasetFolder:
    source = folder / "dataset.json"
    ending = str(described.get("file_ending", ".nii.gz"))
    labels, regions, ignore = parse_labels(described.get("labels"), source)
    cases, stray = _numbered_cases(folder / "imagesTr", folder / "labelsTr", ending)
    test_cases, _ = _numbered_cases(folder / "imagesTs", folder / "labelsTs", ending)
    used = {case.label.resolve() for case in cases if case.label}
    return DatasetFolder(
        path=folder,
        channels=_channel_names(described["channel_names"], source),
        labels=labels,
        regions=regions,
        ignore_label=ignore,
        cases=_sorted(cases),
        test_cases=_sorted(test_cases),
        stray_images=tuple(stray),
        stray_labels=_unused(folder / "labelsTr", used),
        **_texts(folder, described),
    )


def _numbered_cases(images: Path, labels: Path, ending: str) -> tuple[list[CaseFiles], list[Path]]:
    """Group ``CASE_0000``, ``CASE_0001``, ... into cases; return them and the files named otherwise."""
    channels: dict[str, list[Path]] = {}
    stray = []
    for path in find_images(images):
        match = re.fullmatch(r"(.+)_\d{4}" + re.escape(ending), path.name)
        if match:
            channels.setdefault(match[1], []).append(path)
        else:
            stray.append(path)
    cases = [
        CaseFiles(name, tuple(paths), label if (label := labels / f"{name}{ending}").is_file() else None)
        for name, paths in channels.items()
    ]
    return cases, stray


def _open_paired(folder: Path, described: dict[str, Any], *, binary: bool) -> DatasetFolder:
    images = next((folder / name for name in IMAGE_FOLDERS if (folder / name).is_dir()), None)
    labels = next((folder / name for name in LABEL_FOLDERS if (folder / name).is_dir()), None)
    if images is None:
        raise InputError(
            f"{folder}: not a dataset folder; it needs a dataset.json (Medical Segmentation Decathlon or nnU-Net), or "
            f"images/ and labels/ (or masks/) with files of the same names"
        )
    by_stem = {stem_of(path): path for path in find_images(labels)} if labels else {}
    cases = [CaseFiles(stem_of(path), (path,), by_stem.get(stem_of(path))) for path in find_images(images)]
    tests = [path for name in TEST_FOLDERS for path in find_images(folder / name)]
    used = {case.label.resolve() for case in cases if case.label}
    dataset = DatasetFolder(
        path=folder,
        channels=_find_channels(cases),
        labels={},
        cases=_sorted(cases),
        test_cases=_sorted([CaseFiles(stem_of(path), (path,)) for path in tests]),
        stray_labels=_unused(labels, used) if labels else (),
        **_texts(folder, described),
    )
    source = folder / ("dataset.json" if described.get("labels") else "labels.json")
    declared = described.get("labels") or _read_json(source)
    if declared:
        names, regions, ignore = parse_labels(declared, source)
        named = dataclasses.replace(dataset, labels=names, regions=regions, ignore_label=ignore)
        return as_binary_dataset(named) if described.get("instances") else named
    return dataset if binary else _with_found_labels(dataset)


def _with_found_labels(dataset: DatasetFolder) -> DatasetFolder:
    values: set[int] = set()
    for case in dataset.cases:
        if case.label is None:
            continue
        try:
            values.update(int(value) for value in np.unique(read_labels(case.label).array))
        except InputError:
            continue  # reported, with all else that is wrong, by check_dataset
    values.discard(0)
    if values == {255}:
        return as_binary_dataset(dataset)
    if len(values) > MANY_VALUES:
        raise InputError(
            f"{dataset.path}: the label files hold {len(values)} different values. If they number objects, read them "
            'with labels="binary" (in training: --prepare.binary true), or put {"labels": {"NAME": 1}, "instances": '
            "true} into dataset.json; if they are classes, name them in labels.json"
        )
    return dataclasses.replace(dataset, labels={str(value): value for value in sorted(values)})


def parse_labels(declared: Any, source: Path) -> tuple[dict[str, int], dict[str, tuple[int, ...]], int | None]:
    """Return classes, regions and the ignored value from {"0": "background", ...} or {"background": 0, ...}.

    Examples
    --------
    >>> parse_labels({"0": "background", "1": "anterior"}, Path("dataset.json"))
    ({'anterior': 1}, {}, None)
    >>> parse_labels({"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}, Path("dataset.json"))
    ({'core': 2, '1': 1}, {'whole': (1, 2)}, 3)
    """
    if not isinstance(declared, dict) or not declared:
        raise InputError(
            f'{source}: "labels" must be an object such as {{"background": 0, "vessel": 1}}; got {declared!r}'
        )
    classes: dict[str, int] = {}
    regions: dict[str, tuple[int, ...]] = {}
    for key, value in declared.items():
        try:
            if isinstance(value, list):
                regions[key] = tuple(int(part) for part in value)
            elif isinstance(value, str):
                classes[value] = int(key)
            else:
                classes[key] = int(value)
        except (TypeError, ValueError) as error:
            raise InputError(f"{source}: a label must be a name and a whole number; got {key!r}: {value!r}") from error
    ignore = classes.pop("ignore", None)
    classes = {name: value for name, value in classes.items() if value != 0}
    for value in sorted({part for region in regions.values() for part in region} - {0, *classes.values()}):
        classes[str(value)] = value
    if len(set(classes.values())) != len(classes):
        raise InputError(f"{source}: every label must have a value of its own; got {classes}")
    return classes, {name: parts for name, parts in regions.items() if parts != (0,)}, ignore


def _find_channels(cases: list[CaseFiles]) -> tuple[str, ...]:
    """Name the channels by their number: the most of any flat image, or those of the first readable volume."""
    most = 0
    for case in cases:
        try:
            geometry = read_geometry(case.images[0])
        except InputError:
            continue  # reported by check_dataset
        most = max(most, geometry.channels)
        if len(geometry.spatial_shape) == 3:
            break
    if most == 3:
        return COLOURS
    return ("image",) if most <= 1 else tuple(f"channel {index}" for index in range(most))


def _channel_names(declared: Any, source: Path) -> tuple[str, ...]:
    if isinstance(declared, list):
        return tuple(str(name) for name in declared)
    try:
        return tuple(str(declared[key]) for key in sorted(declared, key=int))
    except (TypeError, ValueError) as error:
        raise InputError(f'{source}: channels must be an object such as {{"0": "MRI"}}; got {declared!r}') from error


def _texts(folder: Path, described: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": str(described.get("name") or folder.resolve().name),
        "description": str(described.get("description", "")),
        "licence": str(described.get("licence") or described.get("license") or ""),
    }


def _attach_weak_labels(dataset: DatasetFolder) -> DatasetFolder:
    """Return the dataset with its cases' points, boxes, scribbles and rows in the tables of the folder.

    Raises
    ------
    InputError
        A table that speaks of a case that is not there, two files of one kind for a case, or scribbles in a dataset
        without a label ``ignore``.
    """
    weak: dict[str, dict[str, Path]] = {case.id: {} for case in dataset.cases}
    stray: list[Path] = []
    for kind in ("points", "boxes", "scribbles"):
        for path in _label_files(dataset.path / kind, images=kind != "boxes", tables=kind != "scribbles"):
            name = stem_of(path) if suffix_of(path) else path.stem
            if kind in weak.get(name, {}):
                raise InputError(f"{weak[name][kind]} and {path} both give the {kind} of case {name!r}; remove one")
            if name in weak:
                weak[name][kind] = path
            else:
                stray.append(path)
    for kind, table in TABLES.items():
        path = dataset.path / table
        for name, where in case_names(path).items() if path.is_file() else ():
            if name not in weak:
                raise InputError(f"{where}: there is no case {name!r}{suggest(name, weak)}")
            weak[name][kind] = path
    if any("scribbles" in files for files in weak.values()) and dataset.ignore_label is None:
        raise InputError(
            f"{dataset.path / 'scribbles'}: labels.json must name the value of voxels without a stroke, as in "
            '{"background": 0, "vessel": 1, "ignore": 255}'
        )
    if not any(weak.values()) and not stray:
        return dataset
    cases = [
        dataclasses.replace(case, label=case.label or weak[case.id].get("scribbles"), weak=weak[case.id])
        for case in dataset.cases
    ]
    labels = dataset.labels or {"foreground": 1}
    strays = (*dataset.stray_labels, *stray)
    return dataclasses.replace(dataset, cases=tuple(cases), labels=labels, stray_labels=strays)


def _label_files(folder: Path, *, images: bool, tables: bool) -> list[Path]:
    if not folder.is_dir():
        return []
    return [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
        and ((images and suffix_of(path) is not None) or (tables and path.suffix.lower() in (".csv", ".json")))
    ]


def _unused(folder: Path, used: set[Path]) -> tuple[Path, ...]:
    return tuple(path for path in find_images(folder) if path.resolve() not in used)


def _sorted(cases: list[CaseFiles]) -> tuple[CaseFiles, ...]:
    return tuple(sorted(cases, key=lambda case: (case.id, case.images)))
