"""Reading a case: its channels as one image, and the label map that lies on it."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from shapewright.data.folder import COLOURS, CaseFiles, DatasetFolder
from shapewright.data.formats import read_image, read_labels
from shapewright.data.image import Geometry, Image
from shapewright.errors import InputError

MISPLACED = 0.1  # voxels that a corner of the label may lie away from the image's; rounding stays far below


def load_case(case: CaseFiles, dataset: DatasetFolder) -> tuple[Image, Image | None]:
    """Read a case: the image with all its channels, and its label map where there is one.

    Both are in the orientation of the file; the label map has the image's spacing and affine. A grey image in a
    dataset of colour images gets three equal channels. A case of a collection has all the collection's channels, NaN
    where its data set lacks one, and negative labels for sets of classes.

    Raises
    ------
    InputError
        A file cannot be read; channels or label differ in shape or place; the number of channels is not the
        dataset's; or a label value is not declared.

    Examples
    --------
    >>> from shapewright.data import samples
    >>> dataset = samples.load("nuclei")
    >>> image, labels = load_case(dataset.cases[0], dataset)
    >>> image.channels, labels.array.max()
    (3, np.uint8(1))
    """
    if case.member:
        from shapewright.data.collection import load_member_case

        image, labels = load_case(dataclasses.replace(case, member=""), dataset.members[case.member].dataset)
        return load_member_case(case, dataset, image, labels)
    image = _load_channels(case, dataset)
    if case.label is None:
        return image, None
    label = read_labels(case.label)
    _check_alignment(case.images[0], image.geometry, case.label, label.geometry)
    array = label.array
    if dataset.binary:
        array = (array != 0).astype(np.uint8)
    else:
        undeclared = undeclared_values(np.unique(array).tolist(), dataset)
        if undeclared:
            raise InputError(
                f"{case.label}: label values must be declared; found {undeclared}, declared are "
                f"{dataset.labels or 'none'}. Add them to the dataset's labels, or correct the file"
            )
    return image, dataclasses.replace(label, array=array, spacing=image.spacing, affine=image.affine)


def undeclared_values(values: Iterable[int], dataset: DatasetFolder) -> list[int]:
    """Return the label values that the dataset does not declare."""
    declared = {0, *dataset.labels.values(), *(value for region in dataset.regions.values() for value in region)}
    if dataset.ignore_label is not None:
        declared.add(dataset.ignore_label)
    return sorted({int(value) for value in values} - declared)


def misplacement(first: Geometry, second: Geometry) -> float:
    """Return how far the grids' corners lie apart, in voxels of the first; 0 where either has no affine."""
    if first.affine is None or second.affine is None:
        return 0.0
    far = [*(size - 1 for size in first.spatial_shape[::-1]), 0, 0][:3]
    corners = np.array([[x, y, z, 1] for x in (0, far[0]) for y in (0, far[1]) for z in (0, far[2])], dtype=float)
    apart = np.linalg.norm(corners @ (first.affine - second.affine).T, axis=1).max()
    sizes = np.linalg.norm(first.affine[:3, :3], axis=0)
    return float(apart / sizes[sizes > 0].min())


def _load_channels(case: CaseFiles, dataset: DatasetFolder) -> Image:
    images = [read_image(path) for path in case.images]
    for path, image in zip(case.images[1:], images[1:], strict=True):
        _check_alignment(case.images[0], images[0].geometry, path, image.geometry)
    array = images[0].array if len(images) == 1 else np.concatenate([image.array for image in images])
    if len(array) == 1 and dataset.channels == COLOURS:
        array = np.repeat(array, 3, axis=0)
    if len(array) != len(dataset.channels):
        raise InputError(
            f"{case.images[0]}: case {case.id} has {len(array)} channel(s); expected are {len(dataset.channels)} "
            f"({', '.join(dataset.channels)})"
        )
    return dataclasses.replace(images[0], array=array)


def _check_alignment(first_path: Path, first: Geometry, second_path: Path, second: Geometry) -> None:
    if first.spatial_shape != second.spatial_shape:
        raise InputError(
            f"{first_path} and {second_path} must have the same shape; got {first.spatial_shape} and "
            f"{second.spatial_shape}"
        )
    apart = misplacement(first, second)
    if apart > MISPLACED:
        raise InputError(
            f"{first_path} and {second_path} must lie at the same place; by their headers their corners are up to "
            f"{apart:.2g} voxels apart. Copy the header (affine) of the one that is right"
        )
