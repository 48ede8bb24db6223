"""A program of set operations as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from shapewright.morphology.elements import Element, element_name

if TYPE_CHECKING:
    from shapewright.morphology.program import Program


def text(program: Program) -> str:
    """Return a simplified program as text; elements without a name are drawn below."""
    return _Printer(program).text()


class _Printer:
    """Writes a program as text."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.unnamed: list[Element] = []

    def text(self) -> str:
        """Return one line per output, lines before for what is used twice, and drawings of unnamed elements."""
        program = self.program
        uses = [0] * len(program.nodes)
        for node in program.nodes:
            for argument in node.arguments:
                uses[argument] += 1
        written: dict[int, str] = {}
        lines: list[str] = []
        for number, node in enumerate(program.nodes):
            written[number] = self._expression(number, written)
            if node.operation not in ("input", "complement") and uses[number] > 1 and not self._merged(number):
                name = f"t{1 + sum(line.startswith('t') for line in lines)}"
                lines.append(f"{name} = {written[number]}")
                written[number] = name
        names = ["y"] if len(program.outputs) == 1 else [f"y{k}" for k in range(len(program.outputs))]
        lines += [f"{name} = {_bare(written[o])}" for name, o in zip(names, program.outputs, strict=True)]
        for number, element in enumerate(self.unnamed, start=1):
            lines += ["", f"E{number} ="]
            planes = element if element.ndim == 3 else element[None]
            drawn = ["\n".join("  " + "".join("#" if pixel else "." for pixel in row) for row in p) for p in planes]
            lines.append("\n\n".join(drawn))
        return "\n".join(lines)

    def _expression(self, number: int, written: Mapping[int, str]) -> str:
        node = self.program.nodes[number]
        if node.operation == "input":
            return "x" if self.program.channels == 1 else f"x{node.number}"
        arguments = [written[argument] for argument in node.arguments]
        if node.operation == "complement":
            return f"~{arguments[0]}"
        if node.operation in ("union", "intersection"):
            return "(" + (" | " if node.operation == "union" else " & ").join(arguments) + ")"
        if node.operation == "subsample":
            return f"every({_bare(arguments[0])}, {node.number})"
        assert node.element is not None
        outside = ", outside=1" if node.outside else ""
        if node.element.sum() == 1:
            steps = tuple((np.argwhere(node.element)[0] - np.array(node.element.shape) // 2).tolist())
            return f"shift({_bare(arguments[0])}, {steps}{outside})"
        inner = self._inverse(number)
        if inner is not None:
            name = "opening" if node.operation == "dilation" else "closing"
            source = written[self.program.nodes[inner].arguments[0]]
            return f"{name}({_bare(source)}, {self._element(node.element)}{outside})"
        return f"{node.operation}({_bare(arguments[0])}, {self._element(node.element)}{outside})"

    def _inverse(self, number: int) -> int | None:
        """Return the argument that makes a dilation an opening or an erosion a closing."""
        node = self.program.nodes[number]
        if node.operation not in ("dilation", "erosion"):
            return None
        inner = self.program.nodes[node.arguments[0]]
        other = "erosion" if node.operation == "dilation" else "dilation"
        fits = inner.operation == other and inner.outside == node.outside and _equal(inner.element, node.element)
        return node.arguments[0] if fits else None

    def _merged(self, number: int) -> bool:
        """Say whether a node appears only inside openings and closings."""
        users = [k for k, node in enumerate(self.program.nodes) if number in node.arguments]
        return number not in self.program.outputs and all(self._inverse(user) == number for user in users)

    def _element(self, element: Element) -> str:
        name = element_name(element)
        if name is not None:
            return name
        for number, known in enumerate(self.unnamed, start=1):
            if _equal(known, element):
                return f"E{number}"
        self.unnamed.append(element)
        return f"E{len(self.unnamed)}"


def _bare(text: str) -> str:
    """Return an expression without the parentheses around the whole."""
    if not (text.startswith("(") and text.endswith(")")):
        return text
    depth = 0
    for index, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and index < len(text) - 1:
            return text
    return text[1:-1]


def _equal(a: Element | None, b: Element | None) -> bool:
    return a is not None and b is not None and a.shape == b.shape and bool(np.array_equal(a, b))
