"""Options of the method; readable without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shapewright.errors import check_number
from shapewright.networks.config import NetworkConfig


@dataclass(frozen=True)
class Config:
    """Cross-entropy on the labelled pixels.

    Parameters
    ----------
    balance
        Over what the classes are evened out: ``batch`` (the paper's best), ``instance`` (every image by itself),
        ``dataset`` (the labelled pixels of all training images: constant weights), or ``mask`` (not at all).
    cap
        Largest weight of a pixel; None has no bound, as in the paper. Lower it where the loss jumps because a class
        has a handful of pixels in a batch.
    dice
        Weight of a Dice loss of the labelled pixels beside the cross-entropy: all classes, counted over the batch. Not
        in the paper.
    network
        The network; the paper's is ``concat_unet``.
    """

    balance: Literal["batch", "instance", "dataset", "mask"] = "batch"
    cap: float | None = None
    dice: float = 0.0
    network: NetworkConfig = field(default_factory=NetworkConfig)

    def __post_init__(self) -> None:
        if self.cap is not None:
            check_number("settings.cap", self.cap, above=0)
        check_number("settings.dice", self.dice, minimum=0)


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "fast": {"trainer": {"epochs": 40}},
    "paper": {
        "settings": {"network": {"name": "concat_unet", "width": 32, "depth": 5}},
        "prepare": {"patch_size": (384, 384), "foreground_share": 1.0, "weak_share": 0.8},
        "augment": {"flip": (0, 1), "rotate": 180.0},
        "trainer": {
            "learning_rate": 1e-5,
            "schedule": "plateau",
            "plateau": 10,
            "batch_size": 8,
            "epochs": 300,
            "steps_per_epoch": 750,
        },
    },
    "toy": {
        "settings": {"network": {"width": 4, "depth": 2}},
        "trainer": {"epochs": 2, "steps_per_epoch": 2},
        "prepare": {"patch_voxels": 4096},
    },
}
