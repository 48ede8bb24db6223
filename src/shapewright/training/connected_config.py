"""How connected regions are fitted; readable without torch."""

from dataclasses import dataclass
from typing import Literal

from shapewright.errors import check_number

Flow = Literal["box", "affine", "none"]
Teacher = Literal["walks", "network", "none"]


@dataclass(frozen=True)
class FitConfig:
    """How a connected region is fitted to strokes or to a probability map.

    Parameters
    ----------
    teacher
        What labels the pixels without strokes. ``walks``: random walks and geodesic distances from the strokes;
        ``network``: the paper's network, trained jointly from the strokes alone; ``none``: nothing does.
    flow
        ``box`` keeps the region in one piece inside the image; ``affine`` is the paper's and does not; ``none`` leaves
        the flow out: the object is convex.
    couplings
        Couplings of the flow; None takes two per coordinate.
    convex
        Widths of the convex network's hidden layers.
    activation
        Of the convex network: ``softplus``, or the paper's ``relu``.
    steps
        Steps of Adam.
    points
        Points per step, half of them near the teacher's boundary; the paper takes 1500 on strokes and 1200 others.
    learning_rate
        Peak rate; 0.02 falling to 0 needs 300 steps where the paper's constant 0.0001 needs thousands.
    schedule
        ``cosine`` falls to 0; ``constant`` is the paper's.
    """

    teacher: Teacher = "walks"
    flow: Flow = "box"
    couplings: int | None = None
    convex: tuple[int, ...] = (32, 32)
    activation: Literal["softplus", "relu"] = "softplus"
    steps: int = 300
    points: int = 600
    learning_rate: float = 0.02
    schedule: Literal["cosine", "constant"] = "cosine"

    def __post_init__(self) -> None:
        for name in ("steps", "points"):
            check_number(name, getattr(self, name), minimum=1)
        check_number("learning_rate", self.learning_rate, above=0)


PAPER_FIT = FitConfig(
    teacher="network", flow="affine", activation="relu", steps=900, points=2700, learning_rate=1e-4, schedule="constant"
)
