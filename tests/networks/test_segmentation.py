"""Networks: any image size, every name, clear errors."""

import pytest
import torch

from shapewright.errors import InputError
from shapewright.networks import NetworkConfig, build_network

NAMES = ["light", "unet", "dynunet", "fcn8s", "fcn8s_concat", "additive", "concat_unet", "highresnet"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("dims", "patch"), [(2, (32, 24)), (3, (16, 24, 16))])
def test_any_image_size_gives_logits_of_its_own_size(name: str, dims: int, patch: tuple[int, ...]) -> None:
    network = build_network(
        NetworkConfig(name=name, width=4),  # type: ignore[arg-type]
        spatial_dims=dims,
        in_channels=2,
        out_channels=3,
        patch_size=patch,
    ).eval()
    for shape in (patch, tuple(size + 5 for size in patch), (1,) * dims, (3,) * dims):
        assert network(torch.randn(2, 2, *shape)).shape == (2, 3, *shape)


def test_padding_does_not_change_images_that_need_none() -> None:
    network = build_network(NetworkConfig(width=4), spatial_dims=2, in_channels=1, out_channels=2, patch_size=(32, 32))
    image = torch.randn(1, 1, 32, 32)
    assert torch.equal(network(image), network.body(image))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (NetworkConfig(name="dynnet"), "did you mean 'dynunet'"),  # type: ignore[arg-type]
        (NetworkConfig(depth=7), "depth must be between 2 and 4"),
        (NetworkConfig(depth=1), "depth must be between"),
        (NetworkConfig(name="dynunet", depth=2), "depth must be between 3 and 4"),
        (NetworkConfig(name="additive", dropout=0.1), "dropout must be 0 for 'additive'"),
    ],
)
def test_errors(config: NetworkConfig, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_network(config, spatial_dims=2, in_channels=1, out_channels=2, patch_size=(32, 32))


def test_dropout_is_off_in_prediction() -> None:
    config = NetworkConfig(width=4, dropout=0.5)
    network = build_network(config, spatial_dims=2, in_channels=1, out_channels=2, patch_size=(32, 32))
    image = torch.randn(1, 1, 32, 32)
    assert not torch.equal(network(image), network(image))
    network.eval()
    assert torch.equal(network(image), network(image))
