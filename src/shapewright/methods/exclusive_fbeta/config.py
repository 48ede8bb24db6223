"""Options of the method; readable without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shapewright.errors import check_number
from shapewright.networks.config import NetworkConfig


@dataclass(frozen=True)
class Config:
    """Independent sigmoids for all classes but one.

    Parameters
    ----------
    outputs
        ``exclusive``: a sigmoid for every class but the one left out; ``multi``: one for every class; ``single``: a
        softmax over all classes.
    left_out
        The label that has no output with ``exclusive``. None takes the background, or, where ``region`` is
        ``nonzero``, the label with the most voxels in the training images.
    region
        ``image``: the background is a class like the others; ``nonzero``: images are skull-stripped, so every voxel
        that is not 0 belongs to a label and all others are background. Needs ``prepare.normalise`` ``nonzero_mean`` or
        ``none``, which leave 0 at 0.
    beta
        Weight of recall relative to precision, the same for all classes. None balances every class by its size, see
        :func:`shapewright.losses.auto_beta`; with ``single`` it means 1.5, because a softmax needs one for all.
    extra_recall
        Added to the weight of false negatives where ``beta`` is None.
    exclusion
        Weight of a penalty on voxels that two classes claim, the mean product of their sigmoids; not in the paper.
    network
        The network; the paper's 3D FC-DenseNet with dropout 0.2.
    """

    outputs: Literal["exclusive", "multi", "single"] = "exclusive"
    left_out: str | None = None
    region: Literal["image", "nonzero"] = "image"
    beta: float | None = None
    extra_recall: float = 0.1
    exclusion: float = 0.0
    network: NetworkConfig = field(default_factory=lambda: NetworkConfig(name="fc_densenet", dropout=0.2))

    def __post_init__(self) -> None:
        if self.beta is not None:
            check_number("settings.beta", self.beta, above=0)
        check_number("settings.extra_recall", self.extra_recall, minimum=0, below=1)
        check_number("settings.exclusion", self.exclusion, minimum=0)


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {"inference": {"rotate": True, "window": "spline"}},
    "fast": {"trainer": {"epochs": 40}},
    "paper": {
        "settings": {"region": "nonzero", "network": {"name": "fc_densenet", "width": 12, "depth": 7, "dropout": 0.2}},
        "prepare": {"normalise": "nonzero_mean", "patch_size": (128, 128, 128), "foreground_share": 0.0},
        "augment": {"spatial": 0.0, "intensity": 0.0},
        "trainer": {"learning_rate": 5e-4, "batch_size": 1, "epochs": 2500},
        "inference": {"rotate": True, "window": "spline", "overlap": 0.5},
    },
    "toy": {
        "settings": {"network": {"name": "light", "width": 4, "depth": 2, "dropout": 0.0}},
        "trainer": {"epochs": 2, "steps_per_epoch": 2},
        "prepare": {"patch_voxels": 4096},
    },
}
