"""Options of the method; readable without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shapewright.errors import check_number
from shapewright.networks.config import NetworkConfig


@dataclass(frozen=True)
class Config:
    """Cross-entropy of labels that stand for sets of classes, optionally with their Dice.

    Parameters
    ----------
    reading
        ``dataset``: a label stands for the classes that its data set does not tell apart; ``patch``: the paper's
        equation read literally, where a patch without lesion says nothing about lesions (for comparison only).
    dice
        Weight of the marginal Dice loss, which is added; 0 as in the paper. Dice with 1 helps where classes are small.
    network
        The network; by default the paper's U-Net with added skips at half its width.
    """

    reading: Literal["dataset", "patch"] = "dataset"
    dice: float = 0.0
    network: NetworkConfig = field(default_factory=lambda: NetworkConfig(name="additive"))

    def __post_init__(self) -> None:
        check_number("settings.dice", self.dice, minimum=0)


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "fast": {"trainer": {"epochs": 40}},
    "paper": {
        "settings": {"network": {"name": "additive", "width": 32, "depth": 4}},
        "trainer": {"learning_rate": 1e-3, "batch_size": 7},
        "prepare": {"patch_size": (32, 32, 32), "foreground_share": 1.0},
        "augment": {"spatial": 0.0, "intensity": 0.0},
    },
    "toy": {
        "settings": {"network": {"name": "additive", "width": 4, "depth": 2}},
        "trainer": {"epochs": 2, "steps_per_epoch": 2},
        "prepare": {"patch_voxels": 4096},
    },
}
