"""Options of the method; readable without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shapewright.errors import InputError, check_number
from shapewright.networks.config import NetworkConfig

BODIES = ("light", "unet", "dynunet", "highresnet")


@dataclass(frozen=True)
class Config:
    """Jaccard losses of what every data set annotates, and consistency between sets of modalities for the rest.

    Parameters
    ----------
    form
        Form of the soft Jaccard distance: ``l1``, a metric, for which the method's bound holds; or the paper's
        ``tanimoto``, for which it does not.
    consistency
        Weight of the distance between the predictions from all modalities and from the shared ones; 1 as the bound
        has it, 0 leaves it out.
    warmup_steps
        Steps before the consistency counts; None takes half of the run. Two predictions also agree where neither
        shows a class: too early, the consistency drops classes for good. The paper needed 5000.
    detach
        ``none`` lets gradients through both predictions; ``target`` only through that from all modalities.
    network
        What follows the mean of the modalities' features: a network with the statistics of each image (``light``,
        ``unet``, ``dynunet``, ``highresnet``), as images with other modalities have others. The paper's is
        ``highresnet``, at full resolution and slow; the default is a residual U-Net.
    """

    form: Literal["l1", "tanimoto"] = "l1"
    consistency: float = 1.0
    warmup_steps: int | None = None
    detach: Literal["none", "target"] = "none"
    network: NetworkConfig = field(default_factory=lambda: NetworkConfig(name="unet"))

    def __post_init__(self) -> None:
        check_number("settings.consistency", self.consistency, minimum=0)
        if self.warmup_steps is not None:
            check_number("settings.warmup_steps", self.warmup_steps, minimum=0)
        if self.network.name not in BODIES:
            raise InputError(
                f"settings.network.name must be one of {', '.join(BODIES)}; got {self.network.name!r}, whose batch "
                "normalisation does not fit images with different modalities"
            )


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "fast": {"trainer": {"epochs": 40}},
    "paper": {
        "settings": {
            "form": "tanimoto",
            "warmup_steps": 5000,
            "network": {"name": "highresnet", "width": 16, "depth": 3},
        },
        "trainer": {"learning_rate": 5e-3, "batch_size": 2, "epochs": 200},
        "prepare": {"patch_size": (40, 120, 120)},
    },
    "toy": {
        "settings": {"warmup_steps": 1, "network": {"name": "light", "width": 4, "depth": 2}},
        "trainer": {"epochs": 2, "steps_per_epoch": 2},
        "prepare": {"patch_voxels": 4096},
    },
}
