"""Tables of labels: CSV with a header, or JSON, a list of objects with the same names."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shapewright.errors import InputError


@dataclass(frozen=True)
class TableRow:
    """A row of a table, and where it stands, for messages."""

    values: Mapping[str, str]
    where: str

    def number(self, name: str) -> float:
        """Return a column's finite number.

        Raises
        ------
        InputError
            It is missing, or is none.
        """
        try:
            value = float(self.values[name])
        except (KeyError, ValueError):
            value = np.nan
        if not np.isfinite(value):
            columns = "" if name in self.values else f"; the columns are {', '.join(self.values)}"
            raise InputError(f"{self.where}: {name} must be a number; got {self.values.get(name, '')!r}{columns}")
        return value


def read_table(path: Path, needed: Sequence[Sequence[str]] = ()) -> Iterator[TableRow]:
    """Yield the rows of a CSV or JSON table; values are text without spaces around it.

    Parameters
    ----------
    path
        The file.
    needed
        Columns that a CSV without rows must have in its header, each as the names it may have: nothing else would tell
        an empty table of the right kind from one of another.

    Raises
    ------
    InputError
        The file cannot be read, lacks a header, or holds something else than a list of objects.
    """
    if path.suffix.lower() == ".json":
        yield from _json_rows(path)
        return
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as CSV: {error}") from error
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    try:
        names = [name.strip() for name in reader.fieldnames or ()]
        if not names:
            raise InputError(f"{path}: must begin with a header such as y,x or case,size_min")
        if len(set(names)) < len(names):
            raise InputError(f"{path}: a column's name must stand in the header once; got {', '.join(names)}")
        empty = True
        for values in reader:
            empty = False
            if None in values:
                raise InputError(f"{path}, line {reader.line_num}: has more values than the header has columns")
            row = {name.strip(): (value or "").strip() for name, value in values.items()}
            yield TableRow(row, f"{path}, line {reader.line_num}")
        missing = [accepted[0] for accepted in needed if not set(accepted) & set(names)]
        if empty and missing:
            raise InputError(
                f"{path}: a table without rows needs the header too, which lacks {', '.join(missing)}; the columns "
                f"are {', '.join(names)}"
            )
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: cannot be read as CSV: {error}") from error


def _json_rows(path: Path) -> Iterator[TableRow]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise InputError(f'{path}: must be a list of objects such as [{{"y": 12, "x": 30}}]')
    for number, entry in enumerate(content, start=1):
        yield TableRow({str(name): str(value) for name, value in entry.items()}, f"{path}, entry {number}")


def rows_of_case(path: Path, case: str) -> list[TableRow]:
    """Return the rows of a folder's table that speak of a case."""
    return [row for row in read_table(path) if row.values.get("case") == case]


def case_names(path: Path) -> dict[str, str]:
    """Return the cases that a folder's table speaks of, and where each first stands.

    Raises
    ------
    InputError
        A row without a case.
    """
    names: dict[str, str] = {}
    for row in read_table(path, (("case",),)):
        if not row.values.get("case"):
            raise InputError(f"{row.where}: the column 'case' is missing or empty")
        names.setdefault(row.values["case"], row.where)
    return names
