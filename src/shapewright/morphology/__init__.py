"""Structuring elements and morphological operators.

One function for both worlds: bool in, the exact filter out, computed on 64 pixels a machine word; floating point in,
the differentiable filter on probabilities out. Leading axes are batches::

    from shapewright.morphology import ball, opening

    opening(mask, ball(3))
    opening(probabilities, ball(3)).sum().backward()
"""

from shapewright.boolean.packed import PackedImage, pack
from shapewright.morphology.connected import area_opening, fill_holes, reconstruction
from shapewright.morphology.elements import ball, box, connectivity, cross, diamond, line
from shapewright.morphology.grey import grey_dilation, grey_erosion
from shapewright.morphology.growth import grow_homotopic
from shapewright.morphology.operators import (
    black_tophat,
    closing,
    dilation,
    erosion,
    gradient,
    hit_or_miss,
    opening,
    white_tophat,
)
from shapewright.morphology.program import Node, Program
from shapewright.morphology.simple import simple_points
from shapewright.morphology.skeleton import homotopic_thinning, skeletonize, thin

__all__ = [
    "Node",
    "PackedImage",
    "Program",
    "area_opening",
    "ball",
    "black_tophat",
    "box",
    "closing",
    "connectivity",
    "cross",
    "diamond",
    "dilation",
    "erosion",
    "fill_holes",
    "gradient",
    "grey_dilation",
    "grey_erosion",
    "grow_homotopic",
    "hit_or_miss",
    "homotopic_thinning",
    "line",
    "opening",
    "pack",
    "reconstruction",
    "simple_points",
    "skeletonize",
    "thin",
    "white_tophat",
]
