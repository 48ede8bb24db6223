"""Fits to strokes and to probability maps: one piece always, near the truth, clear errors."""

from typing import Any

import numpy as np
import pytest
import torch

from shapewright.errors import InputError
from shapewright.methods.path_connected import FitConfig, connect, fit_scribbles
from shapewright.methods.path_connected.teacher import Frame, grey_levels, random_walk, teach
from shapewright.networks.connected_region import is_one_piece
from shapewright.simulate import ScribbleSimulator

QUICK = FitConfig(steps=80, points=400)


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / max((first | second).sum(), 1))


def bean(shape: tuple[int, ...] = (60, 72)) -> np.ndarray:
    """Return a bent object: a disc less a smaller disc."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (np.hypot(y - 30, x - 34) < 22) & (np.hypot(y - 12, x - 34) > 13)


def picture(mask: np.ndarray, seed: int = 0) -> np.ndarray:
    return (mask + np.random.default_rng(seed).normal(0, 0.15, mask.shape)).astype(np.float32)


def test_strokes_give_an_object_in_one_piece() -> None:
    mask = bean()
    scribbles = ScribbleSimulator().draw(mask.astype(np.uint8), seed=1)
    fit = fit_scribbles(picture(mask), scribbles, seed=3, settings=QUICK)
    assert is_one_piece(fit.mask)
    assert overlap(fit.mask, mask) > 0.88
    assert np.array_equal(np.asarray(fit), fit.mask)
    assert np.array_equal(fit.probabilities >= 0.5, fit.mask)
    assert fit.region.mask((120, 144)).shape == (120, 144)
    again = fit_scribbles(picture(mask), scribbles, seed=3, settings=QUICK)
    assert np.array_equal(again.probabilities, fit.probabilities)


@pytest.mark.parametrize("teacher", ["network", "none"])
@pytest.mark.parametrize("flow", ["box", "none", "affine"])
def test_every_teacher_and_flow(teacher: Any, flow: Any) -> None:
    mask = bean()
    scribbles = ScribbleSimulator(margin=0.05).draw(mask.astype(np.uint8), seed=0)
    settings = FitConfig(teacher=teacher, flow=flow, steps=80, points=400)
    fit = fit_scribbles(picture(mask), scribbles, settings=settings)
    assert fit.mask[scribbles == 1].mean() > 0.8
    assert fit.mask[scribbles == 2].mean() < 0.05
    assert flow == "affine" or is_one_piece(fit.mask)
    assert (fit.teacher is None) == (teacher != "walks")


def test_colour_images_in_either_layout_and_any_range() -> None:
    mask = bean()
    scribbles = ScribbleSimulator().draw(mask.astype(np.uint8), seed=2)
    colour = np.stack([picture(mask, 1), picture(~mask, 2), picture(np.zeros_like(mask), 3)])
    first = fit_scribbles(colour, scribbles, settings=QUICK)
    last = fit_scribbles(np.moveaxis(colour, 0, -1), scribbles, settings=QUICK)
    scaled = fit_scribbles((colour * 1000 + 5000).astype(np.float64), scribbles, settings=QUICK)
    assert np.array_equal(first.mask, last.mask)
    assert overlap(first.mask, scaled.mask) > 0.97
    assert overlap(first.mask, mask) > 0.85


def test_several_objects_are_each_one_piece() -> None:
    y, x = np.mgrid[:50, :80]
    labels = np.where(np.hypot(y - 25, x - 22) < 14, 1, np.where(np.hypot(y - 25, x - 56) < 15, 7, 0))
    scribbles = ScribbleSimulator().draw(labels, seed=0)
    assert set(np.unique(scribbles)) == {0, 1, 2, 3}
    fit = fit_scribbles(picture(labels > 0), scribbles, settings=FitConfig(steps=120))
    assert fit.mask.shape == (2, 50, 80)
    assert all(is_one_piece(mask) for mask in fit.mask)
    assert not (fit.mask[0] & fit.mask[1]).any()
    assert np.array_equal(fit.labels, fit.mask[0] + 2 * fit.mask[1])
    assert overlap(fit.labels == 1, labels == 1) > 0.8
    assert overlap(fit.labels == 2, labels == 7) > 0.8


def test_volumes() -> None:
    z, y, x = np.mgrid[:16, :24, :20]
    mask = ((z - 8) / 6) ** 2 + ((y - 12) / 8) ** 2 + ((x - 9) / 6) ** 2 < 1
    scribbles = ScribbleSimulator(thickness=1).draw(mask.astype(np.uint8), seed=0)
    fit = fit_scribbles(picture(mask), scribbles, settings=FitConfig(steps=100))
    assert is_one_piece(fit.mask)
    assert overlap(fit.mask, mask) > 0.7


def test_a_fit_goes_on_from_another() -> None:
    mask = bean()
    scribbles = ScribbleSimulator().draw(mask.astype(np.uint8), seed=1)
    steps: list[int] = []
    first = fit_scribbles(picture(mask), scribbles, settings=QUICK)
    moved = np.roll(mask, 2, 1)
    before = [p.clone() for p in first.region.parameters()]
    fit = fit_scribbles(
        picture(moved),
        np.roll(scribbles, 2, 1),
        start=first.region,
        settings=QUICK,
        progress=lambda _, of: steps.append(of),
    )
    assert steps == [26] * 26
    assert overlap(fit.mask, moved) > 0.85
    assert all(torch.equal(a, b) for a, b in zip(before, first.region.parameters(), strict=True))
    with pytest.raises(InputError, match="start must have 2 object"):
        fit_scribbles(picture(mask), np.where(scribbles == 1, np.arange(72) % 2 * 2 + 1, scribbles), start=first.region)


@pytest.mark.parametrize("shape", [(2, 3), (1, 8), (4, 5)])
def test_tiny_images(shape: tuple[int, int]) -> None:
    scribbles = np.zeros(shape, np.uint8)
    scribbles[0, 0], scribbles[-1, -1] = 1, 2
    mask = fit_scribbles(np.zeros(shape), scribbles, settings=QUICK).mask
    assert mask.shape == shape
    assert is_one_piece(mask)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image, s: (image, np.where(s == 2, 0, s)), "strokes of one kind only, 1; draw on the background"),
        (lambda image, s: (image, np.where(s == 1, 0, s)), "strokes of one kind only, 2; draw on the object"),
        (lambda image, s: (image, 0 * s), "hold no stroke"),
        (lambda image, s: (image[:-1], s), "strokes lie outside it"),
        (lambda image, s: (image, s.astype(float)), "must be integers"),
        (lambda image, s: (image, s.astype(int) * -1), "0 to 255"),
        (lambda image, s: (np.where(s == 1, np.nan, image), s), "must be finite"),
        (lambda image, s: (image, s[0]), "2D or 3D"),
    ],
)
def test_errors(change: Any, message: str) -> None:
    mask = bean()
    scribbles = ScribbleSimulator().draw(mask.astype(np.uint8), seed=1)
    with pytest.raises(InputError, match=message):
        fit_scribbles(*change(picture(mask), scribbles))


def test_connect_mends_a_mask_that_fell_apart() -> None:
    mask = bean()
    noisy = np.clip(0.15 + 0.7 * mask, 0, 1).astype(np.float32)
    noisy[28, 10:60] = 0.1  # cut in two
    noisy[40:43, 30:33] = 0.1  # a hole
    noisy[2:5, 60:66] = 0.9  # a stray piece
    assert not is_one_piece(noisy > 0.5)
    mended = connect(noisy, settings=FitConfig(steps=150))
    assert mended.dtype == np.bool_
    assert is_one_piece(mended)
    assert overlap(mended, mask) > 0.9
    tensor = connect(torch.from_numpy(noisy), settings=FitConfig(steps=150))
    assert isinstance(tensor, torch.Tensor)
    assert np.array_equal(tensor.numpy(), mended)


def test_connect_keeps_absent_and_full_objects() -> None:
    assert not connect(np.zeros((9, 8), np.float32)).any()
    assert connect(np.ones((9, 8), np.float32)).all()
    one = np.zeros((9, 8), np.float32)
    one[4, 4] = 1
    assert is_one_piece(connect(one, settings=QUICK))
    classes = np.zeros((4, 30, 30), np.float32)
    classes[0] = 0.5
    classes[2, 5:25, 5:14] = 0.9
    classes[3, 5:25, 16:25] = 0.9
    labels = connect(classes, spatial_dims=2, settings=FitConfig(steps=100))
    assert labels.dtype == np.uint8
    assert set(np.unique(labels)) == {0, 2, 3}
    assert all(is_one_piece(labels == value) for value in (2, 3))
    assert overlap(labels == 2, classes[2] > 0.5) > 0.8


def test_connect_in_three_dimensions() -> None:
    z, y, x = np.mgrid[:18, :18, :18]
    ball = (z - 9) ** 2 + (y - 8) ** 2 + (x - 9) ** 2 < 36
    noisy = np.where(ball, 0.8, 0.1).astype(np.float32)
    noisy[8:10, 7:9, 8:10] = 0.1  # a cavity
    mended = connect(noisy, settings=FitConfig(steps=120))
    assert is_one_piece(mended)
    assert overlap(mended, ball) > 0.8


@pytest.mark.parametrize(
    ("values", "dims", "message"),
    [
        (np.full((4, 4), 1.5), None, "must lie in 0 to 1"),
        (np.full((4, 4), np.nan), None, "must lie in 0 to 1"),
        (np.zeros((2, 2, 4, 4)), None, "spatial_dims must be given"),
        (np.zeros((1, 4, 4)), 2, "background first"),
    ],
)
def test_connect_errors(values: np.ndarray, dims: int | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        connect(values, spatial_dims=dims)


def test_a_frame_holds_the_strokes_and_its_values_go_back() -> None:
    image = np.add.outer(np.arange(90.0), np.arange(70.0)).astype(np.float32)
    strokes = np.zeros(image.shape, bool)
    strokes[40:50, 20:30] = True
    frame = Frame.around(strokes)
    assert frame.mark(strokes).any()
    back = frame.restore(frame.sample(image), image.shape)
    assert np.allclose(back[38:52, 18:32], image[38:52, 18:32])
    assert back[0, 69] == back[36, 33]  # outside: the nearest value


def test_only_sides_inside_the_image_are_the_frames_border() -> None:
    strokes = np.zeros((60, 200), bool)
    strokes[10:50, 90:110] = True
    border = Frame.around(strokes).border(strokes.shape)
    assert border[:, 0].all()
    assert border[:, -1].all()
    assert not border[0, 1:-1].any()  # rows 0 and 59 belong to the frame
    assert not border[-1, 1:-1].any()


def test_an_object_does_not_leak_through_a_gap_between_strokes() -> None:
    mask = np.hypot(*np.mgrid[-1:1:120j, -1:1:120j]) < 0.25
    scribbles = np.zeros(mask.shape, np.uint8)
    scribbles[58:62, 55:65] = 1
    scribbles[40:80, 38:41], scribbles[38:41, 40:80] = 2, 2  # half of a frame, nothing on the other side
    faint = (0.05 * mask + np.random.default_rng(0).normal(0, 0.02, mask.shape)).astype(np.float32)
    taught = teach(faint[None], scribbles == 1, scribbles == 2) > 0.5
    assert taught.sum() < 3 * mask.sum()
    assert not taught[:, -1].any()


def test_strokes_that_no_single_piece_satisfies_are_named() -> None:
    y, x = np.mgrid[:60, :60]
    radius = np.hypot(y - 30, x - 30)
    ring = (radius < 20) & (radius > 10)
    scribbles = np.where((radius > 14) & (radius < 17), 1, np.where((radius < 6) | (radius > 26), 2, 0)).astype(
        np.uint8
    )
    scribbles[radius > 28] = 0
    fit = fit_scribbles(picture(ring), scribbles, settings=QUICK)
    assert max(fit.missed.values()) > 0.1
    assert "may fit no single piece without holes" in fit.warning
    assert " strokes (about pixel " in fit.warning
    scribbles[radius < 6] = 1  # filled, it is one piece
    fit = fit_scribbles(picture(radius < 20), scribbles, settings=QUICK)
    assert max(fit.missed.values()) < 0.02
    assert fit.warning == ""


def test_grey_levels_separate_colours_that_are_equally_bright() -> None:
    mask = bean()
    red = np.stack([mask, ~mask]).astype(np.float32)
    grey = grey_levels(red, mask, ~mask)
    assert abs(grey[mask].mean() - grey[~mask].mean()) > 0.9
    assert grey_levels(np.zeros((1, 5, 5)), np.eye(5, dtype=bool), ~np.eye(5, dtype=bool)).max() <= 1


def test_a_random_walk_on_a_line_is_linear() -> None:
    ends = np.zeros((1, 11), bool), np.zeros((1, 11), bool)
    ends[0][0, 0], ends[1][0, 10] = True, True
    walk = random_walk(np.zeros((1, 11), np.float32), *ends, 100.0)
    assert np.allclose(walk[0], np.linspace(1, 0, 11), atol=1e-2)


def test_the_teacher_is_sure_on_plain_images() -> None:
    mask = bean()
    scribbles = ScribbleSimulator().draw(mask.astype(np.uint8), seed=5)
    assert overlap(teach(picture(mask)[None], scribbles == 1, scribbles == 2) > 0.5, mask) > 0.85


def test_predictions_are_connected_where_the_run_says_so() -> None:
    from shapewright.data.task import Task
    from shapewright.training.config import InferenceConfig, RunConfig
    from shapewright.training.predict import Predictor

    task = Task(2, 1, ("grey",), {"organ": 5}, (30, 36), (1.0, 1.0))
    probabilities = np.full((2, 30, 36), 0.1, np.float32)
    probabilities[1, 6:22, 6:26] = 0.9
    probabilities[1, 25:28, 30:34] = 0.9  # a second piece
    probabilities[0] = 1 - probabilities[1]
    found = {}
    for connected in (False, True):
        config = RunConfig("supervised", "data", None, inference=InferenceConfig(connect=connected))
        found[connected] = Predictor(None, config, task, torch.device("cpu")).labels(probabilities)
    assert set(np.unique(found[True])) == {0, 5}
    assert not is_one_piece(found[False] == 5)
    assert is_one_piece(found[True] == 5)
    assert overlap(found[True] == 5, probabilities[1] > 0.5) > 0.9
