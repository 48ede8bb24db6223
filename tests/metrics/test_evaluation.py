import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from shapewright import metrics
from shapewright.errors import InputError
from shapewright.metrics import METRICS, evaluate

BASIC = list(METRICS)[:10]
SPACING = (2.0, 1.0, 0.5)


def two_label_map(seed=0, shape=(12, 16, 20)):
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=shape), 2)
    return np.digitize(field, np.quantile(field, [0.5, 0.8])).astype(np.int16)


def test_every_public_name_loads():
    for name in metrics.__all__:
        assert getattr(metrics, name).__doc__
    assert not hasattr(metrics, "dise")


def test_columns_are_the_declared_ones_in_order():
    labels = two_label_map()
    assert all(list(row) == BASIC for row in evaluate(labels, labels).values())
    assert all(list(row) == list(METRICS) for row in evaluate(labels, labels, topology=True).values())
    assert all(name == metric.name and metric.title and metric.description for name, metric in METRICS.items())


@pytest.mark.parametrize("shape", [(12, 16, 20), (24, 20)])
def test_declared_perfection_range_and_direction(shape):
    """A contract over all metrics: perfect on equal maps, in range on any, and never better when things get worse."""
    rng = np.random.default_rng(3)
    truth = np.zeros(shape, bool)
    truth[(slice(4, 10),) * len(shape)] = True
    perfect = evaluate(truth, truth, topology=True)["1"]
    previous = perfect
    for amount in (3, 4):
        worse = truth.copy()
        worse[..., : 2 * amount - 1] = False
        worse[(slice(-amount + 2, None),) * len(shape)] = True
        scores = evaluate(worse, truth, topology=True)["1"]
        for name, metric in METRICS.items():
            if metric.perfect is not None:
                assert perfect[name] == metric.perfect
                assert metric.badness(scores[name]) > 0 or name == "betti_error"
            if metric.higher_is_better is not None:
                change = scores[name] - previous[name]
                assert change <= 0 if metric.higher_is_better else change >= 0
        previous = scores
    for pred in (rng.random(shape) < 0.5, np.zeros(shape, bool), np.ones(shape, bool)):
        for row in (evaluate(pred, truth, topology=True)["1"], evaluate(truth, pred, topology=True)["1"]):
            for name, value in row.items():
                assert type(value) is float
                assert METRICS[name].lower <= value <= METRICS[name].upper


def test_equals_the_single_metrics():
    pred, truth = two_label_map(1), two_label_map(2)
    scores = evaluate(pred, truth, spacing=SPACING, labels={"a": 1, "b": 2, "whole": (1, 2)}, tolerance=1.5)
    assert list(scores) == ["a", "b", "whole", "foreground"]
    assert scores["whole"] == scores["foreground"]
    for name, values in {"a": [1], "b": [2], "whole": [1, 2]}.items():
        p, t = np.isin(pred, values), np.isin(truth, values)
        distances = metrics.surface_distances(p, t, spacing=SPACING)
        assert scores[name] == {
            "dice": metrics.dice(p, t),
            "iou": metrics.iou(p, t),
            "hd": distances.hausdorff(None),
            "hd95": metrics.hausdorff_distance(p, t, spacing=SPACING),
            "assd": metrics.average_surface_distance(p, t, spacing=SPACING),
            "surface_dice": metrics.surface_dice(p, t, tolerance=1.5, spacing=SPACING),
            "boundary_iou": metrics.boundary_iou(p, t, spacing=SPACING),
            "volume_pred_ml": pytest.approx(metrics.volume(p, spacing=SPACING) / 1000),
            "volume_truth_ml": pytest.approx(metrics.volume(t, spacing=SPACING) / 1000),
            "volume_error_percent": pytest.approx(metrics.volume_error_percent(p, t)),
        }


def test_boundary_iou_is_that_of_the_whole_image():
    """The band's width comes from the image and not from the box of the label."""
    truth = np.zeros((200, 200), np.uint8)
    truth[20:60, 20:60] = 1
    pred = np.roll(truth, 3, 0)
    assert evaluate(pred, truth)["1"]["boundary_iou"] == metrics.boundary_iou(pred, truth)


def test_labels_that_occur_are_found():
    pred, truth = np.zeros((2, 6, 6), np.int64)
    pred[0, 0], truth[3, 3], truth[5, 5] = 7, 2, 300
    assert list(evaluate(pred, truth)) == ["2", "7", "300", "foreground"]
    assert list(evaluate(truth == 2, truth == 2)) == ["1"]
    assert evaluate(np.zeros_like(pred), np.zeros_like(pred)) == {}


def test_labels_that_are_not_named_are_left_out():
    truth = two_label_map()
    pred = np.where(truth == 2, 0, truth)
    scores = evaluate(pred, truth, labels={"lesion": 1})
    assert list(scores) == ["lesion"]
    assert scores["lesion"]["dice"] == 1


def test_a_label_that_occurs_nowhere_or_in_one_map():
    truth = np.zeros((3, 4), np.uint8)
    truth[1, 1] = 1
    scores = evaluate(truth, truth, labels={"a": 1, "b": 9}, topology=True)
    assert scores["b"]["dice"] == scores["b"]["surface_dice"] == 1
    assert scores["b"]["hd"] == scores["b"]["volume_error_percent"] == scores["b"]["betti_error"] == 0
    missed = evaluate(np.zeros_like(truth), truth, labels={"a": 1})["a"]
    assert missed["hd95"] == missed["assd"] == 5.0
    assert (missed["dice"], missed["boundary_iou"], missed["volume_error_percent"]) == (0, 0, -100)


def test_topology():
    ring = np.zeros((20, 20), np.uint8)
    ring[2:12, 2:12] = 1
    ring[5:9, 5:9] = 0
    broken = ring.copy()
    broken[6:8, 2:5] = 0
    broken[15, 15] = 1
    scores = evaluate(broken, ring, topology=True)["1"]
    columns = ("components_pred", "components_truth", "holes_pred", "holes_truth", "cavities_pred", "betti_error")
    assert [scores[name] for name in columns] == [2, 1, 0, 1, 0, 2]


def test_pixels_outside_the_mask_are_background():
    pred, truth = two_label_map(1), two_label_map(2)
    mask = np.random.default_rng(0).random(pred.shape) < 0.7
    assert evaluate(pred, truth, mask=mask) == evaluate(np.where(mask, pred, 0), np.where(mask, truth, 0))
    with pytest.raises(InputError, match="mask must have the shape"):
        evaluate(pred, truth, mask=mask[1:])


def test_tensors_and_any_integers():
    pred, truth = two_label_map(1), two_label_map(2)
    expected = evaluate(pred, truth, spacing=SPACING)
    assert evaluate(torch.from_numpy(pred), torch.from_numpy(truth), spacing=SPACING) == expected
    assert evaluate(pred.astype(np.uint8), truth.astype(np.uint64), spacing=SPACING) == expected
    assert math.isclose(expected["1"]["volume_truth_ml"], (truth == 1).sum() / 1000)


def test_errors_name_the_argument():
    labels = two_label_map()
    with pytest.raises(InputError, match="same shape"):
        evaluate(labels, labels[1:])
    with pytest.raises(InputError, match="pred must be a label map of integers; got float"):
        evaluate(labels * 1.0, labels)
    with pytest.raises(InputError, match="truth must hold labels from 0"):
        evaluate(labels, -labels)
    with pytest.raises(InputError, match=r"labels\['background'\]"):
        evaluate(labels, labels, labels={"background": 0})
    for wrong in (1.5, "12", (), [1, 0]):
        with pytest.raises(InputError, match=r"labels\['x'\] must be a positive integer"):
            evaluate(labels, labels, labels={"x": wrong})
    with pytest.raises(InputError, match="labels must map names"):
        evaluate(labels, labels, labels=[1, 2])
    with pytest.raises(InputError, match="at least one label"):
        evaluate(labels, labels, labels={})
    with pytest.raises(InputError, match="spacing"):
        evaluate(labels, labels, spacing=(1, 0, 1))
    with pytest.raises(InputError, match="tolerance"):
        evaluate(labels, labels, tolerance=math.nan)
