"""A region of the image that is connected and without holes by construction, as a function of position."""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from shapewright.errors import InputError, check_number
from shapewright.geometry import betti_numbers, connected_components
from shapewright.morphology import grow_homotopic
from shapewright.networks.affine_flow import AffineFlow
from shapewright.networks.box_flow import BoxFlow
from shapewright.networks.convex import Activation, InputConvexNet

Flow = Literal["box", "affine", "none"]
POINTS = 65_536  # evaluated at once where a whole raster is wanted

BORDER = 100.0  # steepness of the border between two objects, in logits per squared distance


class ConnectedRegion(nn.Module):
    r"""Objects that are in one piece, without holes, tunnels or cavities, whatever the weights.

    An object is the part of the image that a flow ``g`` maps into a convex set: :math:`g^{-1}(\{N \le c\})`, with
    ``N`` convex in its input [1]_ and ``g`` a diffeomorphism of the image box onto itself (:class:`BoxFlow`). A convex
    set and a box meet in a convex set; a diffeomorphism does not change topology. So any two points of the object are
    joined inside it, and inside the image, by the path ``g^{-1}((1 - t) g(a) + t g(b))``. Without the box (``affine``,
    the paper's construction) the path may leave the image, and what is left inside may fall into pieces.

    Parameters
    ----------
    spatial_dims
        2 or 3.
    objects
        How many; all share the flow, each has a convex set of its own. Where sets meet they are cut apart halfway
        between their anchors, by planes, so that each stays convex and no two overlap.
    flow
        ``box`` (default), ``affine`` (the paper's unbounded Real NVP, without the guarantee), or ``none`` (the object
        itself is convex).
    couplings
        Couplings of the flow; None takes 4 in 2D and 6 in 3D, twice per coordinate.
    bins, hidden
        Pieces of the flow's splines, and width of its networks.
    convex
        Widths of the convex network's hidden layers.
    activation
        ``softplus``, or the paper's ``relu``.
    seed
        Seed of the initial weights.

    Raises
    ------
    InputError
        A number or name outside what is accepted.

    Notes
    -----
    *Never empty.* Each object has an anchor, a learned point of the image, and is ``{N(g(x)) - N(g(anchor)) <= c}``
    with ``c > 0``: the anchor lies inside.

    *Convention.* Points are ``[..., d]`` in [0, 1]^d, order (z,) y, x; pixel ``i`` of ``n`` has its centre at
    ``(i + 0.5) / n``.

    *What is exact.* The statement above is about the set of points, in exact arithmetic. A raster shows it at the
    pixels' centres only, and arms thinner than a pixel may come apart there. :meth:`mask` therefore checks every
    raster, and repairs it where needed.

    References
    ----------
    .. [1] B. Amos, L. Xu and J. Z. Kolter, "Input convex neural networks", ICML 2017.
    .. [2] A.-K. Ismail and M. Moeller, "Path connectedness for pixelwise image segmentation", University of Siegen.

    Examples
    --------
    >>> region = ConnectedRegion(2, seed=3)
    >>> inside = region(torch.rand(10, 2))
    >>> inside.shape, betti_numbers(region.mask((48, 64)))
    (torch.Size([10]), array([1, 0]))
    """

    def __init__(
        self,
        spatial_dims: int = 2,
        *,
        objects: int = 1,
        flow: Flow = "box",
        couplings: int | None = None,
        bins: int = 8,
        hidden: int = 32,
        convex: tuple[int, ...] = (32, 32),
        activation: Activation = "softplus",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if spatial_dims not in (2, 3):
            raise InputError(f"spatial_dims must be 2 or 3; got {spatial_dims}")
        if flow not in ("box", "affine", "none"):
            raise InputError(f"flow must be 'box', 'affine' or 'none'; got {flow!r}")
        check_number("objects", objects, minimum=1)
        length = 2 * spatial_dims if couplings is None else couplings
        self.spatial_dims, self.objects = spatial_dims, objects
        self.options: dict[str, Any] = {
            "objects": objects, "flow": flow, "couplings": couplings, "bins": bins, "hidden": hidden,
            "convex": tuple(convex), "activation": activation,
        }  # fmt: skip
        self.guaranteed = flow != "affine"
        self.flow: nn.Module
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if flow == "box":
                self.flow = BoxFlow(spatial_dims, couplings=length, bins=bins, hidden=hidden)
            elif flow == "affine":
                self.flow = AffineFlow(spatial_dims, couplings=length, hidden=hidden)
            else:
                self.flow = nn.Identity()
            self.convex = nn.ModuleList(
                InputConvexNet(spatial_dims, convex, activation=activation) for _ in range(objects)
            )
            spread = 0.5 if objects == 1 else 1.0
            self.free_anchor = nn.Parameter(spread * torch.randn(objects, spatial_dims))
        self.free_height = nn.Parameter(torch.full((objects,), 1.0))
        self.log_sharpness = nn.Parameter(torch.zeros(objects))
        self.stretch = nn.Parameter(5 * torch.eye(spatial_dims).repeat(objects, 1, 1))

    def copy(self) -> "ConnectedRegion":
        """Return a region with the same parameters, to be trained on its own."""
        twin = ConnectedRegion(self.spatial_dims, **self.options)
        twin.load_state_dict(self.state_dict())
        return twin

    @property
    def anchors(self) -> Tensor:
        """A point of each object, ``[objects, d]`` in [0, 1]^d."""
        return torch.sigmoid(self.free_anchor)

    @torch.no_grad()
    def place(self, anchors: Tensor, covariances: Tensor, *, frame: Tensor | None = None) -> None:
        """Start as about the ellipses around given points that have given moments.

        Parameters
        ----------
        anchors
            Points of the image, ``[objects, d]`` in [0, 1]^d.
        covariances
            Covariance of the position of each object's points, ``[objects, d, d]``, in the same units.
        frame
            Corners ``[2, d]`` of the part of the image that the flow of the box enlarges, so that it bends small
            objects as well as large ones. None enlarges nothing.
        """
        if frame is not None and isinstance(self.flow, BoxFlow):
            self.flow.magnify(*frame)
        anchors = anchors.clamp(0.02, 0.98)
        self.free_anchor.copy_(torch.logit(anchors))
        axes = torch.linalg.cholesky(covariances + 1e-6 * torch.eye(self.spatial_dims)).mT  # as the flow maps them
        ends = torch.stack([anchors[:, None] + axes, anchors[:, None] - axes]).clamp(0, 1)
        ahead, behind = self.flow(ends.reshape(-1, self.spatial_dims)).reshape(ends.shape)
        mapped = (ahead - behind) / 2
        # A uniform ellipse has the covariance (semi-axes squared) / (d + 2).
        squares = (self.spatial_dims + 2) * mapped.mT @ mapped + 1e-5 * torch.eye(self.spatial_dims)
        inverse = torch.linalg.inv(squares) * functional.softplus(self.free_height)[:, None, None]
        self.stretch.copy_(torch.linalg.cholesky(inverse).mT)

    def logits(self, points: Tensor) -> Tensor:
        """Return the logits ``[..., objects]`` of "inside" at points ``[..., d]``: 0 on the boundary."""
        if points.shape[-1] != self.spatial_dims:
            raise InputError(
                f"points must have {self.spatial_dims} coordinates in their last axis; got shape {tuple(points.shape)}"
            )
        flat = points.reshape(-1, self.spatial_dims)
        mapped = self.flow(torch.cat([flat, self.anchors.to(flat.dtype)]))
        places, anchors = mapped[: len(flat)], mapped[len(flat) :]
        steps = places[:, None] - anchors
        squares = steps.square().sum(-1)
        stretched = torch.einsum("kij,nkj->nki", self.stretch, steps).square().sum(-1)
        heights = functional.softplus(self.free_height)
        result = []
        for index, network in enumerate(self.convex):
            values = network(2 * torch.cat([places, anchors[index : index + 1]]) - 1)
            level = values[:-1] - values[-1] + stretched[:, index]
            logit = heights[index] - level
            for other in range(self.objects):
                if other != index:
                    logit = torch.minimum(logit, BORDER * (squares[:, other] - squares[:, index]))
            result.append(logit)
        sharp = torch.stack(result, -1) * torch.exp(self.log_sharpness)
        return sharp.reshape(*points.shape[:-1], self.objects)

    def forward(self, points: Tensor) -> Tensor:
        """Return the probability of "inside" ``[...]`` at points ``[..., d]``; ``[..., objects]`` for several."""
        inside = torch.sigmoid(self.logits(points))
        return inside[..., 0] if self.objects == 1 else inside

    @torch.no_grad()
    def path(self, start: Tensor, end: Tensor, steps: int = 100) -> Tensor:
        """Return points ``[steps, d]`` of the path between two points that stays inside any object holding both."""
        there = self.flow(torch.stack([start, end]).double().to(self.free_anchor.dtype))
        share = torch.linspace(0, 1, steps, dtype=there.dtype)[:, None]
        line = (1 - share) * there[0] + share * there[1]
        return line if isinstance(self.flow, nn.Identity) else self.flow.inverse(line)  # type: ignore[operator,no-any-return]

    @torch.no_grad()
    def raster(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return the logits ``[objects, *shape]`` at the centres of an image's pixels."""
        if len(shape) != self.spatial_dims or min(shape) < 1:
            raise InputError(f"shape must have {self.spatial_dims} positive sizes; got {shape}")
        axes = [(torch.arange(size, dtype=torch.float32) + 0.5) / size for size in shape]
        points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, self.spatial_dims)
        values = torch.cat([self.logits(part) for part in torch.split(points, POINTS)])
        return np.ascontiguousarray(values.T.numpy().reshape(self.objects, *shape))

    def mask(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Return the object as pixels, bool ``[*shape]``; ``[objects, *shape]`` for several.

        A pixel belongs to it if its centre does. The raster is then checked: one piece without holes (2D) or without
        tunnels and cavities (3D), both where pixels touch by their sides alone and where they touch by corners, too.
        Where the grid is too coarse for that, the raster is repaired (:func:`one_piece`); the anchor's pixel always
        belongs to it. The result passes the check for every weight and every shape. With ``flow="affine"`` nothing
        is checked or repaired.
        """
        logits = self.raster(shape)
        inside = logits >= 0
        if self.objects > 1:
            inside &= logits.argmax(0) == np.arange(self.objects).reshape(-1, *(1,) * len(shape))
        if self.guaranteed:
            taken = np.zeros(shape, np.bool_)
            for index in range(self.objects):
                inside[index] = one_piece(self, index, inside[index] & ~taken, logits[index], blocked=taken)
                taken |= inside[index]
        return inside[0] if self.objects == 1 else inside


def is_one_piece(mask: NDArray[np.bool_]) -> bool:
    """Say whether a raster is one piece without holes, tunnels and cavities, whichever way its pixels touch.

    Examples
    --------
    >>> is_one_piece(np.eye(2, dtype=bool))  # touching by a corner only
    False
    """
    wanted = [1, 0, 0][: mask.ndim]
    return all(betti_numbers(mask, connectivity=c).tolist() == wanted for c in ((4, 8) if mask.ndim == 2 else (6, 26)))


def one_piece(
    region: ConnectedRegion,
    index: int,
    sampled: NDArray[np.bool_],
    logits: NDArray[np.float32],
    *,
    blocked: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Return a raster of one object that is one piece without holes, tunnels or cavities.

    A raster that is so already is returned as it is. Otherwise every stray piece is joined to the anchor along the
    object's own path, through pixels that the object crosses; then pixels are added to the anchor's, the innermost
    first, as long as the topology stays that of a point (:func:`~shapewright.morphology.grow_homotopic`). Where arms
    come nearer to each other than a pixel, a seam of pixels between them is left out.
    """
    shape = np.array(sampled.shape)
    anchor = tuple((region.anchors[index].detach().numpy() * shape).astype(int).clip(0, shape - 1))
    if sampled[anchor] and is_one_piece(sampled):
        return sampled
    target = sampled.copy()
    target[anchor] = True
    pieces, count = connected_components(target, connectivity=4 if target.ndim == 2 else 6)
    start = region.anchors[index].detach()
    for piece in range(1, int(count) + 1):
        if piece == pieces[anchor]:
            continue
        inside = np.argwhere(pieces == piece)
        deepest = inside[logits[tuple(inside.T)].argmax()]
        end = torch.from_numpy(((deepest + 0.5) / shape).astype(np.float32))
        path = region.path(start, end, 8 * int(shape.max())).numpy()
        crossed = (path * shape).astype(int).clip(0, shape - 1)
        target[tuple(crossed.T)] = True
    seed = np.zeros(sampled.shape, np.bool_)
    seed[anchor] = not blocked[anchor]
    if not seed.any() and (target & ~blocked).any():  # another object has the anchor's pixel: start where it is surest
        free = np.argwhere(target & ~blocked)
        seed[tuple(free[logits[tuple(free.T)].argmax()])] = True
    return grow_homotopic(seed, target & ~blocked, -logits)
