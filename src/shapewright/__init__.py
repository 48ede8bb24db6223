"""Shape-aware deep learning for biomedical images.

The rooms of the package are imported on first use, so ``import shapewright`` itself costs nothing::

    import shapewright

    loss = shapewright.losses.BoundaryLoss()
    distances = shapewright.geometry.signed_distance(mask, spacing=(3.0, 1.0, 1.0))
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from shapewright._version import __version__

if TYPE_CHECKING:
    from shapewright import boolean as boolean
    from shapewright import data as data
    from shapewright import geometry as geometry
    from shapewright import layers as layers
    from shapewright import losses as losses
    from shapewright import methods as methods
    from shapewright import metrics as metrics
    from shapewright import morphology as morphology
    from shapewright import networks as networks
    from shapewright import report as report
    from shapewright import simulate as simulate
    from shapewright import training as training

ROOMS = (
    "boolean",
    "data",
    "geometry",
    "layers",
    "losses",
    "methods",
    "metrics",
    "morphology",
    "networks",
    "report",
    "simulate",
    "training",
)

__all__ = ["__version__", *ROOMS]


def __getattr__(name: str) -> ModuleType:
    if name in ROOMS:
        return importlib.import_module(f"shapewright.{name}")
    raise AttributeError(f"module 'shapewright' has no attribute {name!r}; it has {', '.join(ROOMS)}")


def __dir__() -> list[str]:
    return sorted(__all__)
