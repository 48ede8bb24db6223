"""Layers that know shapes, for the end or the inside of a network.

Names are imported on first use, so that the room itself costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shapewright.layers.bise import LUI as LUI
    from shapewright.layers.bise import BiSE as BiSE
    from shapewright.layers.bise import BiSEL as BiSEL
    from shapewright.layers.morphology import SoftMorphology as SoftMorphology

_MODULES = {"LUI": "bise", "BiSE": "bise", "BiSEL": "bise", "SoftMorphology": "morphology"}

__all__ = ["LUI", "BiSE", "BiSEL", "SoftMorphology"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"shapewright.layers.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'shapewright.layers' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
