"""``shapewright report``: the HTML report of a run, or of several side by side."""

from collections.abc import Sequence
from pathlib import Path

from shapewright.cli.main import OK
from shapewright.cli.parsers import Parser, say


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = Parser(
        "report",
        "Make the HTML report of a run, or compare several on the cases they share. One self-contained file.",
        "examples:\n  shapewright report runs/a\n  shapewright report runs/a runs/b --out compare.html",
    )
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs")
    parser.add_argument("--out", type=Path, help="the HTML file (default: report.html beside what it shows)")
    parser.add_argument("--title", help="title of the page")
    options = parser.parse_args(argv)

    from shapewright.report import write_report

    say(f"report: {write_report(options.runs, options.out, title=options.title)}")
    return OK
