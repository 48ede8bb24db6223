"""How the weights of a regional loss and a boundary loss change during training; readable without torch."""

from dataclasses import dataclass

from shapewright.errors import InputError, unknown

SCHEDULES = ("constant", "increase", "rebalance")


@dataclass(frozen=True)
class WeightSchedule:
    r"""Weights of the regional and the boundary loss as a pure function of the epoch.

    All three kinds derive from one falling curve, :math:`\alpha_e = \max(\text{floor}, 1 - e \cdot \text{step})`:

    ============= ================== ========================================
    kind          regional weight    boundary weight
    ============= ================== ========================================
    ``rebalance`` :math:`\alpha_e`   :math:`1 - \alpha_e`
    ``increase``  1                  :math:`1 + \text{floor} - \alpha_e`
    ``constant``  1                  ``weight``
    ============= ================== ========================================

    A run too short to reach ``floor`` at this step gets the larger step with which its last epoch reaches it, so a
    run of 30 epochs goes through the same weights as one of 100.

    Parameters
    ----------
    kind
        ``"rebalance"`` (the paper), ``"increase"`` or ``"constant"`` (both from the authors' code).
    weight
        Boundary weight of ``"constant"``; 0.1 as in the authors' code.
    floor
        Smallest regional weight of ``"rebalance"``, first boundary weight of ``"increase"``; 0.01 as in the paper.
    step
        Decrease per epoch; 0.01 as in the paper, larger in runs of fewer than 100 epochs.

    Raises
    ------
    InputError
        An unknown kind, a negative weight, a floor or a step outside (0, 1].

    References
    ----------
    Kervadec et al., "Boundary loss for highly unbalanced segmentation", MIDL 2019, section 3.2.

    Examples
    --------
    >>> schedule = WeightSchedule("rebalance")
    >>> [schedule.weights(epoch, 200) for epoch in (0, 50, 99, 150)]
    [(1.0, 0.0), (0.5, 0.5), (0.01, 0.99), (0.01, 0.99)]
    >>> [WeightSchedule("increase").weights(epoch, 100) for epoch in (0, 99)]
    [(1.0, 0.01), (1.0, 1.0)]
    >>> WeightSchedule("rebalance").weights(9, 10)
    (0.01, 0.99)
    """

    kind: str = "rebalance"
    weight: float = 0.1
    floor: float = 0.01
    step: float = 0.01

    def __post_init__(self) -> None:
        if self.kind not in SCHEDULES:
            raise unknown("schedule", self.kind, SCHEDULES)
        if self.weight < 0:
            raise InputError(f"weight must be at least 0; got {self.weight}")
        for name, value in (("floor", self.floor), ("step", self.step)):
            if not 0 < value <= 1:
                raise InputError(f"{name} must be above 0 and at most 1; got {value}")

    def weights(self, epoch: float, epochs: int) -> tuple[float, float]:
        """Return ``(regional, boundary)`` weights for ``epoch`` (from 0; may be fractional) of ``epochs``."""
        if epochs < 1 or epoch < 0:
            raise InputError(f"epoch must be at least 0 and epochs at least 1; got epoch {epoch} of {epochs}")
        if self.kind == "constant":
            return 1.0, self.weight
        step = max(self.step, (1 - self.floor) / max(epochs - 1, 1))
        alpha = round(max(self.floor, 1 - epoch * step), 12)
        if self.kind == "increase":
            return 1.0, round(1 + self.floor - alpha, 12)
        return alpha, round(1 - alpha, 12)

    def regional(self, epoch: float, epochs: int) -> float:
        """Return the regional loss's weight."""
        return self.weights(epoch, epochs)[0]

    def boundary(self, epoch: float, epochs: int) -> float:
        """Return the boundary loss's weight."""
        return self.weights(epoch, epochs)[1]
