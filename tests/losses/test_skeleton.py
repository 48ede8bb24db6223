"""clDice against its formula, a plain reference, and its degenerate cases."""

import pytest
import torch
from scipy import ndimage

from shapewright.errors import InputError
from shapewright.losses import DiceLoss, SkeletonLoss
from shapewright.losses.skeleton import SKELETONS, homotopic_skeleton, pooled_skeleton
from shapewright.morphology import skeletonize

SHAPES = {"2D": (20, 17), "3D": (12, 11, 13)}


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def shape(request: pytest.FixtureRequest) -> tuple[int, ...]:
    return request.param


def tube(shape: tuple[int, ...]) -> torch.Tensor:
    """Return labels [1, *spatial] of a bar along the last axis, 3 voxels thick."""
    labels = torch.zeros(1, *shape, dtype=torch.long)
    labels[(slice(None), *(slice(4, 7),) * (len(shape) - 1), slice(1, -1))] = 1
    return labels


def certain(labels: torch.Tensor) -> torch.Tensor:
    return 400.0 * torch.stack([labels == 0, labels == 1], dim=1).double()


def soft(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.rand(2, 1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_pooled_skeleton_of_scipy_filters(shape) -> None:
    """The same algorithm written with SciPy's grey filters."""
    dims = len(shape)
    image = soft(shape)
    cross, box = ndimage.generate_binary_structure(dims, 1), ndimage.generate_binary_structure(dims, dims)

    def eroded(values):
        return ndimage.grey_erosion(values, footprint=cross, mode="constant", cval=float("inf"))

    def opened(values):
        return ndimage.grey_dilation(eroded(values), footprint=box, mode="constant", cval=float("-inf"))

    for number in range(len(image)):
        values = image[number, 0].numpy()
        kept = 1.0
        for layer in range(4):
            values = eroded(values) if layer else values
            kept = kept * (1 - (values - opened(values)).clip(min=0))
        torch.testing.assert_close(pooled_skeleton(image, 3)[number, 0], torch.from_numpy(1 - kept))


@pytest.mark.parametrize("skeleton", SKELETONS)
def test_formula(skeleton: str, shape) -> None:
    labels, logits = tube(shape), torch.randn(1, 2, *shape, dtype=torch.float64)
    predicted, truth = logits.softmax(1)[:, 1:], labels[:, None].double()
    of_predicted, of_truth = SKELETONS[skeleton](predicted, 3), SKELETONS[skeleton](truth, 3)
    precision = ((of_predicted * truth).sum() + 1) / (of_predicted.sum() + 1)
    sensitivity = ((of_truth * predicted).sum() + 1) / (of_truth.sum() + 1)
    expected = 1 - 2 / (1 / precision + 1 / sensitivity)
    bare = SkeletonLoss(skeleton=skeleton, iterations=3, dice_weight=0)(logits, labels)
    torch.testing.assert_close(bare, expected)
    mixed = SkeletonLoss(skeleton=skeleton, iterations=3, dice_weight=0.25)(logits, labels)
    torch.testing.assert_close(mixed, 0.75 * bare + 0.25 * DiceLoss(smooth=1.0)(logits, labels))


def test_homotopic_skeleton_of_a_mask_is_the_binary_one(shape) -> None:
    labels = tube(shape)
    thinned = homotopic_skeleton(labels[:, None].double(), 10)
    assert torch.equal(thinned[0, 0] > 0, skeletonize(labels[0] == 1))
    assert set(thinned.unique().tolist()) == {0.0, 1.0}


def test_homotopic_skeletons_stay_connected_where_pooled_ones_break() -> None:
    noise = ndimage.gaussian_filter(torch.randn(96, 96, generator=torch.Generator().manual_seed(3)).numpy(), 3)
    mask = torch.from_numpy(noise > 0)[None, None].double()
    components = {
        name: ndimage.label(make(mask, 10)[0, 0].numpy() > 0.5, ndimage.generate_binary_structure(2, 2))[1]
        for name, make in SKELETONS.items()
    }
    truth = ndimage.label(mask[0, 0].numpy(), ndimage.generate_binary_structure(2, 2))[1]
    assert components["homotopic"] == truth
    assert components["pooled"] > truth


@pytest.mark.parametrize("skeleton", SKELETONS)
def test_documented_values_of_degenerate_cases(skeleton: str, shape) -> None:
    labels = tube(shape)
    empty = torch.zeros_like(labels)
    loss = SkeletonLoss(skeleton=skeleton, iterations=3, dice_weight=0)
    size = SKELETONS[skeleton](labels[:, None].double(), 3).sum()
    assert loss(certain(empty), empty).item() == 0
    torch.testing.assert_close(loss(certain(labels), empty), size / (size + 2))
    torch.testing.assert_close(loss(certain(empty), labels), size / (size + 2))
    assert loss(certain(labels), labels).item() == pytest.approx(0, abs=1e-6)
    full = torch.ones_like(labels)
    assert loss(certain(full), full).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("truth", [0, 1])
@pytest.mark.parametrize("channels", [1, 2])
def test_empty_and_full_truth_have_a_gradient(channels: int, truth: int, shape) -> None:
    """A constant prediction of one half, one channel or two."""
    logits = torch.zeros(1, channels, *shape, requires_grad=True)
    loss = SkeletonLoss(dice_weight=0)(logits, torch.full((1, *shape), truth))
    loss.backward()
    assert loss > 0
    direction = logits.grad[:, -1].sum()
    assert direction > 0 if truth == 0 else direction < 0


def test_a_gap_costs_more_than_the_same_voxels_on_the_side() -> None:
    labels = torch.zeros(1, 20, 40, dtype=torch.long)
    labels[:, 8:13, 2:38] = 1
    gap, side = labels.clone(), labels.clone()
    gap[:, :, 20] = 0
    side[:, 12, 10:15] = 0
    loss = SkeletonLoss(dice_weight=0)
    assert loss(certain(gap), labels) > loss(certain(side), labels) + 0.005
    assert (labels - gap).sum() == (labels - side).sum()


def test_masked_part_counts_as_absent_in_both(shape) -> None:
    labels = tube(shape)
    keep = torch.ones_like(labels, dtype=torch.bool)
    keep[..., 8:] = False
    wrong = labels.clone()
    wrong[..., 8:] = 0
    assert SkeletonLoss()(certain(wrong), labels, mask=keep).item() == pytest.approx(0, abs=1e-6)
    assert SkeletonLoss()(certain(wrong), labels).item() > 0.05


def test_several_classes_and_channels() -> None:
    labels = tube((20, 17))
    labels[:, 12:15, 3:12] = 2
    logits = torch.randn(1, 3, 20, 17)
    both = SkeletonLoss(reduction="none")(logits, labels)
    assert both.shape == (1, 2)
    torch.testing.assert_close(SkeletonLoss(channels=(2,), reduction="none")(logits, labels), both[:, 1:])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"skeleton": "poled"}, "unknown skeleton 'poled'; did you mean 'pooled'"),
        ({"iterations": 0}, "iterations must be a positive"),
        ({"dice_weight": 1.5}, r"dice_weight must lie in \[0, 1\]; got 1.5"),
        ({"smooth": 0}, "smooth must be positive"),
    ],
)
def test_errors_name_what_is_wrong(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SkeletonLoss(**options)
