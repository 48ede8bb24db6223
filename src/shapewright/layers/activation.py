"""When a thresholded weighted sum is exactly a set operator, and which one is nearest where it is not.

A neuron compares ``sum(weights * x)`` with a bias. On *almost binary* inputs, of which none lies strictly between
``low`` and ``high``, it is a dilation by a set S of its weights (a union) if every sum without a pixel of S above
``high`` stays at or below the bias and every sum with one exceeds it; it is an erosion (an intersection) if only sums
with all pixels of S exceed it. Both are intervals that the bias must lie in. Everything here is a pure function of
NumPy arrays of any shape: the neighbourhood of a pixel, or the channels of a layer, each with a range of its own.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shapewright.errors import InputError

Operator = Literal["dilation", "erosion"]
OPERATORS: tuple[Operator, Operator] = ("dilation", "erosion")
Weights = NDArray[np.float64]
Bound = float | NDArray[np.float64]


@dataclass(frozen=True)
class Range:
    """The values that an almost binary image avoids: none lies strictly between ``low`` and ``high``.

    Examples
    --------
    >>> Range()
    Range(low=0.0, high=1.0)
    """

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 1:
            raise InputError(f"low and high must satisfy 0 <= low < high <= 1; got {self.low} and {self.high}")


@dataclass(frozen=True, eq=False)
class ClosestOperator:
    """A set operator and how near a neuron is to it.

    Parameters
    ----------
    operator
        ``dilation`` (of channels: union) or ``erosion`` (intersection).
    element
        The set S, a mask of the weights' shape.
    lower, upper
        The operator's interval: the neuron is the operator exactly if ``lower <= bias < upper``.
    bias
        The neuron's bias.
    """

    operator: Operator
    element: NDArray[np.bool_]
    lower: float
    upper: float
    bias: float

    @property
    def activated(self) -> bool:
        """Whether the neuron is exactly this operator on almost binary inputs."""
        return self.lower <= self.bias < self.upper

    @property
    def distance(self) -> float:
        """How far the bias lies outside the interval, 0 inside (equation 17 of the paper)."""
        return max(0.0, self.lower - self.bias, self.bias - self.upper)


def activation_interval(
    operator: Operator, weights: Weights, element: NDArray[np.bool_], low: Bound = 0.0, high: Bound = 1.0
) -> tuple[float, float]:
    """Return the interval of biases for which a neuron is a set operator.

    Parameters
    ----------
    operator
        ``dilation`` or ``erosion``; of channels, union or intersection.
    weights
        Effective weights of any shape and sign.
    element
        The set S: a mask of the weights' shape with at least one set value.
    low, high
        The range of the almost binary input: numbers, or one per weight.

    Returns
    -------
    tuple
        ``(lower, upper)``: the neuron is the operator if and only if ``lower <= bias < upper``.

    Raises
    ------
    InputError
        An empty element, or one of another shape.

    References
    ----------
    Aouad and Talbot, "Binary multi-channel morphological neural network", DGMM 2022: theorem 1,
    equations 12 and 13, and theorem 2.

    Examples
    --------
    >>> activation_interval("dilation", np.array([1.0, 1.0, 0.1]), np.array([True, True, False]))
    (0.1, 1.0)
    >>> activation_interval("erosion", np.array([1.0, 1.0, 0.1]), np.array([True, True, False]))
    (1.1, 2.0)
    """
    weights = np.asarray(weights, np.float64)
    if element.shape != weights.shape or not element.any():
        raise InputError(
            f"element must have the weights' shape {weights.shape} and a set value; got shape {element.shape} with "
            f"{int(element.sum())} set"
        )
    positive, negative = np.maximum(weights, 0), np.minimum(weights, 0).sum()
    if operator == "dilation":
        lower = positive[~element].sum() + (low * positive)[element].sum()
        upper = (high * weights)[element].min() + negative
    else:
        lower = positive.sum() - ((1 - low) * weights)[element].min()
        upper = (high * positive)[element].sum() + negative
    return float(lower), float(upper)


def activated_operator(weights: Weights, bias: float, low: Bound = 0.0, high: Bound = 1.0) -> ClosestOperator | None:
    """Return the operator that a neuron is, or None; linear in the number of weights.

    At most one set can pass: the weights above a threshold that the bias fixes, one for each operator. A dilation by
    one pixel is an erosion by it as well and is called a dilation.

    Parameters
    ----------
    weights, bias, low, high
        As in :func:`activation_interval`.

    References
    ----------
    Aouad and Talbot, DGMM 2022, proposition 2.

    Examples
    --------
    >>> activated_operator(np.array([1.0, 0.9, 0.1]), bias=0.5).element
    array([ True,  True, False])
    >>> activated_operator(np.array([1.0, 0.9, 0.1]), bias=1.0) is None
    True
    """
    weights = np.asarray(weights, np.float64)
    positive, negative = np.maximum(weights, 0).sum(), np.minimum(weights, 0).sum()
    candidates: tuple[NDArray[np.bool_], ...] = (
        np.asarray(high * weights > bias - negative),
        np.asarray((1 - low) * weights >= positive - bias),
    )
    for operator, element in zip(OPERATORS, candidates, strict=True):
        if element.any():
            interval = activation_interval(operator, weights, element, low, high)
            found = ClosestOperator(operator, element, *interval, float(bias))
            if found.activated:
                return found
    return None


def closest_operator(weights: Weights, bias: float, low: Bound = 0.0, high: Bound = 1.0) -> ClosestOperator:
    """Return the operator whose interval is nearest to the bias: of an activated neuron, the one it is.

    All sets of weights above a threshold are tried, for both operators, with one sort and prefix sums: O(n log n).

    Parameters
    ----------
    weights, bias, low, high
        As in :func:`activation_interval`; at least one weight.

    References
    ----------
    Aouad and Talbot, DGMM 2022, equations 16 and 17.

    Examples
    --------
    >>> near = closest_operator(np.array([1.0, 0.9, 0.2]), bias=1.0)
    >>> near.operator, near.element, near.activated, round(near.distance, 3)
    ('dilation', array([ True,  True, False]), False, 0.1)
    """
    weights = np.asarray(weights, np.float64)
    found = activated_operator(weights, bias, low, high)
    if found is not None:
        return found
    flat = weights.reshape(-1)
    if not flat.size:
        raise InputError("weights must have at least one value; got an empty array")
    lows, highs = (np.broadcast_to(np.asarray(bound, np.float64), weights.shape).reshape(-1) for bound in (low, high))
    positive, negative = np.maximum(flat, 0), np.minimum(flat, 0).sum()
    best: tuple[float, int, Operator, NDArray[np.intp]] | None = None
    for operator, keys in zip(OPERATORS, (highs * flat, (1 - lows) * flat), strict=True):
        order = np.argsort(-keys, kind="stable")
        ordered, taken = keys[order], positive[order]
        if operator == "dilation":
            lower = positive.sum() - np.cumsum((1 - lows[order]) * taken)
            upper = ordered + negative
        else:
            lower = positive.sum() - ordered
            upper = np.cumsum(highs[order] * taken) + negative
        distance = np.maximum(0.0, np.maximum(lower - bias, bias - upper))
        distance[:-1][ordered[:-1] == ordered[1:]] = np.inf  # equal weights are in the set together
        size = int(distance.argmin())
        if best is None or distance[size] < best[0]:
            best = float(distance[size]), size, operator, order
    assert best is not None
    _, size, operator, order = best
    chosen = np.zeros(flat.shape, np.bool_)
    chosen[order[: size + 1]] = True
    element = chosen.reshape(weights.shape)
    return ClosestOperator(operator, element, *activation_interval(operator, weights, element, low, high), float(bias))


def output_range(found: ClosestOperator, scale: float) -> Range:
    """Return the range of an activated neuron's output ``(1 + tanh(scale * (sum - bias))) / 2``.

    Parameters
    ----------
    found
        The operator that the neuron is.
    scale
        The neuron's scale p; negative for the complemented operators.

    Raises
    ------
    InputError
        The neuron is not activated, or its scale is 0 or so small that the output cannot be told from 1/2.

    Examples
    --------
    >>> neuron = activated_operator(np.array([1.0, 1.0, 0.0]), bias=0.5)
    >>> output_range(neuron, scale=2.0)
    Range(low=0.119..., high=0.880...)
    """
    if not found.activated:
        raise InputError("found must be activated: the output of another neuron is not almost binary")
    ends = sorted(0.5 + 0.5 * np.tanh(scale * (np.array([found.lower, found.upper]) - found.bias)))
    return Range(float(ends[0]), float(ends[1]))
