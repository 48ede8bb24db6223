"""Binary morphological neural networks: learn set morphology from pairs of binary images, and become it."""

from typing import TYPE_CHECKING, Any

from shapewright.methods.registry import MethodInfo

if TYPE_CHECKING:
    from shapewright.methods.bimonn.fit import fit_morphology as fit_morphology

METHOD = MethodInfo(
    name="bimonn",
    title="Binary morphological neural networks",
    summary="Learns the erosions, dilations, unions and intersections that turn one binary image into another, from "
    "pairs of them, and hands out the result as a readable program that runs on packed bits.",
    paper="Aouad, Talbot: Binary multi-channel morphological neural network, DGMM 2022",
    link="https://arxiv.org/abs/2204.08768",
    tags=("morphology", "binary images", "interpretable", "structuring element", "program"),
)

__all__ = ["METHOD", "fit_morphology"]


def __getattr__(name: str) -> Any:
    if name == "fit_morphology":
        from shapewright.methods.bimonn.fit import fit_morphology

        return fit_morphology
    raise AttributeError(f"module 'shapewright.methods.bimonn' has no attribute {name!r}")
