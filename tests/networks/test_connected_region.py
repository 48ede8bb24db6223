"""Convexity, a box mapped onto itself, and regions in one piece, whatever the weights."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy import ndimage

from shapewright.errors import InputError
from shapewright.geometry import betti_numbers
from shapewright.networks import AffineFlow, BoxFlow, ConnectedRegion, InputConvexNet
from shapewright.networks.connected_region import is_one_piece


def shake(module: torch.nn.Module, strength: float, seed: int) -> None:
    """Move every parameter far from where it starts."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(strength * parameter.abs().mean().clamp_min(0.05) * torch.randn_like(parameter))


def faces(points: torch.Tensor) -> torch.Tensor:
    """Return points on every face, edge and corner of the box."""
    parts = []
    for pattern in product((None, 0.0, 1.0), repeat=points.shape[-1]):
        part = points[:50].clone()
        for axis, value in enumerate(pattern):
            if value is not None:
                part[:, axis] = value
        parts.append(part)
    return torch.cat(parts)


@pytest.mark.parametrize("activation", ["softplus", "relu"])
@pytest.mark.parametrize(("features", "hidden"), [(2, (32, 32)), (3, (8,)), (1, (5, 7, 3))])
def test_the_convex_network_is_convex_along_random_segments(
    activation: str, features: int, hidden: tuple[int, ...]
) -> None:
    for seed in range(20):
        torch.manual_seed(seed)
        network = InputConvexNet(features, hidden, activation=activation).double()  # type: ignore[arg-type]
        shake(network, 1.0, seed)
        start, end = 6 * torch.rand(2, 500, features, dtype=torch.float64) - 3
        share = torch.rand(500, 1, dtype=torch.float64)
        chord = share[:, 0] * network(start) + (1 - share[:, 0]) * network(end)
        assert bool((network(share * start + (1 - share) * end) <= chord + 1e-9 * chord.abs().clamp_min(1)).all())


def test_the_convex_network_is_not_affine() -> None:
    network = InputConvexNet(2)
    points = torch.tensor([[-2.0, 0.0], [0.0, 0.0], [2.0, 0.0]])
    left, middle, right = network(points).detach()
    assert float((left + right) / 2 - middle) > 1e-3


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_the_flow_is_a_bijection_of_the_box_that_keeps_its_faces(dims: int, strength: float) -> None:
    for seed in range(5):
        torch.manual_seed(seed)
        flow = BoxFlow(dims)
        shake(flow, strength, seed)
        points = torch.rand(2000, dims)
        points = torch.cat([points, faces(points)])
        with torch.no_grad():
            there = flow(points)
            assert float((flow.inverse(there) - points).abs().max()) < 1e-5
            assert float((flow(flow.inverse(points)) - points).abs().max()) < 1e-5
        for value in (0.0, 1.0):
            assert bool((there[points == value] == value).all())
        assert strength == 0 or float((there - points).abs().max()) > 2e-3


@pytest.mark.parametrize("dims", [2, 3])
def test_a_part_of_the_box_is_enlarged_at_first(dims: int) -> None:
    torch.manual_seed(0)
    flow = BoxFlow(dims)
    low, high = torch.tensor([0.2, 0.5, 0.0])[:dims], torch.tensor([0.3, 0.8, 0.4])[:dims]
    flow.magnify(low, high)
    points = torch.cat([torch.rand(2000, dims), faces(torch.rand(50, dims))])
    with torch.no_grad():
        there = flow(points)
        assert float((flow.inverse(there) - points).abs().max()) < 1e-5
        corners = flow(torch.stack([low, high]))
    assert float((corners[1] - corners[0]).min()) > 0.6
    for value in (0.0, 1.0):
        assert bool((there[points == value] == value).all())


@pytest.mark.parametrize("dims", [2, 3])
def test_only_what_differs_from_place_to_place_counts_as_bending(dims: int) -> None:
    torch.manual_seed(0)
    flow, points = BoxFlow(dims), torch.rand(50, dims)
    assert float(flow.bending(points).detach()) > 0
    with torch.no_grad():
        for network in flow.knots:
            network[-1].weight.zero_()  # type: ignore[index,union-attr]
    flow.magnify(torch.full((dims,), 0.3), torch.full((dims,), 0.6))
    assert float(flow.bending(points).detach()) < 1e-10


@pytest.mark.parametrize("flow", ["box", "affine", "none"])
def test_a_region_starts_as_the_ellipse_it_is_given(flow: str) -> None:
    region = ConnectedRegion(2, flow=flow, seed=1)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in region.convex.parameters():
            parameter.zero_()
    covariance = torch.tensor([[[0.002, 0.001], [0.001, 0.0015]]])
    region.place(torch.tensor([[0.3, 0.6]]), covariance, frame=torch.tensor([[0.15, 0.45], [0.45, 0.75]]))
    grid = (np.stack(np.meshgrid(*[np.arange(200)] * 2, indexing="ij"), -1) + 0.5) / 200 - [0.3, 0.6]
    wanted = np.einsum("yxi,ij,yxj->yx", grid, np.linalg.inv(4 * covariance[0].numpy()), grid) <= 1
    found = region.mask((200, 200))
    assert (found & wanted).sum() / (found | wanted).sum() > 0.85


@pytest.mark.parametrize("dims", [2, 3])
def test_the_flow_keeps_orientation_and_is_continuously_differentiable(dims: int) -> None:
    torch.manual_seed(0)
    flow = BoxFlow(dims).double()
    shake(flow, 0.7, 1)
    points = torch.rand(100, dims, dtype=torch.float64)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda p: flow(p[None])[0]))
    assert bool((torch.linalg.det(jacobian(points)) > 0).all())
    line = torch.full((2001, dims), 0.37, dtype=torch.float64)
    line[:, 0] = torch.linspace(0.01, 0.99, 2001, dtype=torch.float64)  # across many knots of the splines
    jumps = jacobian(line).diff(dim=0).abs().amax()
    finer = line[::10].clone()
    assert float(jumps) < 0.3 * float(jacobian(finer).diff(dim=0).abs().amax())  # shrink with the step


@pytest.mark.parametrize("dims", [2, 3])
def test_gradients_are_those_of_finite_differences(dims: int) -> None:
    region = ConnectedRegion(dims, objects=2, couplings=dims, bins=2, hidden=2, convex=(2, 2), seed=1).double()
    shake(region, 0.3, 2)
    points = torch.rand(2, dims, dtype=torch.float64).mul(0.9).add(0.05).requires_grad_()
    assert torch.autograd.gradcheck(region.logits, points)
    names = [name for name, _ in region.named_parameters()]

    def of_parameters(*values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(
            _Logits(region), {f"region.{n}": v for n, v in zip(names, values, strict=True)}, points.detach()
        )  # type: ignore[no-any-return]

    assert torch.autograd.gradcheck(of_parameters, tuple(region.parameters()))


class _Logits(torch.nn.Module):
    def __init__(self, region: ConnectedRegion) -> None:
        super().__init__()
        self.region = region

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        return self.region.logits(points)


@pytest.mark.parametrize(("dims", "shape", "fine"), [(2, (37, 52), (200, 200)), (3, (11, 17, 14), (36, 36, 36))])
def test_every_region_is_one_piece_without_holes(dims: int, shape: tuple[int, ...], fine: tuple[int, ...]) -> None:
    for seed in range(6 if dims == 2 else 3):
        region = ConnectedRegion(dims, seed=seed)
        shake(region, [0.0, 0.4, 0.8][seed % 3], seed)
        sampled = region.raster(fine)[0] >= 0
        assert betti_numbers(sampled).tolist() in ([1, 0, 0][:dims], [0, 0, 0][:dims])  # empty: smaller than a pixel
        for grid in (shape, (1,) * dims, (3, *shape[1:]), fine):
            mask = region.mask(grid)
            assert mask.shape == grid
            assert mask.dtype == np.bool_
            assert is_one_piece(mask)


@pytest.mark.slow
@pytest.mark.parametrize("dims", [2, 3])
def test_random_initialisations_by_the_hundred(dims: int) -> None:
    shape = (64, 64) if dims == 2 else (20, 20, 20)
    for seed in range(100):
        region = ConnectedRegion(dims, seed=seed)
        assert is_one_piece(region.raster(shape)[0] >= 0)


def test_a_path_stays_inside_and_joins_its_ends() -> None:
    region = ConnectedRegion(2, seed=4)
    shake(region, 0.8, 9)
    inside = np.argwhere(region.raster((80, 80))[0] > 0)
    ends = torch.from_numpy((inside[[0, -1]] + 0.5) / 80).float()
    path = region.path(ends[0], ends[1], 300)
    assert torch.allclose(path[[0, -1]], ends, atol=1e-5)
    assert float(region(path).min()) > 0.5 - 1e-3
    assert float(path.min()) >= 0
    assert float(path.max()) <= 1


def test_a_raster_that_is_too_coarse_is_repaired() -> None:
    """An S of arms two pixels wide: on a finer grid it is one piece, on the coarse one its samples fall apart."""
    region = ConnectedRegion(2, flow="none")

    class Bent(torch.nn.Module):
        def forward(self, points: torch.Tensor) -> torch.Tensor:  # a wave, made flat and thick
            wave = 0.2 * torch.sin(25 * points[:, 1])
            return torch.stack([8 * (points[:, 0] - 0.5 + wave) + 0.5, points[:, 1]], -1)

        def inverse(self, points: torch.Tensor) -> torch.Tensor:
            wave = 0.2 * torch.sin(25 * points[:, 1])
            return torch.stack([(points[:, 0] - 0.5) / 8 + 0.5 - wave, points[:, 1]], -1)

    region.place(torch.tensor([[0.5, 0.5]]), 0.022 * torch.eye(2)[None])
    region.flow = Bent()
    with torch.no_grad():
        for parameter in region.convex.parameters():
            parameter.zero_()
    fine = region.raster((900, 900))[0] >= 0
    assert ndimage.label(fine)[1] == 1
    coarse = (14, 14)
    sampled = region.raster(coarse)[0] >= 0
    assert not is_one_piece(sampled)
    mask = region.mask(coarse)
    assert is_one_piece(mask)
    assert mask.sum() > 0.6 * sampled.sum()
    block = np.add.reduceat(np.add.reduceat(fine, np.arange(14) * 900 // 14, 0), np.arange(14) * 900 // 14, 1)
    assert bool((block[mask] > 0).all())  # every pixel of the repaired raster meets the region itself


def test_several_objects_are_each_one_piece_and_do_not_overlap() -> None:
    for seed in range(6):
        region = ConnectedRegion(2, objects=3, seed=seed)
        shake(region, 0.4, seed)
        for shape in ((90, 70), (9, 8), (2, 2)):
            masks = region.mask(shape)
            assert masks.shape == (3, *shape)
            assert int(masks.sum(0).max()) == 1
            for mask in masks:
                assert is_one_piece(mask) or (shape == (2, 2) and not mask.any())


def test_the_unbounded_flow_falls_apart_inside_the_image() -> None:
    """The paper's construction has no guarantee inside the image; here it is seen to need one."""
    pieces = []
    for seed in range(60):
        region = ConnectedRegion(2, flow="affine", seed=seed)
        shake(region.flow, 2.0, seed)
        pieces.append(int(betti_numbers(region.mask((96, 96)))[0]))
    assert max(pieces) > 1


def test_the_affine_flow_is_inverted() -> None:
    torch.manual_seed(0)
    for dims in (2, 3):
        flow = AffineFlow(dims).double()
        points = torch.randn(500, dims, dtype=torch.float64)
        assert torch.allclose(flow.inverse(flow(points)), points, atol=1e-9)


def test_a_seed_gives_the_same_region_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    first, second, other = (ConnectedRegion(2, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), before)
    points = torch.rand(10, 2)
    assert torch.equal(first(points), second(points))
    assert not torch.equal(first(points), other(points))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ConnectedRegion(4), "spatial_dims must be 2 or 3; got 4"),
        (lambda: ConnectedRegion(2, flow="boxes"), "flow must be"),  # type: ignore[arg-type]
        (lambda: ConnectedRegion(2, objects=0), "objects must be at least 1"),
        (lambda: ConnectedRegion(2)(torch.rand(5, 3)), "points must have 2 coordinates"),
        (lambda: ConnectedRegion(2).mask((5, 5, 5)), "shape must have 2 positive sizes"),
        (lambda: BoxFlow(2, couplings=1), "couplings must be at least 2"),
        (lambda: BoxFlow(2, slope=0), "slope must be"),
        (lambda: InputConvexNet(2, ()), "hidden must have at least one width"),
        (lambda: InputConvexNet(2, activation="tanh"), "activation must be"),  # type: ignore[arg-type]
    ],
)
def test_errors(call: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()  # type: ignore[operator]
