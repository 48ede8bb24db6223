"""Nuclei from one point each."""

from shapewright.methods.registry import MethodInfo

METHOD = MethodInfo(
    name="point-nuclei",
    title="Nuclei from one point each: Voronoi and cluster labels, CRF loss",
    summary="Makes two incomplete label maps from a point in every object, one that tells objects apart and one that "
    "tells their extent, trains one network on both, and ends with a loss of neighbouring colours.",
    paper="Qu, Wu, Huang, Yi, Riedlinger, De, Metaxas: Weakly supervised deep nuclei segmentation using points "
    "annotation in histopathology images, MIDL 2019",
    link="https://proceedings.mlr.press/v102/qu19a.html",
    supervision=("points",),
    tags=("weak labels", "points", "nuclei", "cells", "voronoi", "crf", "histopathology"),
)
