"""Options of the method; readable without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shapewright.errors import check_number
from shapewright.networks.config import NetworkConfig


@dataclass(frozen=True)
class Config:
    """Two label maps from points, and a CRF loss at the end.

    Parameters
    ----------
    labels
        ``both``; ``voronoi`` alone separates objects but does not know their extent, ``cluster`` alone the reverse.
    radius
        Typical radius of an object in mm (pixels where the file has no spacing), to which the label makers scale.
        None guesses it per image from the points' distances, which is too large where objects lie far apart.
    largest_radius
        Bound of that guess in mm.
    disc
        Radius of the disc around each point that the Voronoi labels call object, in multiples of ``radius``.
    colour_weight
        Influence of colour against distance on the clusters. Lower it where the stain varies within an image.
    crf_weight
        Weight of the CRF loss.
    crf_share
        Share of the epochs, the last ones, that train with it.
    crf_position, crf_colour
        Range of the CRF's kernel in mm, and in the colours of the normalised image; 0.2 is the paper's 10 of 255 at
        an image's usual contrast.
    network
        The network.
    """

    labels: Literal["both", "voronoi", "cluster"] = "both"
    radius: float | None = None
    largest_radius: float = 12.0
    disc: float = 0.35
    colour_weight: float = 5.0
    crf_weight: float = 5e-4
    crf_share: float = 1 / 7
    crf_position: float = 10.0
    crf_colour: float = 0.2
    network: NetworkConfig = field(default_factory=NetworkConfig)

    def __post_init__(self) -> None:
        for name in ("largest_radius", "disc", "crf_position", "crf_colour"):
            check_number(f"settings.{name}", getattr(self, name), above=0)
        if self.radius is not None:
            check_number("settings.radius", self.radius, above=0)
        check_number("settings.crf_weight", self.crf_weight, minimum=0)
        check_number("settings.crf_share", self.crf_share, minimum=0, maximum=1)


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {"augment": {"flip": (0, 1), "rotate": 180.0}},
    "fast": {"trainer": {"epochs": 40}},
    "paper": {
        "settings": {"network": {"name": "unet", "width": 64}},
        "prepare": {"patch_size": (224, 224)},
        "augment": {"flip": (0, 1), "rotate": 180.0, "scale": 0.25},
        "trainer": {"learning_rate": 1e-4, "weight_decay": 1e-4, "batch_size": 8, "epochs": 70},
    },
    "toy": {
        "settings": {"network": {"width": 4, "depth": 2}},
        "trainer": {"epochs": 2, "steps_per_epoch": 2},
        "prepare": {"patch_voxels": 4096},
    },
}
