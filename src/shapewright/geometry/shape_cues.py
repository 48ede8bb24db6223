"""What boxes and typical shapes say about a segmentation."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from shapewright.arrays import check_spacing
from shapewright.errors import InputError, check_number, unknown

UNKNOWN = 255

Labels = NDArray[np.uint8]
Box = tuple[slice, ...]


def fill_boxes(shape: Sequence[int], boxes: Sequence[Box], classes: Sequence[int] | None = None) -> Labels:
    """Return a label map in which every box is filled with its class.

    Parameters
    ----------
    shape
        Shape of the image.
    boxes
        One slice per axis and box.
    classes
        Class of each box, from 1; default 1. Where boxes overlap the smaller one counts.

    Examples
    --------
    >>> fill_boxes((2, 5), [(slice(0, 2), slice(1, 3))])
    array([[0, 1, 1, 0, 0],
           [0, 1, 1, 0, 0]], dtype=uint8)
    """
    labels = np.zeros(tuple(shape), np.uint8)
    for box, kind in _largest_first(labels, boxes, classes):
        labels[box] = kind
    return labels


def box_cues(
    predicted: NDArray[np.uint8],
    boxes: Sequence[Box],
    classes: Sequence[int] | None = None,
    *,
    min_fill: float = 0.5,
    exhaustive: bool = True,
) -> Labels:
    """Return a prediction corrected by the boxes of its objects.

    A box whose class fills less than ``min_fill`` of it in the prediction is filled as a whole again: the object was
    missed, or lost. What is predicted outside all boxes of its class becomes background.

    Parameters
    ----------
    predicted
        Class indices ``[*spatial]``.
    boxes, classes
        As in :func:`fill_boxes`. Overlapping boxes are judged one by one; their results are united, the smaller box's
        last.
    min_fill
        Smallest share of a box that its object may have; a share of exactly this is kept. An ellipse fills 0.785 of
        its box, a slanted one less: lower it for elongated objects. 0 resets no box.
    exhaustive
        Whether every object has a box; else predictions outside the boxes stay.

    Returns
    -------
    NDArray
        uint8 ``[*spatial]``. Applying the cues again changes nothing where boxes are disjoint.

    Raises
    ------
    InputError
        ``min_fill`` outside 0 to 1.

    References
    ----------
    Gupta et al., "Iterative learning to make the most of unlabeled and quickly obtained labeled data in histology",
    MIDL 2019, cues 1.

    Examples
    --------
    >>> predicted = np.array([[0, 1, 1, 0, 1, 0]], np.uint8)
    >>> box_cues(predicted, [(slice(0, 1), slice(0, 3))])
    array([[0, 1, 1, 0, 0, 0]], dtype=uint8)
    >>> box_cues(predicted, [(slice(0, 1), slice(3, 6))])  # a third of the box is not enough
    array([[0, 0, 0, 1, 1, 1]], dtype=uint8)
    """
    check_number("min_fill", min_fill, minimum=0, maximum=1)
    values = np.asarray(predicted, np.uint8)
    result = np.zeros_like(values) if exhaustive else values.copy()
    for box, kind in _largest_first(values, boxes, classes):
        inside = values[box] == kind
        kept = inside if inside.sum() >= min_fill * inside.size else np.ones_like(inside)
        result[box][kept] = kind
    return result


def _largest_first(labels: Labels, boxes: Sequence[Box], classes: Sequence[int] | None) -> list[tuple[Box, int]]:
    kinds = [1] * len(boxes) if classes is None else [int(kind) for kind in classes]
    if len(kinds) != len(boxes):
        raise InputError(f"classes must have one value per box; got {len(kinds)} for {len(boxes)} boxes")
    return sorted(zip(boxes, kinds, strict=True), key=lambda pair: -labels[pair[0]].size)


def eccentricity(mask: NDArray[np.bool_], *, spacing: Sequence[float] | None = None) -> float:
    """Return the eccentricity of the ellipse (ellipsoid) with the mask's second moments.

    Parameters
    ----------
    mask
        One object.
    spacing
        Pixel size in mm per axis; default 1.

    Returns
    -------
    float
        From 0 (a disc, one pixel) to 1 (a long line); in 3D of the longest and the shortest axis. 0 for no object.

    Notes
    -----
    *Convention*: ``skimage.measure.regionprops`` takes pixels as points; here they are squares of their own size, so
    that a magnified mask has the same eccentricity. The two agree for large objects.

    Examples
    --------
    >>> round(eccentricity(np.ones((1, 3), bool)), 3)
    0.943
    """
    places = np.argwhere(mask)
    if len(places) == 0:
        return 0.0
    size = np.array(check_spacing(spacing, places.shape[1]))
    offsets = (places - places.mean(axis=0)) * size
    moments = np.linalg.eigvalsh(offsets.T @ offsets / len(places) + np.diag(size**2) / 12)
    return float(np.sqrt(max(1 - moments[0] / moments[-1], 0.0)))


@dataclass(frozen=True)
class ShapePrior:
    """What sizes and eccentricities are typical of an object.

    Parameters
    ----------
    size, eccentricity
        Smallest and largest typical value; size in mm^2 or mm^3.

    Examples
    --------
    >>> mask = np.zeros((9, 20), bool)
    >>> mask[2:6, 2:6] = mask[2:7, 12:17] = True
    >>> prior = ShapePrior.fit([mask], level=1.0)
    >>> mask[8, :] = True  # a line is no such object
    >>> sorted(np.unique(prior.filter(mask, exempt_border=False)).tolist())
    [0, 1, 255]
    """

    size: tuple[float, float]
    eccentricity: tuple[float, float]

    @classmethod
    def fit(
        cls, masks: Iterable[NDArray[np.bool_]], *, level: float = 0.95, spacing: Sequence[float] | None = None
    ) -> "ShapePrior":
        """Return the central intervals over the connected components of masks.

        Parameters
        ----------
        masks
            Reference objects ``[*spatial]``.
        level
            Share of the objects within each interval; both together hold about 0.9 of them at 0.95.
        spacing
            Pixel size in mm per axis; default 1.

        Raises
        ------
        InputError
            No object in any mask, or a level outside 0 to 1.
        """
        check_number("level", level, above=0, maximum=1)
        found = [row for mask in masks for _, *row in _objects(mask, spacing)]
        if not found:
            raise InputError("masks must hold an object to learn typical shapes from; got none")
        tails = [(1 - level) / 2, (1 + level) / 2]
        (small, round_), (large, long) = np.quantile(np.array(found), tails, axis=0)
        return cls((float(small), float(large)), (float(round_), float(long)))

    def filter(
        self,
        mask: NDArray[np.bool_],
        *,
        removed: Literal["ignore", "background"] = "ignore",
        exempt_border: bool = True,
        spacing: Sequence[float] | None = None,
    ) -> Labels:
        """Return a mask as labels, without the components of untypical shape.

        Parameters
        ----------
        mask
            Objects ``[*spatial]``.
        removed
            What untypical objects become: ``ignore`` (255, unknown) or ``background``, as the paper has it, which
            teaches the network to miss them.
        exempt_border
            Keep objects that the image's border cuts: their shape is not known.
        spacing
            Pixel size in mm per axis; default 1.

        Returns
        -------
        NDArray
            uint8: 0, 1, and 255 where something was removed.
        """
        if removed not in ("ignore", "background"):
            raise unknown("value for removed", removed, ("ignore", "background"))
        labels: Labels = (np.asarray(mask) != 0).astype(np.uint8)
        for place, size, shape in _objects(mask, spacing):
            typical = self.size[0] <= size <= self.size[1] and self.eccentricity[0] <= shape <= self.eccentricity[1]
            box, component = place
            cut = any(part.start == 0 or part.stop == n for part, n in zip(box, labels.shape, strict=True))
            if not typical and not (cut and exempt_border):
                labels[box][component] = UNKNOWN if removed == "ignore" else 0
        return labels

    def widened(self, share: float) -> "ShapePrior":
        """Return the prior with intervals longer by a share of themselves on both ends."""
        (small, large), (low, high) = self.size, self.eccentricity
        by, turn = share * (large - small), share * (high - low)
        return dataclasses.replace(self, size=(small - by, large + by), eccentricity=(low - turn, high + turn))


def _objects(
    mask: NDArray[np.bool_], spacing: Sequence[float] | None
) -> list[tuple[tuple[Box, NDArray[np.bool_]], float, float]]:
    """Return place, size and eccentricity of every connected component."""
    pieces, _ = ndimage.label(np.asarray(mask) != 0)
    unit = 1.0 if spacing is None else float(np.prod(spacing))
    rows = []
    for number, box in enumerate(ndimage.find_objects(pieces), start=1):
        component = pieces[box] == number
        rows.append(((box, component), float(component.sum()) * unit, eccentricity(component, spacing=spacing)))
    return rows
