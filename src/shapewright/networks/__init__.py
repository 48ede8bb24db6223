"""Whole networks; those that MONAI has are imported from there, not rewritten."""

import importlib
from typing import TYPE_CHECKING, Any

from shapewright.networks.config import NetworkConfig

if TYPE_CHECKING:
    from shapewright.networks.affine_flow import AffineFlow
    from shapewright.networks.box_flow import BoxFlow
    from shapewright.networks.connected_region import ConnectedRegion
    from shapewright.networks.convex import InputConvexNet
    from shapewright.networks.segmentation import build_network

_MODULES = {
    "AffineFlow": "affine_flow",
    "BoxFlow": "box_flow",
    "ConnectedRegion": "connected_region",
    "InputConvexNet": "convex",
    "build_network": "segmentation",
}

__all__ = ["AffineFlow", "BoxFlow", "ConnectedRegion", "InputConvexNet", "NetworkConfig", "build_network"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"shapewright.networks.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'shapewright.networks' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
