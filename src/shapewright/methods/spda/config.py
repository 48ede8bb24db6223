"""Options of the method; readable without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shapewright.errors import InputError, check_number
from shapewright.networks.config import NetworkConfig


@dataclass(frozen=True)
class Config:
    """Supervised segmentation of pairs: a raw patch and its superpixelised version.

    Parameters
    ----------
    loss
        ``ce``: cross-entropy, as in the paper; ``dice_ce``, ``dice`` or ``gdl``.
    cell_size
        Fewest and most pixels of a superpixel. None takes the paper's: 18 to 46 in 2D, 66 to 131 in 3D. Lower it if
        the smallest objects, or thin lines, are smaller than a cell.
    compactness
        How much nearness counts against likeness when pixels are grouped; larger makes cells rounder, smaller makes
        them follow edges (and noise) more closely. In CIELAB units, for grey images too.
    smoothing
        ``superpixels``; ``blur`` takes a Gaussian that removes as much variance instead: a cheap control to compare
        with on your own images.
    consistency
        Weight of the mean squared difference between the predictions of a pair; not in the paper.
    network
        The network.
    """

    loss: Literal["ce", "dice_ce", "dice", "gdl"] = "ce"
    cell_size: tuple[int, int] | None = None
    compactness: float = 20.0
    smoothing: Literal["superpixels", "blur"] = "superpixels"
    consistency: float = 0.0
    network: NetworkConfig = field(default_factory=NetworkConfig)

    def __post_init__(self) -> None:
        check_number("settings.consistency", self.consistency, minimum=0)
        check_number("settings.compactness", self.compactness, above=0)
        if self.cell_size is not None and not 1 <= self.cell_size[0] <= self.cell_size[1]:
            raise InputError(f"settings.cell_size must be (fewest, most) pixels, at least 1; got {self.cell_size}")


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "fast": {"trainer": {"epochs": 40}},
    "paper": {
        "settings": {"network": {"name": "unet", "width": 64}},
        "trainer": {"learning_rate": 5e-4, "batch_size": 4},  # pairs: 8 images
        "augment": {"flip": (0, 1), "rotate": 180.0, "spatial": 1.0, "scale": 0.0, "intensity": 0.0},
        "prepare": {"patch_size": (192, 192), "foreground_share": 0.0},
    },
    "toy": {
        "settings": {"network": {"width": 4, "depth": 2}, "cell_size": [4, 9]},
        "trainer": {"epochs": 2, "steps_per_epoch": 2},
        "prepare": {"patch_voxels": 4096},
    },
}
