"""Path-connected segmentation: from scribbles, or from any network's probabilities, to a mask in one piece."""

import importlib
from typing import TYPE_CHECKING, Any

from shapewright.methods.registry import MethodInfo

if TYPE_CHECKING:
    from shapewright.methods.path_connected.scribbles import ConnectedFit as ConnectedFit
    from shapewright.methods.path_connected.scribbles import fit_scribbles as fit_scribbles
    from shapewright.training.connected import connect as connect
    from shapewright.training.connected_config import FitConfig as FitConfig

METHOD = MethodInfo(
    name="path-connected",
    title="Path-connected segmentation",
    summary="Turns a few strokes, or the probabilities of a trained network, into a mask that is one piece without "
    "holes by construction: a convex set seen through a smooth, invertible map of the image.",
    paper="Ismail, Moeller: Path connectedness for pixelwise image segmentation, University of Siegen, 2023",
    tags=("connectedness", "scribbles", "topology", "normalising flow", "interactive"),
)

_MODULES = {
    "ConnectedFit": "shapewright.methods.path_connected.scribbles",
    "FitConfig": "shapewright.training.connected_config",
    "connect": "shapewright.training.connected",
    "fit_scribbles": "shapewright.methods.path_connected.scribbles",
}

__all__ = ["METHOD", "ConnectedFit", "FitConfig", "connect", "fit_scribbles"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
