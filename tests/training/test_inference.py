"""Whole-image prediction: windows, slices and mirrored copies agree with a direct pass."""

import pytest
import torch
from torch import Tensor

from shapewright.training.inference import predict_image


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
