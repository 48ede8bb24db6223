"""Networks of the mean over modalities: order, missing channels, statistics."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from shapewright.errors import InputError
from shapewright.networks import ModalityMeanNet

NAMES = ("T1", "FLAIR", "T2")


def make(names: tuple[str, ...] = NAMES, dims: int = 2) -> ModalityMeanNet:
    torch.manual_seed(0)
    body = nn.Conv2d(8, 4, 1) if dims == 2 else nn.Conv3d(8, 4, 1)
    return ModalityMeanNet(names, body, width=8, spatial_dims=dims)


def images(count: int = 2, dims: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(count, 1, *(8, 6, 5)[:dims], generator=generator) for name in NAMES}


def test_the_order_of_modalities_does_not_matter() -> None:
    network, parts = make(), images()
    stems = dict(zip(network.channels, network.stems, strict=True))
    expected = network(parts)
    for order in itertools.permutations(NAMES):
        shuffled = make(order)
        shuffled.stems, shuffled.body = nn.ModuleList(stems[name] for name in order), network.body
        torch.testing.assert_close(shuffled(torch.cat([parts[name] for name in order], dim=1)), expected)


@pytest.mark.parametrize("dims", [2, 3])
def test_features_are_the_mean_of_those_that_are_there(dims: int) -> None:
    network, parts = make(dims=dims), images(dims=dims)
    stems = dict(zip(network.channels, network.stems, strict=True))
    for count in (1, 2, 3):
        for names in itertools.combinations(NAMES, count):
            shown = {name: parts[name] for name in names}
            expected = torch.stack([stems[name](parts[name]) for name in names]).mean(0)
            torch.testing.assert_close(network.fuse(shown), expected)
            image = torch.cat([parts[n] if n in names else torch.full_like(parts[n], torch.nan) for n in NAMES], 1)
            assert torch.equal(network(image), network(shown))


def test_images_of_a_batch_may_lack_different_modalities() -> None:
    network = make()
    image = torch.cat(list(images(3).values()), dim=1)
    image[0, 1] = image[1, 2] = image[2, :2] = torch.nan
    expected = torch.cat([network(one[None]) for one in image])  # instance statistics: no image sees another
    torch.testing.assert_close(network(image), expected)
    network.eval()
    torch.testing.assert_close(network(image), expected)


def test_every_stem_gets_the_gradient_of_its_share() -> None:
    network = make()
    image = torch.cat(list(images().values()), dim=1)
    image[:, 2] = torch.nan
    network(image).square().sum().backward()
    seen = [all(p.grad is not None and bool(p.grad.isfinite().all()) for p in s.parameters()) for s in network.stems]
    assert seen == [True, True, False]


def test_errors() -> None:
    with pytest.raises(InputError, match="different names of at least one modality"):
        ModalityMeanNet(["T1", "T1"], nn.Identity())
    network, parts = make(), images()
    with pytest.raises(InputError, match=r"must have 3 channels \(T1, FLAIR, T2\)"):
        network(parts["T1"])
    with pytest.raises(InputError, match="must be some of T1, FLAIR, T2; got PET"):
        network({"PET": parts["T1"]})
    with pytest.raises(InputError, match="has none of the modalities"):
        network(torch.full((1, 3, 8, 8), torch.nan))
