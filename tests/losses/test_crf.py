"""The CRF loss: its definition, its gradient, its estimate, and what it prefers."""

import pytest
import torch

from shapewright.errors import InputError
from shapewright.losses import DenseCRFLoss


def picture(size: int = 10, batch: int = 2, channels: int = 3) -> torch.Tensor:
    return torch.rand(batch, channels, size, size, generator=torch.Generator().manual_seed(0))


def half(size: int, column: int, sharpness: float = 40.0) -> torch.Tensor:
    """Return logits of an object left of a column."""
    side = (torch.arange(size) < column).float().expand(1, 1, size, size)
    return sharpness * (torch.cat([1 - side, side], dim=1) - 0.5)


def by_definition(logits: torch.Tensor, image: torch.Tensor, position: float, colour: float) -> torch.Tensor:
    """Sum over all pairs of pixels, one by one."""
    y = torch.softmax(logits, 1)[:, 1].flatten(1)
    size = image.shape[-1]
    total = torch.zeros(len(image), dtype=y.dtype)
    for n in range(len(image)):
        for i in range(size * size):
            for j in range(size * size):
                a, b = divmod(i, size), divmod(j, size)
                away = ((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) / position**2
                differs = ((image[n, :, *a] - image[n, :, *b]) / colour).square().sum()
                total[n] += y[n, i] * (1 - y[n, j]) * torch.exp(-0.5 * (away + differs))
    return total / size**2


def test_it_is_the_sum_over_all_pairs() -> None:
    image = picture(5).double()
    logits = torch.randn(2, 2, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    loss = DenseCRFLoss(position_sigma=2.0, colour_sigma=0.4, reduction="none")
    torch.testing.assert_close(loss(logits, image), by_definition(logits, image, 2.0, 0.4))


def test_gradient_is_the_derivative() -> None:
    image = picture(6).double()
    logits = torch.randn(2, 3, 6, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: DenseCRFLoss(colour_sigma=0.4)(values, image), (logits,))
    volume = torch.rand(1, 1, 3, 4, 5, dtype=torch.float64)
    logits = torch.randn(1, 2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: DenseCRFLoss(spacing=(3.0, 1.0, 1.0))(values, volume), (logits,))


def test_certain_of_one_class_everywhere_costs_nothing() -> None:
    for sign in (-1, 1):
        logits = 50.0 * sign * torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1).expand(2, 2, 10, 10)
        assert DenseCRFLoss()(logits, picture()).item() == pytest.approx(0, abs=1e-6)


def test_a_part_of_the_pixels_estimates_the_sum() -> None:
    image = picture(32, batch=1) * 0.2
    image[..., 14:] += 0.5
    logits = torch.randn(1, 2, 32, 32, generator=torch.Generator().manual_seed(2)).cumsum(-1)
    exact = DenseCRFLoss(colour_sigma=0.2)(logits, image).item()
    torch.manual_seed(0)
    estimates = torch.stack([DenseCRFLoss(colour_sigma=0.2, samples=256)(logits, image) for _ in range(60)])
    error = (estimates.std() / len(estimates) ** 0.5).item()
    assert estimates.mean().item() == pytest.approx(exact, abs=4 * error)  # without bias
    assert estimates.std().item() < 0.05 * exact
    close = DenseCRFLoss(colour_sigma=0.2, samples=600)(logits, image).item()
    assert close == pytest.approx(exact, rel=0.02)


def test_a_border_costs_less_where_the_image_has_one() -> None:
    image = torch.zeros(1, 3, 24, 24)
    image[..., 12:] = 0.6
    loss = DenseCRFLoss()
    on, beside = (loss(half(24, column), image).item() for column in (12, 15))
    assert on < 0.2 * beside


def test_on_a_constant_image_it_measures_the_length_of_the_border() -> None:
    image, loss = torch.zeros(1, 1, 40, 40), DenseCRFLoss(position_sigma=2.0, samples=1600)
    straight = loss(half(40, 20), image)
    both = torch.zeros(1, 1, 40, 40)
    both[..., 10:30] = 1  # two straight borders
    twice = loss(40 * (torch.cat([1 - both, both], 1) - 0.5), image)
    assert (twice / straight).item() == pytest.approx(2, rel=0.01)


def test_masked_pixels_have_no_influence_and_nothing_counted_is_zero() -> None:
    image, mask = picture(), torch.ones(2, 10, 10, dtype=torch.bool)
    mask[:, :, 6:] = False
    logits = torch.randn(2, 2, 10, 10, requires_grad=True)
    changed = torch.where(mask[:, None], logits.detach(), torch.zeros(()))
    loss = DenseCRFLoss(colour_sigma=0.4)
    value = loss(logits, image, mask=mask)
    torch.testing.assert_close(loss(changed, image, mask=mask), value.detach())
    value.backward()
    assert (logits.grad[..., 6:] == 0).all()
    assert loss(logits, image, mask=mask & False).item() == 0


def test_one_channel_equals_two_and_half_precision_is_computed_in_single() -> None:
    image, logits = picture(), torch.randn(2, 1, 10, 10)
    pair = torch.cat([torch.zeros_like(logits), logits], 1)
    torch.testing.assert_close(DenseCRFLoss()(logits, image), DenseCRFLoss()(pair, image))
    assert DenseCRFLoss()(pair.bfloat16(), image).dtype == torch.float32


def test_errors() -> None:
    with pytest.raises(InputError, match="position_sigma must be positive"):
        DenseCRFLoss(position_sigma=0)
    with pytest.raises(InputError, match="image must be"):
        DenseCRFLoss()(torch.zeros(2, 2, 8, 8), torch.zeros(2, 3, 8, 9))
