"""Weighted sums of losses whose weights may change during training."""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from shapewright.errors import InputError

Weight = float | Callable[[float, int], float]


class ScheduledSum(nn.Module):
    """Sum of named losses, each with a number as weight or a function of ``(epoch, epochs)``.

    Parameters
    ----------
    terms
        ``{name: (loss, weight)}``. A term whose weight is 0 at the moment is not computed.

    Raises
    ------
    InputError
        No term, a term that is not a pair of loss and weight, or targets that do not fit the terms.

    Examples
    --------
    >>> import torch
    >>> from shapewright.losses import BoundaryLoss, GeneralisedDiceLoss, WeightSchedule
    >>> schedule = WeightSchedule("rebalance")
    >>> loss = ScheduledSum({
    ...     "regional": (GeneralisedDiceLoss(), schedule.regional),
    ...     "boundary": (BoundaryLoss(), schedule.boundary),
    ... })
    >>> loss.set_progress(epoch=50, epochs=100)
    >>> loss.weights()
    {'regional': 0.5, 'boundary': 0.5}
    >>> logits, labels = torch.zeros(1, 2, 8, 8), torch.zeros(1, 8, 8, dtype=torch.long)
    >>> {name: round(float(value), 3) for name, value in loss.terms(logits, labels).items()}
    {'regional': 0.5, 'boundary': 0.0}
    """

    def __init__(self, terms: Mapping[str, tuple[nn.Module, Weight]]) -> None:
        super().__init__()
        if not terms:
            raise InputError("terms must name at least one loss; got none")
        for name, term in terms.items():
            if not (isinstance(term, tuple) and len(term) == 2 and isinstance(term[0], nn.Module)):
                raise InputError(f"term {name!r} must be a pair (loss module, weight); got {term!r}")
            if not (isinstance(term[1], int | float) or callable(term[1])):
                raise InputError(
                    f"the weight of term {name!r} must be a number or a function of (epoch, epochs), as in "
                    f"schedule.regional and schedule.boundary of a WeightSchedule; got {term[1]!r}"
                )
        self.losses = nn.ModuleDict({name: loss for name, (loss, _) in terms.items()})
        self._weights = {name: weight for name, (_, weight) in terms.items()}
        self._progress = (0.0, 1)

    def set_progress(self, epoch: float, epochs: int) -> None:
        """Set the point in training that the weights are taken at; it starts as epoch 0 of 1."""
        self._progress = (epoch, epochs)

    def weights(self) -> dict[str, float]:
        """Return the present weight of every term."""
        return {
            name: float(weight(*self._progress)) if callable(weight) else float(weight)
            for name, weight in self._weights.items()
        }

    def terms(
        self, logits: Tensor, target: Tensor | Mapping[str, Tensor], mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return the unweighted losses whose weight is not 0.

        Parameters
        ----------
        logits
            ``[B, K, *spatial]``.
        target
            One target for all terms, or one per name: labels for a regional loss, maps for a boundary loss.
        mask
            Passed to every term.
        """
        names = [name for name, weight in self.weights().items() if weight != 0]
        targets = target if isinstance(target, Mapping) else dict.fromkeys(names, target)
        missing = [name for name in names if name not in targets]
        if missing:
            raise InputError(f"target must name every term; missing {', '.join(missing)}, got {', '.join(targets)}")
        return {name: self.losses[name](logits, targets[name], mask=mask) for name in names}

    def forward(self, logits: Tensor, target: Tensor | Mapping[str, Tensor], mask: Tensor | None = None) -> Tensor:
        """Return the weighted sum; see :meth:`terms` for the arguments."""
        weights = self.weights()
        parts = [weights[name] * value for name, value in self.terms(logits, target, mask).items()]
        return sum(parts[1:], parts[0]) if parts else logits.sum() * 0
