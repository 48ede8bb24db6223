"""A smooth, invertible map of the unit box onto itself."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from shapewright.errors import InputError, check_number


class BoxFlow(nn.Module):
    """A C^1 diffeomorphism of the closed box [0, 1]^d onto itself that maps every face onto itself.

    A chain of couplings: one coordinate after the other goes through a monotone rational-quadratic spline of [0, 1]
    onto [0, 1] [1]_, whose knots a small smooth network computes from the other coordinates. Nothing enters or leaves
    the box, which is what an unbounded flow [2]_ cannot promise.

    Parameters
    ----------
    spatial_dims
        2 or 3.
    couplings
        Length of the chain; coordinates take turns. 6 by default: each is bent three times in 2D, twice in 3D.
    bins
        Pieces of each spline.
    hidden
        Width of the two layers of the networks that compute the knots.
    slope
        The smallest slope of a spline at its knots; the largest is its inverse. Bounds how far rounding errors grow
        in the inverse.

    Raises
    ------
    InputError
        Not 2 or 3 dimensions, fewer couplings than dimensions, or fewer than 2 bins.

    Notes
    -----
    *Convention.* Points are ``[..., d]`` in the order (z,) y, x. The map starts as nearly the identity. The splines'
    slope is 1 at 0 and 1 in their own coordinate. Coordinates outside [0, 1] are clamped.

    References
    ----------
    .. [1] C. Durkan, A. Bekasov, I. Murray and G. Papamakarios, "Neural spline flows", NeurIPS 2019.
    .. [2] L. Dinh, J. Sohl-Dickstein and S. Bengio, "Density estimation using Real NVP", ICLR 2017.

    Examples
    --------
    >>> flow = BoxFlow(2)
    >>> points = torch.tensor([[0.0, 0.3], [0.5, 0.5]])
    >>> there = flow(points)
    >>> float(there[0, 0]), bool(torch.allclose(flow.inverse(there), points, atol=1e-5))
    (0.0, True)
    """

    def __init__(
        self, spatial_dims: int = 2, *, couplings: int = 6, bins: int = 8, hidden: int = 32, slope: float = 0.02
    ) -> None:
        super().__init__()
        if spatial_dims not in (2, 3):
            raise InputError(f"spatial_dims must be 2 or 3; got {spatial_dims}")
        check_number("couplings", couplings, minimum=spatial_dims)
        check_number("bins", bins, minimum=2)
        check_number("slope", slope, above=0, below=1)
        self.spatial_dims, self.bins, self.slope = spatial_dims, bins, slope
        self.knots = nn.ModuleList(_knots(spatial_dims - 1, hidden, 3 * bins - 1) for _ in range(couplings))

    def forward(self, points: Tensor) -> Tensor:
        """Return the images ``[..., d]`` of points ``[..., d]``."""
        points = points.clamp(0, 1)
        for index in range(len(self.knots)):
            points = self._couple(points, index, inverse=False)
        return points

    def inverse(self, points: Tensor) -> Tensor:
        """Return the points ``[..., d]`` that the flow maps to these."""
        points = points.clamp(0, 1)
        for index in reversed(range(len(self.knots))):
            points = self._couple(points, index, inverse=True)
        return points

    @torch.no_grad()
    def magnify(self, low: Tensor, high: Tensor) -> None:
        """Start as a map that enlarges a part of the box: all bins but the first and the last lie in it, evenly.

        Parameters
        ----------
        low, high
            Corners ``[d]`` of the part, in [0, 1]^d.
        """
        steepest = -math.log(self.slope)
        for axis in range(self.spatial_dims):
            inner = (high[axis] - low[axis]).expand(self.bins - 2) / (self.bins - 2)
            widths = torch.cat([low[axis, None], inner, 1 - high[axis, None]]).clamp_min(0.02)
            widths = torch.log(widths / widths.sum() * self.bins)
            slopes = -(widths[1:] + widths[:-1]) / 2
            free = [_free(widths, steepest / 2), torch.zeros(self.bins), _free(slopes, steepest)]
            self.knots[axis][-1].bias.copy_(torch.cat(free))  # type: ignore[index]

    def bending(self, points: Tensor) -> Tensor:
        """Return how much the flow's free knots vary between points ``[N, d]``: their variance, a mean over all.

        0 for a flow that stretches each coordinate alone, as :meth:`magnify` does.
        """
        variances = []
        for index, network in enumerate(self.knots):
            axis = index % self.spatial_dims
            others = torch.cat([points[:, :axis], points[:, axis + 1 :]], -1)
            variances.append(network(2 * others - 1).var(0).mean())
        return torch.stack(variances).mean()

    def _couple(self, points: Tensor, index: int, *, inverse: bool) -> Tensor:
        """Send one coordinate through its spline, given the others."""
        axis = index % self.spatial_dims
        coordinates = list(points.unbind(-1))
        others = torch.stack(coordinates[:axis] + coordinates[axis + 1 :], -1)
        spline = self._spline(self.knots[index](2 * others - 1))
        here = coordinates[axis]
        moved = spline.inv(here - 0.5) if inverse else spline(here - 0.5)
        # Knots are sums that may miss 1 by a rounding error: points of a face stay on it exactly.
        coordinates[axis] = torch.where((here > 0) & (here < 1), (moved + 0.5).clamp(0, 1), here)
        return torch.stack(coordinates, -1)

    def _spline(self, knots: Tensor) -> Any:
        """Return splines of [-1/2, 1/2] with unconstrained widths, heights and slopes ``[..., 3 * bins - 1]``."""
        from zuko.transforms import MonotonicRQSTransform

        widths, heights, slopes = torch.split(knots, [self.bins, self.bins, self.bins - 1], -1)
        return MonotonicRQSTransform(widths, heights, slopes, bound=0.5, slope=self.slope)


def _free(values: Tensor, limit: float) -> Tensor:
    """Return the unconstrained parameters of log widths or log slopes below a limit."""
    values = values.clamp(-0.9 * limit, 0.9 * limit)
    return values / (1 - values.abs() / limit)


def _knots(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Return the network that computes the knots; small last weights make the spline nearly the identity."""
    network = nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
    last = nn.Linear(hidden, outputs)
    with torch.no_grad():
        last.weight.mul_(0.1)
        last.bias.zero_()
    return network.append(last)
