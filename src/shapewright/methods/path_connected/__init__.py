"""Path-connected segmentation, from scribbles or from any network's probabilities."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shapewright.methods.path_connected.config import FitConfig as FitConfig
    from shapewright.methods.path_connected.fit import ConnectedFit as ConnectedFit
    from shapewright.methods.path_connected.fit import connect as connect
    from shapewright.methods.path_connected.fit import fit_scribbles as fit_scribbles

_MODULES = {"ConnectedFit": "fit", "FitConfig": "config", "connect": "fit", "fit_scribbles": "fit"}

__all__ = ["ConnectedFit", "FitConfig", "connect", "fit_scribbles"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
