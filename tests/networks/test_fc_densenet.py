"""The FC-DenseNet: depth, size and receptive field of the paper's network."""

import pytest
import torch

from shapewright.errors import InputError
from shapewright.networks import NetworkConfig, build_network
from shapewright.networks.fc_densenet import FCDenseNet, count_layers


def test_depth_and_parameters_are_the_papers() -> None:
    network = FCDenseNet(3, 2, 2)
    assert count_layers(network) == 60
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert 1.25e6 < parameters < 1.55e6


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("dims", [2, 3])
def test_shapes_and_gradients(dims, norm) -> None:
    network = FCDenseNet(dims, 2, 3, growth=4, layers=2, pools=2, stem=8, norm=norm)
    image = torch.randn(2, 2, *(8, 16, 24)[:dims])
    logits = network(image)
    assert logits.shape == (2, 3, *image.shape[2:])
    logits.square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())


def test_every_voxel_of_a_small_patch_sees_the_whole_patch() -> None:
    torch.manual_seed(0)
    network = FCDenseNet(2, 1, 1, growth=4, layers=2, pools=3, stem=8).double().eval()
    image = torch.randn(1, 1, 32, 32, dtype=torch.float64, requires_grad=True)
    network(image)[0, 0, 16, 16].backward()
    assert (image.grad != 0).float().mean() > 0.9


def test_sizes_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="divisible by 8"):
        FCDenseNet(2, 1, 1, growth=4, layers=1, pools=2)(torch.zeros(1, 1, 12, 16))
    with pytest.raises(InputError, match="spatial_dims must be 2 or 3"):
        FCDenseNet(1, 1, 1)
    with pytest.raises(InputError, match="pools must be at least 1"):
        FCDenseNet(2, 1, 1, pools=0)


@pytest.mark.parametrize("patch", [(16, 24), (8, 8), (16, 16, 16)])
def test_built_by_name_for_any_image_size(patch) -> None:
    network = build_network(
        NetworkConfig("fc_densenet", width=4), spatial_dims=len(patch), in_channels=1, out_channels=2, patch_size=patch
    ).eval()
    for size in (patch, tuple(n + 3 for n in patch), (1,) * len(patch)):
        assert network(torch.randn(1, 1, *size)).shape == (1, 2, *size)


def test_depth_of_the_paper_on_the_patch_of_the_paper() -> None:
    network = build_network(
        NetworkConfig("fc_densenet"), spatial_dims=2, in_channels=1, out_channels=2, patch_size=(128, 128)
    )
    dense = next(module for module in network.modules() if isinstance(module, FCDenseNet))
    assert dense.pools == 5
