"""Whole-image prediction: windows, slices and mirrored copies agree with a direct pass."""

import pytest
import torch
from torch import Tensor

from shapewright.training.inference import _copies, predict_image, spline_window


class Pointwise:
    """A method whose prediction of a voxel depends on that voxel alone, so windows must not matter."""

    def __init__(self) -> None:
        self.windows: list[tuple[int, ...]] = []

    def predict(self, image: Tensor) -> Tensor:
        self.windows.append(tuple(image.shape))
        return torch.stack([image[:, 0], 1 - image[:, 0]], dim=1)


@pytest.mark.parametrize(
    ("shape", "patch"),
    [
        ((9, 11), (16, 16)),
        ((40, 33), (16, 16)),
        ((20, 9, 30), (8, 16, 16)),
        ((5, 40, 33), (16, 16)),
        ((1, 1, 1), (8, 8, 8)),
    ],
)
@pytest.mark.parametrize("mirror", [(), (0,), (0, 1)])
def test_windows_slices_and_mirrors_change_nothing(
    shape: tuple[int, ...], patch: tuple[int, ...], mirror: tuple[int, ...]
) -> None:
    image = torch.rand(1, *shape)
    method = Pointwise()
    result = predict_image(method, image, patch_size=patch, mirror=mirror)  # type: ignore[arg-type]
    assert result.shape == (2, *shape)
    assert torch.allclose(result[0], image[0], atol=1e-5)
    assert torch.allclose(result.sum(dim=0), torch.ones(shape), atol=1e-5)


def test_mirrored_copies_are_averaged() -> None:
    class Ramp:
        """Predicts the position along the first axis, whatever the image."""

        def predict(self, image: Tensor) -> Tensor:
            ramp = torch.linspace(0, 1, image.shape[2])[:, None].expand(image.shape[2:])
            return torch.stack([ramp, 1 - ramp])[None]

    image = torch.rand(1, 9, 7)
    plain = predict_image(Ramp(), image, patch_size=(16, 16))  # type: ignore[arg-type]
    both = predict_image(Ramp(), image, patch_size=(16, 16), mirror=(0,))  # type: ignore[arg-type]
    assert float(plain[0, 0, 0]) == 0.0
    assert torch.allclose(both, torch.full_like(both, 0.5))


@pytest.mark.parametrize("size", [(4,), (7,), (16, 9), (5, 8, 6)])
def test_spline_weights_are_positive_and_symmetric_and_fall_outwards(size: tuple[int, ...]) -> None:
    weights = spline_window(size)
    assert weights.shape == size
    assert (weights > 0).all()
    torch.testing.assert_close(weights, weights.flip(list(range(len(size)))))
    assert weights.max() == weights[tuple(n // 2 for n in size)]
    from scipy.interpolate import BSpline

    place = (torch.arange(size[0]) + 0.5) / size[0] * 3
    profile = BSpline.basis_element([0, 1, 2, 3])(place.numpy()) / 0.75
    line = weights[(slice(None), *(n // 2 for n in size[1:]))]
    torch.testing.assert_close(line / line.max(), torch.from_numpy(profile / profile.max()).float(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", [(33, 41), (17, 23, 29)])
def test_fusion_returns_what_does_not_depend_on_the_window(shape: tuple[int, ...]) -> None:
    class Constant(Pointwise):
        def predict(self, image: Tensor) -> Tensor:
            self.windows.append(tuple(image.shape))
            return torch.full((len(image), 2, *image.shape[2:]), 0.3)

    patch = (16,) * len(shape)
    options = {"patch_size": patch, "rotate": True, "window": "spline"}
    constant = predict_image(Constant(), torch.rand(1, *shape), **options)  # type: ignore[arg-type]
    assert torch.allclose(constant, torch.full((2, *shape), 0.3), atol=1e-6)
    image = torch.rand(1, *shape)
    pointwise = predict_image(Pointwise(), image, **options)  # type: ignore[arg-type]
    assert torch.allclose(pointwise[0], image[0], atol=1e-5)


def test_an_inner_voxel_is_predicted_32_times() -> None:
    class Counting(Pointwise):
        def predict(self, image: Tensor) -> Tensor:
            self.windows += [tuple(image.shape)] * int((image > 0.5).sum())
            return super().predict(image)

    image = torch.zeros(1, 32, 32, 32)
    image[0, 13, 18, 11] = 1.0
    method = Counting()
    predict_image(method, image, patch_size=(16, 16, 16), overlap=0.5, rotate=True, window="spline")
    assert sum(shape[2:] == (16, 16, 16) for shape in method.windows) >= 32
    assert len(method.windows) - _calls(method) == 32


def _calls(method: Pointwise) -> int:
    """Return how many of the recorded entries are calls and not sightings of the marked voxel."""
    # 27 windows of four copies, two at a time.
    return 4 * 14


def test_turning_changes_nothing_for_a_network_that_turns_along() -> None:
    class Blur(Pointwise):
        def predict(self, image: Tensor) -> Tensor:
            smooth = torch.nn.functional.avg_pool2d(image, 3, stride=1, padding=1)
            return torch.cat([smooth, 1 - smooth], dim=1)

    image = torch.rand(1, 16, 16)
    plain = predict_image(Blur(), image, patch_size=(16, 16))  # type: ignore[arg-type]
    turned = predict_image(Blur(), image, patch_size=(16, 16), rotate=True)  # type: ignore[arg-type]
    torch.testing.assert_close(plain, turned)


def test_copies_are_the_half_turns_and_back() -> None:
    assert _copies(3, (), True) == [(), (0, 1), (0, 2), (1, 2)]
    assert _copies(2, (), True) == [(), (0, 1)]
    assert _copies(2, (0,), True) == [(), (0,), (1,), (0, 1)]
    assert _copies(3, (), False) == [()]
