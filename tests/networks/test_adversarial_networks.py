"""FCN-8s and discriminators: published structure, interpolation, sizes, order of channels."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from shapewright.errors import InputError
from shapewright.networks import Discriminator, FCN8s
from shapewright.networks.discriminator import random_orders, reorder_channels
from shapewright.networks.fcn8s import bilinear_upsampling


def test_the_default_is_vgg16_with_the_published_head() -> None:
    with torch.device("meta"):
        network = FCN8s(3, 7)
    encoder = [module for module in network.stages.modules() if isinstance(module, nn.Conv2d)]
    assert len(encoder) == 13
    assert sum(weight.numel() for weight in network.stages.parameters()) == 14_714_688  # VGG-16 without its classifier
    assert [tuple(conv.weight.shape) for conv in network.head if isinstance(conv, nn.Conv2d)] == [
        (4096, 512, 7, 7),
        (4096, 4096, 1, 1),
        (7, 4096, 1, 1),
    ]
    assert [up.stride for up in (*network.ups, network.last)] == [(2, 2), (2, 2), (8, 8)]


@pytest.mark.parametrize("fuse", ["sum", "concat"])
@pytest.mark.parametrize("dims", [2, 3])
def test_every_weight_learns(fuse: str, dims: int) -> None:
    network = FCN8s(2, 3, spatial_dims=dims, widths=(3, 4, 5), head=6, fuse=fuse, dropout=0.0)  # type: ignore[arg-type]
    logits = network(torch.randn(2, 2, *(16,) * dims))
    assert logits.shape == (2, 3, *(16,) * dims)
    logits.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(("dims", "mode"), [(2, "bilinear"), (3, "trilinear")])
@pytest.mark.parametrize("factor", [2, 4, 8])
def test_up_sampling_begins_as_linear_interpolation(dims: int, mode: str, factor: int) -> None:
    image = torch.randn(2, 3, *(5, 6, 4)[:dims])
    expected = functional.interpolate(image, scale_factor=factor, mode=mode, align_corners=False)
    found = bilinear_upsampling(3, factor, dims)(image)
    assert found.shape == expected.shape
    inner = (..., *(slice(factor // 2, -(factor // 2)),) * dims)
    torch.testing.assert_close(found[inner], expected[inner])


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (9, 16, 11), (64, 64)])
@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("spectral", [False, True])
def test_any_size_has_scores(size: tuple[int, ...], norm: str, spectral: bool) -> None:
    network = Discriminator(4, 3, spatial_dims=len(size), widths=(4, 5, 6, 7), norm=norm, spectral=spectral)  # type: ignore[arg-type]
    scores = network(torch.randn(2, 4, *size))
    assert scores.shape == (2, 3)
    assert torch.isfinite(scores).all()
    assert len(network.features(torch.randn(2, 4, *(8,) * len(size)))) == 4


def test_one_small_sample_trains() -> None:
    Discriminator(4, 3, widths=(4, 5, 6, 7))(torch.randn(1, 4, 8, 8)).sum().backward()


def test_spectral_normalisation_bounds_the_weights() -> None:
    network = Discriminator(3, 2, widths=(4,), norm="none", spectral=True)
    for _ in range(50):
        network(torch.randn(1, 3, 8, 8))  # each pass improves the estimate of the largest singular value
    for convolution in network.convolutions:
        largest = torch.linalg.svdvals(convolution.weight.detach().flatten(1))[0]
        assert float(largest) == pytest.approx(1.0, abs=1e-2)


@given(st.integers(1, 4), st.integers(1, 7), st.integers(0, 1000))
def test_orders_are_permutations_that_move_whole_maps_and_can_be_undone(batch: int, channels: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    orders = random_orders(batch, channels, generator)
    assert orders.sort(dim=1).values.tolist() == [list(range(channels))] * batch
    maps = torch.randn(batch, channels, 3, 4, generator=generator)
    shuffled = reorder_channels(maps, orders)
    for sample in range(batch):
        for place in range(channels):
            assert torch.equal(shuffled[sample, place], maps[sample, orders[sample, place]])
    assert torch.equal(reorder_channels(shuffled, orders.argsort(dim=1)), maps)


def test_orders_differ_between_samples_and_are_uniform() -> None:
    orders = random_orders(6000, 3, torch.Generator().manual_seed(0))
    _, counts = orders.unique(dim=0, return_counts=True)
    assert len(counts) == 6
    assert ((counts - 1000).abs() < 150).all()  # five standard deviations


def test_errors() -> None:
    with pytest.raises(InputError, match="did you mean 'concat'"):
        FCN8s(3, 2, fuse="concate")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at least 2 stages"):
        FCN8s(3, 2, widths=(4,))
    with pytest.raises(InputError, match="factor must be even"):
        bilinear_upsampling(1, 3)
    with pytest.raises(InputError, match="normalisation"):
        Discriminator(3, 2, norm="group")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="orders must have the shape"):
        reorder_channels(torch.zeros(2, 3, 4, 4), torch.zeros(2, 2, dtype=torch.long))
