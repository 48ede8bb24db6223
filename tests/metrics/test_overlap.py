import numpy as np
import pytest
import torch
from scipy.spatial import distance
from scipy.spatial.distance import cdist

from shapewright.errors import InputError
from shapewright.metrics import boundary_iou, dice, iou, volume, volume_error_percent


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (3, 4, 5)])
def test_overlap_equals_scipy(shape):
    rng = np.random.default_rng(0)
    for density in (0.2, 0.5, 0.9):
        pred, truth = rng.random((2, *shape)) < density
        pred.flat[0] = True
        assert dice(pred, truth) == pytest.approx(1 - distance.dice(pred.ravel(), truth.ravel()))
        assert iou(pred, truth) == pytest.approx(1 - distance.jaccard(pred.ravel(), truth.ravel()))


def test_empty_masks():
    nothing, something = np.zeros((3, 4), bool), np.eye(3, 4, dtype=bool)
    for metric in (dice, iou, boundary_iou):
        assert metric(nothing, nothing) == 1
        assert metric(something, nothing) == metric(nothing, something) == 0
        assert metric(something, something) == 1
    assert volume_error_percent(nothing, nothing) == 0
    assert volume_error_percent(nothing, something) == -100
    assert volume_error_percent(something, nothing) == 100


def test_volume():
    assert volume(torch.ones(2, 3, 4, dtype=torch.bool), spacing=(2.0, 0.5, 1.0)) == 24.0
    assert volume(np.zeros((2, 3), bool)) == 0.0
    truth = np.zeros((10, 10), bool)
    truth[:5] = True
    assert volume_error_percent(truth[::2].repeat(2, 0) & (np.arange(10) < 5), truth) == pytest.approx(-40.0)


def band_by_force(mask, spacing, width):
    padded = np.pad(mask, 1)
    background = np.argwhere(~padded) * spacing
    band = np.zeros_like(padded)
    for pixel in np.argwhere(padded):
        band[tuple(pixel)] = cdist([pixel * spacing], background).min() <= width + 1e-9
    return band


@pytest.mark.parametrize(
    ("shape", "spacing", "width"),
    [
        ((9, 13), (1.0, 1.0), 1.0),
        ((9, 13), (0.5, 1.5), 2.0),
        ((7, 8, 9), (2.0, 1.0, 1.0), 2.0),
        ((1, 8), (0.2, 0.1), 0.2),
    ],
)
def test_boundary_iou_equals_brute_force(shape, spacing, width):
    rng = np.random.default_rng(1)
    pred, truth = rng.random((2, *shape)) < 0.9
    p, t = (band_by_force(mask, np.array(spacing), width) for mask in (pred, truth))
    assert boundary_iou(pred, truth, width=width, spacing=spacing) == pytest.approx((p & t).sum() / (p | t).sum())


def test_boundary_iou_of_thin_objects_is_the_iou():
    rng = np.random.default_rng(2)
    pred, truth = rng.random((2, 12, 12)) < 0.3
    assert boundary_iou(pred, truth, width=12) == iou(pred, truth)


def test_errors():
    mask = np.ones((4, 4), bool)
    with pytest.raises(InputError, match="width"):
        boundary_iou(mask, mask, width=0.5)
    with pytest.raises(InputError, match="0 and 1"):
        dice(mask.astype(int) * 2, mask)
    with pytest.raises(InputError, match="pred"):
        dice([1, 0], mask)
