"""The unbounded normalising flow of the path-connectedness paper, kept as the baseline."""

import torch
from torch import Tensor, nn

from shapewright.errors import InputError, check_number


class AffineFlow(nn.Module):
    """Affine couplings that map R^d onto itself (Real NVP [1]_); unlike :class:`BoxFlow`, not the box onto itself.

    The pre-image of a convex set under it is connected in R^d, but the part inside the image need not be: the path
    between two of its points may leave the image.

    Parameters
    ----------
    spatial_dims
        2 or 3.
    couplings
        Length of the chain; coordinates take turns in deciding how the others are scaled and moved.
    hidden
        Width of the two layers of the networks that compute scale and shift.

    References
    ----------
    .. [1] L. Dinh, J. Sohl-Dickstein and S. Bengio, "Density estimation using Real NVP", ICLR 2017.

    Examples
    --------
    >>> flow = AffineFlow(2)
    >>> points = torch.tensor([[0.0, 0.3], [0.5, 0.5]])
    >>> bool(torch.allclose(flow.inverse(flow(points)), points, atol=1e-5))
    True
    """

    def __init__(self, spatial_dims: int = 2, *, couplings: int = 6, hidden: int = 32) -> None:
        super().__init__()
        if spatial_dims not in (2, 3):
            raise InputError(f"spatial_dims must be 2 or 3; got {spatial_dims}")
        check_number("couplings", couplings, minimum=spatial_dims)
        self.spatial_dims = spatial_dims
        self.steps = nn.ModuleList(
            nn.Sequential(
                nn.Linear(1, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, outputs)
            )
            for outputs in [2 * (spatial_dims - 1)] * couplings
        )

    def forward(self, points: Tensor) -> Tensor:
        """Return the images ``[..., d]`` of points ``[..., d]``."""
        for index in range(len(self.steps)):
            kept, moved, scale, shift = self._parts(points, index)
            points = self._joined(kept, moved * scale + shift, index)
        return points

    def inverse(self, points: Tensor) -> Tensor:
        """Return the points ``[..., d]`` that the flow maps to these."""
        for index in reversed(range(len(self.steps))):
            kept, moved, scale, shift = self._parts(points, index)
            points = self._joined(kept, (moved - shift) / scale, index)
        return points

    def _parts(self, points: Tensor, index: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        axis = index % self.spatial_dims
        kept = points[..., axis : axis + 1]
        moved = torch.cat([points[..., :axis], points[..., axis + 1 :]], -1)
        free, shift = self.steps[index](2 * kept - 1).chunk(2, -1)
        return kept, moved, torch.exp(2 * torch.tanh(free / 2)), shift

    def _joined(self, kept: Tensor, moved: Tensor, index: int) -> Tensor:
        axis = index % self.spatial_dims
        return torch.cat([moved[..., :axis], kept, moved[..., axis:]], -1)
