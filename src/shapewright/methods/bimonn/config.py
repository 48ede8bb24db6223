"""Options of the method; readable without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shapewright.errors import InputError, check_number


@dataclass(frozen=True)
class Config:
    """A network of set operators, trained by gradient and finished by a discrete search.

    Parameters
    ----------
    hidden
        Channels between the layers: ``()`` is one layer, ``(1,)`` two layers in series such as an opening, ``(2,)``
        two branches that meet, as a top-hat needs, the default because it holds the other two.
    kernel_size
        Width of the structuring elements' support, odd, one for all layers.
    threshold
        Image values above it are foreground. 0.5 suits masks with 0 and 1 or 0 and 255; grey images are refused unless
        another is chosen.
    activation
        Weight of the penalty that draws neurons towards being set operators; it rises from 0 over the training.
    kicks
        How often the discrete search leaves a local optimum; 0 leaves the trained network as it is.
    """

    hidden: tuple[int, ...] = (2,)
    kernel_size: int = 7
    threshold: float = 0.5
    activation: float = 0.1
    kicks: int = 300

    def __post_init__(self) -> None:
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise InputError(f"settings.kernel_size must be a positive odd number; got {self.kernel_size}")
        if any(channels < 1 for channels in self.hidden):
            raise InputError(f"settings.hidden must be positive numbers of channels; got {self.hidden}")
        check_number("settings.activation", self.activation, minimum=0)
        check_number("settings.kicks", self.kicks, minimum=0)


_BINARY: dict[str, Any] = {
    "prepare": {"normalise": "none", "foreground_share": 0.67, "patch_voxels": 16384},
    "augment": {"spatial": 0.0, "intensity": 0.0},
}
_TRAINER: dict[str, Any] = {"learning_rate": 0.1, "weight_decay": 0.0, "batch_size": 8}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {**_BINARY, "trainer": {**_TRAINER, "epochs": 10, "steps_per_epoch": 20}},
    "fast": {**_BINARY, "trainer": {**_TRAINER, "epochs": 3, "steps_per_epoch": 20}},
    "paper": {
        **_BINARY,
        "settings": {"hidden": (2,), "kernel_size": 7, "activation": 0.0, "kicks": 0},
        "trainer": {**_TRAINER, "learning_rate": 0.01, "batch_size": 64, "epochs": 50, "steps_per_epoch": 125},
    },
    "toy": {
        **_BINARY,
        "settings": {"hidden": (1,), "kernel_size": 3, "kicks": 2},
        "trainer": {**_TRAINER, "epochs": 2, "steps_per_epoch": 2, "batch_size": 2},
    },
}
