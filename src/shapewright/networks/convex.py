"""A network that is a convex function of its input, so that its sublevel sets are convex."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from shapewright.errors import InputError, check_number

Activation = Literal["softplus", "relu"]


class InputConvexNet(nn.Module):
    """A fully connected network that is convex in its input, whatever its weights.

    Every hidden layer is a convex, increasing function of a sum of an affine function of the input and of the layer
    before with weights that are not negative [1]_.

    Parameters
    ----------
    features
        Components of the input.
    hidden
        Width of each hidden layer.
    activation
        ``softplus`` (default) makes the function smooth; ``relu``, as in the paper, makes it piecewise linear.

    Raises
    ------
    InputError
        No hidden layer, a width below 1, or another activation.

    Notes
    -----
    The paper keeps the weights between hidden layers non-negative by setting negative ones to 0 after every step of
    the optimiser. Here they are the softplus of free parameters: no step can break the constraint, no weight gets
    stuck at 0, and a loaded or averaged network is convex, too.

    References
    ----------
    .. [1] B. Amos, L. Xu and J. Z. Kolter, "Input convex neural networks", ICML 2017.

    Examples
    --------
    >>> network = InputConvexNet(2)
    >>> a, b = torch.rand(100, 2), torch.rand(100, 2)
    >>> bool((network((a + b) / 2) <= (network(a) + network(b)) / 2 + 1e-6).all())
    True
    """

    def __init__(self, features: int, hidden: tuple[int, ...] = (32, 32), *, activation: Activation = "softplus"):
        super().__init__()
        if not hidden:
            raise InputError("hidden must have at least one width; got ()")
        for width in (features, *hidden):
            check_number("features and hidden", width, minimum=1)
        if activation not in ("softplus", "relu"):
            raise InputError(f"activation must be 'softplus' or 'relu'; got {activation!r}")
        self.activation = activation
        widths = (*hidden, 1)
        self.from_input = nn.ModuleList(nn.Linear(features, width) for width in widths)
        self.from_hidden = nn.ParameterList(
            nn.Parameter(_free(before, after)) for before, after in zip(hidden, widths[1:], strict=True)
        )

    def forward(self, points: Tensor) -> Tensor:
        """Return the value ``[...]`` at points ``[..., features]``."""
        hidden = self._activate(self.from_input[0](points))
        for layer, (free, affine) in enumerate(zip(self.from_hidden, list(self.from_input)[1:], strict=True)):
            hidden = functional.linear(hidden, functional.softplus(free)) + affine(points)
            if layer < len(self.from_hidden) - 1:
                hidden = self._activate(hidden)
        return hidden[..., 0]

    def _activate(self, values: Tensor) -> Tensor:
        return functional.softplus(values, beta=4.0) if self.activation == "softplus" else functional.relu(values)


def _free(before: int, after: int) -> Tensor:
    """Return parameters whose softplus sums to about 1 per unit, so that values keep their size from layer to layer."""
    mean = 1 / before
    return math.log(math.expm1(mean)) + 0.3 * torch.randn(after, before)
