"""Everything that is wrong with a dataset folder, found in one pass and listed at once."""

import dataclasses
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shapewright.data.case import MISPLACED, misplacement, undeclared_values
from shapewright.data.folder import COLOURS, CaseFiles, DatasetFolder, open_dataset
from shapewright.data.formats import read_image, read_labels, suffix_of
from shapewright.data.formats.files import existing
from shapewright.data.image import Geometry, Image
from shapewright.data.kinds import Kind
from shapewright.data.summary import CaseFacts, summarise
from shapewright.data.weak_labels import load_supervision
from shapewright.errors import InputError
from shapewright.losses.label_space import BACKGROUND

Severity = Literal["error", "warning"]
SPACING_RATIO = 2.0  # a spacing this much above or below the median of its axis is reported
COMPANIONS = (".json", ".csv", ".tsv", ".txt", ".md", ".yaml", ".yml")  # notes beside images, not images
HEADER_TOLERANCE = 0.01  # between the two places where a NIfTI header states the voxel size

Track = Callable[[Iterable[Any], str], Iterable[Any]]
"""Wraps an iterable to show progress: ``track(items, description)``."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Parameters
    ----------
    case
        Name of the case, or None for the whole folder.
    file
        The file it concerns.
    kind
        Short name of the kind, the same for all problems alike: ``unreadable``, ``shape``, ``empty mask``, ...
    severity
        ``error`` where training or evaluation would fail or be wrong, ``warning`` where it may be meant so.
    message
        What is wrong and how to put it right.
    """

    case: str | None
    file: Path
    kind: str
    severity: Severity
    message: str


@dataclass(frozen=True)
class CheckResult:
    """What a check found.

    Parameters
    ----------
    problems
        Errors first, then by case.
    summary
        Numbers of cases, shapes, spacings and label volumes, as plain lists and dictionaries; empty where the folder
        cannot be opened.
    """

    problems: tuple[Problem, ...]
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Problems that must be put right."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Problems that may be meant so."""
        return tuple(problem for problem in self.problems if problem.severity == "warning")

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not self.errors


def check_dataset(
    dataset: str | os.PathLike[str] | DatasetFolder, *, track: Track = lambda items, _: items
) -> CheckResult:
    """List every problem of a dataset folder.

    Found are: files that are missing, damaged or of an unknown format; images without label and
    labels without image; points and boxes outside their image; labels of another shape or at another place than their
    image; label values that are not whole or not declared; declared labels that occur nowhere; NaN and infinity;
    constant images; empty masks; images stored twice; names given twice; unequal numbers of channels or spatial axes;
    spacings far from the others'; NIfTI headers that contradict themselves; in a collection, masks with labels that it
    does not list.

    Parameters
    ----------
    dataset
        Folder, or what :func:`open_dataset` returned for it.
    track
        Wraps the cases to show progress.

    Raises
    ------
    InputError
        The folder does not exist. All else is in the result.

    Examples
    --------
    >>> from shapewright.data import samples
    >>> result = check_dataset(samples.load("vessels"))
    >>> result.ok, result.problems, result.summary["cases"]
    (True, (), 10)
    """
    problems: list[Problem] = []
    if not isinstance(dataset, DatasetFolder):
        folder = existing(dataset)
        try:
            dataset = open_dataset(folder)
        except InputError as error:
            problems.append(Problem(None, folder, "dataset", "error", str(error)))
            try:
                dataset = open_dataset(folder, labels="binary")  # so that the files are looked at nevertheless
            except InputError:
                return CheckResult(tuple(problems))
    found, facts = _check_members(dataset, track) if dataset.members else _check_folder(dataset, track)
    problems += found
    problems.sort(key=lambda problem: (problem.severity, problem.case or "", problem.kind))
    return CheckResult(tuple(problems), summarise(facts, dataset))


def _check_folder(dataset: DatasetFolder, track: Track) -> tuple[list[Problem], list[CaseFacts]]:
    problems: list[Problem] = []
    facts: list[CaseFacts] = []
    for case in track((*dataset.cases, *dataset.test_cases), "checking"):
        found = CaseFacts(case)
        problems += _check_case(found, dataset)
        facts.append(found)
    return [*problems, *_check_files(dataset), *_compare_cases(facts, dataset)], facts


def _check_members(dataset: DatasetFolder, track: Track) -> tuple[list[Problem], list[CaseFacts]]:
    """Check every data set of a collection by itself, and its masks against the labels that it lists."""
    problems: list[Problem] = []
    facts: list[CaseFacts] = []
    for name, member in dataset.members.items():
        found, own = _check_folder(member.dataset, track)
        problems += [dataclasses.replace(one, case=one.case and f"{name}-{one.case}") for one in found]
        by_id = {case.id: case for case in dataset.cases if case.member == name}
        for fact in own:
            case = by_id.get(f"{name}-{fact.case.id}")
            if case is None or case.label is None or fact.counts is None:
                continue
            for label, value in member.dataset.labels.items():
                if label not in member.numbers and fact.counts.get(value):
                    message = f"shows {label!r} (value {value}), which {dataset.path} does not list for {name!r}"
                    problems.append(_error("label set", case.label, case.id, f"{case.label} {message}"))
            numbers = {member.dataset.labels[label]: n for label, n in member.numbers.items() if label != BACKGROUND}
            counts = {numbers.get(value, 0): 0 for value in fact.counts}
            for value, count in fact.counts.items():
                counts[numbers.get(value, 0)] += count
            kinds: tuple[Kind, ...] = fact.kinds if member.annotated is None else ("partial",)
            facts.append(dataclasses.replace(fact, case=case, counts=counts, kinds=kinds))
    return problems, facts


def _error(kind: str, file: Path, case: str | None, message: str) -> Problem:
    return Problem(case, file, kind, "error", message)


def _warning(kind: str, file: Path, case: str | None, message: str) -> Problem:
    return Problem(case, file, kind, "warning", message)


def _check_case(facts: CaseFacts, dataset: DatasetFolder) -> Iterator[Problem]:
    case = facts.case
    first: tuple[Path, Geometry] | None = None
    shown: Image | None = None
    for path in case.images:
        try:
            image = read_image(path)
        except InputError as error:
            yield _unreadable(case, path, error)
            continue
        facts.channels += image.channels
        facts.contents[path] = _content(image.array)
        yield from _check_values(case, path, image)
        if first is None:
            first, shown = (path, image.geometry), image
            facts.geometry = image.canonical().geometry
        else:
            yield from _check_alignment(case, *first, path, image.geometry)
    if shown is not None:
        yield from _check_supervision(facts, shown, dataset)
    if case.label is not None:
        yield from _check_label(facts, case.label, first, dataset)
    elif case in dataset.cases and not case.weak:
        yield _warning(
            "no label",
            case.images[0],
            case.id,
            f"{case.images[0]} has no label; only methods that learn from unlabelled images use it. Add the label "
            "file, or remove the image",
        )


def _check_supervision(facts: CaseFacts, image: Image, dataset: DatasetFolder) -> Iterator[Problem]:
    """Read points, boxes and tables, and note which kinds of label the case has."""
    case = facts.case
    try:
        labels = None if case.label is None else read_labels(case.label)
        facts.kinds = load_supervision(case, dataset, image, labels).kinds
    except InputError as error:
        if case.weak:
            yield _error("weak label", next(iter(case.weak.values())), case.id, str(error))


def _check_values(case: CaseFiles, path: Path, image: Image) -> Iterator[Problem]:
    low, high = image.array.min(), image.array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        count = int(np.size(image.array) - np.isfinite(image.array).sum())
        yield _error(
            "not finite",
            path,
            case.id,
            f"{path} holds {count} values that are NaN or infinite. Replace them, for example by 0",
        )
    elif low == high:
        yield _warning(
            "constant",
            path,
            case.id,
            f"{path} holds nothing but the value {low:g}. Export it again, or remove the case",
        )
    if image.header is not None:
        stored = np.abs(image.header.get_zooms()[: image.spatial_dims])[::-1]
        ratio = stored / np.asarray(image.spacing)
        if np.ptp(ratio) > HEADER_TOLERANCE * ratio.max():
            yield _warning(
                "header",
                path,
                case.id,
                f"{path} states two voxel sizes: {_plain(stored)} in its zooms, {_plain(image.spacing)} in its affine, "
                "which is used. Correct the header",
            )


def _check_label(
    facts: CaseFacts, path: Path, image: tuple[Path, Geometry] | None, dataset: DatasetFolder
) -> Iterator[Problem]:
    case = facts.case
    if suffix_of(path) in (".jpg", ".jpeg"):
        yield _error(
            "lossy label",
            path,
            case.id,
            f"{path} is a JPEG, which changes values along every edge. Export labels as PNG, TIFF or NIfTI",
        )
    try:
        label = read_labels(path)
    except InputError as error:
        yield _unreadable(case, path, error, kind="label values" if _is_image(path) else "unreadable")
        return
    values, counts = np.unique(label.array, return_counts=True)
    found = dict(zip(values.tolist(), counts.tolist(), strict=True))
    if dataset.binary:
        found = {0: found.get(0, 0), 1: sum(count for value, count in found.items() if value != 0)}
    facts.counts = found
    undeclared = undeclared_values(found, dataset)
    if undeclared:
        yield _error(
            "undeclared label",
            path,
            case.id,
            f"{path} holds the label values {undeclared[:10]}{' ...' if len(undeclared) > 10 else ''}, which are not "
            f"declared; declared are {dataset.labels or 'none'}. Declare them in {_declaration(dataset)}, or correct "
            "the file",
        )
    if dataset.ignore_label is not None and list(found) == [dataset.ignore_label]:
        yield _error(
            "nothing known",
            path,
            case.id,
            f"{path} marks every voxel as 'ignore': it says nothing. Annotate it, or remove it",
        )
    elif not any(count for value, count in found.items() if value not in (0, dataset.ignore_label)):
        shown = f"none of {', '.join(dataset.labels)}" if dataset.labels else "no object"
        yield _warning(
            "empty mask",
            path,
            case.id,
            f"{path} labels nothing. Right if the image shows {shown}; else annotate it",
        )
    if image is not None:
        yield from _check_alignment(case, *image, path, label.geometry)


def _check_alignment(
    case: CaseFiles, first_path: Path, first: Geometry, path: Path, second: Geometry
) -> Iterator[Problem]:
    if first.spatial_shape != second.spatial_shape:
        yield _error(
            "shape",
            path,
            case.id,
            f"{path} has the shape {second.spatial_shape}, but {first_path} has {first.spatial_shape}. Export both on "
            "the same grid",
        )
        return
    apart = misplacement(first, second)
    if apart > MISPLACED:
        yield _error(
            "affine",
            path,
            case.id,
            f"{path} and {first_path} have the same shape, but by their headers (spacing {_plain(second.spacing)} and "
            f"{_plain(first.spacing)}) their corners lie up to {apart:.2g} voxels apart. Copy the right header",
        )


def _check_files(dataset: DatasetFolder) -> Iterator[Problem]:
    for path in dataset.stray_labels:
        yield _error(
            "no image",
            path,
            None,
            f"{path} is a label without an image. Give both the same name, or remove it",
        )
    for path in dataset.stray_images:
        yield _warning(
            "unused image",
            path,
            None,
            f"{path} belongs to no case: it is not listed in dataset.json, or not named CASE_0000 as its layout asks",
        )
    every = (*dataset.cases, *dataset.test_cases)
    folders = {path.parent for case in every for path in (*case.images, case.label) if path is not None}
    for folder in sorted(folder for folder in folders if folder.is_dir()):
        for path in sorted(folder.iterdir()):
            companion = path.name.startswith(".") or path.suffix.lower() in COMPANIONS
            if path.is_file() and suffix_of(path) is None and not companion:
                yield _warning(
                    "unknown format",
                    path,
                    None,
                    f"{path} is of no known image format and ignored. Convert it, or move it elsewhere",
                )


def _compare_cases(facts: Sequence[CaseFacts], dataset: DatasetFolder) -> Iterator[Problem]:
    yield from _duplicates(facts)
    yield from _unequal_channels(facts, dataset)
    yield from _unequal_spacings(facts)
    seen = Counter(value for fact in facts for value, count in (fact.counts or {}).items() if count)
    for name, value in dataset.labels.items():
        if any(fact.counts is not None for fact in facts) and not seen[value]:
            yield _warning(
                "absent label",
                dataset.path,
                None,
                f"no label file of {dataset.path} holds the value {value} of {name!r}. Remove it from "
                f"{_declaration(dataset)}, or correct the values",
            )


def _duplicates(facts: Sequence[CaseFacts]) -> Iterator[Problem]:
    first_id: dict[str, Path] = {}
    first_content: dict[str, tuple[str, Path]] = {}
    for fact in facts:
        name, path = fact.case.id, fact.case.images[0]
        if name in first_id:
            yield _error(
                "duplicate name",
                path,
                name,
                f"{path} and {first_id[name]} give two cases the name {name!r}. Rename or remove one",
            )
        first_id.setdefault(name, path)
        for path, content in fact.contents.items():
            if content in first_content:
                other, where = first_content[content]
                yield _error(
                    "duplicate file",
                    path,
                    name,
                    f"{path} holds the same image as {where} (case {other}): one could be trained on and the other "
                    "tested. Remove one",
                )
            first_content.setdefault(content, (name, path))


def _unequal_channels(facts: Sequence[CaseFacts], dataset: DatasetFolder) -> Iterator[Problem]:
    read = [fact for fact in facts if fact.geometry is not None and len(fact.contents) == len(fact.case.images)]
    ranks = Counter(len(fact.geometry.spatial_shape) for fact in read if fact.geometry)
    usual = ranks.most_common(1)[0][0] if ranks else 0
    for fact in read:
        path, name = fact.case.images[0], fact.case.id
        if fact.geometry and len(fact.geometry.spatial_shape) != usual:
            yield _error(
                "rank",
                path,
                name,
                f"{path} has {len(fact.geometry.spatial_shape)} spatial axes; most cases have {usual}. Keep flat "
                "images and volumes in folders of their own",
            )
        grey_among_colours = fact.channels == 1 and dataset.channels == COLOURS
        if fact.channels != len(dataset.channels) and not grey_among_colours:
            yield _error(
                "channels",
                path,
                name,
                f"case {name} ({path}) has {fact.channels} channels; the dataset has {len(dataset.channels)} "
                f"({', '.join(dataset.channels)}). Add the missing channel files, or remove the surplus ones",
            )


def _unequal_spacings(facts: Sequence[CaseFacts]) -> Iterator[Problem]:
    for rank in (2, 3):
        placed = [(fact, fact.geometry) for fact in facts if fact.geometry and len(fact.geometry.spatial_shape) == rank]
        if len(placed) < 3:
            continue
        median = np.median([geometry.spacing for _, geometry in placed], axis=0)
        for fact, geometry in placed:
            ratio = np.asarray(geometry.spacing) / median
            if ratio.max() > SPACING_RATIO or ratio.min() < 1 / SPACING_RATIO:
                path = fact.case.images[0]
                yield _warning(
                    "spacing",
                    path,
                    fact.case.id,
                    f"{path} has the spacing {_plain(geometry.spacing)} mm; the median of all is {_plain(median)}. "
                    "Check its header; if it is right, training resamples it",
                )


def _unreadable(case: CaseFiles, path: Path, error: InputError, kind: str = "unreadable") -> Problem:
    return Problem(case.id, path, kind if path.exists() else "missing file", "error", str(error))


def _is_image(path: Path) -> bool:
    try:
        read_image(path)
    except InputError:
        return False
    return True


def _content(array: NDArray[Any]) -> str:
    """Return a fingerprint of values, type and shape."""
    digest = hashlib.blake2b(f"{array.dtype}{array.shape}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _declaration(dataset: DatasetFolder) -> Path:
    described = dataset.path / "dataset.json"
    return described if described.exists() else dataset.path / "labels.json"


def _plain(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in values)
