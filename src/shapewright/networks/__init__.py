"""Whole networks; those that MONAI has are imported from there, not rewritten."""

from typing import TYPE_CHECKING, Any

from shapewright.networks.config import NetworkConfig

if TYPE_CHECKING:
    from shapewright.networks.segmentation import build_network

__all__ = ["NetworkConfig", "build_network"]


def __getattr__(name: str) -> Any:
    if name == "build_network":
        from shapewright.networks.segmentation import build_network

        return build_network
    raise AttributeError(f"module 'shapewright.networks' has no attribute {name!r}")
