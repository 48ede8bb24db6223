"""A picture of a mask and strokes on an image."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.data.display import display_levels
from shapewright.errors import InputError

MASK, OUTLINE = (255, 170, 0), (255, 214, 0)
STROKES = {1: (60, 200, 90), 2: (230, 60, 60)}
OTHER = (80, 140, 255)


def overlay(image: NDArray[Any], labels: NDArray[Any], strokes: NDArray[Any] | None = None) -> NDArray[np.uint8]:
    """Return RGB ``[H, W, 3]``: the image, tinted where labels are, with their outlines and the strokes.

    Parameters
    ----------
    image
        ``[C, *spatial]``; of a volume the slice with the most labels is shown.
    labels
        Integers or bool ``[*spatial]``.
    strokes
        Integers ``[*spatial]``: 0 none, 1 object (green), 2 background (red), others blue.

    Raises
    ------
    InputError
        The shapes differ.
    """
    if labels.shape != image.shape[1:] or (strokes is not None and strokes.shape != labels.shape):
        raise InputError(f"labels and strokes must have the image's shape {image.shape[1:]}; got {labels.shape}")
    if labels.ndim == 3:
        index = int((labels != 0).sum((1, 2)).argmax())
        return overlay(image[:, index], labels[index], None if strokes is None else strokes[index])
    picture = display_levels(image).astype(np.float64)
    inside = labels != 0
    picture[inside] = 0.75 * picture[inside] + 0.25 * np.array(MASK)
    padded = np.pad(labels, 1, mode="edge")
    edge = np.zeros(labels.shape, np.bool_)
    for shifted in (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
        edge |= inside & (shifted != labels)
    picture[edge] = OUTLINE
    if strokes is not None:
        for code in np.unique(strokes[strokes != 0]):
            picture[strokes == code] = STROKES.get(int(code), OTHER)
    return picture.round().astype(np.uint8)
