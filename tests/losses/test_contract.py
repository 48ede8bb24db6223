"""What every loss promises, tested on all of them."""

import math

import pytest
import torch
from torch import nn

from shapewright.errors import InputError
from shapewright.losses import (
    AdaptiveCrossEntropyLoss,
    BalancedCrossEntropy,
    BoundaryLoss,
    CrossEntropyLoss,
    DiceLoss,
    FBetaLoss,
    GeneralisedDiceLoss,
    HausdorffLoss,
    JaccardLoss,
    MarginalDiceLoss,
    ScheduledSum,
    SizeLoss,
    SkeletonLoss,
)


def seeded(**options: object) -> nn.Module:
    """Return a size loss that draws the same masks in every call."""
    loss = SizeLoss(samples=20, **options)
    loss.register_forward_pre_hook(lambda *_: torch.manual_seed(0) and None)
    return loss


LOSSES = {
    "adaptive cross-entropy": AdaptiveCrossEntropyLoss,
    "adaptive cross-entropy, patch": lambda **options: AdaptiveCrossEntropyLoss(reading="patch", **options),
    "balanced cross-entropy": BalancedCrossEntropy,
    "balanced cross-entropy per image": lambda **options: BalancedCrossEntropy("instance", cap=5.0, **options),
    "boundary": BoundaryLoss,
    "boundary, normalised": lambda **options: BoundaryLoss(normalise="max", side="outside", **options),
    "cross-entropy": CrossEntropyLoss,
    "weighted cross-entropy": lambda **options: CrossEntropyLoss(class_weights=(0.2, 1.0), **options),
    "dice": DiceLoss,
    "batch dice": lambda **options: DiceLoss(batch=True, **options),
    "generalised dice": GeneralisedDiceLoss,
    "batch generalised dice": lambda **options: GeneralisedDiceLoss(batch=True, **options),
    "f-beta": lambda **options: FBetaLoss(1.5, **options),
    "jaccard": JaccardLoss,
    "jaccard, tanimoto": lambda **options: JaccardLoss(form="tanimoto", **options),
    "marginal dice": MarginalDiceLoss,
    "hausdorff": HausdorffLoss,
    "inscribed size": seeded,
    "area": lambda **options: SizeLoss(measure="area", **options),
    "centroid": lambda **options: SizeLoss(measure="centroid", **options),
    "skeleton": SkeletonLoss,
    "skeleton alone": lambda **options: SkeletonLoss(dice_weight=0, **options),
    "pooled skeleton": lambda **options: SkeletonLoss(skeleton="pooled", **options),
}
PLUS_SUM = {
    **LOSSES,
    "sum": lambda **options: ScheduledSum(
        {"dice": (DiceLoss(**options), 1.0), "boundary": (BoundaryLoss(**options), 0.1)}
    ),
}
SHAPES = {"2D": (9, 7), "3D": (6, 5, 7)}


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def shape(request: pytest.FixtureRequest) -> tuple[int, ...]:
    return request.param


@pytest.fixture(params=PLUS_SUM.values(), ids=PLUS_SUM)
def make(request: pytest.FixtureRequest) -> nn.Module:
    return request.param


def block(shape: tuple[int, ...], batch: int = 2) -> torch.Tensor:
    labels = torch.zeros(batch, *shape, dtype=torch.long)
    labels[(slice(None), *(slice(1, 4),) * len(shape))] = 1
    return labels


def random_logits(shape: tuple[int, ...], channels: int = 2, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(2, channels, *shape, dtype=dtype, generator=torch.Generator().manual_seed(0)).requires_grad_()


def test_scalar_with_finite_gradient_for_any_input(make, shape) -> None:
    truths = {"block": block(shape), "empty": block(shape) * 0, "full": block(shape) * 0 + 1}
    predictions = {"random": random_logits(shape).detach(), "constant": torch.zeros(2, 2, *shape)}
    predictions["certain"] = 1e4 * torch.stack([1 - block(shape), block(shape)], 1).float()
    predictions["certain of nothing"] = 1e4 * torch.stack([block(shape) * 0 + 1, block(shape) * 0], 1).float()
    for truth_name, truth in truths.items():
        for name, prediction in predictions.items():
            logits = prediction.clone().requires_grad_()
            loss = make()(logits, truth)
            loss.backward()
            assert loss.shape == (), (truth_name, name)
            assert math.isfinite(loss.item()), (truth_name, name)
            assert logits.grad.isfinite().all(), (truth_name, name)


def test_better_prediction_has_smaller_loss(make, shape) -> None:
    labels = block(shape)
    right = 10.0 * torch.stack([labels == 0, labels == 1], dim=1).float()
    if "inscribed" in str(make()) or "area" in str(make()):  # a size does not say where
        worse = right.sort(dim=1, descending=True).values
    else:
        worse = right.roll(2, dims=-1)
    assert make()(right, labels) < make()(worse, labels)


@pytest.mark.parametrize("name", LOSSES)
def test_reductions_agree(name, shape) -> None:
    logits, labels = random_logits(shape), block(shape)
    single = LOSSES[name](reduction="none")(logits, labels)
    assert single.ndim >= 1
    torch.testing.assert_close(LOSSES[name](reduction="sum")(logits, labels), single.sum())
    if name != "weighted cross-entropy":  # whose mean is over the weights, as in torch
        torch.testing.assert_close(LOSSES[name](reduction="mean")(logits, labels), single.mean())


def test_gradient_is_the_derivative(make, shape) -> None:
    if "inscribed" in str(make()):
        pytest.skip("the derivative is that of an expectation; test_size.py enumerates it")
    logits = random_logits(tuple(n - 2 for n in shape), dtype=torch.float64)
    labels = block(tuple(n - 2 for n in shape))
    # A prediction at 1/2 is where the Hausdorff loss's maps jump; random logits stay away from it.
    assert torch.autograd.gradcheck(lambda values: make()(values, labels), (logits,))


def test_autocast_gives_single_precision(make, shape) -> None:
    logits, labels = random_logits(shape), block(shape)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = (logits @ torch.eye(shape[-1])).clone()  # an operation autocast runs in bfloat16
        assert half.dtype == torch.bfloat16
        loss = make()(half, labels)
    assert loss.dtype == torch.float32
    loss.backward()
    assert logits.grad.isfinite().all()
    torch.testing.assert_close(loss, make()(logits, labels), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("by", ["mask", "mask with channel", "ignore_label"])
def test_masked_voxels_have_no_influence(make, shape, by) -> None:
    labels = block(shape)
    out = torch.zeros_like(labels, dtype=torch.bool)
    out[..., -2:] = True  # away from the object
    if by == "ignore_label":
        loss, labels, mask = make(ignore_label=7), labels.masked_fill(out, 7), None
    else:
        loss, mask = make(), ~out if by == "mask" else ~out[:, None]
    logits = random_logits(shape)
    changed = torch.where(out[:, None], logits * 0 + torch.tensor([1.0, 0.9]).view(1, 2, *[1] * len(shape)), logits)
    value = loss(logits, labels, mask=mask)
    value.backward()
    assert (logits.grad.masked_select(out[:, None]) == 0).all()
    assert (logits.grad.masked_select(~out[:, None]) != 0).any()
    if "hausdorff" not in str(loss).lower():  # the predicted region behind the mask moves its boundary
        torch.testing.assert_close(loss(changed, labels, mask=mask), value)


def test_nothing_counted_is_zero(make, shape) -> None:
    logits, labels = random_logits(shape), block(shape)
    loss = make()(logits, labels, mask=torch.zeros_like(labels, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_one_channel_equals_two(make, shape) -> None:
    logits, labels = random_logits(shape, channels=1), block(shape)
    pair = torch.cat([torch.zeros_like(logits), logits], dim=1)
    torch.testing.assert_close(make()(logits, labels), make()(pair, labels))


def test_labels_of_any_integer_type_and_with_channel_axis(make, shape) -> None:
    logits, labels = random_logits(shape), block(shape)
    expected = make()(logits, labels)
    for other in (labels.to(torch.uint8), labels.int(), labels[:, None], labels.bool()):
        torch.testing.assert_close(make()(logits, other), expected)


def test_errors_name_what_is_wrong(make) -> None:
    logits, labels = torch.zeros(2, 3, 8, 8), torch.zeros(2, 8, 8, dtype=torch.long)
    loss = make()
    cases = [
        (logits.long(), labels, None, "logits must be a floating-point tensor"),
        (torch.zeros(2, 3, 8), labels, None, r"logits must .* shape \(2, 3, 8\)"),
        (logits, labels[:, :5], None, r"labels must have shape \(2, 8, 8\) or \(2, 1, 8, 8\)"),
        (logits, labels + 3, None, "labels must be between 0 and 2 .* got values from 3 to 3"),
        (logits, labels - 1, None, "got values from -1 to -1"),
        (logits[:, :1], labels + 2, None, "labels must be between 0 and 1 for logits with 1 channel;"),
        (logits, labels, torch.ones(2, 8, 5), r"mask must have shape \(2, 8, 8\)"),
    ]
    for given_logits, target, mask, message in cases:
        with pytest.raises(InputError, match=message):
            loss(given_logits, target, mask=mask)
    refusal = r"labels must be integers|distance maps must have the logits' shape|sizes must have shape"
    with pytest.raises(InputError, match=refusal):
        loss(logits, labels.float())


def test_unknown_reduction_is_refused_with_a_suggestion(make) -> None:
    with pytest.raises(InputError, match="did you mean 'mean'"):
        make(reduction="maen")


TRACED = (
    "balanced cross-entropy",
    "cross-entropy",
    "adaptive cross-entropy",
    "dice",
    "generalised dice",
    "area",
    "skeleton",
    "pooled skeleton",
)


@pytest.mark.parametrize("name", TRACED)
def test_traced_as_one_graph(name) -> None:
    logits, labels = random_logits((8, 8)), block((8, 8))
    loss = LOSSES[name]()
    traced = torch.compile(loss, fullgraph=True, backend="eager")
    torch.testing.assert_close(traced(logits, labels), loss(logits, labels))


def test_boundary_loss_of_maps_traced_as_one_graph() -> None:
    logits, maps = random_logits((8, 8)), torch.randn(2, 2, 8, 8)
    loss = BoundaryLoss(side="outside", normalise="diagonal")
    traced = torch.compile(loss, fullgraph=True, backend="eager")
    torch.testing.assert_close(traced(logits, maps), loss(logits, maps))
