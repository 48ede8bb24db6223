"""A program of set operations as a diagram."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from shapewright.morphology.program import Element, Node, Program

_INK, _EXACT, _NEAR = "#22303c", "#2a7f62", "#c8553d"
_SPACING, _HALF = 1.45, 0.27  # of columns; of a picture
_SYMBOLS = {"union": "∪", "intersection": "∩", "complement": "¬"}
_WORDS = {"anti_dilation": "anti-dilation", "anti_erosion": "anti-erosion"}


def draw(program: Program, path: Path | None, title: str | None) -> Any:
    """Draw nodes in columns by their depth; weights beside elements."""
    from matplotlib.figure import Figure

    shown = _shown(program)
    columns, rows = _layout(program, shown)
    places = {number: (_SPACING * columns[number], -rows[number]) for number in shown}
    right, bottom = _SPACING * (max(columns.values()) + 0.75), -max(rows.values())
    figure = Figure(figsize=(2.1 * (right + 0.7), 2.3 * (1.3 - bottom) + 0.4), dpi=120)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-0.3, right + 0.4)
    axes.set_ylim(bottom - 0.65, 0.85)
    axes.axis("off")
    for number in shown:
        for argument in program.nodes[number].arguments:
            skips = columns[number] - columns[argument] > 1 and rows[number] == rows[argument]
            ends = _half_width(program.nodes[argument]), _half_width(program.nodes[number])
            _arrow(axes, places[argument], places[number], ends, bend=-0.25 if skips else 0.0)
    for k, number in enumerate(program.outputs):
        end = (right, places[number][1])
        _arrow(axes, places[number], end, (_half_width(program.nodes[number]), 0.1))
        name = "y" if len(program.outputs) == 1 else f"y{k}"
        axes.text(*end, name, ha="center", va="center", fontsize=13, color=_INK)
    for number in shown:
        _draw_node(axes, program, program.nodes[number], *places[number])
    lines = str(program).splitlines()
    heading = title if title is not None else (lines[0] if len(lines) < 2 or not lines[1] else "")
    axes.text(-0.2, 0.7, heading, fontsize=10, color=_INK, va="center", ha="left", family="monospace")
    if path is not None:
        figure.savefig(path)
    return figure


def _half_width(node: Node) -> float:
    """Return the distance from a node's centre at which arrows end."""
    if node.element is None:
        return 0.08 if node.operation == "input" else 0.17
    return _HALF if node.neuron is None else 2 * _HALF + 0.03


def _shown(program: Program) -> list[int]:
    return sorted(program._last_use())


def _layout(program: Program, shown: list[int]) -> tuple[dict[int, int], dict[int, float]]:
    """Return the column and row of each node: its depth, and the mean row of what it works on, kept apart."""
    columns: dict[int, int] = {}
    for number in shown:
        arguments = program.nodes[number].arguments
        columns[number] = max((columns[argument] + 1 for argument in arguments), default=0)
    by_column: dict[int, list[int]] = defaultdict(list)
    for number in shown:
        by_column[columns[number]].append(number)
    rows: dict[int, float] = {}
    for column in sorted(by_column):
        wanted = {
            number: float(np.mean([rows[a] for a in program.nodes[number].arguments] or [index]))
            for index, number in enumerate(by_column[column])
        }
        free = -1.0
        for number in sorted(by_column[column], key=lambda n: (wanted[n], n)):
            rows[number] = max(wanted[number], free + 1.0)
            free = rows[number]
    return columns, rows


def _arrow(
    axes: Any, start: tuple[float, float], end: tuple[float, float], ends: tuple[float, float], bend: float = 0.0
) -> None:
    style = {"arrowstyle": "-|>", "color": _INK, "lw": 1.1, "shrinkA": 0, "shrinkB": 0}
    if bend:
        style["connectionstyle"] = f"arc3,rad={bend}"
        start, end, ends = (start[0], start[1] + 0.12), (end[0], end[1] + 0.2), (0.0, 0.0)
    axes.annotate("", xy=(end[0] - ends[1], end[1]), xytext=(start[0] + ends[0], start[1]), arrowprops=style)


def _draw_node(axes: Any, program: Program, node: Node, x: float, y: float) -> None:
    if node.operation == "input":
        name = "x" if program.channels == 1 else f"x{node.number}"
        axes.text(x, y, name, ha="center", va="center", fontsize=13, color=_INK)
        return
    if node.element is None:
        text = _SYMBOLS.get(node.operation, f"every {node.number}")
        colour = _INK if node.neuron is None else (_EXACT if node.neuron.exact else _NEAR)
        box = {"boxstyle": "circle,pad=0.3", "fc": "white", "ec": colour, "lw": 1.4}
        axes.text(x, y, text, ha="center", va="center", fontsize=13, color=_INK, bbox=box)
        return
    neuron = node.neuron
    weights = None
    if neuron is not None and neuron.weights.ndim == node.element.ndim:
        weights = neuron.weights
        if node.operation.endswith("erosion"):  # an erosion's element is the mirror image of the weights' set
            weights = weights[(slice(None, None, -1),) * weights.ndim]
    panels = [node.element] if weights is None else [node.element, weights]
    half = _HALF + 0.02 if len(panels) > 1 else 0.0
    for panel, offset in zip(panels, (-half, half), strict=False):
        _picture(axes, panel, x + offset, y)
    if neuron is not None:
        state, colour = ("exact", _EXACT) if neuron.exact else (f"approximated, {neuron.distance:.2g} away", _NEAR)
        axes.text(x, y - 0.33, state, ha="center", va="top", fontsize=7.5, color=colour)
    label = _WORDS.get(node.operation, node.operation) + (", outside 1" if node.outside else "")
    axes.text(x, y + 0.32, label, ha="center", va="bottom", fontsize=9, color=_INK)


def _picture(axes: Any, panel: Element | Any, x: float, y: float) -> None:
    """Show an element (black on white) or weights (grey) around a point; the middle plane in 3D."""
    plane = panel if panel.ndim == 2 else panel[panel.shape[0] // 2]
    binary = plane.dtype == np.bool_
    limits = axes.get_xlim(), axes.get_ylim()
    inset = axes.inset_axes((x - _HALF, y - _HALF, 2 * _HALF, 2 * _HALF), transform=axes.transData)
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])
    inset.imshow(plane, cmap="Greys" if binary else "viridis", vmin=0, vmax=1 if binary else None)
    inset.set_xticks([])
    inset.set_yticks([])
    for spine in inset.spines.values():
        spine.set_color(_INK)
        spine.set_linewidth(0.6)
