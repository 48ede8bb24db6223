"""The HTML report of a run, and the comparison of several: one self-contained page."""

from shapewright.report.page import write_report
from shapewright.report.run import Run, load_run

__all__ = ["Run", "load_run", "write_report"]
