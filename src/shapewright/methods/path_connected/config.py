"""Options of the method; readable without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shapewright.networks.config import NetworkConfig


@dataclass(frozen=True)
class Config:
    """A U-Net as the teacher; ``inference.connect`` fits connected regions to what it predicts.

    Parameters
    ----------
    loss
        The teacher's loss: ``dice_ce``, ``gdl``, ``dice`` or ``ce``. Unmarked voxels do not count: scribbles will do.
    network
        The teacher.
    """

    loss: Literal["dice_ce", "gdl", "dice", "ce"] = "dice_ce"
    network: NetworkConfig = field(default_factory=NetworkConfig)


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {"inference": {"connect": True}},
    "fast": {"inference": {"connect": True}, "trainer": {"epochs": 40}},
    "paper": {"inference": {"connect": True}, "settings": {"loss": "ce"}},
    "toy": {
        "settings": {"network": {"width": 4, "depth": 2}},
        "trainer": {"epochs": 2, "steps_per_epoch": 2},
        "prepare": {"patch_voxels": 4096},
    },
}
