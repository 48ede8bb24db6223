"""Options of the method; readable without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shapewright.networks.config import NetworkConfig


@dataclass(frozen=True)
class Config:
    """Supervised segmentation.

    Parameters
    ----------
    loss
        ``dice_ce``: Dice plus cross-entropy; ``gdl``: generalised Dice; ``dice``; ``ce``: cross-entropy. The first by
        default: it neither ignores small structures nor stalls on empty patches.
    network
        The network.
    """

    loss: Literal["dice_ce", "gdl", "dice", "ce"] = "dice_ce"
    network: NetworkConfig = field(default_factory=NetworkConfig)


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "fast": {"trainer": {"epochs": 40}},
    "paper": {"settings": {"loss": "ce", "network": {"name": "unet", "width": 64}}},
    "toy": {
        "settings": {"network": {"width": 4, "depth": 2}},
        "trainer": {"epochs": 2, "steps_per_epoch": 2},
        "prepare": {"patch_voxels": 4096},
    },
}
