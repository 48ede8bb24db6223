"""Options of the method; readable without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shapewright.errors import check_number
from shapewright.networks.config import NetworkConfig


@dataclass(frozen=True)
class Config:
    """Patches where the network is wrong, and a second network of wider view.

    Parameters
    ----------
    loss
        ``ce``: cross-entropy (the paper does not name its loss); ``dice_ce``, ``dice`` or ``gdl``.
    mining
        Take patches in proportion to the present network's error, renewed every epoch; False takes them anywhere.
    floor
        Added to the error, so that every voxel stays reachable. Larger is closer to patches from anywhere.
    drop_above
        Errors above this do not attract patches: where labels may be wrong, the largest errors are often the labels'
        own. 0.9 did not help on the method's card, so None keeps all, as in the paper.
    temperature
        Larger than 1 samples more evenly.
    smooth
        Width in voxels of a box that averages the error; 0 takes it voxel by voxel.
    compound
        Add the coarse network, whose probabilities are the result; False trains the fine one alone.
    scale
        How much coarser it is.
    end_to_end
        Let the coarse network's loss train the fine one too.
    network
        Both networks.
    """

    loss: Literal["ce", "dice_ce", "dice", "gdl"] = "ce"
    mining: bool = True
    floor: float = 0.01
    drop_above: float | None = None
    temperature: float = 1.0
    smooth: int = 0
    compound: bool = True
    scale: int = 2
    end_to_end: bool = False
    network: NetworkConfig = field(default_factory=NetworkConfig)

    def __post_init__(self) -> None:
        check_number("settings.floor", self.floor, minimum=0)
        check_number("settings.temperature", self.temperature, above=0)
        check_number("settings.smooth", self.smooth, minimum=0)
        check_number("settings.scale", self.scale, minimum=2, maximum=8)
        if self.drop_above is not None:
            check_number("settings.drop_above", self.drop_above, above=0, maximum=1)


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {"prepare": {"foreground_share": 0.5}},  # the classes are drawn apart, one to one
    "fast": {"trainer": {"epochs": 40}, "prepare": {"foreground_share": 0.5}},
    "paper": {
        "settings": {"network": {"name": "unet", "width": 32, "depth": 5}},
        "trainer": {"learning_rate": 1e-4, "batch_size": 32},
        "augment": {"flip": (0, 1), "rotate": 180.0, "spatial": 0.5},
        "prepare": {"patch_size": (192, 192), "foreground_share": 0.5},
    },
    "toy": {
        "settings": {"network": {"width": 4, "depth": 2}},
        "trainer": {"epochs": 2, "steps_per_epoch": 2},
        "prepare": {"patch_voxels": 4096},
    },
}
