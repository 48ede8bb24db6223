"""What the page of one run says, section by section."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from markupsafe import Markup

from shapewright.report.casebook import CasePictures, Featured, Shown, feature, gallery, landmark_cases
from shapewright.report.charts import COLOURS, Chart, Estimate, interval_chart
from shapewright.report.curves import run_charts
from shapewright.report.run import Run
from shapewright.report.tables import (
    Cell,
    Column,
    Row,
    Table,
    case_table,
    headline_metrics,
    metric_of,
    summary_table,
    worst_first,
)
from shapewright.report.wording import NOTHING, compact, count, duration, interval, moment, number, span


@dataclass(frozen=True)
class Score:
    """A mean with its interval, as text, and a picture of the values behind it."""

    title: str
    unit: str
    mean: str
    interval: str
    hint: str
    plot: Markup


@dataclass(frozen=True)
class Verdict:
    """The headline metrics of one label."""

    label: str
    scores: list[Score]


@dataclass(frozen=True)
class RunPage:
    """The page of one run."""

    title: str
    overline: str
    lede: str
    run: Run
    facts: list[tuple[str, str]]
    command: str
    verdicts: list[Verdict]
    remark: str
    data_tables: list[Table]
    charts: list[Chart]
    summary: Table
    cases: Table
    featured: Featured | None
    gallery: list[CasePictures]
    gallery_left_out: int
    glossary: list[tuple[str, str]]
    configuration: str
    environment: list[tuple[str, str]] = field(default_factory=list)


def run_page(run: Run, title: str | None = None) -> RunPage:
    """Collect everything that the page of a run shows."""
    ranked = worst_first(run)
    anchors = {case: f"case-{index}" for index, case in enumerate(ranked, start=1)}
    small = gallery(run, ranked, anchors)
    shown = {picture.case for picture in small}
    return RunPage(
        title=title or f"{run.method} on {run.dataset}",
        overline="Report of a run",
        lede=lede(run),
        run=run,
        facts=facts(run),
        command=" ".join(_quoted(part) for part in _words(run.environment.get("command"))),
        verdicts=[_verdict(run, label) for label in run.summary],
        remark=_remark(run, ranked),
        data_tables=data_tables(run),
        charts=run_charts(run),
        summary=summary_table(run),
        cases=case_table(run, {case: f"#{anchor}" for case, anchor in anchors.items() if case in shown}),
        featured=_featured(run, ranked),
        gallery=small,
        gallery_left_out=len(ranked) - len(small),
        glossary=glossary([run]),
        configuration=yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True) if run.config else "",
        environment=[(name, plain(value)) for name, value in run.environment.items() if name != "command"],
    )


def lede(run: Run) -> str:
    """Return the run in one or two sentences."""
    environment, splits = run.environment, run.data.get("splits") or {}
    train = count(len(splits["train"]), "case") if splits.get("train") else "an unknown number of cases"
    seconds = environment.get("seconds")
    took = f" in {duration(seconds)}" if seconds else ""
    epochs = len(next(iter(run.history.values()), []))
    length = f" for {count(epochs, 'epoch')}" if epochs else ""
    when = f", started {moment(environment['started'])}" if environment.get("started") else ""
    trained = f"Trained on {train}{length}{took}{when}."
    if not run.summary and not run.scores:
        return f"{trained} Not evaluated yet."
    split = run.evaluation.get("split") or "held-out"
    return f"{trained} Evaluated on {count(len(run.by_case), f'{split} case')}."


def facts(run: Run) -> list[tuple[str, str]]:
    """Return the few facts for the head of the page."""
    environment = run.environment
    found = [
        ("Method", run.method),
        ("Data", run.dataset),
        ("Seed", plain(run.config.get("seed"))),
        ("Device", _device(environment)),
        ("Duration", duration(environment.get("seconds"))),
        ("shapewright", plain(environment.get("shapewright"))),
        ("torch", plain(environment.get("torch"))),
        ("Folder", run.name),
    ]
    return [(term, value) for term, value in found if value != NOTHING]


def glossary(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Return what the shown metrics mean."""
    names = dict.fromkeys(name for run in runs for name in run.metric_names)
    entries = []
    for name in names:
        metric = metric_of(name)
        if metric.description:
            unit = f" ({metric.unit})" if metric.unit else ""
            direction = {True: " Higher is better.", False: " Lower is better.", None: ""}[metric.higher_is_better]
            entries.append((metric.title + unit, metric.description + direction))
    return entries


def data_tables(run: Run) -> list[Table]:
    """Return the data summary: cases per split, and volumes per label."""
    cases: list[dict[str, Any]] = run.data.get("cases") or []
    splits: dict[str, list[str]] = run.data.get("splits") or {}
    tables = []
    if splits:
        tables.append(_split_table(cases, splits))
    labels = list(dict.fromkeys(label for case in cases for label in case.get("volumes_ml") or {}))
    if labels:
        tables.append(_volume_table(cases, labels))
    return tables


def plain(value: object) -> str:
    """Return a value of the environment as text."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{name}: {plain(item)}" for name, item in value.items())
    return compact(value) if isinstance(value, float) else str(value)


def bounds_of(name: str, values: Sequence[float]) -> tuple[float, float]:
    """Return the range to draw a metric's values in: zero included for distances, shares up to 1."""
    metric = metric_of(name)
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if metric.upper == 1:
        return max(0.0, math.floor(min(low, 0.89) * 10) / 10), 1.0
    return (0.0 if metric.lower == 0 else low), (high if high > low else low + 1.0)


def _featured(run: Run, ranked: Sequence[str]) -> Featured | None:
    """Return the worst, median and best case with large pictures."""
    groups = feature([[Shown(run, case, role)] for case, role in landmark_cases(ranked).items()])
    return Featured([case for group in groups for case in group.cases], groups[0].scale) if groups else None


def _verdict(run: Run, label: str) -> Verdict:
    colour = list(run.summary).index(label) % COLOURS + 1
    scores = []
    for name in headline_metrics(run):
        statistics = run.summary[label].get(name)
        if not statistics:
            continue
        metric = metric_of(name)
        mean, low, high = (float(_or_nan(statistics.get(key))) for key in ("mean", "ci_low", "ci_high"))
        values = list(run.values(label, name).values())
        everywhere = [value for other in run.summary for value in run.values(other, name).values()]
        text = interval(low, high, metric.unit)
        plot = interval_chart(
            [Estimate(mean, low, high, values, colour)],
            bounds_of(name, [*everywhere, mean]),
            label=f"{metric.title} of {label}: mean {number(mean, metric.unit)}, 95 % interval {text or 'unknown'}; "
            f"{count(len(values), 'case')} as dots",
        )
        scores.append(Score(metric.title, metric.unit, number(mean, metric.unit), text, metric.description, plot))
    return Verdict(label, scores)


def _remark(run: Run, ranked: Sequence[str]) -> str:
    names = headline_metrics(run)
    if not ranked or not names:
        return ""
    metric = metric_of(names[0])
    case = ranked[0]
    scores = {label: values[names[0]] for label, values in run.by_case[case].items() if names[0] in values}
    if not scores:
        return ""
    label = max(scores, key=lambda name: metric.badness(scores[name]))
    return f"The worst case is {case}, with a {metric.title} of {number(scores[label], metric.unit)} for {label}."


def _split_table(cases: Sequence[dict[str, Any]], splits: dict[str, list[str]]) -> Table:
    rows = []
    for split, names in splits.items():
        if not names:
            continue
        members = [case for case in cases if case.get("id") in set(names)]
        rows.append(
            Row(
                [
                    Cell(split),
                    Cell(str(len(names))),
                    Cell(_extents([case.get("shape") or [] for case in members])),
                    Cell(_extents([case.get("spacing") or [] for case in members])),
                ]
            )
        )
    return Table(
        caption="Cases",
        columns=[
            Column("Split", numeric=False),
            Column("Cases"),
            Column("Shape", unit="voxels", numeric=False),
            Column("Spacing", unit="mm", numeric=False),
        ],
        rows=rows,
    )


def _extents(sizes: Sequence[Sequence[float]]) -> str:
    """Return the range of sizes per axis; mixed ranks are told apart by not being merged."""
    filled = [size for size in sizes if size]
    if not filled or len({len(size) for size in filled}) > 1:
        return NOTHING
    return " \N{MULTIPLICATION SIGN} ".join(
        span([float(value) for value in axis]) for axis in zip(*filled, strict=True)
    )


def _volume_table(cases: Sequence[dict[str, Any]], labels: Sequence[str]) -> Table:
    rows = []
    for label in labels:
        found = [(case.get("volumes_ml") or {}).get(label) for case in cases]
        volumes = sorted(float(value) for value in found if value is not None)
        empty = sum(value == 0 for value in volumes)
        rows.append(
            Row(
                [
                    Cell(label),
                    Cell(number(volumes[0], "ml")),
                    Cell(number(volumes[len(volumes) // 2], "ml")),
                    Cell(number(volumes[-1], "ml")),
                    Cell(f"{empty} of {len(volumes)}", sort=empty),
                ]
            )
        )
    return Table(
        caption="Volume per label, all cases",
        columns=[
            Column("Label", numeric=False),
            *(Column(title, unit="ml") for title in ("Smallest", "Median", "Largest")),
            Column("Absent in", unit="cases"),
        ],
        rows=rows,
    )


def _device(environment: dict[str, Any]) -> str:
    device, cores = environment.get("device"), environment.get("cores")
    parts = [plain(device), count(int(cores), "core") if cores else NOTHING]
    return ", ".join(part for part in parts if part != NOTHING) or NOTHING


def _words(command: object) -> list[str]:
    return [str(word) for word in command] if isinstance(command, list) else [str(command)] if command else []


def _quoted(word: str) -> str:
    import shlex

    return shlex.quote(word)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
