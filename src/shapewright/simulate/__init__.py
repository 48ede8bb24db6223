"""Seeded phantoms and physics.

A phantom is a frozen dataclass of parameters with ``generate(count, *, seed)``, which returns images
``[N, C, *spatial]`` (float32) and labels ``[N, *spatial]`` (uint8). Image *i* of a seed depends on the seed and *i*
alone: asking for more images later extends the set without changing it. ``annotation`` makes cheap labels from full
ones.
"""

from shapewright.simulate.annotation import boxes_around_objects, points_in_objects, sparse_annotation
from shapewright.simulate.kidney import KidneyPhantom
from shapewright.simulate.nuclei import NucleiPhantom
from shapewright.simulate.small_lesion import SmallLesionPhantom
from shapewright.simulate.tissue_mosaic import TissueMosaic

__all__ = [
    "KidneyPhantom",
    "NucleiPhantom",
    "SmallLesionPhantom",
    "TissueMosaic",
    "boxes_around_objects",
    "points_in_objects",
    "sparse_annotation",
]
