"""The F-beta loss against closed forms and another implementation, and the beta that balances classes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shapewright.errors import InputError
from shapewright.losses import DiceLoss, FBetaLoss, auto_beta


def example(channels: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, channels, 7, 9, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, channels, (2, 7, 9), generator=generator)


def test_beta_1_is_the_dice_loss() -> None:
    logits, labels = example()
    # Dice doubles numerator and denominator, and so its smoothing.
    expected = DiceLoss(smooth=2e-5, reduction="none")(logits, labels)
    torch.testing.assert_close(FBetaLoss(1.0, reduction="none")(logits, labels), expected)


@pytest.mark.parametrize("beta", [0.5, 1.0, 1.5, 3.0])
def test_equals_the_tversky_loss_of_monai(beta) -> None:
    from monai.losses.tversky import TverskyLoss

    logits, labels = example()
    truth = torch.stack([labels == k for k in range(3)], dim=1).to(logits)
    missed = beta**2 / (1 + beta**2)
    theirs = TverskyLoss(sigmoid=True, alpha=1 - missed, beta=missed)(logits, truth)
    torch.testing.assert_close(FBetaLoss(beta, activation="sigmoid")(logits, labels), theirs)


def test_every_class_has_its_own_beta() -> None:
    logits, labels = example()
    both = FBetaLoss((0.5, 2.0), reduction="none")(logits, labels)
    for position, beta in enumerate((0.5, 2.0)):
        torch.testing.assert_close(both[:, position], FBetaLoss(beta, reduction="none")(logits, labels)[:, position])


def test_sigmoids_of_some_classes_take_the_others_as_background() -> None:
    logits, labels = example(channels=4)
    chosen = logits[:, [0, 1]]
    loss = FBetaLoss(activation="sigmoid", classes=(3, 1), reduction="none")(chosen, labels)
    for channel, number in enumerate((3, 1)):
        p, g = torch.sigmoid(chosen[:, channel]), (labels == number).to(logits)
        dims = (1, 2)
        true, missed, false = (p * g).sum(dims), ((1 - p) * g).sum(dims), (p * (1 - g)).sum(dims)
        torch.testing.assert_close(loss[:, channel], 1 - true / (true + missed / 2 + false / 2), atol=1e-5, rtol=1e-5)


def test_gradient_pulls_towards_the_truth() -> None:
    labels = torch.zeros(1, 6, 6, dtype=torch.long)
    labels[:, 2:4, 2:4] = 1
    logits = torch.zeros(1, 1, 6, 6, requires_grad=True)
    FBetaLoss(1.5, activation="sigmoid", classes=(1,))(logits, labels).backward()
    assert (logits.grad[:, 0][labels == 1] < 0).all()
    assert (logits.grad[:, 0][labels == 0] > 0).all()


def test_beta_trades_precision_for_recall() -> None:
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    labels[:, 2:6, 2:6] = 1
    logits = torch.zeros(1, 1, 8, 8, requires_grad=True)
    pull = []
    for beta in (0.5, 1.0, 2.0):
        (gradient,) = torch.autograd.grad(FBetaLoss(beta, activation="sigmoid", classes=(1,))(logits, labels), logits)
        pull.append((-gradient[:, 0][labels == 1].mean() / gradient[:, 0][labels == 0].mean()).item())
    assert pull[0] < pull[1] < pull[2]


def test_masks_and_labels_beyond_the_channels_are_understood() -> None:
    logits, labels = example(channels=4)
    mask = torch.zeros(2, 7, 9, dtype=torch.bool)
    mask[:, :4] = True
    loss = FBetaLoss(activation="sigmoid", classes=(1, 2))
    value = loss(logits[:, :2], labels, mask=mask)
    torch.testing.assert_close(value, loss(logits[:, :2, :4], labels[:, :4]))
    with pytest.raises(InputError, match="classes must name one class per channel"):
        loss(logits[:, :3], labels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beta": 0.0}, "beta must be positive"),
        ({"beta": (1.0, float("nan"))}, "beta must be positive"),
        ({"beta": ()}, "beta must be positive"),
        ({"activation": "sigmoyd"}, "did you mean 'sigmoid'"),
    ],
)
def test_options_that_cannot_be(arguments, message) -> None:
    with pytest.raises(InputError, match=message):
        FBetaLoss(**arguments)
    logits, labels = example()
    with pytest.raises(InputError, match="one value or 2, one per class; got 3"):
        FBetaLoss((1.0, 2.0, 3.0))(logits, labels)


def test_auto_beta_gives_the_papers_values() -> None:
    csf, white = auto_beta([21.84, 31.45])
    assert csf == pytest.approx(1.49, abs=0.005)
    assert white == pytest.approx(1.02, abs=0.005)
    # Over all three classes it would not: 2.73 and 1.91 instead of the printed 1.5 and 1.
    assert auto_beta([21.84, 46.7, 31.45], trained=(0, 2)) == (csf, white)


@given(st.lists(st.floats(1, 1e6), min_size=2, max_size=5))
def test_auto_beta_without_extra_recall_is_the_square_root_rule_and_falls_with_size(counts) -> None:
    betas = auto_beta(counts, extra_recall=0.0, largest=1e6)
    total = sum(counts)
    np.testing.assert_allclose(betas, [np.sqrt((total - n) / n) for n in counts], rtol=1e-3)
    order = np.argsort(counts)
    assert (np.diff(np.array(auto_beta(counts))[order]) <= 1e-9).all()


def test_auto_beta_is_bounded_for_rare_classes_and_refuses_what_cannot_be() -> None:
    assert auto_beta([5, 95], extra_recall=0.1) == (pytest.approx(4.0), pytest.approx(np.sqrt(0.15 / 0.85)))
    assert auto_beta([0, 10])[0] == pytest.approx(4.0)
    assert auto_beta([10, 90], trained=(0,)) == (pytest.approx(4.0),)
    for arguments, message in (
        (([1, 2], {"extra_recall": 1.0}), "extra_recall must be"),
        (([1, 2], {"extra_recall": -0.1}), "extra_recall must be"),
        (([0, 0], {}), "not all 0"),
        (([1, 2], {"trained": (2,)}), "trained must name positions"),
    ):
        with pytest.raises(InputError, match=message):
            auto_beta(arguments[0], **arguments[1])
