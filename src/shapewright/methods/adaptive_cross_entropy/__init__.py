"""Adaptive cross-entropy: one network from data sets with different labels."""

from shapewright.methods.registry import MethodInfo

METHOD = MethodInfo(
    name="adaptive-cross-entropy",
    title="Adaptive cross-entropy for data sets with different labels",
    summary="Trains one network on several data sets, each annotated for some of the classes only: what a data set "
    "does not annotate is any of the other classes, not background.",
    paper="Roulet, Fernandez Slezak, Ferrante: Joint learning of brain lesion and anatomy segmentation from "
    "heterogeneous datasets, MIDL 2019",
    link="https://proceedings.mlr.press/v102/roulet19a.html",
    supervision=("partial", "dense", "sparse"),
    tags=("loss", "partial labels", "several data sets", "brain", "lesion", "anatomy"),
)
