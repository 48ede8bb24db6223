"""Multitask adversaries for weakly labelled data."""

from shapewright.methods.registry import MethodInfo

METHOD = MethodInfo(
    name="multitask-adversaries",
    title="Multitask adversaries for weakly labelled data",
    summary="Trains one network on data sets that are each annotated for some of the classes; one discriminator names "
    "the classes an image shows, another tells drawn masks from predicted ones.",
    paper="Saha, Sathish, Sheet: Learning with multitask adversaries using weakly labelled data for semantic "
    "segmentation in retinal images, MIDL 2019",
    link="https://proceedings.mlr.press/v102/saha19a.html",
    supervision=("dense", "partial", "image"),
    tags=("partial labels", "adversarial", "retina", "vessels", "optic disc", "lesion", "multi-label", "GAN"),
)
