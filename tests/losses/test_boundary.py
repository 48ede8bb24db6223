"""The boundary loss against closed forms, the other conventions, and MONAI."""

import math

import numpy as np
import pytest
import torch

from shapewright.errors import InputError
from shapewright.geometry import class_distance_maps, signed_distance
from shapewright.losses import BoundaryLoss

CERTAIN = 40.0


def certain(labels: torch.Tensor, classes: int = 2) -> torch.Tensor:
    """Return logits whose softmax is the one-hot encoding of labels."""
    return CERTAIN * torch.stack([labels == k for k in range(classes)], dim=1).float()


def logits_of(probability: torch.Tensor) -> torch.Tensor:
    """Return two-class logits with this foreground probability."""
    return torch.stack([torch.log(1 - probability), torch.log(probability)], dim=1)


def ball(size: int, radius: float, dims: int) -> np.ndarray:
    axes = np.meshgrid(*(np.arange(size) - size // 2,) * dims, indexing="ij")
    return sum(axis**2 for axis in axes) <= radius**2


def random_blobs(seed: int, shape: tuple[int, ...] = (19, 23)) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(1, 1, *shape, generator=generator)
    return (torch.nn.functional.avg_pool2d(noise, 5, stride=1, padding=2) > 0.5)[0].long()


def integral(truth: np.ndarray, predicted: np.ndarray, convention: str) -> float:
    """Return twice the sum of phi (s - g) through the loss: the squared distance between the two boundaries."""
    loss = BoundaryLoss(convention=convention, reduction="sum")
    true, other = torch.from_numpy(truth)[None].long(), torch.from_numpy(predicted)[None].long()
    return 2 * float(loss(certain(other).double(), true) - loss(certain(true).double(), true))


@pytest.mark.parametrize(("radius", "change"), [(60, 2), (60, -2), (80, -20), (60, 10)])
def test_discs_match_the_squared_distance_of_their_boundaries(radius: int, change: int) -> None:
    size = 2 * (radius + max(change, 0)) + 9
    truth, predicted = ball(size, radius, 2), ball(size, radius + change, 2)
    exact = 2 * math.pi * radius * change**2 + 4 / 3 * math.pi * change**3
    half = abs(integral(truth, predicted, "half") - exact)
    assert half <= 0.1 * exact
    for other in ("plain", "kervadec"):
        assert half < abs(integral(truth, predicted, other) - exact)


def test_balls_match_the_squared_distance_of_their_boundaries() -> None:
    radius, change = 20, 4
    truth, predicted = ball(57, radius, 3), ball(57, radius + change, 3)
    exact = 4 * math.pi * radius**2 * change**2 + 16 / 3 * math.pi * radius * change**3 + 2 * math.pi * change**4
    half = abs(integral(truth, predicted, "half") - exact)
    assert half <= 0.1 * exact
    for other in ("plain", "kervadec"):
        assert half < abs(integral(truth, predicted, other) - exact)


@pytest.mark.parametrize("convention", ["half", "plain"])
@pytest.mark.parametrize("seed", range(4))
def test_excess_over_the_truth_is_the_distance_of_the_wrong_pixels(convention: str, seed: int) -> None:
    truth, predicted = random_blobs(seed), random_blobs(seed + 100)
    phi = signed_distance(truth == 1, spatial_dims=2, convention=convention).double()
    loss = BoundaryLoss(convention=convention, reduction="sum")
    excess = loss(certain(predicted).double(), truth) - loss(certain(truth).double(), truth)
    torch.testing.assert_close(excess, phi.abs()[truth != predicted].sum())
    assert excess > 0


def test_kervadec_maps_let_one_layer_erode_for_free() -> None:
    truth = torch.zeros(1, 12, 12, dtype=torch.long)
    truth[:, 3:9, 3:9] = 1
    eroded = torch.zeros_like(truth)
    eroded[:, 4:8, 4:8] = 1
    free = BoundaryLoss(convention="kervadec", reduction="sum")
    torch.testing.assert_close(free(certain(eroded), truth), free(certain(truth), truth))
    half = BoundaryLoss(reduction="sum")
    assert half(certain(eroded), truth) > half(certain(truth), truth) + 1


def test_both_classes_with_kervadec_maps_have_the_gradient_of_half_maps() -> None:
    labels = random_blobs(3)
    logits = torch.randn(1, 2, 19, 23, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gradients = []
    for loss in (BoundaryLoss(channels=(0, 1), convention="kervadec"), BoundaryLoss()):
        leaf = logits.clone().requires_grad_()
        loss(leaf, labels).backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-15, rtol=1e-12)


def test_gradient_with_respect_to_the_probability_is_the_map_over_n() -> None:
    labels = random_blobs(1)
    phi = signed_distance(labels == 1, spatial_dims=2).double()
    probability = torch.full_like(phi, 0.3).requires_grad_()
    BoundaryLoss()(logits_of(probability), labels).backward()
    torch.testing.assert_close(probability.grad, phi / phi.numel())


@pytest.mark.parametrize("convention", ["half", "plain"])
def test_the_truth_is_the_only_binary_minimum(convention: str) -> None:
    truth = random_blobs(5)
    loss = BoundaryLoss(convention=convention)
    best = loss(certain(truth), truth)
    for y, x in [(0, 0), (9, 11), (18, 22), (4, 17)]:
        other = truth.clone()
        other[0, y, x] = 1 - other[0, y, x]
        assert loss(certain(other), truth) > best


def test_linear_in_the_probabilities() -> None:
    labels = random_blobs(2)
    first, second = torch.rand(2, 1, 19, 23, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    loss = BoundaryLoss()
    mixed = loss(logits_of(0.3 * first + 0.7 * second), labels)
    torch.testing.assert_close(mixed, 0.3 * loss(logits_of(first), labels) + 0.7 * loss(logits_of(second), labels))


@pytest.mark.parametrize(
    "move",
    [lambda t: t.flip(-1), lambda t: t.flip(-2), lambda t: t.rot90(1, (-2, -1)), lambda t: t.rot90(2, (-2, -1))],
    ids=["flip x", "flip y", "turn 90", "turn 180"],
)
def test_unchanged_by_flips_and_right_angles(move) -> None:
    labels = random_blobs(4)
    logits = torch.randn(1, 2, 19, 23, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(BoundaryLoss()(move(logits), move(labels)), BoundaryLoss()(logits, labels))


def test_unchanged_by_translation() -> None:
    truth, predicted = torch.zeros(2, 1, 30, 30, dtype=torch.long)
    truth[:, 8:14, 9:13], predicted[:, 9:14, 8:13] = 1, 1
    loss = BoundaryLoss(reduction="sum")

    def excess(shift: int) -> torch.Tensor:
        moved = [labels.roll(shift, dims=-1) for labels in (truth, predicted)]
        return loss(certain(moved[1]).double(), moved[0]) - loss(certain(moved[0]).double(), moved[0])

    torch.testing.assert_close(excess(0), excess(7))


def test_spacing_scales_and_weighs_axes() -> None:
    labels = random_blobs(6)
    logits = torch.randn(1, 2, 19, 23, generator=torch.Generator().manual_seed(0))
    single = BoundaryLoss(spacing=(1.5, 0.5))(logits, labels)
    torch.testing.assert_close(BoundaryLoss(spacing=(3.0, 1.0))(logits, labels), 2 * single)
    slab = torch.zeros(1, 9, 5, 5, dtype=torch.long)
    slab[:, 4] = 1
    far = torch.zeros_like(slab)
    far[:, 7, 2, 2] = 1
    cost = BoundaryLoss(spacing=(3.0, 1.0, 1.0), reduction="sum")
    # Three slices of 3 mm away, measured from half a (smallest) voxel outside the slab.
    torch.testing.assert_close(cost(certain(far), slab), torch.tensor(9.0 - 0.5))


@pytest.mark.parametrize("convention", ["half", "plain", "kervadec"])
@pytest.mark.parametrize("value", [0, 1])
def test_empty_and_full_truth_are_not_supervised(convention: str, value: int) -> None:
    labels = torch.full((1, 9, 9), value)
    logits = torch.randn(1, 2, 9, 9).requires_grad_()
    loss = BoundaryLoss(convention=convention)(logits, labels)
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("convention", ["half", "plain"])
def test_maps_of_two_classes_are_opposite(convention: str) -> None:
    maps = class_distance_maps(random_blobs(7), 2, spatial_dims=2, convention=convention)
    torch.testing.assert_close(maps[:, 0], -maps[:, 1])


def test_extruded_mask_has_the_planar_map() -> None:
    plane = random_blobs(8)
    volume = plane[:, None].expand(-1, 9, -1, -1)
    in_depth = signed_distance(volume == 1, spatial_dims=3)[:, 4]
    torch.testing.assert_close(in_depth, signed_distance(plane == 1, spatial_dims=2))


@pytest.mark.parametrize("shape", [(14, 11), (7, 9, 8)], ids=["2D", "3D"])
def test_equals_monai_with_kervadec_maps_and_all_classes(shape: tuple[int, ...]) -> None:
    from monai.losses import BoundaryLoss as MonaiBoundaryLoss

    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (2, *shape), generator=generator)
    logits = torch.randn(2, 3, *shape, generator=generator)
    ours = BoundaryLoss(channels=(0, 1, 2), convention="kervadec")(logits, labels)
    theirs = MonaiBoundaryLoss(softmax=True, to_onehot_y=True, include_background=True)(logits, labels[:, None])
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("channels", [None, (0, 1, 2), (2,), (0, 2)])
def test_precomputed_maps_equal_labels(channels: tuple[int, ...] | None) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (2, 6, 7, 5), generator=generator)
    logits = torch.randn(2, 3, 6, 7, 5, generator=generator)
    maps = class_distance_maps(labels, 3, spacing=(2, 1, 1), spatial_dims=3)
    loss = BoundaryLoss(channels=channels, spacing=(2, 1, 1))
    torch.testing.assert_close(loss(logits, maps), loss(logits, labels))
    torch.testing.assert_close(loss(logits, maps.double()), loss(logits, maps))


def test_foreground_map_for_one_channel() -> None:
    labels = random_blobs(9)
    logits = torch.randn(1, 1, 19, 23)
    phi = signed_distance(labels == 1, spatial_dims=2)[:, None]
    torch.testing.assert_close(BoundaryLoss()(logits, phi), BoundaryLoss()(logits, labels))
    with pytest.raises(InputError, match=r"channels must be \(1,\) for distance maps with one channel; got \(0,\)"):
        BoundaryLoss(channels=(0,))(logits, phi)


def test_sides_add_up() -> None:
    labels = random_blobs(10)
    logits = torch.randn(1, 2, 19, 23)
    whole, outside, inside = (BoundaryLoss(side=side)(logits, labels) for side in ("both", "outside", "inside"))
    torch.testing.assert_close(whole, outside + inside)
    assert outside > 0 > inside


def test_normalised_losses_do_not_depend_on_the_unit() -> None:
    labels = random_blobs(11)
    logits = torch.randn(1, 2, 19, 23)
    for normalise in ("diagonal", "max"):
        fine, coarse = (BoundaryLoss(normalise=normalise, spacing=size)(logits, labels) for size in (0.25, 4.0))
        torch.testing.assert_close(fine, coarse)
    plain = BoundaryLoss()(logits, labels)
    torch.testing.assert_close(BoundaryLoss(normalise="diagonal")(logits, labels), plain / math.hypot(19, 23))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"convention": "halve"}, "unknown convention 'halve'; did you mean 'half'"),
        ({"normalise": "diagnoal"}, "did you mean 'diagonal'"),
        ({"side": "out"}, "unknown side 'out'"),
    ],
)
def test_unknown_options(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        BoundaryLoss(**options)


@pytest.mark.parametrize("channels", [(), (3,), (-1,), (1, 1)])
def test_channels_that_are_no_classes(channels: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="channels must be distinct classes between 0 and 2"):
        BoundaryLoss(channels=channels)(torch.zeros(1, 3, 8, 8), torch.zeros(1, 8, 8, dtype=torch.long))


def test_map_with_the_wrong_number_of_channels() -> None:
    with pytest.raises(InputError, match=r"must have the logits' shape \(1, 3, 8, 8\), .* got \(1, 4, 8, 8\)"):
        BoundaryLoss()(torch.zeros(1, 3, 8, 8), torch.zeros(1, 4, 8, 8))


@pytest.mark.parametrize(("depth", "distance"), [(0.5, 3.0), (1.0, 8.0)])
def test_a_far_candidate_must_be_nearly_certain(depth: float, distance: float) -> None:
    """An object at one of two places is predicted at a place where its probability is above d / (d + depth)."""
    threshold = distance / (distance + depth)
    for belief, foreground in ((threshold - 0.02, False), (threshold + 0.02, True)):
        expected_map = torch.full((1, 2, 4, 4), belief * -depth + (1 - belief) * distance)
        logits = torch.zeros(1, 2, 4, 4, requires_grad=True)
        BoundaryLoss()(logits, expected_map).backward()
        assert bool((logits.grad[:, 1] < 0).all()) == foreground


def test_maps_of_the_supervised_classes_alone_are_enough() -> None:
    logits = torch.randn(2, 3, 9, 8)
    maps = torch.randn(2, 3, 9, 8)
    for channels in (None, (1, 2), (0, 2)):
        loss = BoundaryLoss(channels=channels)
        chosen = maps[:, list(channels or (1, 2))]
        assert torch.equal(loss(logits, maps), loss(logits, chosen))
    with pytest.raises(InputError, match="one map for each of the supervised channels"):
        BoundaryLoss()(logits, maps[:, :1])
