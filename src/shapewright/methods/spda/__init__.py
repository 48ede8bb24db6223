"""Superpixel-based data augmentation."""

from shapewright.methods.registry import MethodInfo

METHOD = MethodInfo(
    name="spda",
    title="Superpixel-based data augmentation",
    summary="Trains on every patch twice, once as it is and once with each superpixel replaced by its mean, so that "
    "the network leans on regions and outlines instead of texture.",
    paper="Zhang, Yang, Zhang, Chen: SPDA: superpixel-based data augmentation for biomedical image segmentation, "
    "MIDL 2019",
    link="https://proceedings.mlr.press/v102/zhang19a.html",
    tags=("augmentation", "superpixels", "few images", "texture"),
)
