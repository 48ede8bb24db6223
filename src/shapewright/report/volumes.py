"""The voxels behind a picture: one case's image, truth and prediction, and planes through them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.errors import InputError
from shapewright.report.run import CaseFiles
from shapewright.report.wording import DASH

AXES = ("z", "y", "x")
WINDOW_SAMPLE = 1_000_000
ANATOMICAL_PLANES = ("axial", "coronal", "sagittal")


@dataclass(frozen=True)
class CaseVolumes:
    """One case's voxels.

    Attributes
    ----------
    image
        ``[*spatial]``, or ``[*spatial, 3]`` for a colour image.
    truth, prediction
        Label values, ``[*spatial]``.
    spacing
        mm per voxel along each spatial axis.
    first
        Index in the canonical image of the first voxel, per axis.
    anatomical
        Whether the axes are the patient's. Then they run from head to foot, front to back and right to left, so that
        pictures show what radiologists are used to: head or front up, the patient's right on the left. Indices fall.
    window
        The intensities shown as black and white.
    """

    image: NDArray[Any]
    truth: NDArray[Any]
    prediction: NDArray[Any]
    spacing: tuple[float, ...]
    first: tuple[int, ...]
    anatomical: bool = False
    window: tuple[float, float] = (0.0, 255.0)

    @property
    def spatial_dims(self) -> int:
        """2 or 3."""
        return self.truth.ndim

    def index(self, axis: int, position: int) -> int:
        """Return the index in the canonical image of a position along an axis."""
        return self.first[axis] - position if self.anatomical else self.first[axis] + position

    def labels(self) -> list[int]:
        """Return the foreground values of truth and prediction."""
        return [int(value) for value in np.union1d(np.unique(self.truth), np.unique(self.prediction)) if value != 0]


@dataclass(frozen=True)
class Plane:
    """A 2D plane through a case: what a panel shows.

    Attributes
    ----------
    image, truth, prediction
        The plane's pixels, rows first; the image stretched to 8 bits.
    spacing
        mm per pixel along rows and columns.
    caption
        Where the plane lies.
    """

    image: NDArray[np.uint8]
    truth: NDArray[Any]
    prediction: NDArray[Any]
    spacing: tuple[float, float]
    caption: str


def read_case(files: CaseFiles) -> CaseVolumes:
    """Read a case, turned as it is shown; a volume of one slice becomes an image.

    Raises
    ------
    InputError
        A file is missing or damaged, or the three do not have one shape.
    """
    from shapewright.data import read_image, read_labels

    image = read_image(files.image).canonical()
    truth, prediction = (
        _declared(read_labels(path).canonical().array[0], files) for path in (files.truth, files.prediction)
    )
    if not image.spatial_shape == truth.shape == prediction.shape:
        raise InputError(
            f"image, truth and prediction must have one shape; got {image.spatial_shape}, {truth.shape} "
            f"and {prediction.shape}"
        )
    anatomical = image.affine is not None and image.spatial_dims == 3
    flat = truth.shape.index(1) if truth.ndim == 3 and 1 in truth.shape else None
    turned = tuple(0 if axis == flat else slice(None, None, -1 if anatomical else 1) for axis in range(truth.ndim))
    thick = [axis for axis in range(truth.ndim) if axis != flat]
    return CaseVolumes(
        image=_shown_channels(image.array[(slice(None), *turned)]),
        truth=truth[turned],
        prediction=prediction[turned],
        spacing=tuple(image.spacing[axis] for axis in thick),
        first=tuple(truth.shape[axis] - 1 if anatomical else 0 for axis in thick),
        anatomical=anatomical,
    )


def crop_together(cases: Sequence[CaseVolumes]) -> list[CaseVolumes]:
    """Crop cases of one shape to what is foreground in any of them, with a margin, and set their windows to match.

    Parameters
    ----------
    cases
        The same case in one or several runs.
    """
    box = _with_margin(np.logical_or.reduce([(case.truth != 0) | (case.prediction != 0) for case in cases]))
    return [
        replace(
            case,
            image=case.image[box],
            truth=np.ascontiguousarray(case.truth[box]),
            prediction=np.ascontiguousarray(case.prediction[box]),
            first=tuple(case.index(axis, part.start) for axis, part in enumerate(box)),
            window=_window(case.image[box]),
        )
        for case in cases
    ]


def _declared(labels: NDArray[Any], files: CaseFiles) -> NDArray[Any]:
    """Return labels with everything that is not one of them made background."""
    if not files.values:
        return labels
    declared: NDArray[Any] = labels != 0 if files.binary else np.where(np.isin(labels, files.values), labels, 0)
    return declared


def planes_at(case: CaseVolumes, position: Sequence[int]) -> list[Plane]:
    """Return the planes through a voxel, one per axis in 3D, the whole image in 2D."""
    if case.spatial_dims == 2:
        spacing = (case.spacing[0], case.spacing[1])
        return [Plane(_stretched(case.image, case.window), case.truth, case.prediction, spacing, _extent(case))]
    return [_plane(case, axis, position[axis]) for axis in range(3)]


def _extent(case: CaseVolumes) -> str:
    """Return which part of an image is shown."""
    sides = []
    for axis, name in enumerate(("rows", "columns")):
        ends = sorted((case.index(axis, 0), case.index(axis, case.truth.shape[axis] - 1)))
        sides.append(f"{name} {ends[0]}{DASH}{ends[1]}")
    return ", ".join(sides)


def largest_sections(case: CaseVolumes) -> tuple[int, ...]:
    """Return, per axis, the index of the plane with most of the truth (of the prediction where the truth is empty)."""
    foreground = case.truth != 0 if (case.truth != 0).any() else case.prediction != 0
    axes = range(foreground.ndim)
    areas = (foreground.sum(axis=tuple(other for other in axes if other != axis)) for axis in axes)
    if not foreground.any():
        return tuple(size // 2 for size in foreground.shape)
    return tuple(int(np.argmax(area)) for area in areas)


def plane_name(case: CaseVolumes, axis: int) -> str:
    """Return how the planes across an axis are called."""
    if case.anatomical:
        return ANATOMICAL_PLANES[axis]
    return "".join(name for name in AXES if name != AXES[axis]) + " plane"


def _plane(case: CaseVolumes, axis: int, index: int) -> Plane:
    rows, columns = (other for other in range(3) if other != axis)
    through = (slice(None),) * axis + (index,)
    return Plane(
        image=_stretched(case.image[through], case.window),
        truth=case.truth[through],
        prediction=case.prediction[through],
        spacing=(case.spacing[rows], case.spacing[columns]),
        caption=f"{plane_name(case, axis)}, {AXES[axis]} = {case.index(axis, index)}",
    )


def bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Return the smallest box that holds a mask; the whole array where it is empty."""
    box = []
    for axis, size in enumerate(mask.shape):
        inside = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, size))
    return tuple(box)


def _with_margin(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Return a mask's box with a margin of half its size, at least of 16 voxels."""
    box = []
    for part, size in zip(bounding_box(mask), mask.shape, strict=True):
        margin = max(16, (part.stop - part.start) // 2)
        box.append(slice(max(0, part.start - margin), min(size, part.stop + margin)))
    return tuple(box)


def _shown_channels(channels: NDArray[Any]) -> NDArray[Any]:
    """Return the first channel, or the three of a colour image as the last axis."""
    return np.moveaxis(channels, 0, -1) if channels.shape[0] == 3 and channels.ndim == 3 else channels[0]


def _window(image: NDArray[Any]) -> tuple[float, float]:
    """Return the 0.5th and 99.5th percentile of an image, of a sample where it is large."""
    values = np.nan_to_num(image.ravel()[:: 1 + image.size // WINDOW_SAMPLE].astype(np.float64))
    low, high = np.percentile(values, (0.5, 99.5))
    return float(low), float(high)


def _stretched(image: NDArray[Any], window: tuple[float, float]) -> NDArray[np.uint8]:
    """Return an image as 8 bits, black and white at the ends of the window."""
    low, high = window
    scaled = (np.nan_to_num(image.astype(np.float64)) - low) / max(high - low, 1e-12)
    stretched: NDArray[np.uint8] = np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    return stretched
