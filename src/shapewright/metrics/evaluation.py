"""All metrics of one case, for every label."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import AnyArray, as_binary, check_spacing
from shapewright.errors import InputError
from shapewright.geometry import betti_numbers
from shapewright.metrics._masks import check_image_pair, label_boxes, label_map, union_box
from shapewright.metrics.boundary import band_iou, default_band_width
from shapewright.metrics.overlap import dice, iou, relative_error_percent
from shapewright.metrics.surface import check_tolerance, distances_in_box, image_diagonal

FOREGROUND = "foreground"


def evaluate(
    pred: AnyArray,
    truth: AnyArray,
    *,
    spacing: Sequence[float] | float | None = None,
    labels: Mapping[str, int | Sequence[int]] | None = None,
    tolerance: float = 1.0,
    topology: bool = False,
    mask: AnyArray | None = None,
) -> dict[str, dict[str, float]]:
    """Return all metrics of one case for every label.

    Parameters
    ----------
    pred, truth
        Label maps of one shape, ``(y, x)`` or ``(z, y, x)``: integers (or bool), NumPy arrays or torch tensors.
    spacing
        Pixel size in mm, one value per axis; ``None`` means 1 mm.
    labels
        Name -> label value, or several values whose union is meant: ``{"tumour": 2, "organ": (1, 2)}``. Values that are
        not named are left out. ``None`` takes every value but 0 that occurs in either map, named by its number.
    tolerance
        Tolerance of the surface Dice in mm. The default of 1 mm is a usual in-plane resolution; give what experts
        differ by.
    topology
        Also count components, holes and cavities; see :func:`shapewright.geometry.betti_numbers`.
    mask
        Binary mask of the pixels to judge: outside it both maps count as background. ``None`` judges all.

    Returns
    -------
    dict
        Label name -> metric name -> value, with the columns of :data:`shapewright.metrics.METRICS` in that order. With
        more than one label a row ``"foreground"``, their union, comes last. No value is ever NaN: each metric states
        what it is for empty masks.

    Raises
    ------
    InputError
        Maps that differ in shape or are not integers, a label that is 0 or negative, no labels, a spacing that is not
        positive, a negative tolerance.

    Examples
    --------
    >>> truth = np.zeros((20, 30, 30), np.uint8)
    >>> truth[5:15, 5:15, 5:15] = 1
    >>> truth[5:15, 5:15, 15:25] = 2
    >>> pred = np.roll(truth, 1, axis=0)
    >>> scores = evaluate(pred, truth, spacing=(2.0, 1.0, 1.0), labels={"head": 1, "tail": 2})
    >>> list(scores)
    ['head', 'tail', 'foreground']
    >>> scores["head"]["dice"], scores["head"]["hd"], scores["head"]["volume_truth_ml"]
    (0.9, 2.0, 2.0)
    """
    p, t = label_map(pred, "pred"), label_map(truth, "truth")
    check_image_pair(p, t)
    mm = check_spacing(spacing, p.ndim)
    check_tolerance(tolerance)
    if mask is not None:
        judged = as_binary(mask, "mask")
        if judged.shape != p.shape:
            raise InputError(f"mask must have the shape of the label maps, {p.shape}; got {judged.shape}")
        p, t = p * judged, t * judged
    boxes = label_boxes(p, t)
    groups = _label_groups(labels, boxes)
    return {name: _scores_of(values, p, t, boxes, mm, tolerance, topology) for name, values in groups.items()}


def _label_groups(
    labels: Mapping[str, int | Sequence[int]] | None, boxes: NDArray[np.int64]
) -> dict[str, tuple[int, ...]]:
    """Return name -> label values, the foreground included; without ``labels``, of the labels that have a box."""
    groups: dict[str, tuple[int, ...]]
    if labels is None:
        groups = {str(value): (int(value),) for value in np.flatnonzero(boxes[:, 0, 1] > 0)}
    elif not isinstance(labels, Mapping):
        raise InputError(f"labels must map names to label values, as in {{'liver': 1}}; got {labels!r}")
    else:
        groups = {name: _label_values(name, given) for name, given in labels.items()}
        if not groups:
            raise InputError("labels must name at least one label, or be None for all that occur; got none")
    if len(groups) > 1 and FOREGROUND not in groups:
        groups[FOREGROUND] = tuple(sorted({value for values in groups.values() for value in values}))
    return groups


def _label_values(name: str, given: int | Sequence[int]) -> tuple[int, ...]:
    values = tuple(given) if isinstance(given, Sequence) else (given,)
    if not values or not all(isinstance(value, int | np.integer) and value > 0 for value in values):
        raise InputError(f"labels[{name!r}] must be a positive integer or several of them; got {given!r}")
    return tuple(int(value) for value in values)


def _select(labels: NDArray[Any], values: Sequence[int]) -> NDArray[np.bool_]:
    """Return where a label map has one of the values."""
    if len(values) == 1:
        mask: NDArray[np.bool_] = labels == values[0]
        return mask
    return np.isin(labels, values)


def _scores_of(
    values: tuple[int, ...],
    pred: NDArray[Any],
    truth: NDArray[Any],
    boxes: NDArray[np.int64],
    spacing: tuple[float, ...],
    tolerance: float,
    topology: bool,
) -> dict[str, float]:
    """Return the metrics of one label, computed in the box that holds it in both maps."""
    present = [value for value in values if value < len(boxes)]
    box = union_box(boxes[present], pred.ndim)
    p, t = _select(pred[box], values), _select(truth[box], values)
    diagonal = image_diagonal(pred.shape, spacing)
    distances = distances_in_box(p, t, spacing, diagonal)
    pixel_ml = math.prod(spacing) / 1000
    pred_ml, truth_ml = float(np.count_nonzero(p)) * pixel_ml, float(np.count_nonzero(t)) * pixel_ml
    scores = {
        "dice": dice(p, t),
        "iou": iou(p, t),
        "hd": distances.hausdorff(100),
        "hd95": distances.hausdorff(95),
        "assd": distances.average(),
        "surface_dice": distances.surface_dice(tolerance),
        "boundary_iou": band_iou(p, t, spacing, default_band_width(diagonal, spacing)),
        "volume_pred_ml": pred_ml,
        "volume_truth_ml": truth_ml,
        "volume_error_percent": relative_error_percent(pred_ml, truth_ml),
    }
    return scores | _topology_of(p, t) if topology else scores


def _topology_of(pred: NDArray[np.bool_], truth: NDArray[np.bool_]) -> dict[str, float]:
    """Return the numbers of components, holes and cavities of both masks, and by how much they differ in all."""
    counts = [[float(number) for number in betti_numbers(mask)] for mask in (pred, truth)]
    p, t = (numbers + [0.0] * (3 - len(numbers)) for numbers in counts)
    scores = {}
    for name, of_pred, of_truth in zip(("components", "holes", "cavities"), p, t, strict=True):
        scores[f"{name}_pred"] = of_pred
        scores[f"{name}_truth"] = of_truth
    scores["betti_error"] = sum(abs(a - b) for a, b in zip(p, t, strict=True))
    return scores
