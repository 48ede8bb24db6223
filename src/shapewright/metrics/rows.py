"""Rows of scores, one per case and label, and their files."""

import csv
import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from shapewright.errors import InputError
from shapewright.metrics.registry import METRICS

CaseScores = dict[str, str | float]
"""One row: ``{"case": name, "label": name, metric: value, ...}``. A metric that was not computed is not there."""

KEYS = ("case", "label")


def case_rows(case: str, scores: Mapping[str, Mapping[str, float]]) -> list[CaseScores]:
    """Return what :func:`shapewright.metrics.evaluate` said about one case as rows.

    Examples
    --------
    >>> case_rows("a", {"liver": {"dice": 0.5}})
    [{'case': 'a', 'label': 'liver', 'dice': 0.5}]
    """
    return [{"case": case, "label": label, **values} for label, values in scores.items()]


def metric_names(rows: Sequence[CaseScores]) -> list[str]:
    """Return the metrics that occur in any row: the declared ones in their order, then others as they come."""
    found = dict.fromkeys(name for row in rows for name in row if name not in KEYS)
    return [name for name in METRICS if name in found] + [name for name in found if name not in METRICS]


@contextmanager
def _replacing(path: Path) -> Iterator[TextIO]:
    """Open a file under a temporary name and give it its own name once it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            yield stream
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_csv(path: str | Path, rows: Sequence[CaseScores]) -> None:
    """Write rows as a CSV table: case, label, then one column per metric.

    Numbers are written so that :func:`read_csv` returns exactly the same; a value that a row does not have is an empty
    cell. The file appears when it is complete, or not at all.

    Parameters
    ----------
    path
        File to write; its folder is made.
    rows
        As from :func:`case_rows`.
    """
    with _replacing(Path(path)) as stream:
        writer = csv.DictWriter(stream, [*KEYS, *metric_names(rows)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: str | Path) -> list[CaseScores]:
    """Read rows that :func:`write_csv` wrote, or any CSV table with the columns ``case`` and ``label``.

    Raises
    ------
    InputError
        A missing file or column, or a cell that is not a number.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [key for key in KEYS if key not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{path} must have the columns case and label; {' and '.join(missing)} missing")
            return [_parse(row, f"{path}, line {reader.line_num}") for row in reader]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path} as a CSV table: {error}") from error


def _parse(row: dict[str | Any, str | Any], where: str) -> CaseScores:
    parsed: CaseScores = {key: row[key] for key in KEYS}
    for name, cell in row.items():
        if name in KEYS or not cell:
            continue
        try:
            parsed[name] = float(cell)
        except (TypeError, ValueError):
            raise InputError(f"{where}: {name} must be a number; got {cell!r}") from None
    return parsed


def write_json(path: str | Path, value: Any) -> None:
    """Write rows, a summary or a comparison as JSON; dataclasses become objects.

    The file appears when it is complete, or not at all.

    Parameters
    ----------
    path
        File to write; its folder is made.
    value
        Lists, mappings, dataclasses, numbers and strings.
    """
    with _replacing(Path(path)) as stream:
        json.dump(value, stream, indent=2, default=dataclasses.asdict, allow_nan=False)
        stream.write("\n")
