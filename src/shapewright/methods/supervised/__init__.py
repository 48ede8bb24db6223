"""Supervised segmentation with a regional loss: the reference that every other method is compared with."""

from shapewright.methods.registry import MethodInfo

METHOD = MethodInfo(
    name="supervised",
    title="U-Net with a regional loss",
    summary="Trains a U-Net on full masks with Dice and cross-entropy (or generalised Dice): the baseline that every "
    "other method is compared with.",
    paper="Ronneberger, Fischer, Brox: U-Net, convolutional networks for biomedical image segmentation, MICCAI 2015",
    link="https://arxiv.org/abs/1505.04597",
    supervision=("dense", "sparse", "scribbles"),
    tags=("baseline", "dice", "cross-entropy", "u-net"),
)
