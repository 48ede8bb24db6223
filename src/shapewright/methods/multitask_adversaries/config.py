"""Options of the method; readable without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shapewright.errors import InputError, check_number
from shapewright.networks.config import NetworkConfig


@dataclass(frozen=True)
class Config:
    """A segmentation loss over what is annotated, and two discriminators.

    Parameters
    ----------
    segmentation_weight
        Weight of the segmentation loss, the paper's lambda.
    presence_weight
        Weight of the first discriminator, which names the classes an image shows; 0 leaves it out.
    realism_weight
        Weight of the second discriminator, which tells drawn masks from predicted ones; 0 leaves it out.
    always_present
        Classes that every image shows, annotated or not, such as ``[vessels,disc]``. Patches must then hold whole
        images.
    unannotated
        What the first discriminator is told about other classes that nobody annotated: ``unknown`` (nothing) or
        ``absent`` (the paper's choice for lesions, wrong where some images do show them).
    permute_target
        Whether the first discriminator's answers follow the shuffled order of its input maps. The paper reads as if
        not; then the answer for a class that every image shows is a constant, and teaches the network nothing.
    game
        ``pair`` (the paper's): the second discriminator sees the drawn and the predicted masks side by side and says
        which are which. ``non-saturating``, ``least-squares``, ``hinge``: it scores one set of masks at a time.
    gradient_penalty
        Weight of the R1 penalty on the second discriminator at drawn masks; for games other than ``pair``.
    spectral
        Spectral normalisation of both discriminators.
    focus
        Exponent of the focal loss; 0 is cross-entropy.
    dice
        Weight of a Dice loss of every annotated class beside the cross-entropy. 0.5 by default; the paper has none, and
        short trainings of small networks then leave the optic disc, 2 % of the image, empty.
    discriminator_widths
        Channels of the discriminators' convolutions, each followed by a pooling.
    network
        The segmentation network; the paper's is ``fcn8s`` (preset ``paper``).
    """

    segmentation_weight: float = 10.0
    presence_weight: float = 1.0
    realism_weight: float = 1.0
    always_present: tuple[str, ...] = ()
    unannotated: Literal["unknown", "absent"] = "unknown"
    permute_target: bool = False
    game: Literal["pair", "non-saturating", "least-squares", "hinge"] = "pair"
    gradient_penalty: float = 0.0
    spectral: bool = False
    focus: float = 0.0
    dice: float = 0.5
    discriminator_widths: tuple[int, ...] = (32, 64, 128, 256)
    network: NetworkConfig = field(default_factory=NetworkConfig)

    def __post_init__(self) -> None:
        for name in ("segmentation_weight", "presence_weight", "realism_weight", "gradient_penalty", "focus", "dice"):
            check_number(name, getattr(self, name), minimum=0)
        if self.gradient_penalty and self.game == "pair":
            raise InputError(
                "gradient_penalty needs masks that are scored by themselves; choose another game than pair"
            )
        for width in self.discriminator_widths:
            check_number("discriminator_widths", width, minimum=1)


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "fast": {"trainer": {"epochs": 40}, "settings": {"discriminator_widths": [8, 16, 32]}},
    "paper": {
        "settings": {
            "unannotated": "absent",
            "dice": 0.0,
            "network": {"name": "fcn8s", "width": 64, "depth": 5, "dropout": 0.5},
        },
        "trainer": {"learning_rate": 1e-4, "weight_decay": 0.0, "schedule": "constant", "warmup": 0.0, "patience": 20},
        "augment": {"flip": (0, 1), "rotate": 180, "scale": 0.0, "spatial": 1.0, "intensity": 0.0},
        "prepare": {"normalise": "fundus", "patch_size": (584, 880), "foreground_share": 0.0},
    },
    "toy": {
        "settings": {"network": {"width": 4, "depth": 2}, "discriminator_widths": [4, 8]},
        "trainer": {"epochs": 2, "steps_per_epoch": 2},
        "prepare": {"patch_voxels": 4096},
    },
}
