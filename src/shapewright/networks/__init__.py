"""Whole networks; those that MONAI has are imported from there, not rewritten."""

import importlib
from typing import TYPE_CHECKING, Any

from shapewright.networks.config import NetworkConfig

if TYPE_CHECKING:
    from shapewright.networks.additive_unet import AdditiveUNet as AdditiveUNet
    from shapewright.networks.affine_flow import AffineFlow as AffineFlow
    from shapewright.networks.bimonn import BiMoNN as BiMoNN
    from shapewright.networks.bimonn import BiMoNNClassifier as BiMoNNClassifier
    from shapewright.networks.binarization import binarize as binarize
    from shapewright.networks.box_flow import BoxFlow as BoxFlow
    from shapewright.networks.connected_region import ConnectedRegion as ConnectedRegion
    from shapewright.networks.convex import InputConvexNet as InputConvexNet
    from shapewright.networks.discriminator import Discriminator as Discriminator
    from shapewright.networks.fcn8s import FCN8s as FCN8s
    from shapewright.networks.modality_mean import ModalityMeanNet as ModalityMeanNet
    from shapewright.networks.segmentation import build_network as build_network

_MODULES = {
    "AdditiveUNet": "additive_unet",
    "AffineFlow": "affine_flow",
    "BiMoNN": "bimonn",
    "BiMoNNClassifier": "bimonn",
    "BoxFlow": "box_flow",
    "ConnectedRegion": "connected_region",
    "Discriminator": "discriminator",
    "FCN8s": "fcn8s",
    "InputConvexNet": "convex",
    "ModalityMeanNet": "modality_mean",
    "binarize": "binarization",
    "build_network": "segmentation",
}

__all__ = [
    "AdditiveUNet",
    "AffineFlow",
    "BiMoNN",
    "BiMoNNClassifier",
    "BoxFlow",
    "ConnectedRegion",
    "Discriminator",
    "FCN8s",
    "InputConvexNet",
    "ModalityMeanNet",
    "NetworkConfig",
    "binarize",
    "build_network",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"shapewright.networks.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'shapewright.networks' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
