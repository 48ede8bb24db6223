"""How to dilate by any structuring element with few word operations.

Along each axis in turn, or first along a diagonal, the element is split into runs. The dilation by a run of length n
is made by doubling: dilations by 2, 4, 8 ... pixels and one last overlapping pair. Runs of equal start and length are
made once and serve all rows that have them. Of each group the cheaper of doubling and reading every pixel is taken.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shapewright.boolean._blocks import Cut, flat_distances

Point = tuple[int, int, int]  # plane, row, x

PAIR, ADD, ADD_SHIFTED = 0, 1, 2
SOURCE, RESULT = 0, 1
_ADDED_AT_ONCE = 4
_COLUMNS = 8 + _ADDED_AT_ONCE  # of the table of passes
_ORIGIN: Point = (0, 0, 0)
_AXES: tuple[Point, ...] = ((0, 0, 1), (0, 1, 0), (1, 0, 0))  # runs along x first: only there bits must be shifted
_DIAGONALS: tuple[Point, ...] = (
    *((1, 0, 1), (1, 0, -1), (0, 1, 1), (0, 1, -1), (1, 1, 0), (1, -1, 0)),
    *((1, 1, 1), (1, 1, -1), (1, -1, 1), (1, -1, -1)),
)


class Step(NamedTuple):
    """One pass over a source buffer.

    ``PAIR`` writes the union of two shifts to the target. ``ADD`` adds up to four shifts by whole words to the result,
    ``ADD_SHIFTED`` one or two by any number of bits.
    """

    kind: int
    target: int
    source: int
    points: tuple[Point, ...]


@lru_cache(maxsize=512)
def plan(points: frozenset[Point]) -> tuple[Step, ...]:
    """Return the passes that compute the union of the source shifted by all points."""
    return tuple(_cover(points, 0, SOURCE)[1])


def step_table(steps: Iterable[Step], cut: Cut) -> NDArray[np.uint64]:
    """Return the passes as the kernels read them, one row each.

    A row holds: kind, target, source, the range of words to write, four distances in words (repeats fill the room),
    the bits by which the first two exceed them, and a mask of what an addition keeps of its target: the first one
    nothing. Each pass writes only what later ones read. Negative distances wrap around, as unsigned indices do.
    """
    first = cut.guard + cut.margin * cut.plane
    block = first, first + cut.planes * cut.plane
    needed: dict[int, tuple[int, int]] = {RESULT: block}
    rows = []
    for step in reversed(list(steps)):
        start, stop = needed.pop(step.target) if step.kind == PAIR else block
        distances = flat_distances(cut, step.points, 64)
        words, bits = distances >> 6, distances & 63
        low, high = needed.get(step.source, (start, stop))
        needed[step.source] = min(low, start + int(words.min())), max(high, stop + int(words.max()) + 1)
        missing = _ADDED_AT_ONCE - len(words)
        rows.append([step.kind, step.target, step.source, start, stop])
        rows[-1] += [*words.tolist(), *words[-1:].tolist() * missing, bits[0], bits[-1], -1]
    rows.reverse()
    additions = [row for row in rows if row[0] != PAIR]
    if additions:
        additions[0][-1] = 0
    return np.array(rows, np.int64).reshape(-1, _COLUMNS).view(np.uint64)


def _cover(points: Iterable[Point], depth: int, source: int) -> tuple[float, list[Step]]:
    """Return (cost, passes) that add the shifts of a buffer by all points to the result."""
    points = sorted(points)
    best = _add(points, source)
    if depth < len(_AXES) and len(points) > 2:
        directions = [_AXES[depth]]
        if depth == 0:
            directions += [along for along in _DIAGONALS if 4 * len(list(_runs(points, along))) < len(points)]
        for direction in directions:
            best = min(best, _cover_by_runs(points, direction, depth, source), key=lambda option: option[0])
    return best


def _add(points: list[Point], source: int) -> tuple[float, list[Step]]:
    aligned = [point for point in points if point[2] % 64 == 0]
    shifted = [point for point in points if point[2] % 64 != 0]
    steps = []
    for kind, group, size in ((ADD, aligned, _ADDED_AT_ONCE), (ADD_SHIFTED, shifted, 2)):
        steps += [Step(kind, RESULT, source, tuple(group[i : i + size])) for i in range(0, len(group), size)]
    return len(aligned) + 3.0 * len(shifted) + len(steps), steps


def _cover_by_runs(points: list[Point], along: Point, depth: int, source: int) -> tuple[float, list[Step]]:
    groups: dict[tuple[int, int], list[Point]] = defaultdict(list)
    for row, start, length in _runs(points, along):
        groups[length, start].append(row)
    single = [_moved(row, along, start) for (length, start), rows in groups.items() if length == 1 for row in rows]
    cost, steps = _cover(single, depth + 1, source) if single else (0.0, [])
    power, reached = source, 1  # buffer `power` holds the dilation by the run [0, reached)
    spare = [2 + 3 * depth, 3 + 3 * depth]
    run_buffer = 4 + 3 * depth
    pair_cost = 5.0 if along[2] else 3.0
    for length, start in sorted(groups):
        if length == 1:
            continue
        while 2 * reached <= length:
            target = spare[0] if power != spare[0] else spare[1]
            steps.append(Step(PAIR, target, power, (_ORIGIN, _moved(_ORIGIN, along, reached))))
            cost += pair_cost
            power, reached = target, 2 * reached
        rows = groups[length, start]
        if len(rows) == 1:  # used once: added as it is made
            ends = _moved(rows[0], along, start), _moved(rows[0], along, start + length - reached)
            kind = ADD if ends[0][2] % 64 == 0 and ends[1][2] % 64 == 0 else ADD_SHIFTED
            steps.append(Step(kind, RESULT, power, ends))
            cost += pair_cost
            continue
        ends = _moved(_ORIGIN, along, start), _moved(_ORIGIN, along, start + length - reached)
        steps.append(Step(PAIR, run_buffer, power, ends))
        group_cost, group_steps = _cover(rows, depth + 1, run_buffer)
        cost += pair_cost + group_cost
        steps += group_steps
    return cost, steps


def _runs(points: list[Point], along: Point) -> Iterable[tuple[Point, int, int]]:
    """Yield (row, start, length) of the maximal runs in a direction; a row is where its line has the coordinate 0."""
    axis = next(index for index, step in enumerate(along) if step)
    rows: dict[Point, list[int]] = defaultdict(list)
    for point in points:
        rows[_moved(point, along, -point[axis])].append(point[axis])
    for row, coordinates in rows.items():
        start = coordinates[0]
        for before, here in zip(coordinates, [*coordinates[1:], None], strict=True):
            if here != before + 1:
                yield row, start, before - start + 1
                start = here if here is not None else 0


def _moved(point: Point, along: Point, by: int) -> Point:
    return point[0] + by * along[0], point[1] + by * along[1], point[2] + by * along[2]
