"""Seeded phantoms and physics.

A phantom is a frozen dataclass of parameters with ``generate(count, *, seed)``, which returns images
``[N, channels, *spatial]`` (float32) and labels ``[N, *spatial]`` (uint8). Image *i* of a seed depends on the seed
and *i* alone: asking for more images later extends the set without changing it. Where classes overlap
(:class:`FundusPhantom`), masks ``[N, classes, *spatial]`` (bool) stand in place of labels. Binary phantoms return bool.
:class:`ScribbleSimulator` draws strokes as a person would, from full masks; ``annotation`` makes other cheap labels.
"""

from shapewright.simulate.annotation import boxes_around_objects, points_in_objects, sparse_annotation
from shapewright.simulate.brain import BrainPhantom
from shapewright.simulate.diskorect import Diskorect, JointPhantom, noisy_sticks
from shapewright.simulate.fundus import FUNDUS_CLASSES, FundusPhantom
from shapewright.simulate.glands import GlandPhantom
from shapewright.simulate.isointense import IsointensePhantom
from shapewright.simulate.kidney import KidneyPhantom
from shapewright.simulate.nuclei import NucleiPhantom
from shapewright.simulate.scribbles import ScribbleSimulator
from shapewright.simulate.small_lesion import SmallLesionPhantom
from shapewright.simulate.texture_cells import TextureCellsPhantom
from shapewright.simulate.tissue_mosaic import TissueMosaic

__all__ = [
    "FUNDUS_CLASSES",
    "BrainPhantom",
    "Diskorect",
    "FundusPhantom",
    "GlandPhantom",
    "IsointensePhantom",
    "JointPhantom",
    "KidneyPhantom",
    "NucleiPhantom",
    "ScribbleSimulator",
    "SmallLesionPhantom",
    "TextureCellsPhantom",
    "TissueMosaic",
    "boxes_around_objects",
    "noisy_sticks",
    "points_in_objects",
    "sparse_annotation",
]
