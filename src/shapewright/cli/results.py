"""Results as lines of text."""

from collections.abc import Mapping
from typing import Any

_SHOWN = ("dice", "hd95", "assd", "surface_dice")


def summary_lines(evaluation: Mapping[str, Any]) -> list[str]:
    """Return a table of the main metrics with their 95 % intervals, one line per label.

    Parameters
    ----------
    evaluation
        The content of ``evaluation/summary.json``.
    """
    from shapewright.metrics import METRICS

    summary = evaluation["summary"]
    shown = [name for name in _SHOWN if all(name in metrics for metrics in summary.values())]
    heads = [f"{name} [{METRICS[name].unit}]" if METRICS[name].unit else name for name in shown]
    width = max(map(len, summary), default=0) + 2
    lines = [f"{'label':{width}}" + "".join(f"{head:>24}" for head in heads)]
    for label, metrics in summary.items():
        cells = (metrics[name] for name in shown)
        lines.append(
            f"{label:{width}}" + "".join(f"{c['mean']:>8.3f} ({c['ci_low']:6.3f} {c['ci_high']:6.3f})" for c in cells)
        )
    return lines
