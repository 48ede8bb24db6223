"""Reading labels that are less than a mask: points, boxes, sizes, the classes of an image.

Tables are CSV with a header, or JSON, a list of objects with the same names. Positions are voxel indices in the file's
own axis order, ``y, x`` or ``z, y, x``, counted from 0 at the middle of the first voxel; with the ending ``_mm`` they
are millimetres from there. ``label`` names a class or gives its value, and may be missing where there is one class.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from shapewright.data.folder import CaseFiles, DatasetFolder
from shapewright.data.formats import read_labels, suffix_of
from shapewright.data.image import Image
from shapewright.data.supervision import SPARSE, Boxes, Points, Supervision
from shapewright.data.tables import TableRow, read_table, rows_of_case
from shapewright.errors import InputError, suggest

AXES = ("z", "y", "x")
YES, NO = ("1", "true", "yes"), ("0", "false", "no")


def load_supervision(case: CaseFiles, dataset: DatasetFolder, image: Image, labels: Image | None) -> Supervision:
    """Return what is known about a case, positions on the voxel grid of ``image``.

    Parameters
    ----------
    case, dataset
        The case's files.
    image, labels
        As read, or in canonical orientation; ``labels`` None without a mask.

    Raises
    ------
    InputError
        A table cannot be read; a point or box outside the image; a box whose last voxel is before its first; two
        points in one voxel; an unknown class; a mask that shows a class it was not annotated for, or that
        ``image_labels.csv`` says is not there; two rows about one class of a case.
    """
    if case.member:
        return Supervision(mask=_mask_kind(case, dataset, labels), annotated=dataset.members[case.member].annotated)
    shape, spacing = image.spatial_shape, image.spacing
    if image.reorientation is not None:  # tables speak of the axes in the file
        shape = image.restore(np.empty(shape, np.bool_)).shape
        spacing = tuple(float(spacing[axis]) for axis in np.argsort(image.reorientation.axes))
    files = case.weak
    points = read_points(files["points"], shape, spacing, dataset) if "points" in files else None
    boxes = read_boxes(files["boxes"], shape, spacing, dataset) if "boxes" in files else None
    annotated = None
    if "partial" in files and labels is not None:
        annotated = frozenset(_class_of(row, dataset) for row in rows_of_case(files["partial"], case.id))
        _check_annotated(case, dataset, annotated, labels)
    present = dict(_present(files["image"], case.id, dataset)) if "image" in files else {}
    _check_present(case, dataset, present, labels)
    return Supervision(
        mask=_mask_kind(case, dataset, labels),
        points=points,
        boxes=boxes,
        sizes=dict(_sizes(files["size"], case.id, dataset)) if "size" in files else {},
        annotated=annotated,
        present=present,
    ).reoriented(image.reorientation, image.spatial_shape)


def _mask_kind(
    case: CaseFiles, dataset: DatasetFolder, labels: Image | None
) -> Literal["dense", "sparse", "scribbles"] | None:
    if labels is None:
        return None
    if case.label == case.weak.get("scribbles"):
        return "scribbles"
    ignored = dataset.ignore_label is not None and float((labels.array == dataset.ignore_label).mean()) > SPARSE
    return "sparse" if ignored else "dense"


def _check_annotated(case: CaseFiles, dataset: DatasetFolder, annotated: frozenset[int], labels: Image) -> None:
    shown = set(np.unique(labels.array).tolist())
    for number, (name, value) in enumerate(dataset.labels.items(), start=1):
        if number not in annotated and value in shown:
            raise InputError(
                f"{case.label} shows {name!r}, but {case.weak['partial']} does not list {name!r} for case {case.id}. "
                f"Add the row {case.id},{name}, or correct the mask"
            )


def _check_present(case: CaseFiles, dataset: DatasetFolder, present: Mapping[int, bool], labels: Image | None) -> None:
    if labels is None:
        return
    for number, (name, value) in enumerate(dataset.labels.items(), start=1):
        if present.get(number) is False and not dataset.binary and (labels.array == value).any():
            raise InputError(
                f"{case.label} shows {name!r}, but {case.weak['image']} says that case {case.id} does not. Correct one"
            )


def read_points(path: Path, shape: Sequence[int], spacing: Sequence[float], dataset: DatasetFolder) -> Points:
    """Read the points of one case: a table, or a label image in which every component is a point.

    Parameters
    ----------
    path
        ``.csv``, ``.json`` or an image.
    shape, spacing
        Of the image, in the file's axis order.
    dataset
        Whose labels the classes are.

    Returns
    -------
    Points
        Empty for a table without rows: an image without objects.
    """
    if suffix_of(path) is not None:
        return _points_of_image(path, shape, dataset)
    rows = list(read_table(path, _columns(shape, "")))
    positions = _positions(rows, "", shape, spacing)
    voxels: dict[tuple[int, ...], str] = {}
    for row, position in zip(rows, positions, strict=True):
        _check_inside(row, "the point", position, shape)
        voxel = tuple(int(value) for value in np.rint(position))
        if voxel in voxels:
            raise InputError(
                f"{row.where}: the point {_plain(position)} lies in the same voxel as that of {voxels[voxel]}"
            )
        voxels[voxel] = row.where.rpartition(", ")[2]
    return Points(positions, _classes(rows, dataset))


def _points_of_image(path: Path, shape: Sequence[int], dataset: DatasetFolder) -> Points:
    values = read_labels(path).array[0]
    if values.shape != tuple(shape):
        raise InputError(f"{path} has the shape {values.shape}, but its image has {tuple(shape)}")
    positions, classes = [], []
    for value in np.unique(values[values != 0]):
        row = TableRow({"label": str(int(value))}, str(path))
        components, count = ndimage.label(values == value, np.ones((3,) * values.ndim))
        positions += ndimage.center_of_mass(components > 0, components, range(1, count + 1))
        known = not dataset.binary and len(dataset.labels) > 1
        classes += [_class_of(row, dataset) if known else 1] * count
    return Points(np.array(positions, float).reshape(-1, values.ndim), np.array(classes, np.uint8))


def read_boxes(path: Path, shape: Sequence[int], spacing: Sequence[float], dataset: DatasetFolder) -> Boxes:
    """Read the boxes of one case from ``y_min, x_min, y_max, x_max`` (or ``z_min`` first); the last voxel is inside.

    Boxes may overlap. A table without rows says that there is no object.
    """
    rows = list(read_table(path, [*_columns(shape, "_min"), *_columns(shape, "_max")]))
    first = _positions(rows, "_min", shape, spacing)
    last = _positions(rows, "_max", shape, spacing)
    for row, low, high in zip(rows, first, last, strict=True):
        if (high < low).any():
            raise InputError(f"{row.where}: the box ends at {_plain(high)}, before its start {_plain(low)}")
        _check_inside(row, "the box's first voxel", low, shape)
        _check_inside(row, "the box's last voxel", high, shape)
    return Boxes(first, last, _classes(rows, dataset))


def _sizes(path: Path, case: str, dataset: DatasetFolder) -> Iterator[tuple[int, tuple[float, float]]]:
    lines: dict[int, str] = {}
    for row in rows_of_case(path, case):
        low = row.number("size_min")
        high = row.number("size_max") if row.values.get("size_max") else low
        if not 0 <= low <= high:
            raise InputError(f"{row.where}: sizes must have 0 <= size_min <= size_max; got {low:g} and {high:g}")
        number = _class_of(row, dataset)
        _check_once(row, number, lines, case)
        yield number, (low, high)


def _present(path: Path, case: str, dataset: DatasetFolder) -> Iterator[tuple[int, bool]]:
    index = _numbers(dataset)
    lines: dict[int, str] = {}
    for row in rows_of_case(path, case):
        for name, text in row.values.items():
            if name == "case" or not text:
                continue
            if name not in index:
                raise InputError(f"{path} has a column {name!r}{suggest(name, index)}; the labels are {list(index)}")
            if text.lower() not in (*YES, *NO):
                raise InputError(f"{row.where}: {name} must be 1, 0 or empty (not known); got {text!r}")
            _check_once(row, index[name], lines, case)
            yield index[name], text.lower() in YES


def _check_once(row: TableRow, number: int, lines: dict[int, str], case: str) -> None:
    """Refuse a second row about the same class of a case: one of the two would be lost."""
    if number in lines:
        raise InputError(f"{row.where}: the same label of case {case} stands in {lines[number]}; remove one")
    lines[number] = row.where.rpartition(", ")[2]


def _columns(shape: Sequence[int], ending: str) -> list[tuple[str, str]]:
    """Return the columns of a position, each as its two names."""
    return [(f"{axis}{ending}", f"{axis}{ending}_mm") for axis in AXES[-len(shape) :]]


def _positions(
    rows: Sequence[TableRow], ending: str, shape: Sequence[int], spacing: Sequence[float]
) -> NDArray[np.float64]:
    """Return the positions [N, dims] in voxels of the columns ``y``, ``x`` with an ending such as ``_min``."""
    axes = AXES[-len(shape) :]
    positions = np.empty((len(rows), len(shape)))
    for number, row in enumerate(rows):
        if len(shape) == 2 and row.values.get(f"z{ending}"):
            raise InputError(f"{row.where}: has a z, but the image has the axes y and x alone")
        for axis, (name, size) in enumerate(zip(axes, spacing, strict=True)):
            in_mm = f"{name}{ending}_mm"
            positions[number, axis] = row.number(in_mm) / size if in_mm in row.values else row.number(name + ending)
    return positions


def _check_inside(row: TableRow, what: str, position: NDArray[np.float64], shape: Sequence[int]) -> None:
    if (position < -0.5).any() or (position > np.array(shape) - 0.5).any():
        last = tuple(size - 1 for size in shape)
        raise InputError(
            f"{row.where}: {what} {_plain(position)} is outside the image, whose voxels are {(0,) * len(shape)} to "
            f"{last}"
        )


def _plain(position: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(float(value), 2) for value in position)


def _classes(rows: Sequence[TableRow], dataset: DatasetFolder) -> NDArray[np.uint8]:
    return np.array([_class_of(row, dataset) for row in rows], np.uint8)


def _numbers(dataset: DatasetFolder) -> dict[str, int]:
    """Return the class index of every label."""
    return {name: number for number, name in enumerate(dataset.labels, start=1)}


def _class_of(row: TableRow, dataset: DatasetFolder) -> int:
    """Return the class index of a row: by name, by value, or the only one."""
    index = _numbers(dataset)
    given = row.values.get("label", "")
    if not given and len(index) == 1:
        return 1
    by_value = {str(value): index[name] for name, value in dataset.labels.items()}
    if given in index or given in by_value:
        return index.get(given) or by_value[given]
    hint = suggest(given, index)
    raise InputError(f"{row.where}: label must be one of {dataset.labels}; got {given!r}{hint}")
