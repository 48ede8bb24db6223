"""What every metric does with its two masks first: check them, and find the box that holds both."""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import AnyArray, as_binary, as_numpy
from shapewright.errors import InputError

LARGEST_LABEL = 2**20
ROUNDING = 1 + 1e-6
"""Factor on an accepted distance: three pixels of 0.1 mm are within 0.3 mm, whatever their product rounds to."""


def check_image_pair(pred: NDArray[Any], truth: NDArray[Any]) -> None:
    """Raise unless both are images of one shape, with 2 or 3 axes and at least one pixel."""
    if pred.shape != truth.shape:
        raise InputError(f"pred and truth must have the same shape; got {pred.shape} and {truth.shape}")
    if pred.ndim not in (2, 3) or pred.size == 0:
        raise InputError(f"pred and truth must be images with axes (y, x) or (z, y, x), not empty; got {pred.shape}")


def binary_pair(pred: AnyArray, truth: AnyArray) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return both masks as boolean arrays of one shape, with 2 or 3 axes."""
    pair = as_binary(pred, "pred"), as_binary(truth, "truth")
    check_image_pair(*pair)
    return pair


def label_map(labels: AnyArray, name: str) -> NDArray[np.integer[Any]]:
    """Return a label map as an integer array; bool counts as labels 0 and 1."""
    array = as_numpy(labels, name)
    if array.dtype == np.bool_:
        return array.view(np.uint8)
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"{name} must be a label map of integers; got {array.dtype}")
    if array.size and (array.min() < 0 or array.max() >= LARGEST_LABEL):
        raise InputError(f"{name} must hold labels from 0 to {LARGEST_LABEL - 1}; got {array.min()} to {array.max()}")
    return array


def as_volume(image: NDArray[Any]) -> NDArray[Any]:
    """Return an image (y, x) as a volume of one slice; a volume as it is."""
    return image[None] if image.ndim == 2 else image


@numba.njit(cache=True, nogil=True)
def _grow_boxes(volume: NDArray[Any], boxes: NDArray[np.int64]) -> None:
    for z in range(volume.shape[0]):
        for y in range(volume.shape[1]):
            row = volume[z, y]
            x = 0
            while x < row.size:
                value = row[x]
                start = x
                while x < row.size and row[x] == value:
                    x += 1
                if value != 0:
                    box = boxes[value]
                    box[0, 0] = min(box[0, 0], z)
                    box[0, 1] = max(box[0, 1], z + 1)
                    box[1, 0] = min(box[1, 0], y)
                    box[1, 1] = max(box[1, 1], y + 1)
                    box[2, 0] = min(box[2, 0], start)
                    box[2, 1] = max(box[2, 1], x)


def label_boxes(*maps: NDArray[Any]) -> NDArray[np.int64]:
    """Return the box of every label in any of the maps, in one pass over each.

    Returns
    -------
    ndarray
        ``[largest label + 1, 3, 2]``: start and stop along z, y, x (an image is a volume of one slice). A label
        that occurs nowhere, and the background, have start > stop.
    """
    size = 1 + max(int(labels.max()) for labels in maps)
    boxes = np.empty((size, 3, 2), np.int64)
    boxes[..., 0] = np.iinfo(np.int64).max
    boxes[..., 1] = -1
    for labels in maps:
        _grow_boxes(as_volume(labels), boxes)
    return boxes


def union_box(boxes: NDArray[np.int64], ndim: int) -> tuple[slice, ...]:
    """Return the smallest box that holds all of ``boxes`` ``[n, 3, 2]``; where all are empty, one of a single pixel."""
    start, stop = boxes[..., 0].min(axis=0, initial=np.iinfo(np.int64).max), boxes[..., 1].max(axis=0, initial=-1)
    if (start > stop).any():
        return (slice(0, 1),) * ndim
    return tuple(slice(int(low), int(high)) for low, high in zip(start, stop, strict=True))[-ndim:]
