"""The Hausdorff loss against MONAI, and its use of the spacing."""

import pytest
import torch

from shapewright.errors import InputError
from shapewright.losses import HausdorffLoss


@pytest.mark.parametrize("alpha", [1.0, 2.0])
@pytest.mark.parametrize("shape", [(13, 10), (6, 8, 7)], ids=["2D", "3D"])
def test_equals_monai(alpha: float, shape: tuple[int, ...]) -> None:
    from monai.losses import HausdorffDTLoss

    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (2, *shape), generator=generator)
    labels[0] = 0
    logits = 3 * torch.randn(2, 3, *shape, generator=generator)
    theirs = HausdorffDTLoss(softmax=True, to_onehot_y=True, alpha=alpha)(logits, labels[:, None])
    torch.testing.assert_close(HausdorffLoss(alpha=alpha)(logits, labels), theirs)


def test_spacing_scales_by_its_power() -> None:
    labels = torch.zeros(1, 9, 9, dtype=torch.long)
    labels[:, 2:5, 2:7] = 1
    logits = torch.randn(1, 2, 9, 9, generator=torch.Generator().manual_seed(0))
    single, double = (HausdorffLoss(spacing=size)(logits, labels) for size in ((1.0, 0.5), (2.0, 1.0)))
    torch.testing.assert_close(double, 4 * single)


def test_alpha_must_be_positive() -> None:
    with pytest.raises(InputError, match="alpha must be positive; got 0"):
        HausdorffLoss(alpha=0)
