"""Dice, generalised Dice and cross-entropy against MONAI, torch and values by hand."""

import pytest
import torch

from shapewright.errors import InputError
from shapewright.losses import CrossEntropyLoss, DiceLoss, GeneralisedDiceLoss


def batch(classes: int = 3, shape: tuple[int, ...] = (9, 11)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, classes, (4, *shape), generator=generator)
    labels[0] = 0  # an image without an object
    return torch.randn(4, classes, *shape, generator=generator), labels


@pytest.mark.parametrize("by_batch", [False, True])
@pytest.mark.parametrize("shape", [(9, 11), (5, 6, 7)], ids=["2D", "3D"])
def test_dice_losses_equal_monai(by_batch: bool, shape: tuple[int, ...]) -> None:
    from monai.losses import DiceLoss as MonaiDice
    from monai.losses import GeneralizedDiceLoss as MonaiGeneralised

    logits, labels = batch(shape=shape)
    monai = MonaiDice(softmax=True, to_onehot_y=True, include_background=False, batch=by_batch)
    torch.testing.assert_close(DiceLoss(batch=by_batch)(logits, labels), monai(logits, labels[:, None]))
    general = MonaiGeneralised(softmax=True, to_onehot_y=True, batch=by_batch, smooth_nr=1e-12, smooth_dr=1e-12)
    torch.testing.assert_close(
        GeneralisedDiceLoss(batch=by_batch)(logits, labels), general(logits, labels[:, None]), atol=2e-5, rtol=0
    )


def test_generalised_dice_by_the_two_region_formula() -> None:
    labels = torch.zeros(1, 4, 4, dtype=torch.long)
    labels[0, 1, 1:3] = 1
    logits = torch.randn(1, 2, 4, 4, dtype=torch.float64)
    s, g = logits.softmax(1)[0, 1], labels[0].double()
    w_g, w_b = 1 / 2**2, 1 / 14**2
    numerator = w_g * (g * s).sum() + w_b * ((1 - g) * (1 - s)).sum()
    expected = 1 - 2 * numerator / (w_g * (s + g).sum() + w_b * (2 - s - g).sum())
    torch.testing.assert_close(GeneralisedDiceLoss(smooth=0.0)(logits, labels), expected)


def test_generalised_dice_still_teaches_on_an_image_without_objects() -> None:
    logits = torch.zeros(1, 2, 48, 48, requires_grad=True)
    GeneralisedDiceLoss()(logits, torch.zeros(1, 48, 48, dtype=torch.long)).backward()
    assert (logits.grad[:, 1] > 1e-5).all()


def test_generalised_dice_does_not_lose_large_objects_to_its_smoothing() -> None:
    labels = torch.zeros(1, 1500, 1500, dtype=torch.long)
    labels[:, :750] = 1
    wrong = 30.0 * torch.stack([labels == 1, labels == 0], dim=1).float()
    assert GeneralisedDiceLoss()(wrong, labels) > 0.999


@pytest.mark.parametrize("shape", [(9, 11), (5, 6, 7)], ids=["2D", "3D"])
def test_cross_entropy_equals_torch(shape: tuple[int, ...]) -> None:
    logits, labels = batch(shape=shape)
    weights = torch.tensor([0.1, 1.0, 2.0])
    expected = torch.nn.functional.cross_entropy(logits, labels, weight=weights)
    torch.testing.assert_close(CrossEntropyLoss(class_weights=(0.1, 1.0, 2.0))(logits, labels), expected)
    ignored = labels.masked_fill(torch.rand(labels.shape) < 0.3, 255)
    expected = torch.nn.functional.cross_entropy(logits, ignored, ignore_index=255)
    torch.testing.assert_close(CrossEntropyLoss(ignore_label=255)(logits, ignored), expected)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0], (labels == 1).float())
    torch.testing.assert_close(CrossEntropyLoss()(logits[:, :1], labels == 1), expected)


def test_class_weights_must_fit() -> None:
    logits, labels = batch()
    with pytest.raises(InputError, match="class_weights must have 3 values, one per class; got 2"):
        CrossEntropyLoss(class_weights=(1.0, 2.0))(logits, labels)
    with pytest.raises(InputError, match="class_weights must not be negative"):
        CrossEntropyLoss(class_weights=(1.0, -2.0))
