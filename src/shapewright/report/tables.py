"""Tables as data: what the templates print, and what the page's script sorts."""

import math
from dataclasses import dataclass, field

from shapewright.metrics import METRICS, Metric
from shapewright.report.run import Run
from shapewright.report.wording import interval, number

HEADLINES = ("dice", "surface_dice", "hd95", "assd", "volume_error_percent")


@dataclass(frozen=True)
class Column:
    """A table's column: its title, and what the reader needs to read it."""

    title: str
    unit: str = ""
    numeric: bool = True
    hint: str = ""


@dataclass(frozen=True)
class Cell:
    """A table's cell.

    Attributes
    ----------
    text
        What is shown.
    detail
        A second, quieter line: an interval, say.
    sort
        What a sorted column compares; the text where ``None``.
    link
        Where the cell leads to.
    share
        Between 0 and 1: how much of the cell a bar fills.
    kind
        A class of the style sheet, such as ``"strong"``.
    """

    text: str
    detail: str = ""
    sort: float | None = None
    link: str = ""
    share: float | None = None
    kind: str = ""


@dataclass(frozen=True)
class Row:
    """A table's row; ``group`` is what the page's filter compares."""

    cells: list[Cell]
    group: str = ""


@dataclass(frozen=True)
class Table:
    """A table with its caption."""

    caption: str
    columns: list[Column]
    rows: list[Row]
    sortable: bool = False
    groups: list[str] = field(default_factory=list)


def metric_of(name: str) -> Metric:
    """Return what is declared about a metric; for an unknown one, its name and nothing else."""
    plain = Metric(name, name.replace("_", " "), "", None, None, -math.inf, math.inf, "")
    return METRICS.get(name, plain)


def shown_metrics(run: Run) -> list[str]:
    """Return a run's metrics: the headlines first, then the others in the order of the files."""
    present = run.metric_names
    return [*(name for name in HEADLINES if name in present), *(name for name in present if name not in HEADLINES)]


def headline_metrics(run: Run) -> list[str]:
    """Return the few metrics to begin with; the first ranks the cases."""
    names = [name for name in HEADLINES if name in run.metric_names]
    return names or run.metric_names[:1]


def metric_column(name: str) -> Column:
    """Return the column of a metric."""
    metric = metric_of(name)
    direction = {True: " Higher is better.", False: " Lower is better.", None: ""}[metric.higher_is_better]
    return Column(metric.title, metric.unit, hint=metric.description + direction)


def worst_first(run: Run) -> list[str]:
    """Return the evaluated cases, the one with the worst label first.

    A case is as bad as its worst label in the first headline metric: the mean over labels would hide a label that
    failed. Ties are broken by the other headline metrics.
    """
    names = headline_metrics(run)

    def badness(case: str) -> tuple[float, ...]:
        scores = run.by_case[case].values()
        return tuple(max((_badness(name, values) for values in scores), default=0.0) for name in names)

    return sorted(run.by_case, key=badness, reverse=True)


def worst_labels(run: Run, case: str) -> list[str]:
    """Return a case's labels, the worst in the headline metrics first."""
    labels, names = run.by_case.get(case, {}), headline_metrics(run)
    return sorted(labels, key=lambda label: tuple(_badness(name, labels[label]) for name in names), reverse=True)


def _badness(name: str, values: dict[str, float]) -> float:
    return metric_of(name).badness(values[name]) if name in values else -1.0


def case_table(run: Run, links: dict[str, str]) -> Table:
    """Return all scores, one row per case and label, worst first; ``links`` says where a case's pictures are."""
    names, ranking = shown_metrics(run), headline_metrics(run)
    scores = [(case, label, values) for case, labels in run.by_case.items() for label, values in labels.items()]
    scores.sort(key=lambda score: tuple(_badness(name, score[2]) for name in ranking), reverse=True)
    return Table(
        caption="Every evaluated case and label, worst first",
        columns=[Column("Case", numeric=False), Column("Label", numeric=False), *map(metric_column, names)],
        rows=[
            Row(
                [
                    Cell(case, link=links.get(case, "")),
                    Cell(label),
                    *(score_cell(name, values.get(name)) for name in names),
                ],
                group=label,
            )
            for case, label, values in scores
        ],
        sortable=True,
        groups=run.labels if len(run.labels) > 1 else [],
    )


def score_cell(name: str, value: float | None) -> Cell:
    """Return the cell of one score; a share between 0 and 1 gets a bar."""
    metric = metric_of(name)
    share = value if value is not None and (metric.lower, metric.upper) == (0, 1) else None
    return Cell(number(value, metric.unit), sort=value, share=share)


def summary_table(run: Run) -> Table:
    """Return the aggregated metrics, one row per label and metric."""
    columns = [
        Column("Label", numeric=False),
        Column("Metric", numeric=False),
        Column("Mean"),
        Column("95 % CI", hint="Bootstrap interval of the mean over the cases."),
        *(Column(title) for title in ("SD", "Median", "Min", "Max", "Cases")),
    ]
    rows = []
    for label in run.summary:
        for name in shown_metrics(run):
            statistics = run.summary[label].get(name)
            if statistics:
                rows.append(Row(_summary_cells(label, name, statistics), group=label))
    return Table(caption="Aggregated over the cases", columns=columns, rows=rows)


def _summary_cells(label: str, name: str, statistics: dict[str, float]) -> list[Cell]:
    metric = metric_of(name)
    unit = f" ({metric.unit})" if metric.unit else ""

    def of(statistic: str) -> str:
        return number(statistics.get(statistic), metric.unit)

    return [
        Cell(label),
        Cell(metric.title + unit),
        Cell(of("mean"), kind="strong"),
        Cell(interval(statistics.get("ci_low"), statistics.get("ci_high"), metric.unit), kind="quiet"),
        *(Cell(of(statistic)) for statistic in ("std", "median", "min", "max")),
        Cell(str(int(statistics.get("n") or 0))),
    ]


def configuration_rows(config: dict[str, object], prefix: str = "") -> dict[str, str]:
    """Return a nested configuration as dotted name -> value.

    Examples
    --------
    >>> configuration_rows({"seed": 0, "trainer": {"epochs": 60}})
    {'seed': '0', 'trainer.epochs': '60'}
    """
    flat: dict[str, str] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            flat |= configuration_rows(value, f"{name}.")
        else:
            flat[name] = _plain(value)
    return flat


def _plain(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value)
    return {"None": "none", "True": "true", "False": "false"}.get(str(value), str(value))
