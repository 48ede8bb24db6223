"""Masks from boxes, then from unlabelled images."""

from shapewright.methods.registry import MethodInfo

METHOD = MethodInfo(
    name="iterative-boxes",
    title="Masks from boxes by relabelling in rounds, then from unlabelled images",
    summary="Trains on filled boxes, relabels the images with its own prediction as far as the boxes agree, and "
    "repeats; then unlabelled images join, of which only objects of typical size and shape teach.",
    paper="Gupta, Klinkhammer, Boor, Merhof, Gadermayr: Iterative learning to make the most of unlabeled and quickly "
    "obtained labeled data in histology, MIDL 2019",
    link="https://proceedings.mlr.press/v102/gupta19a.html",
    supervision=("boxes", "unlabelled"),
    tags=("weak labels", "boxes", "self-training", "pseudo-labels", "histopathology"),
)
