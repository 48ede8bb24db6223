"""What is known about a case: a full mask, or less. Pure data, without torch."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shapewright.data.image import Reorientation
from shapewright.data.kinds import Kind

SPARSE = 0.5  # a mask with a larger share of unknown voxels is sparse


@dataclass(frozen=True, eq=False)
class Points:
    """Points in an image, one per object.

    Parameters
    ----------
    positions
        float64 [N, dims] voxel indices (z,) y, x.
    classes
        uint8 [N] class indices, from 1.
    """

    positions: NDArray[np.float64]
    classes: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.positions)

    def voxels(self, shape: Sequence[int]) -> NDArray[np.int64]:
        """Return the voxels [N, dims] that hold the points."""
        return np.clip(np.rint(self.positions), 0, np.array(shape) - 1).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes around objects, parallel to the axes.

    Parameters
    ----------
    first, last
        float64 [N, dims] voxel indices (z,) y, x of the first and the last voxel of each box; both belong to it.
    classes
        uint8 [N] class indices, from 1.
    """

    first: NDArray[np.float64]
    last: NDArray[np.float64]
    classes: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.first)

    def slices(self, shape: Sequence[int]) -> list[tuple[slice, ...]]:
        """Return each box as an index into an array of this shape, at least one voxel wide.

        Examples
        --------
        >>> box = Boxes(np.array([[1.0, 2.0]]), np.array([[3.0, 2.0]]), np.array([1], np.uint8))
        >>> box.slices((9, 9))
        [(slice(1, 4, None), slice(2, 3, None))]
        """
        top = np.array(shape) - 1
        first = np.clip(np.rint(self.first), 0, top).astype(int)
        last = np.clip(np.rint(self.last), first, top).astype(int)
        return [
            tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))
            for low, high in zip(first.tolist(), last.tolist(), strict=True)
        ]


@dataclass(frozen=True, eq=False)
class Supervision:
    """What is known about one case.

    Parameters
    ----------
    mask
        Kind of its mask: ``dense``, ``sparse``, ``scribbles``, or None without one.
    points, boxes
        Where objects are; None where nobody looked, empty where there are none.
    sizes
        Class index to the interval its object's size lies in, in the unit of the measure the method is told.
    annotated
        Class indices that the mask was annotated for; None for all. Where the mask says background, the other classes
        are unknown.
    present
        Class index to whether the image shows it.

    Examples
    --------
    >>> Supervision("dense").kinds
    ('dense',)
    >>> Supervision(sizes={1: (10.0, 14.0)}, present={1: True}).kinds
    ('size', 'image')
    """

    mask: Literal["dense", "sparse", "scribbles"] | None = None
    points: Points | None = None
    boxes: Boxes | None = None
    sizes: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    annotated: frozenset[int] | None = None
    present: Mapping[int, bool] = field(default_factory=dict)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of label there are."""
        has: dict[Kind, bool] = {
            "dense": self.mask == "dense" and self.annotated is None,
            "partial": self.mask is not None and self.annotated is not None,
            "sparse": self.mask == "sparse" and self.annotated is None,
            "scribbles": self.mask == "scribbles" and self.annotated is None,
            "points": self.points is not None,
            "boxes": self.boxes is not None,
            "size": bool(self.sizes),
            "image": bool(self.present),
        }
        return tuple(kind for kind, there in has.items() if there) or ("unlabelled",)

    def size_bounds(self, classes: int) -> NDArray[np.float32]:
        """Return the sizes' lower and upper bounds [2 * (classes - 1)], class after class; NaN where unknown.

        Examples
        --------
        >>> Supervision(sizes={2: (3.0, 4.0)}).size_bounds(3)
        array([nan, nan,  3.,  4.], dtype=float32)
        """
        unknown = (np.nan, np.nan)
        return np.array([self.sizes.get(index, unknown) for index in range(1, classes)], np.float32).ravel()

    def reoriented(self, reorientation: Reorientation | None, shape: Sequence[int]) -> "Supervision":
        """Return the same in an array whose axes were permuted and flipped to ``shape``."""
        if reorientation is None:
            return self
        axes, flipped, top = list(reorientation.axes), np.array(reorientation.flips), np.array(shape) - 1.0

        def turn(positions: NDArray[np.float64]) -> NDArray[np.float64]:
            permuted: NDArray[np.float64] = positions[:, axes]
            permuted[:, flipped] = top[flipped] - permuted[:, flipped]
            return permuted

        boxes = self.boxes
        if boxes is not None:
            ends = turn(boxes.first), turn(boxes.last)
            boxes = Boxes(np.minimum(*ends), np.maximum(*ends), boxes.classes)
        points = self.points and Points(turn(self.points.positions), self.points.classes)
        return dataclasses.replace(self, points=points, boxes=boxes)

    def resized(self, old: Sequence[int], new: Sequence[int]) -> "Supervision":
        """Return the same in an array resampled from shape ``old`` to ``new``, outer edges in place."""
        if tuple(old) == tuple(new):
            return self
        factor = np.array(new) / np.array(old)

        def move(positions: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray((positions + 0.5) * factor - 0.5)

        boxes = self.boxes
        if boxes is not None:  # by their outer edges, so that a box of one voxel does not shrink to nothing
            last = (boxes.last + 1) * factor - 1
            boxes = Boxes(np.minimum(boxes.first * factor, last), last, boxes.classes)
        points = self.points and Points(move(self.points.positions), self.points.classes)
        return dataclasses.replace(self, points=points, boxes=boxes)
