"""Segmentation from sparsely annotated pixels."""

from shapewright.methods.registry import MethodInfo

METHOD = MethodInfo(
    name="sparse-annotation",
    title="Segmentation from sparse annotations, classes balanced",
    summary="Learns from masks of which only a few blobs are labelled: unknown pixels do not count, and the classes "
    "that are labelled have equal influence in every batch.",
    paper="Bokhorst, Pinckaers, van Zwam, Nagtegaal, van der Laak, Ciompi: Learning from sparsely annotated data for "
    "semantic segmentation in histopathology images, MIDL 2019",
    link="https://proceedings.mlr.press/v102/bokhorst19a.html",
    supervision=("sparse", "scribbles", "dense"),
    tags=("weak labels", "sparse", "scribbles", "class imbalance", "histopathology"),
)
