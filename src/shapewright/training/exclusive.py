"""Exclusive classes from independent sigmoids: one class is left out of training and gets what no other claims."""

from collections.abc import Sequence

import torch
from torch import Tensor

from shapewright.errors import InputError

BELOW_HALF = 1 - 1e-6  # a sigmoid of exactly 1/2 wins over the left-out class


def choose_left_out(counts: Sequence[float], confusable: Sequence[int] | None = None) -> int:
    """Return the class to leave out: the most frequent one, so that the rarer get networks' outputs of their own.

    Parameters
    ----------
    counts
        Voxels of each class.
    confusable
        Classes to choose among; default all. The paper chooses between grey and white matter, which look alike at six
        months, and leaves out the grey.

    Raises
    ------
    InputError
        No class to choose from.

    Examples
    --------
    >>> choose_left_out([36.0, 1.0, 2.0, 1.5], confusable=(2, 3))
    2
    """
    among = list(range(len(counts))) if confusable is None else list(confusable)
    if not among or not all(0 <= index < len(counts) for index in among):
        raise InputError(f"confusable must name positions of the {len(counts)} counts; got {among}")
    return max(among, key=lambda index: counts[index])


def exclusive_targets(labels: Tensor, trained: Sequence[int]) -> Tensor:
    """Return one indicator ``[B, len(trained), *spatial]`` per trained class of labels ``[B, *spatial]``.

    Examples
    --------
    >>> exclusive_targets(torch.tensor([[1, 2, 3]]), trained=(1, 3))[0].int().tolist()
    [[1, 0, 0], [0, 0, 1]]
    """
    numbers = torch.tensor(list(trained), device=labels.device).view(1, -1, *([1] * (labels.ndim - 1)))
    return labels.unsqueeze(1) == numbers


def exclusive_decode(
    sigmoids: Tensor, trained: Sequence[int], left_out: int, *, mask: Tensor | None = None, threshold: float = 0.5
) -> Tensor:
    """Return labels ``[B, *spatial]``: the strongest class of at least ``threshold``, else the one left out.

    Parameters
    ----------
    sigmoids
        ``[B, len(trained), *spatial]``.
    trained, left_out
        The classes of the channels, and the class that has none. Of equally strong classes the first is taken.
    mask
        ``[B, *spatial]`` or ``[B, 1, *spatial]``, true where any class may be; elsewhere the label is 0.
    threshold
        0.5, as in the paper; other values are worth a search, because the F-beta loss does not calibrate.

    Examples
    --------
    >>> sigmoids = torch.tensor([[[0.9, 0.4, 0.6, 0.1], [0.2, 0.3, 0.7, 0.5]]])
    >>> exclusive_decode(sigmoids, trained=(1, 3), left_out=2).tolist()
    [[1, 2, 3, 3]]
    """
    strongest, channel = sigmoids.max(dim=1)
    labels = torch.tensor(list(trained), device=sigmoids.device)[channel]
    labels = labels.masked_fill(strongest < threshold, left_out)
    if mask is None:
        return labels
    inside = mask[:, 0] if mask.ndim == sigmoids.ndim else mask
    return labels.masked_fill(~inside.bool(), 0)


def exclusive_probabilities(
    sigmoids: Tensor, trained: Sequence[int], left_out: int, classes: int, *, mask: Tensor | None = None
) -> Tensor:
    """Return probabilities ``[B, classes, *spatial]`` that add up to 1 and whose largest is what decoding chooses.

    The left-out class gets ``1 - max(sigmoids)``, then all are divided by their sum: an uncertainty for the class that
    was never trained. Arguments as for :func:`exclusive_decode`; outside ``mask`` class 0 is certain.

    Examples
    --------
    >>> sigmoids = torch.tensor([[[0.75, 0.2], [0.0, 0.2]]])
    >>> [round(value, 2) for value in exclusive_probabilities(sigmoids, (1, 3), 2, 4)[0, :, 0].tolist()]
    [0.0, 0.75, 0.25, 0.0]
    """
    result = sigmoids.new_zeros(sigmoids.shape[0], classes, *sigmoids.shape[2:])
    for channel, number in enumerate(trained):
        result[:, number] = sigmoids[:, channel]
    result[:, left_out] = (1 - sigmoids.amax(dim=1)) * BELOW_HALF
    result = result / result.sum(dim=1, keepdim=True)
    if mask is None:
        return result
    inside = mask if mask.ndim == result.ndim else mask.unsqueeze(1)
    result = result * inside
    result[:, 0] += (~inside.bool())[:, 0]
    return result
