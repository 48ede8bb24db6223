"""The layer computes what the operator computes, on probabilities and on logits."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from shapewright import morphology
from shapewright.boolean import Filter, pixel
from shapewright.errors import InputError
from shapewright.layers import SoftMorphology
from shapewright.losses import DiceLoss
from shapewright.morphology import ball, box

ISOLATED = Filter(pixel(0, 0) & ~(pixel(-1, 0) | pixel(1, 0) | pixel(0, -1) | pixel(0, 1)))
LAYERS = {
    "opening": lambda dims: SoftMorphology("opening", ball(1, dims)),
    "hit_or_miss": lambda dims: SoftMorphology("hit_or_miss", ball(0, dims), box(1, dims) & ~ball(1, dims)),
    "skeletonize": lambda _: SoftMorphology("skeletonize", iterations=2),
    "fill_holes": lambda _: SoftMorphology("fill_holes"),
    "dilation twice": lambda dims: SoftMorphology("dilation", ball(1, dims), iterations=2, outside=1),
}


def probabilities(dims: int, channels: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, channels, *(7, 6, 5)[:dims], dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", LAYERS)
def test_equals_the_binary_operator_on_0_and_1(name: str, dims: int) -> None:
    layer = LAYERS[name](dims)
    image = probabilities(dims) > 0.4
    options = dict(layer.options)
    if name in ("skeletonize", "fill_holes"):
        options["spatial_dims"] = dims
    expected = getattr(morphology, layer.operator)(image, *layer.elements, **options)
    assert torch.equal(layer(image.double()), expected.double())


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", LAYERS)
def test_gradient_is_the_derivative(name: str, dims: int) -> None:
    image = (0.05 + 0.9 * probabilities(dims, channels=1)[..., :4, :4]).requires_grad_()
    assert torch.autograd.gradcheck(LAYERS[name](dims), (image,), atol=1e-5)


def test_skeletons_are_traced_as_one_graph() -> None:
    layer = LAYERS["skeletonize"](2)
    traced = torch.compile(layer, fullgraph=True, backend="eager")
    torch.testing.assert_close(traced(probabilities(2)), layer(probabilities(2)))


def test_saved_and_copied_with_its_network() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), SoftMorphology(ISOLATED, domain="logits", semantics="proxy"))
    image = torch.rand(1, 1, 7, 7)
    assert torch.equal(copy.deepcopy(network)(image), network(image))
    assert set(network.state_dict()) == {"0.weight", "0.bias"}


@pytest.mark.parametrize("semantics", ["exact", "proxy"])
def test_filter_with_semantics(semantics: str) -> None:
    image = probabilities(2)
    layer = SoftMorphology(ISOLATED, semantics=semantics)
    torch.testing.assert_close(layer(image), ISOLATED(image, semantics=semantics))
    assert semantics in repr(layer)


def test_semantics_make_a_difference_where_pixels_repeat() -> None:
    either = Filter((pixel(0, 0) & pixel(0, 1)) | (pixel(0, 0) & pixel(0, -1)))
    image = probabilities(2)
    exact, proxy = (SoftMorphology(either, semantics=semantics)(image) for semantics in ("exact", "proxy"))
    assert not torch.allclose(exact, proxy)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_logits_have_the_filtered_probabilities(channels: int) -> None:
    logits = torch.logit(0.02 + 0.96 * probabilities(2, channels))
    result = SoftMorphology("opening", ball(1), domain="logits")(logits)
    assert result.shape == logits.shape
    if channels == 1:
        torch.testing.assert_close(result.sigmoid(), morphology.opening(logits.sigmoid(), ball(1)))
        return
    before = logits.softmax(1)
    opened = morphology.opening(before[:, 1:], ball(1))
    found = result.softmax(1)
    if channels == 2:
        torch.testing.assert_close(found[:, 1:], opened)
    else:
        expected = torch.cat([before[:, :1], opened], dim=1)
        torch.testing.assert_close(found, expected / expected.sum(1, keepdim=True))


def test_one_channel_of_logits_equals_two() -> None:
    logits = torch.logit(probabilities(2, 1))
    layer = SoftMorphology("closing", box(1), domain="logits")
    pair = layer(torch.cat([torch.zeros_like(logits), logits], dim=1))
    torch.testing.assert_close(layer(logits), pair[:, 1:] - pair[:, :1], atol=1e-6, rtol=1e-6)


def test_chosen_channels_only() -> None:
    image = probabilities(2, 3)
    result = SoftMorphology("erosion", ball(1), channels=(2, 0))(image)
    torch.testing.assert_close(result[:, [0, 2]], morphology.erosion(image[:, [0, 2]], ball(1)))
    assert torch.equal(result[:, 1], image[:, 1])


@pytest.mark.parametrize("level", [-1e4, 0.0, 1e4])
def test_trains_as_last_layer_from_any_state(level: float) -> None:
    convolution = nn.Conv2d(1, 2, 1)
    with torch.no_grad():
        convolution.bias.copy_(torch.tensor([0.0, level]))
    network = nn.Sequential(convolution, SoftMorphology("closing", ball(1), domain="logits"))
    labels = torch.zeros(1, 9, 9, dtype=torch.long)
    labels[:, 3:6, 3:6] = 1
    loss = DiceLoss()(network(torch.rand(1, 1, 9, 9)), labels)
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


def test_half_precision_in_and_out() -> None:
    logits = torch.logit(probabilities(2)).to(torch.bfloat16)
    layer = SoftMorphology("opening", ball(1), domain="logits")
    assert layer(logits).dtype == torch.bfloat16
    torch.testing.assert_close(layer(logits).float(), layer(logits.float()), atol=0.05, rtol=0.02)


def test_element_may_be_any_array() -> None:
    image = probabilities(2)
    layer = SoftMorphology("dilation", np.array([[0, 1, 1]], bool))
    torch.testing.assert_close(layer(image), morphology.dilation(image, np.array([[0, 1, 1]], bool)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SoftMorphology("openin", ball(1)), "unknown operator 'openin'; did you mean 'opening'"),
        (lambda: SoftMorphology("opening"), "opening cannot be called so: missing .*'footprint'"),
        (lambda: SoftMorphology("opening", ball(1), iteration=2), "no option 'iteration'; did you mean 'iterations'"),
        (lambda: SoftMorphology("opening", ball(1), semantics="exact"), "opening has no option 'semantics'"),
        (lambda: SoftMorphology("opening", ball(1), domain="logit"), "unknown domain 'logit'; did you mean 'logits'"),
        (lambda: SoftMorphology(ISOLATED, ball(1)), "a filter cannot be called so"),
        (lambda: SoftMorphology("opening", ball(1))(torch.rand(3, 8, 8)), r"must be .* \[B, K, \*spatial\]"),
        (
            lambda: SoftMorphology("opening", ball(1))(torch.rand(1, 1, 8, 8) + 1),
            r"must hold probabilities in \[0, 1\]",
        ),
        (lambda: SoftMorphology("opening", ball(1), channels=(2,))(torch.rand(1, 2, 8, 8)), "between 0 and 1; got"),
    ],
)
def test_errors_name_what_is_wrong(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
