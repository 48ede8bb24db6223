"""The compound network: alignment of its two grids, and who learns from which loss."""

import pytest
import torch
from torch import nn

from shapewright.errors import InputError
from shapewright.networks.compound import CompoundNetwork, enlarge, shrink


def small(end_to_end: bool = False, dims: int = 2) -> CompoundNetwork:
    torch.manual_seed(0)
    conv = nn.Conv2d if dims == 2 else nn.Conv3d
    return CompoundNetwork(conv(1, 2, 3, padding=1), conv(2, 2, 3, padding=1), end_to_end=end_to_end)


def test_a_point_lands_on_its_coarse_pixel_and_comes_back() -> None:
    for row, column in ((0, 0), (3, 6), (6, 7), (7, 8)):
        image = torch.zeros(1, 1, 8, 9)
        image[0, 0, row, column] = 1.0
        coarse = shrink(image, 2)
        assert coarse.shape == (1, 1, 4, 5)
        assert coarse[0, 0].argmax() == (row // 2) * 5 + column // 2
        back = enlarge(coarse, 2, (8, 9))
        assert back.shape == image.shape
        peak = divmod(int(back[0, 0].argmax()), 9)
        assert (peak[0] // 2, peak[1] // 2) == (row // 2, column // 2)


def test_resampling_keeps_a_ramp_in_place() -> None:
    ramp = torch.arange(16.0).view(1, 1, 1, 16).expand(1, 1, 16, 16)
    back = enlarge(shrink(ramp, 2), 2, (16, 16))
    torch.testing.assert_close(back[..., 2:-2], ramp[..., 2:-2])


def test_odd_sizes_average_over_what_is_there() -> None:
    values = torch.rand(2, 3, 5, 7)
    coarse = shrink(values, 2)
    torch.testing.assert_close(coarse[..., -1, -1], values[..., -1, -1])
    torch.testing.assert_close(coarse[..., 0, 0], values[..., :2, :2].mean((-1, -2)))
    assert shrink(torch.rand(1, 1, 3, 4, 5), 2).shape == (1, 1, 2, 2, 3)
    tiny = torch.rand(1, 1, 1, 3, 1)
    torch.testing.assert_close(shrink(tiny, 4)[..., 0, 0, 0], tiny.mean((-1, -2, -3)))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("end_to_end", [False, True])
def test_the_coarse_loss_trains_the_fine_network_only_when_asked(dims, end_to_end) -> None:
    network = small(end_to_end, dims)
    fine, coarse = network(torch.rand(1, 1, *(9,) * dims))
    assert fine.shape == coarse.shape == (1, 2, *(9,) * dims)
    coarse.square().sum().backward()
    reached = [parameter.grad is not None for parameter in network.fine.parameters()]
    assert all(reached) if end_to_end else not any(reached)
    assert all(parameter.grad is not None for parameter in network.coarse.parameters())


def test_the_coarse_network_sees_the_fine_probabilities() -> None:
    network = small()
    seen = []
    network.coarse.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    image = torch.rand(1, 1, 8, 8)
    fine, _ = network(image)
    torch.testing.assert_close(seen[0][:, :1], shrink(image, 2))
    torch.testing.assert_close(seen[0][:, 1:], shrink(torch.softmax(fine, 1)[:, 1:], 2))


def test_input_that_cannot_be() -> None:
    with pytest.raises(InputError, match="scale must be at least 1"):
        CompoundNetwork(nn.Identity(), nn.Identity(), scale=0)
    with pytest.raises(InputError, match=r"values must be \[B, C, \*spatial\]"):
        shrink(torch.zeros(1, 1, 5), 2)
