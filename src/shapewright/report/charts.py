"""Charts as inline SVG: crisp at any size, coloured by the page's style sheet, readable without scripts.

Colours are classes ``c1`` ... ``c6``, which the style sheet defines for light and dark; a second cue (dashes) tells
series apart without colour.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from shapewright.report.wording import compact

WIDTH, HEIGHT = 370, 225
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 10, 40
COLOURS = 6
MAX_POINTS = 400


@dataclass(frozen=True)
class Series:
    """A line of a chart. NaN values are gaps that the line bridges."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int
    dashed: bool = False

    def points(self) -> list[tuple[float, float]]:
        """Return the finite points, thinned to what a chart can show."""
        found = [(x, y) for x, y in zip(self.x, self.y, strict=True) if math.isfinite(x) and math.isfinite(y)]
        step = -(-len(found) // MAX_POINTS)
        return found if step <= 1 else [*found[:-1:step], found[-1]]


@dataclass(frozen=True)
class Chart:
    """A line chart with its title and legend.

    Attributes
    ----------
    title
        What is drawn.
    note
        A sentence under the chart; may be empty.
    series
        The lines; those without a finite point are left out.
    svg
        The picture.
    """

    title: str
    note: str
    series: list[Series]
    svg: Markup


@dataclass(frozen=True)
class Axis:
    """A linear map from values to positions, with round ticks."""

    ticks: list[float]
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the position of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def line_chart(title: str, series: Iterable[Series], *, x_label: str, note: str = "", mark: str = "") -> Chart | None:
    """Draw lines over a common x axis; ``None`` where no series has a finite point.

    Parameters
    ----------
    title
        What is drawn; also the picture's name for screen readers.
    series
        The lines.
    x_label
        The x axis's name.
    note
        A sentence for under the chart.
    mark
        ``"max"`` or ``"min"`` marks the best point of every line with a ring.
    """
    drawn = [line for line in series if line.points()]
    if not drawn:
        return None
    points = [point for line in drawn for point in line.points()]
    x_axis = _axis([x for x, _ in points], LEFT, WIDTH - RIGHT, 6, tight=True)
    y_axis = _axis([y for _, y in points], HEIGHT - BOTTOM, TOP, 5)
    parts = [_grid(x_axis, y_axis, x_label)]
    for line in drawn:
        parts.append(_line(line, x_axis, y_axis))
        if mark:
            parts.append(_ring(line, x_axis, y_axis, mark))
    data = json.dumps(
        {
            "x": [x_axis.low, x_axis.high, LEFT, WIDTH - RIGHT],
            "series": [{"name": s.name, "colour": s.colour, "points": s.points()} for s in drawn],
        }
    )
    svg = Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}" data-chart="{}">{}'
        '<line class="cursor" y1="{}" y2="{}" x1="0" x2="0" hidden/></svg>'
    ).format(WIDTH, HEIGHT, _spoken(title, drawn), data, Markup("").join(parts), TOP, HEIGHT - BOTTOM)
    return Chart(title=title, note=note, series=drawn, svg=svg)


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval, and the single values behind it."""

    mean: float
    low: float
    high: float
    values: Sequence[float] = ()
    colour: int = 1


def interval_chart(
    estimates: Sequence[Estimate], bounds: tuple[float, float], *, label: str, reference: float | None = None
) -> Markup:
    """Draw means with intervals, one row each, every single value as a dot behind them.

    Parameters
    ----------
    estimates
        One row each, from top to bottom.
    bounds
        The axis's range; values beyond it are drawn at its ends.
    label
        The picture's description for screen readers.
    reference
        A value to mark with a vertical line, such as "no difference".
    """
    row, width, margin = 22, 240, 12
    height = row * len(estimates) + 20
    axis = _axis(bounds, margin, width - margin, 4)
    parts = []
    for tick in axis.ticks:
        parts.append(
            Markup(
                '<line class="grid" x1="{0}" x2="{0}" y1="2" y2="{1}"/><text x="{0}" y="{2}" class="x">{3}</text>'
            ).format(_short(axis(tick)), height - 18, height - 4, compact(tick))
        )
    if reference is not None:
        parts.append(
            Markup('<line class="zero" x1="{0}" x2="{0}" y1="0" y2="{1}"/>').format(
                _short(axis(reference)), height - 18
            )
        )
    for index, estimate in enumerate(estimates):
        parts.append(_estimate(estimate, axis, row * index + row / 2 + 1))
    return Markup('<svg class="intervals" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        width, height, label, Markup("").join(parts)
    )


def _estimate(estimate: Estimate, axis: Axis, y: float) -> Markup:
    def place(value: float) -> str:
        return _short(axis(min(max(value, axis.low), axis.high)))

    dots = Markup("").join(
        Markup('<circle class="dot" cx="{}" cy="{}" r="2.6"/>').format(place(value), _short(y + _spread(index)))
        for index, value in enumerate(estimate.values)
        if not math.isnan(value)
    )
    if math.isnan(estimate.mean):
        return Markup('<g class="c{}">{}</g>').format(estimate.colour, dots)
    bar = Markup("")
    if not (math.isnan(estimate.low) or math.isnan(estimate.high)):
        bar = Markup('<line class="bar" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(
            place(estimate.low), place(estimate.high), y=_short(y)
        )
    mean = Markup('<circle class="mean" cx="{}" cy="{}" r="4.2"/>').format(place(estimate.mean), _short(y))
    return Markup('<g class="c{}">{}{}{}</g>').format(estimate.colour, dots, bar, mean)


def _spread(index: int) -> float:
    """Return a small vertical offset, so that equal values do not hide each other; the same in every report."""
    return ((index * 0.618034) % 1 - 0.5) * 12


def _axis(values: Iterable[float], start: float, end: float, wanted: int, *, tight: bool = False) -> Axis:
    """Return an axis whose ticks are 1, 2 or 5 times a power of ten; ``tight`` ends it at the data."""
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if high - low < 1e-12 * max(1.0, abs(high)):
        margin = abs(high) * 0.1 or 0.5
        low, high = low - margin, high + margin
    step = _round_step((high - low) / wanted)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [round(index * step, 12) for index in range(first, last + 1)]
    if tight:
        return Axis([tick for tick in ticks if low <= tick <= high], low, high, start, end)
    return Axis(ticks, ticks[0], ticks[-1], start, end)


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999)


def _grid(x_axis: Axis, y_axis: Axis, x_label: str) -> Markup:
    horizontal = Markup("").join(
        Markup('<line class="grid" x1="{}" x2="{}" y1="{y}" y2="{y}"/><text class="y" x="{}" y="{}">{}</text>').format(
            LEFT, WIDTH - RIGHT, LEFT - 8, _short(y_axis(tick) + 4), compact(tick), y=_short(y_axis(tick))
        )
        for tick in y_axis.ticks
    )
    vertical = Markup("").join(
        Markup('<text class="x" x="{}" y="{}">{}</text>').format(_short(x_axis(tick)), HEIGHT - 22, compact(tick))
        for tick in x_axis.ticks
    )
    base = Markup('<line class="base" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(
        LEFT, WIDTH - RIGHT, y=HEIGHT - BOTTOM
    )
    name = Markup('<text class="x name" x="{}" y="{}">{}</text>').format(
        (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, x_label
    )
    return horizontal + vertical + base + name


def _line(line: Series, x_axis: Axis, y_axis: Axis) -> Markup:
    places = [(_short(x_axis(x)), _short(y_axis(y))) for x, y in line.points()]
    kind = f"c{line.colour}{' dashed' if line.dashed else ''}"
    if len(places) == 1:
        return Markup('<circle class="point {}" cx="{}" cy="{}" r="3"/>').format(kind, *places[0])
    return Markup('<polyline class="line {}" points="{}"/>').format(kind, " ".join(f"{x},{y}" for x, y in places))


def _ring(line: Series, x_axis: Axis, y_axis: Axis, mark: str) -> Markup:
    best = max if mark == "max" else min
    x, y = best(line.points(), key=lambda point: point[1])
    return Markup('<circle class="ring c{}" cx="{}" cy="{}" r="4"/>').format(
        line.colour, _short(x_axis(x)), _short(y_axis(y))
    )


def _spoken(title: str, series: Sequence[Series]) -> str:
    ends = (f"{s.name} from {compact(s.points()[0][1])} to {compact(s.points()[-1][1])}" for s in series)
    return f"{title}: {'; '.join(ends)}"


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
