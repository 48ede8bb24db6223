"""Boundary loss for highly unbalanced segmentation."""

from shapewright.methods.registry import MethodInfo

METHOD = MethodInfo(
    name="boundary-loss",
    title="Boundary loss for highly unbalanced segmentation",
    summary="Adds to a regional loss the signed distance of every predicted voxel to the true boundary, so that far "
    "errors cost more than near ones and training is steadier.",
    paper="Kervadec, Bouchtiba, Desrosiers, Granger, Dolz, Ben Ayed: Boundary loss for highly unbalanced "
    "segmentation, MIDL 2019",
    link="https://proceedings.mlr.press/v102/kervadec19a.html",
    tags=("loss", "distance", "boundary", "lesion", "class imbalance"),
)
