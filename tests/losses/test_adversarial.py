"""Adversarial objectives against closed forms; each player gets its own gradient only."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from shapewright.errors import InputError
from shapewright.losses.adversarial import (
    OBJECTIVES,
    AdversarialLoss,
    frozen,
    known_binary_cross_entropy,
    real_gradient_penalty,
)

SCORES = torch.linspace(-3, 3, 13, dtype=torch.float64)


def test_non_saturating_is_the_cross_entropy_of_real_and_fake() -> None:
    loss, real, fake = AdversarialLoss(), SCORES, SCORES.flip(0) * 0.7
    ones, zeros = torch.ones_like(SCORES), torch.zeros_like(SCORES)
    entropy = functional.binary_cross_entropy_with_logits
    torch.testing.assert_close(loss.discriminator(real, fake), entropy(real, ones) + entropy(fake, zeros))
    torch.testing.assert_close(loss.generator(fake), entropy(fake, ones))
    assert loss(real, fake) == loss.discriminator(real, fake)


def test_hinge_ignores_scores_beyond_the_margin() -> None:
    loss = AdversarialLoss("hinge")
    assert loss.discriminator(torch.tensor([1.5]), torch.tensor([-2.0])) == 0
    assert loss.discriminator(torch.tensor([0.0]), torch.tensor([0.5])) == 1 + 1.5
    assert loss.generator(torch.tensor([0.5])) == -0.5


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_gradients_pull_the_players_in_opposite_directions(objective: str) -> None:
    loss, fake = AdversarialLoss(objective), torch.tensor([0.2], dtype=torch.float64, requires_grad=True)
    (down,) = torch.autograd.grad(loss.discriminator(torch.zeros(1, dtype=torch.float64), fake), fake)
    (up,) = torch.autograd.grad(loss.generator(fake), fake)
    assert down > 0 > up
    assert torch.autograd.gradcheck(loss.generator, (SCORES[::3].clone().requires_grad_(),))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_best_discriminator_of_equal_samples_does_not_tell_them_apart(objective: str) -> None:
    loss = AdversarialLoss(objective)
    values = torch.linspace(-2, 2, 401, dtype=torch.float64)
    losses = torch.stack([loss.discriminator(value, value) for value in values])
    best = values[losses == losses.min()]
    expected = 0.5 if objective == "least-squares" else 0.0
    assert best.min() - 1e-9 <= expected <= best.max() + 1e-9


def test_a_frozen_module_passes_gradients_and_gets_none() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    module[0].bias.requires_grad_(False)
    sample = torch.ones(4, 3, requires_grad=True)
    with frozen(module):
        score = module(sample).sum()
    score.backward()
    assert sample.grad is not None
    assert all(parameter.grad is None for parameter in module.parameters())
    assert [parameter.requires_grad for parameter in module.parameters()] == [True, False, True, True]


def test_a_module_is_released_after_an_error() -> None:
    module = nn.Linear(1, 1)
    with pytest.raises(RuntimeError), frozen(module):
        raise RuntimeError
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_one_backward_pass_gives_each_player_its_own_gradient() -> None:
    torch.manual_seed(0)
    generator, critic, loss = nn.Linear(2, 3), nn.Linear(3, 1), AdversarialLoss()
    noise, real = torch.randn(5, 2), torch.randn(5, 3)

    fake = generator(noise)
    with frozen(critic):
        generator_loss = loss.generator(critic(fake))
    (generator_loss + loss.discriminator(critic(real), critic(fake.detach()))).backward()
    together = [parameter.grad.clone() for parameter in (*generator.parameters(), *critic.parameters())]

    fake = generator(noise)
    alone = torch.autograd.grad(loss.generator(critic(fake)), list(generator.parameters()))
    alone += torch.autograd.grad(
        loss.discriminator(critic(real), critic(generator(noise).detach())), list(critic.parameters())
    )
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other)


def test_gradient_penalty_of_a_quadratic() -> None:
    samples = torch.randn(6, 2, 3, dtype=torch.float64, requires_grad=True)
    scale = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    penalty = real_gradient_penalty(scale * samples.square().flatten(1).sum(1), samples)
    expected = 0.5 * (2 * scale * samples).square().flatten(1).sum(1).mean()
    torch.testing.assert_close(penalty, expected)
    torch.testing.assert_close(torch.autograd.grad(penalty, scale)[0], 2 * expected / scale)
    with pytest.raises(InputError, match="requires_grad_"):
        real_gradient_penalty(torch.zeros(2), torch.zeros(2, 3))


def test_unknown_targets_have_no_loss_and_no_gradient() -> None:
    logits = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    target = (torch.rand(4, 6) > 0.5).double()
    known = torch.rand(4, 6) > 0.4
    loss = known_binary_cross_entropy(logits, target.masked_fill(~known, torch.nan))
    torch.testing.assert_close(
        loss, functional.binary_cross_entropy_with_logits(logits[known], target[known], reduction="mean")
    )
    loss.backward()
    assert (logits.grad[~known] == 0).all()
    assert (logits.grad[known] != 0).all()
    nothing = known_binary_cross_entropy(logits, torch.full((4, 6), torch.nan))
    assert nothing == 0
    assert torch.autograd.grad(nothing, logits)[0].abs().sum() == 0


def test_errors() -> None:
    with pytest.raises(InputError, match="did you mean 'hinge'"):
        AdversarialLoss("hinges")
    with pytest.raises(InputError, match="shape of logits"):
        known_binary_cross_entropy(torch.zeros(2, 3), torch.zeros(3, 2))
