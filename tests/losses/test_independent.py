"""Independent classes: only what is annotated counts, exactly."""

import pytest
import torch
from torch.nn import functional

from shapewright.errors import InputError
from shapewright.losses import IndependentLoss


def example(shape: tuple[int, ...] = (5, 7)) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    size = (3, 4, *shape)
    logits = torch.randn(size, dtype=torch.float64, generator=generator).requires_grad_()
    target = (torch.rand(size, generator=generator) > 0.7).double()
    return logits, target, torch.rand(size, generator=generator) > 0.3


@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 5), (1, 1)])
def test_it_is_the_sum_over_classes_of_the_mean_over_annotated_voxels(shape: tuple[int, ...]) -> None:
    logits, target, mask = example(shape)
    expected = torch.zeros(3, dtype=torch.float64)
    for image in range(3):
        for channel in range(4):
            chosen = mask[image, channel]
            if chosen.any():
                expected[image] += functional.binary_cross_entropy_with_logits(
                    logits[image, channel][chosen], target[image, channel][chosen]
                )
    for reduction, value in (("none", expected), ("mean", expected.mean()), ("sum", expected.sum())):
        torch.testing.assert_close(IndependentLoss(reduction=reduction)(logits, target, mask), value)


@pytest.mark.parametrize("options", [{}, {"focus": 2.0}, {"dice": 1.0}, {"focus": 1.5, "dice": 0.5}])
def test_no_gradient_at_all_where_nothing_is_annotated(options: dict[str, float]) -> None:
    logits, target, mask = example()
    mask[0, 2] = False
    mask[:, 3] = False
    loss = IndependentLoss(**options)(logits, target, mask)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (gradient[~mask] == 0).all()
    assert (gradient[mask] != 0).all()
    changed = torch.where(mask, target, 1 - target)
    assert IndependentLoss(**options)(logits, changed, mask) == loss


@pytest.mark.parametrize("options", [{}, {"focus": 2.0}, {"dice": 1.0}])
def test_gradients_and_extreme_inputs(options: dict[str, float]) -> None:
    logits, target, mask = example()
    loss = IndependentLoss(**options)
    assert torch.autograd.gradcheck(lambda z: loss(z, target, mask), (logits,))
    for value in (-200.0, 200.0):
        extreme = torch.full((1, 2, 4, 4), value, requires_grad=True)
        for truth in (torch.zeros(1, 2, 4, 4), torch.ones(1, 2, 4, 4)):
            result = loss(extreme, truth, torch.zeros(1, 2, 4, 4, dtype=torch.bool).index_fill(1, torch.tensor(0), 1))
            assert torch.isfinite(result)
            assert torch.isfinite(torch.autograd.grad(result, extreme)[0]).all()
    assert loss(logits, target, torch.zeros_like(mask)) == 0


def test_focus_follows_the_formula_and_masks_broadcast() -> None:
    logits, target, _ = example()
    probability = torch.sigmoid(logits)
    entropy = functional.binary_cross_entropy(probability, target, reduction="none")
    expected = ((target - probability).abs() ** 2 * entropy).mean(dim=(2, 3)).sum(dim=1).mean()
    torch.testing.assert_close(IndependentLoss(focus=2)(logits, target), expected)
    channels = torch.tensor([[True, False, True, True]] * 3)[:, :, None, None]
    full = channels.expand_as(logits)
    assert IndependentLoss()(logits, target, channels) == IndependentLoss()(logits, target, full)


def test_half_precision_is_computed_in_single() -> None:
    logits, target, mask = example()
    half = IndependentLoss()(logits.half(), target, mask)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half.double(), IndependentLoss()(logits, target, mask), atol=1e-3, rtol=1e-3)


def test_errors() -> None:
    logits, target, _ = example()
    with pytest.raises(InputError, match="focus"):
        IndependentLoss(focus=-1)
    with pytest.raises(InputError, match="must both be"):
        IndependentLoss()(logits, target[:, 0])
    with pytest.raises(InputError, match="mask must broadcast"):
        IndependentLoss()(logits, target, torch.ones(3, 5, dtype=torch.bool))
    with pytest.raises(InputError, match="reduction"):
        IndependentLoss(reduction="all")
