"""The kinds of label by name; readable without NumPy, because every method is described in these words."""

from collections.abc import Iterable, Mapping
from typing import Literal

Kind = Literal["dense", "partial", "sparse", "scribbles", "points", "boxes", "size", "image", "unlabelled"]

KINDS: Mapping[Kind, str] = {
    "dense": "masks of every voxel",
    "partial": "masks of some of the classes (annotated.csv, or several data sets as one)",
    "sparse": "masks most of whose voxels are marked ignore",
    "scribbles": "strokes of some classes (scribbles/)",
    "points": "a point in every object (points/)",
    "boxes": "a box around every object (boxes/)",
    "size": "object sizes (sizes.csv)",
    "image": "which classes an image shows (image_labels.csv)",
    "unlabelled": "images without any label",
}
"""Every kind of label by its name: the words of ``MethodInfo.supervision`` and of ``shapewright doctor``."""


def usable(kinds: Iterable[str], wanted: Iterable[str]) -> tuple[str, ...]:
    """Return the kinds of label that a method can learn from, among those that there are.

    Examples
    --------
    >>> usable(("sparse", "points"), ("dense", "sparse"))
    ('sparse',)
    """
    accepted = set(wanted)
    return tuple(kind for kind in kinds if kind in accepted)
