"""Options of the method; readable without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shapewright.errors import check_number
from shapewright.networks.config import NetworkConfig


@dataclass(frozen=True)
class Config:
    """Masks first, then sizes as well.

    Parameters
    ----------
    measure
        What ``sizes.csv`` measures: ``inscribed``, twice the largest chessboard distance to the background in mm, about
        the width of the object, as in the paper; ``inscribed_euclidean``, the diameter of its largest ball in mm;
        ``area``, in mm², of volumes in mm³.
    pretraining
        Share of the epochs that learn from masks alone; half, so that predictions are worth correcting when the sizes
        come in.
    size_weight
        Weight of the expected squared error of the size, per mm², relative to the regional loss.
    level_weight
        Weight of the cross-entropy with the level set of the right size. It keeps the overlap from falling while the
        size error falls; 0 leaves it out, as in the paper.
    keep_masks
        Go on with the regional loss on masks while sizes are learned. Without it (the paper), the network forgets
        where objects are.
    samples
        Random masks per step for the size error; the paper found no gain from more than one.
    relative
        Divide size errors by the size, for objects of very different sizes; always done for ``area``.
    regional
        The loss on masks: ``dice_ce``, ``gdl``, ``dice`` or ``ce`` (the paper).
    network
        The network.
    """

    measure: Literal["inscribed", "inscribed_euclidean", "area"] = "inscribed"
    pretraining: float = 0.5
    size_weight: float = 0.01
    level_weight: float = 1.0
    keep_masks: bool = True
    samples: int = 1
    relative: bool = False
    regional: Literal["dice_ce", "gdl", "dice", "ce"] = "dice_ce"
    network: NetworkConfig = field(default_factory=NetworkConfig)

    def __post_init__(self) -> None:
        check_number("pretraining", self.pretraining, minimum=0, below=1)
        check_number("size_weight", self.size_weight, minimum=0)
        check_number("level_weight", self.level_weight, minimum=0)
        check_number("samples", self.samples, minimum=1)


# Rotating and scaling an image would change the size of what it shows.
_AUGMENT = {"spatial": 0.0}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {"augment": _AUGMENT, "trainer": {"batch_size": 8}},
    "fast": {"augment": _AUGMENT, "trainer": {"batch_size": 8, "epochs": 40}},
    "paper": {
        "settings": {
            "regional": "ce",
            "size_weight": 1.0,
            "level_weight": 0.0,
            "keep_masks": False,
            "network": {"name": "unet", "width": 64},
        },
        "augment": {**_AUGMENT, "intensity": 0.0},
        "trainer": {"batch_size": 8, "learning_rate": 1e-3},
    },
    "toy": {
        "settings": {"network": {"width": 4, "depth": 2}},
        "augment": _AUGMENT,
        "trainer": {"epochs": 2, "steps_per_epoch": 2},
        "prepare": {"patch_voxels": 4096},
    },
}
