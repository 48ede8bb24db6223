"""Read what a run's folder holds, and say what it lacks."""

import csv
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from shapewright.errors import InputError
from shapewright.metrics import CaseScores, read_csv

Content = TypeVar("Content")

RUN_FILES = ("config.yaml", "environment.json", "data.json", "history.csv", "evaluation/summary.json")


@dataclass(frozen=True)
class CaseFiles:
    """Where the image, the truth and the prediction of a case lie, and which of their values are labels.

    Attributes
    ----------
    image, truth, prediction
        The files.
    values
        The declared label values; every other value is background (or ignored). Empty: all values but 0 are labels.
    binary
        Every value but 0 is the one label.
    """

    image: Path
    truth: Path
    prediction: Path
    values: tuple[int, ...] = ()
    binary: bool = False


@dataclass(frozen=True)
class Run:
    """A run's folder, read.

    What a run has not written yet is empty here, and named in :attr:`missing`.

    Attributes
    ----------
    folder
        The run's folder.
    config
        The resolved configuration.
    environment
        Versions, machine, command, times.
    data
        The dataset's summary.
    history
        Column name -> one value per epoch; NaN where the cell is empty.
    scores
        The rows of ``evaluation/cases.csv``, one per case and label.
    evaluation
        The content of ``evaluation/summary.json``.
    missing
        One sentence per file that is absent or cannot be read.
    """

    folder: Path
    config: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    history: dict[str, list[float]] = field(default_factory=dict)
    scores: list[CaseScores] = field(default_factory=list)
    evaluation: dict[str, Any] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @property
    def method(self) -> str:
        """The method's name; ``"unknown method"`` where the configuration is missing."""
        return str(self.config.get("method") or "unknown method")

    @property
    def dataset(self) -> str:
        """The dataset's name; ``"unknown data"`` where the summary is missing."""
        return str(self.data.get("name") or "unknown data")

    @property
    def summary(self) -> dict[str, dict[str, dict[str, float]]]:
        """Label -> metric -> statistic -> value."""
        summary: dict[str, dict[str, dict[str, float]]] = self.evaluation.get("summary") or {}
        return summary

    @cached_property
    def by_case(self) -> dict[str, dict[str, dict[str, float]]]:
        """Case -> label -> metric -> value."""
        table: dict[str, dict[str, dict[str, float]]] = {}
        for row in self.scores:
            values = {name: float(value) for name, value in row.items() if name not in ("case", "label")}
            table.setdefault(str(row["case"]), {})[str(row["label"])] = values
        return table

    @cached_property
    def labels(self) -> list[str]:
        """The evaluated labels, in the order of the files."""
        of_cases = (label for labels in self.by_case.values() for label in labels)
        return list(dict.fromkeys([*self.summary, *of_cases]))

    @cached_property
    def metric_names(self) -> list[str]:
        """The names of the metrics that the run has, in the order of the files."""
        of_summary = (name for metrics in self.summary.values() for name in metrics)
        of_cases = (name for labels in self.by_case.values() for values in labels.values() for name in values)
        return list(dict.fromkeys([*of_summary, *of_cases]))

    def values(self, label: str, metric: str) -> dict[str, float]:
        """Case -> value of one metric of one label, where there is one."""
        found = {case: labels.get(label, {}).get(metric) for case, labels in self.by_case.items()}
        return {case: value for case, value in found.items() if value is not None}

    def files(self, case: str) -> CaseFiles | None:
        """Where a case's files lie, relative paths taken from the run's folder; ``None`` where they are not named."""
        entry = (self.evaluation.get("files") or {}).get(case)
        if not entry or not all(entry.get(key) for key in ("image", "truth", "prediction")):
            return None
        images = entry["image"]
        first = images if isinstance(images, str) else images[0]
        return CaseFiles(
            image=self.folder / first,
            truth=self.folder / entry["truth"],
            prediction=self.folder / entry["prediction"],
            values=tuple(int(value) for value in (self.data.get("labels") or {}).values()),
            binary=bool(self.data.get("binary") or (self.config.get("prepare") or {}).get("binary")),
        )


def load_run(path: str | Path) -> Run:
    """Read a run's folder, whatever of it exists.

    A run that was interrupted before its evaluation is read too: what is absent or damaged is listed in
    :attr:`Run.missing`.

    Parameters
    ----------
    path
        The run's folder.

    Raises
    ------
    InputError
        The folder does not exist, or holds none of a run's files.

    Examples
    --------
    >>> load_run("no/such/run")
    Traceback (most recent call last):
    ...
    shapewright.errors.InputError: run folder no/such/run does not exist
    """
    folder = Path(path)
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise InputError(f"run folder {folder} {what}")
    if not any((folder / name).is_file() for name in RUN_FILES):
        raise InputError(f"{folder} is not a run folder: it holds none of {', '.join(RUN_FILES)}")
    missing: list[str] = []

    def read(name: str, reader: Callable[[Path], Content], default: Content, consequence: str) -> Content:
        file = folder / name
        if not file.is_file():
            missing.append(f"{name} is not there: {consequence}.")
            return default
        try:
            return reader(file)
        except (ValueError, TypeError, KeyError, AttributeError, OSError, csv.Error) as error:
            missing.append(f"{name} cannot be read ({error}): {consequence}.")
            return default

    run = Run(
        folder=folder,
        config=read("config.yaml", _read_yaml, {}, "the configuration is unknown"),
        environment=read("environment.json", _read_json, {}, "when and where the run was made is unknown"),
        data=read("data.json", _read_json, {}, "the data cannot be summarised"),
        history=read("history.csv", _read_history, {}, "there are no learning curves"),
        scores=read("evaluation/cases.csv", read_csv, [], "there is no table of cases"),
        evaluation=read("evaluation/summary.json", _read_json, {}, "the run has not been evaluated"),
        missing=missing,
    )
    if "finished" in run.environment and run.environment["finished"] is None:
        missing.insert(0, "Training has not finished.")
    return run


def _read_yaml(file: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    return _mapping(content)


def _read_json(file: Path) -> dict[str, Any]:
    return _mapping(json.loads(file.read_text(encoding="utf-8")))


def _mapping(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError("not a mapping")
    return content


def _read_history(file: Path) -> dict[str, list[float]]:
    with file.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        rows = list(reader)
    columns = {name: [_number(row[name]) for row in rows] for name in reader.fieldnames or ()}
    return {name: values for name, values in columns.items() if not all(math.isnan(value) for value in values)}


def _number(cell: str | None) -> float:
    """Return a cell as a number; NaN where it is empty or no number."""
    try:
        return float(cell) if cell else math.nan
    except ValueError:
        return math.nan
