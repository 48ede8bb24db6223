"""Scores that a challenge makes of several metrics."""

from collections.abc import Sequence

from shapewright.errors import InputError


def hvsmr_score(dice: Sequence[float], average_distance: Sequence[float], hausdorff: Sequence[float]) -> float:
    """Return the score of the HVSMR 2016 challenge: the sum over classes of Dice/2 - ADB/4 - HD/30; larger is better.

    Parameters
    ----------
    dice
        One value per class.
    average_distance
        Average distance of boundaries in mm, one value per class.
    hausdorff
        Symmetric Hausdorff distance in mm, one value per class.

    Raises
    ------
    InputError
        Different numbers of classes.

    Examples
    --------
    >>> print(f"{hvsmr_score([0.817, 0.938], [0.723, 0.778], [3.639, 5.548]):.3f}")
    0.196
    """
    if not len(dice) == len(average_distance) == len(hausdorff):
        raise InputError(
            "dice, average_distance and hausdorff must have one value per class each; got "
            f"{len(dice)}, {len(average_distance)} and {len(hausdorff)}"
        )
    values = zip(dice, average_distance, hausdorff, strict=True)
    return sum(overlap / 2 - distance / 4 - farthest / 30 for overlap, distance, farthest in values)
