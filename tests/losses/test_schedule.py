"""Weight schedules and the sum that follows them."""

import subprocess
import sys

import pytest
import torch

from shapewright.errors import InputError
from shapewright.losses import BoundaryLoss, DiceLoss, GeneralisedDiceLoss, ScheduledSum, WeightSchedule


@pytest.mark.parametrize(("epoch", "alpha"), [(0, 1.0), (1, 0.99), (50, 0.5), (98, 0.02), (99, 0.01), (199, 0.01)])
@pytest.mark.parametrize("epochs", [100, 200])
def test_table_of_the_paper(epoch: int, alpha: float, epochs: int) -> None:
    assert WeightSchedule("rebalance").weights(epoch, epochs) == pytest.approx((alpha, 1 - alpha), abs=1e-12)
    assert WeightSchedule("increase").weights(epoch, epochs) == pytest.approx((1.0, 1.01 - alpha), abs=1e-12)
    assert WeightSchedule("constant").weights(epoch, epochs) == (1.0, 0.1)


@pytest.mark.parametrize("epochs", [2, 10, 60, 99])
def test_short_runs_reach_the_same_end(epochs: int) -> None:
    schedule = WeightSchedule("rebalance")
    alphas = [schedule.regional(epoch, epochs) for epoch in range(epochs)]
    assert alphas[0] == 1.0
    assert alphas[-1] == pytest.approx(0.01)
    assert alphas == sorted(alphas, reverse=True)
    assert [schedule.boundary(epoch, epochs) for epoch in range(epochs)] == pytest.approx([1 - a for a in alphas])


def test_one_epoch_is_regional_only() -> None:
    assert WeightSchedule("rebalance").weights(0, 1) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "rebalanced"}, "unknown schedule 'rebalanced'; did you mean 'rebalance'"),
        ({"weight": -0.1}, "weight must be at least 0; got -0.1"),
        ({"floor": 0.0}, "floor must be above 0 and at most 1"),
        ({"step": 2.0}, "step must be above 0 and at most 1"),
    ],
)
def test_schedules_that_cannot_be(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        WeightSchedule(**options)


def test_progress_that_cannot_be() -> None:
    with pytest.raises(InputError, match="got epoch -1 of 10"):
        WeightSchedule().weights(-1, 10)


def test_schedule_is_readable_without_torch() -> None:
    code = "import sys; from shapewright.losses import WeightSchedule; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def make_sum() -> ScheduledSum:
    schedule = WeightSchedule("rebalance")
    return ScheduledSum(
        {"regional": (GeneralisedDiceLoss(), schedule.regional), "boundary": (BoundaryLoss(), schedule.boundary)}
    )


def test_sum_follows_its_schedule() -> None:
    labels = torch.zeros(1, 9, 9, dtype=torch.long)
    labels[:, 2:5, 2:5] = 1
    logits = torch.randn(1, 2, 9, 9)
    loss = make_sum()
    for epoch, alpha in ((0, 1.0), (25, 0.75), (99, 0.01)):
        loss.set_progress(epoch, 100)
        expected = alpha * GeneralisedDiceLoss()(logits, labels) + (1 - alpha) * BoundaryLoss()(logits, labels)
        torch.testing.assert_close(loss(logits, labels), expected)


def test_sum_gives_each_term_its_target_and_skips_those_of_weight_zero() -> None:
    labels = torch.ones(1, 9, 9, dtype=torch.long)
    logits, maps = torch.randn(1, 2, 9, 9), torch.ones(1, 2, 9, 9)
    loss = make_sum()
    assert list(loss.terms(logits, labels)) == ["regional"]
    loss.set_progress(50, 100)
    terms = loss.terms(logits, {"regional": labels, "boundary": maps})
    torch.testing.assert_close(terms["boundary"], BoundaryLoss()(logits, maps))
    with pytest.raises(InputError, match="target must name every term; missing boundary"):
        loss(logits, {"regional": labels})


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({}, "at least one loss"),
        ({"dice": DiceLoss()}, "term 'dice' must be a pair"),
        ({"dice": (DiceLoss(), WeightSchedule())}, "schedule.regional and schedule.boundary"),
    ],
)
def test_sums_that_cannot_be(terms: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ScheduledSum(terms)
