"""What the page that compares several runs says, section by section. Every other run is compared with the first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from shapewright.errors import InputError
from shapewright.metrics import Comparison, compare
from shapewright.report.casebook import Featured, Shown, feature
from shapewright.report.charts import COLOURS, Chart, Estimate, interval_chart
from shapewright.report.curves import comparison_charts
from shapewright.report.run import Run
from shapewright.report.run_page import bounds_of, facts, glossary, lede
from shapewright.report.tables import (
    Cell,
    Column,
    Row,
    Table,
    configuration_rows,
    headline_metrics,
    metric_of,
    score_cell,
    shown_metrics,
)
from shapewright.report.wording import NOTHING, count, interval, listing, number


@dataclass(frozen=True)
class ComparedRun:
    """A run with the short name and colour it has on the page."""

    letter: str
    name: str
    colour: int
    lede: str
    facts: list[tuple[str, str]]
    missing: list[str]


@dataclass(frozen=True)
class Difference:
    """One headline metric of one label in all runs."""

    title: str
    unit: str
    means: Markup
    differences: Markup
    sentences: list[str]


@dataclass(frozen=True)
class ComparedCase:
    """The same case in every run."""

    case: str
    role: str
    featured: Featured


@dataclass(frozen=True)
class ComparisonPage:
    """The page that compares runs."""

    title: str
    overline: str
    lede: str
    runs: list[ComparedRun]
    problems: list[str]
    settings: Table
    differences: dict[str, list[Difference]]
    summary: Table
    charts: list[Chart]
    cases: Table
    pictures: list[ComparedCase]
    glossary: list[tuple[str, str]]
    tolerance: float | None


Differences = dict[str, dict[str, Comparison]]
"""Label -> metric -> what :func:`shapewright.metrics.compare` found."""


def comparison_page(runs: Sequence[Run], title: str | None = None) -> ComparisonPage:
    """Collect everything that the page of several runs shows."""
    names = short_names(runs)
    differences, problems = _paired(runs, names)
    datasets = list(dict.fromkeys(run.dataset for run in runs))
    return ComparisonPage(
        title=title or f"{_subject(runs)} on {listing(datasets)}",
        overline="Comparison of runs",
        lede=_lede(runs, names),
        runs=[
            ComparedRun(chr(ord("A") + index), name, index % COLOURS + 1, lede(run), facts(run), run.missing)
            for index, (run, name) in enumerate(zip(runs, names, strict=True))
        ],
        problems=problems,
        settings=_settings(runs, names),
        differences=_headlines(runs, names, differences),
        summary=_summary(runs, names, differences),
        charts=comparison_charts(runs, names),
        cases=_cases(runs, names),
        pictures=_pictures(runs, names),
        glossary=glossary(runs),
        tolerance=runs[0].evaluation.get("tolerance_mm"),
    )


def short_names(runs: Sequence[Run]) -> list[str]:
    """Return a name for each run: its letter and its method, or its folder where methods repeat."""
    repeated = len({run.method for run in runs}) < len(runs)
    return [f"{chr(ord('A') + index)} {run.name if repeated else run.method}" for index, run in enumerate(runs)]


def _subject(runs: Sequence[Run]) -> str:
    methods = list(dict.fromkeys(run.method for run in runs))
    return listing(methods) if len(methods) > 1 else f"{count(len(runs), 'run')} of {methods[0]}"


def _lede(runs: Sequence[Run], names: Sequence[str]) -> str:
    shared = shared_cases(runs)
    return (
        f"{listing(names[1:])} compared with {names[0]}, case by case on the "
        f"{count(len(shared), 'case')} that all have evaluated."
    )


def shared_cases(runs: Sequence[Run]) -> list[str]:
    """Return the cases that every run has evaluated, in the first run's order."""
    return [case for case in runs[0].by_case if all(case in run.by_case for run in runs[1:])]


def _paired(runs: Sequence[Run], names: Sequence[str]) -> tuple[list[Differences], list[str]]:
    """Return the paired differences of every run to the first, and why some could not be had."""
    found: list[Differences] = []
    problems = []
    for run, name in zip(runs[1:], names[1:], strict=True):
        try:
            found.append(compare(runs[0].scores, run.scores))
        except InputError as error:
            found.append({})
            problems.append(f"{name} cannot be compared with {names[0]}: {error}.")
    tolerances = {run.evaluation.get("tolerance_mm") for run in runs if run.evaluation}
    if len(tolerances) > 1:
        problems.append("The runs were evaluated with different tolerances: their surface Dice cannot be compared.")
    return found, problems


def _settings(runs: Sequence[Run], names: Sequence[str]) -> Table:
    """Return the settings in which the runs differ."""
    configurations = [configuration_rows(run.config) for run in runs]
    keys = dict.fromkeys(key for settings in configurations for key in settings)
    rows = [
        Row([Cell(key), *(Cell(settings.get(key, NOTHING)) for settings in configurations)])
        for key in keys
        if len({settings.get(key) for settings in configurations}) > 1
    ]
    columns = [Column("Setting", numeric=False), *(Column(name, numeric=False) for name in names)]
    return Table("Settings that differ", columns, rows)


def _labels(runs: Sequence[Run]) -> list[str]:
    return list(dict.fromkeys(label for run in runs for label in run.labels))


def _headlines(
    runs: Sequence[Run], names: Sequence[str], differences: Sequence[Differences]
) -> dict[str, list[Difference]]:
    """Return label -> the headline metrics in which some run could be compared with the first."""
    entries: dict[str, list[Difference]] = {}
    for label in _labels(runs):
        for metric in headline_metrics(runs[0]):
            if metric_of(metric).higher_is_better is None:
                continue
            of_label = [(index, found.get(label, {})) for index, found in enumerate(differences, start=1)]
            paired = [(index, metrics[metric]) for index, metrics in of_label if metric in metrics]
            if paired:
                entries.setdefault(label, []).append(_difference(runs, names, label, metric, paired))
    return entries


def _difference(
    runs: Sequence[Run], names: Sequence[str], label: str, name: str, paired: Sequence[tuple[int, Comparison]]
) -> Difference:
    metric = metric_of(name)
    values = [list(run.values(label, name).values()) for run in runs]
    means = []
    for index, run in enumerate(runs):
        statistics = run.summary.get(label, {}).get(name) or {}
        mean, low, high = (statistics.get(key, math.nan) for key in ("mean", "ci_low", "ci_high"))
        means.append(Estimate(mean, low, high, values[index], index % COLOURS + 1))
    gaps = [
        Estimate(
            found.difference, found.ci_low, found.ci_high, _gaps(runs[0], runs[index], label, name), index % COLOURS + 1
        )
        for index, found in paired
    ]
    reach = max((abs(value) for gap in gaps for value in (*gap.values, gap.low, gap.high)), default=1.0) or 1.0
    sentences = [f"{names[index]}: {_sentence(name, found)}" for index, found in paired]
    title = f"{metric.title} of {label}"
    return Difference(
        title=metric.title,
        unit=metric.unit,
        means=interval_chart(means, bounds_of(name, [v for row in values for v in row]), label=f"{title}: means"),
        differences=interval_chart(
            gaps, (-reach, reach), label=f"{title}, difference to {names[0]}: {'; '.join(sentences)}", reference=0.0
        ),
        sentences=sentences,
    )


def _gaps(first: Run, other: Run, label: str, metric: str) -> list[float]:
    """Return the single differences behind a paired comparison, as dots for a chart."""
    ours, theirs = first.values(label, metric), other.values(label, metric)
    return [theirs[case] - value for case, value in ours.items() if case in theirs]


def _sentence(name: str, found: Comparison) -> str:
    unit = metric_of(name).unit
    gap = number(found.difference, unit, signed=True)
    return f"{gap} ({interval(found.ci_low, found.ci_high, unit, signed=True)}), {verdict(name, found)}"


def verdict(name: str, found: Comparison) -> str:
    """Return what a paired difference says, in words; its interval decides.

    Examples
    --------
    >>> verdict("dice", Comparison(9, 0.80, 0.85, 0.05, 0.02, 0.08, 0.01))
    'better'
    >>> verdict("hd95", Comparison(9, 2.0, 2.5, 0.5, -0.1, 1.1, 0.1))
    'no clear difference'
    """
    metric = metric_of(name)
    if metric.perfect is None:
        return NOTHING
    if found.ci_low <= 0 <= found.ci_high:
        return "no clear difference"
    if metric.higher_is_better is None:
        return "higher" if found.difference > 0 else "lower"
    return "better" if (found.difference > 0) == metric.higher_is_better else "worse"


def _summary(runs: Sequence[Run], names: Sequence[str], differences: Sequence[Differences]) -> Table:
    """Return the means side by side and the paired differences, one row per label and metric."""
    columns = [
        Column("Label", numeric=False),
        Column("Metric", numeric=False),
        *(Column(name, hint="Mean over the run's cases, 95 % interval") for name in names),
        *(Column(f"{name[0]} \N{MINUS SIGN} A", hint="Paired difference, 95 % interval") for name in names[1:]),
        *(Column(f"{name[0]} is", numeric=False) for name in names[1:]),
    ]
    rows = []
    for label in _labels(runs):
        for name in dict.fromkeys(name for run in runs for name in shown_metrics(run)):
            metric = metric_of(name)
            cells = [Cell(label), Cell(metric.title + (f" ({metric.unit})" if metric.unit else ""))]
            cells += [_mean_cell(run, label, name) for run in runs]
            paired = [found.get(label, {}).get(name) for found in differences]
            cells += [_gap_cell(name, found) for found in paired]
            cells += [Cell(verdict(name, found) if found else NOTHING) for found in paired]
            rows.append(Row(cells, group=label))
    return Table("Means and paired differences", columns, rows)


def _mean_cell(run: Run, label: str, name: str) -> Cell:
    unit, statistics = metric_of(name).unit, run.summary.get(label, {}).get(name) or {}
    mean = number(statistics.get("mean"), unit)
    return Cell(mean, detail=interval(statistics.get("ci_low"), statistics.get("ci_high"), unit))


def _gap_cell(name: str, found: Comparison | None) -> Cell:
    if found is None:
        return Cell(NOTHING)
    unit = metric_of(name).unit
    clear = not found.ci_low <= 0 <= found.ci_high
    return Cell(
        number(found.difference, unit, signed=True),
        detail=interval(found.ci_low, found.ci_high, unit, signed=True),
        kind="strong" if clear else "",
    )


def _cases(runs: Sequence[Run], names: Sequence[str]) -> Table:
    """Return the first headline metric of every shared case in all runs, the largest differences first."""
    ranking = headline_metrics(runs[0])
    if not ranking:
        return Table("Cases side by side", [], [])
    name = ranking[0]
    metric = metric_of(name)
    rows = []
    for case in shared_cases(runs):
        for label in runs[0].by_case[case]:
            values = [run.by_case[case].get(label, {}).get(name) for run in runs]
            gaps = [None if value is None or values[0] is None else value - values[0] for value in values[1:]]
            cells = [Cell(case), Cell(label), *(score_cell(name, value) for value in values)]
            cells += [Cell(number(gap, metric.unit, signed=True), sort=gap) for gap in gaps]
            rows.append((max((abs(gap) for gap in gaps if gap is not None), default=0.0), Row(cells, group=label)))
    rows.sort(key=lambda entry: entry[0], reverse=True)
    columns = [
        Column("Case", numeric=False),
        Column("Label", numeric=False),
        *(Column(run, metric.unit, hint=metric.description) for run in names),
        *(Column(f"{run[0]} \N{MINUS SIGN} A", metric.unit) for run in names[1:]),
    ]
    labels = _labels(runs)
    title = f"{metric.title} of every case, largest difference first"
    return Table(title, columns, [row for _, row in rows], sortable=True, groups=labels if len(labels) > 1 else [])


def _pictures(runs: Sequence[Run], names: Sequence[str]) -> list[ComparedCase]:
    """Return the shared cases in which the last run does best, as usual, and worst against the first."""
    shared, ranking = shared_cases(runs), headline_metrics(runs[0])
    if not shared or not ranking:
        return []
    gains = sorted(shared, key=lambda case: _gain(runs[0], runs[-1], case, ranking[0]), reverse=True)
    roles = {
        gains[0]: f"Best for {names[-1]} against {names[0]}",
        gains[len(gains) // 2]: f"Median difference of {names[-1]} to {names[0]}",
        gains[-1]: f"Worst for {names[-1]} against {names[0]}",
    }
    featured = feature([[Shown(run, case, name) for run, name in zip(runs, names, strict=True)] for case in roles])
    return [ComparedCase(case, role, group) for (case, role), group in zip(roles.items(), featured, strict=True)]


def _gain(first: Run, other: Run, case: str, name: str) -> float:
    """Return by how much a case is nearer to perfect in ``other``, its labels together."""
    metric = metric_of(name)
    labels = [label for label in first.by_case[case] if name in first.by_case[case][label]]
    return sum(
        metric.badness(first.by_case[case][label][name]) - metric.badness(other.by_case[case][label][name])
        for label in labels
        if name in other.by_case[case].get(label, {})
    )
