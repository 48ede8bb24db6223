"""Learning curves: from a run's history to charts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shapewright.report.charts import COLOURS, Chart, Series, line_chart
from shapewright.report.run import Run
from shapewright.report.tables import metric_of

ALL = "all labels"
CLOCK = ("epoch", "step", "seconds")
TITLES = {"loss": "Training loss", "weight": "Weights of the loss parts", "lr": "Learning rate"}


@dataclass(frozen=True)
class Curve:
    """A column of the history: the chart it belongs to, and the line's name there."""

    column: str
    chart: str
    name: str

    @classmethod
    def of(cls, column: str) -> "Curve":
        """Return what a column is, from its name.

        Examples
        --------
        >>> Curve.of("loss/boundary")
        Curve(column='loss/boundary', chart='loss', name='boundary')
        >>> Curve.of("val/dice/anterior").chart, Curve.of("val/dice").name
        ('val/dice', 'all labels')
        """
        parts = column.split("/")
        if parts[0] == "val" and len(parts) > 1:
            return cls(column, "/".join(parts[:2]), "/".join(parts[2:]) or ALL)
        return cls(column, parts[0], "/".join(parts[1:]) or ("total" if parts[0] == "loss" else parts[0]))

    @property
    def title(self) -> str:
        """The chart's title."""
        if self.chart.startswith("val/"):
            return f"Validation {metric_of(self.chart.removeprefix('val/')).title}"
        return TITLES.get(self.chart, self.chart)

    @property
    def best(self) -> str:
        """Which end of the curve is the best: ``"max"``, ``"min"``, or empty where none is worth marking."""
        if not self.chart.startswith("val/"):
            return ""
        better = metric_of(self.chart.removeprefix("val/")).higher_is_better
        return {True: "max", False: "min", None: ""}[better]


def run_charts(run: Run) -> list[Chart]:
    """Return one run's charts: the loss and its parts, the validation scores by label, weights, learning rate."""
    groups: dict[str, list[Curve]] = {}
    for curve in _curves(run.history):
        groups.setdefault(curve.chart, []).append(curve)
    charts = []
    for curves in groups.values():
        series = [
            Series(curve.name, _clock(run), run.history[curve.column], *_look(_place(run, curve, index)))
            for index, curve in enumerate(curves)
        ]
        note = "Rings mark the best epoch." if curves[0].best else ""
        charts.append(line_chart(curves[0].title, series, x_label=_clock_name(run), note=note, mark=curves[0].best))
    return [chart for chart in charts if chart]


def comparison_charts(runs: Sequence[Run], names: Sequence[str]) -> list[Chart]:
    """Return one chart per quantity that several runs have, one line per run."""
    columns = dict.fromkeys(column for run in runs for column in run.history)
    curves = [curve for curve in _curves(columns) if curve.column in ("loss", "lr") or curve.chart.startswith("val/")]
    charts = []
    for curve in curves:
        series = [
            Series(name, _clock(run), run.history[curve.column], *_look(index))
            for index, (run, name) in enumerate(zip(runs, names, strict=True))
            if curve.column in run.history
        ]
        title = f"{curve.title}, {curve.name}" if curve.chart.startswith("val/") else curve.title
        note = "Losses of different methods have no common scale." if curve.chart == "loss" else ""
        charts.append(line_chart(title, series, x_label=_clock_name(runs[0]), note=note, mark=curve.best))
    return [chart for chart in charts if chart]


def _curves(columns: Iterable[str]) -> list[Curve]:
    """Return the curves in the order of the page: loss, validation, weights, learning rate, others."""
    curves = [Curve.of(column) for column in columns if column not in CLOCK]
    order = ["loss", *(curve.chart for curve in curves if curve.chart.startswith("val/")), "weight", "lr"]
    return sorted(curves, key=lambda curve: order.index(curve.chart) if curve.chart in order else len(order))


def _clock_name(run: Run) -> str:
    return next((name for name in CLOCK if name in run.history), "row")


def _clock(run: Run) -> Sequence[float]:
    if _clock_name(run) in run.history:
        return run.history[_clock_name(run)]
    return range(len(next(iter(run.history.values()))))


def _place(run: Run, curve: Curve, index: int) -> int:
    """Return which colour a line has: a label's everywhere the same, the mean over labels the last one, grey."""
    if not curve.chart.startswith("val/"):
        return index
    return run.labels.index(curve.name) if curve.name in run.labels else COLOURS - 1 if curve.name == ALL else index


def _look(index: int) -> tuple[int, bool]:
    """Return colour and dashes of the index-th line: every colour solid, then every colour dashed."""
    return index % COLOURS + 1, index // COLOURS % 2 == 1
