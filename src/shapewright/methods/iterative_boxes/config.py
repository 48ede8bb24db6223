"""Options of the method; readable without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shapewright.errors import check_number
from shapewright.networks.config import NetworkConfig


@dataclass(frozen=True)
class Config:
    """Two stages of relabelling in rounds.

    Parameters
    ----------
    box_rounds
        Rounds on images with boxes; the first trains on filled boxes. The paper has 10 and takes the sixth.
    prior_rounds
        Rounds in which unlabelled images join, where there are any; the paper has 5 and finds one enough.
    min_fill
        Smallest share of a box that its object may have, else the box is filled again. Lower it for long, slanted
        objects.
    exhaustive
        Whether the boxes name all objects of their image, so that everything else is background.
    level
        Share of the reference objects within each typical interval of size and eccentricity.
    removed
        What untypical objects of unlabelled images become: ``ignore`` (unknown), or ``background`` as in the paper,
        which lost recall in our measurements.
    warm_start
        Whether a round goes on with the last one's weights.
    loss
        ``ce`` or ``dice_ce``.
    network
        The network.
    """

    box_rounds: int = 4
    prior_rounds: int = 2
    min_fill: float = 0.5
    exhaustive: bool = True
    level: float = 0.95
    removed: Literal["ignore", "background"] = "ignore"
    warm_start: bool = False
    loss: Literal["ce", "dice_ce"] = "ce"
    network: NetworkConfig = field(default_factory=NetworkConfig)

    def __post_init__(self) -> None:
        check_number("settings.box_rounds", self.box_rounds, minimum=1)
        check_number("settings.prior_rounds", self.prior_rounds, minimum=0)
        check_number("settings.min_fill", self.min_fill, minimum=0, maximum=1)
        check_number("settings.level", self.level, above=0, maximum=1)


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {"trainer": {"epochs": 240}},
    "fast": {"settings": {"box_rounds": 2, "prior_rounds": 1}, "trainer": {"epochs": 60}},
    "paper": {
        "settings": {
            "box_rounds": 6,
            "prior_rounds": 5,
            "removed": "background",
            "network": {"name": "unet", "width": 32, "depth": 5},
        },
        "prepare": {"patch_size": (492, 492)},
        "augment": {"flip": (0, 1), "rotate": 90.0},
        "trainer": {"learning_rate": 1e-4, "batch_size": 5, "epochs": 352},
    },
    "toy": {
        "settings": {"box_rounds": 2, "prior_rounds": 1, "network": {"width": 4, "depth": 2}},
        "trainer": {"epochs": 3, "steps_per_epoch": 2},
        "prepare": {"patch_voxels": 4096},
    },
}
