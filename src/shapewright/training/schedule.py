"""Learning rates as pure functions of the step, and the one schedule that needs a memory."""

import math
from dataclasses import dataclass

from shapewright.errors import unknown

SCHEDULES = ("cosine", "constant", "plateau", "polynomial")


def rate_factor(schedule: str, step: int, steps: int, *, warmup: float = 0.0) -> float:
    """Return the learning rate at a step relative to its peak.

    Parameters
    ----------
    schedule
        One of ``SCHEDULES``. ``plateau`` is constant here; :class:`Plateau` lowers it.
    step, steps
        Current step, counted from 0, and the number of steps.
    warmup
        Share of the steps over which the rate rises linearly from near 0.

    Examples
    --------
    >>> [round(rate_factor("cosine", step, 100), 2) for step in (0, 50, 99)]
    [1.0, 0.5, 0.0]
    >>> rate_factor("constant", 4, 100, warmup=0.1)
    0.5
    """
    if schedule not in SCHEDULES:
        raise unknown("learning-rate schedule", schedule, SCHEDULES)
    rise = round(warmup * steps)
    if step < rise:
        return (step + 1) / rise
    done = (step - rise) / max(steps - rise, 1)
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    if schedule == "polynomial":
        return float((1 - done) ** 0.9)
    return 1.0


@dataclass
class Plateau:
    """Halve a rate after ``patience`` epochs without a better score.

    Examples
    --------
    >>> plateau = Plateau(patience=2)
    >>> for score in (0.5, 0.5, 0.4, 0.3):
    ...     plateau.update(score)
    >>> plateau.factor
    0.5
    """

    patience: int
    best: float = -math.inf
    waited: int = 0
    factor: float = 1.0

    def update(self, score: float) -> None:
        """Take note of one epoch's score (higher is better)."""
        if score > self.best:
            self.best, self.waited = score, 0
            return
        self.waited += 1
        if self.waited > self.patience:
            self.factor, self.waited = self.factor / 2, 0
