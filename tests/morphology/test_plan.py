import numpy as np
import pytest

from shapewright.boolean._blocks import as_plane_offset
from shapewright.morphology import ball, box, line
from shapewright.morphology._plan import PAIR, RESULT, SOURCE, plan
from shapewright.morphology.elements import element_offsets


def points_added(points):
    """Follow the passes of a plan on sets of points instead of images."""
    buffers = {SOURCE: {(0, 0, 0)}, RESULT: set()}
    for step in plan(points):
        moved = {tuple(a + b for a, b in zip(p, q, strict=True)) for p in buffers[step.source] for q in step.points}
        buffers[step.target] = moved if step.kind == PAIR else buffers[step.target] | moved
    return buffers[RESULT]


@pytest.mark.parametrize("seed", range(4))
def test_a_plan_covers_exactly_the_element(seed):
    rng = np.random.default_rng(seed)
    for _ in range(100):
        size = rng.integers(1, 9, 3)
        element = rng.random(size) < rng.random()
        points = frozenset(tuple(int(v) for v in index - size // 2) for index in np.argwhere(element))
        if points:
            assert points_added(points) == points


@pytest.mark.parametrize(
    ("element", "most"),
    [
        (line(33, (1, -1, 1)), 7),
        (box(20), 13),
        (line(41), 7),
        (line(41, 90), 7),
        (line(41, 45), 7),
        (line(41, 135), 7),
        (ball(10), 20),
        (ball(20), 40),
        (ball(5, 3), 40),
    ],
)
def test_large_elements_take_few_passes(element, most):
    points = frozenset(as_plane_offset(pixel) for pixel in element_offsets(element, None).pixels)
    assert points_added(points) == points
    assert len(plan(points)) <= most
