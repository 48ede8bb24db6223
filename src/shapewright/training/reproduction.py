"""What reproducing a paper's relations returns: a table, and which relations hold. Readable without torch."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """One setting: the paper's values beside ours.

    Parameters
    ----------
    name
        The setting.
    ours
        Per column, one value per seed.
    paper
        Per column, what the paper reports, as it prints it; columns the paper does not report are missing.
    """

    name: str
    ours: Mapping[str, Sequence[float]]
    paper: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Relation:
    """A statement that the study checks.

    Parameters
    ----------
    name
        A short name.
    statement
        What is claimed, and by what it is measured.
    holds
        Whether it holds here.
    evidence
        The figures it was decided by.
    """

    name: str
    statement: str
    holds: bool
    evidence: str


@dataclass(frozen=True)
class Reproduction:
    """A paper's relations, measured again.

    Parameters
    ----------
    title
        What was reproduced.
    columns
        The measured quantities, in the table's order.
    rows
        The settings.
    relations
        What holds and what does not.
    notes
        What a reader must know to judge the figures.
    seeds
        The seeds; spreads are over these.
    seconds
        Computing time, that of reused results included.

    Examples
    --------
    >>> row = Row("GDL", {"Dice": [0.6, 0.7]}, paper={"Dice": "0.727 (0.006)"})
    >>> relation = Relation("R1", "Dice rises", True, "0.65 against 0.60")
    >>> print(Reproduction("Study", ["Dice"], [row], [relation], [], [0, 1], 3.0).to_markdown())
    | setting | Dice | Dice (paper) |
    |---|---|---|
    | GDL | 0.650 ± 0.071 | 0.727 (0.006) |
    <BLANKLINE>
    | relation | holds | evidence |
    |---|---|---|
    | **R1** Dice rises | yes | 0.65 against 0.60 |
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]
    relations: Sequence[Relation]
    notes: Sequence[str]
    seeds: Sequence[int]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; each cell has the mean, the spread and the value of every seed."""
        table = asdict(self)
        table["rows"] = [
            {
                "name": row.name,
                "ours": {column: _summary(values) for column, values in row.ours.items()},
                "paper": dict(row.paper),
            }
            for row in self.rows
        ]
        return table

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> "Reproduction":
        """Return what :meth:`to_dict` was made of; keys that it does not write are ignored."""
        rows = [
            Row(row["name"], {column: cell["values"] for column, cell in row["ours"].items()}, row["paper"])
            for row in table["rows"]
        ]
        relations = [Relation(**relation) for relation in table["relations"]]
        plain = {name: table[name] for name in ("title", "columns", "notes", "seeds", "seconds")}
        return cls(rows=rows, relations=relations, **plain)

    def to_markdown(self) -> str:
        """Return the table and the relations as Markdown; cells are mean ± standard deviation over the seeds."""
        reported = [column for column in self.columns if any(column in row.paper for row in self.rows)]
        header = ["setting"]
        for column in self.columns:
            header += [column, f"{column} (paper)"] if column in reported else [column]
        lines = [_table_line(header), "|" + "---|" * len(header)]
        for row in self.rows:
            cells = [row.name]
            for column in self.columns:
                cells.append(_cell(row.ours.get(column, ())))
                if column in reported:
                    cells.append(row.paper.get(column, ""))
            lines.append(_table_line(cells))
        lines += ["", _table_line(["relation", "holds", "evidence"]), "|---|---|---|"]
        for relation in self.relations:
            holds = "yes" if relation.holds else "no"
            lines.append(_table_line([f"**{relation.name}** {relation.statement}", holds, relation.evidence]))
        return "\n".join(lines + ([""] if self.notes else []) + [f"* {note}" for note in self.notes])


def _summary(values: Sequence[float]) -> dict[str, Any]:
    """Return mean, standard deviation over seeds (0 for one), and the values."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": round(statistics.mean(values), 4), "spread": round(spread, 4), "values": list(values)}


def _cell(values: Sequence[float]) -> str:
    """Return a table cell: mean ± spread, with three significant digits or so."""
    if not values:
        return ""
    summary = _summary(values)
    digits = 3 if abs(summary["mean"]) < 2 else 1
    spread = f" ± {summary['spread']:.{digits}f}" if len(values) > 1 else ""
    return f"{summary['mean']:.{digits}f}{spread}"


def _table_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
