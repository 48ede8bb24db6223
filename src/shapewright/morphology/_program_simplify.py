"""The same program with fewer nodes: complements as late as possible, equal nodes shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from shapewright.morphology.elements import trimmed
from shapewright.morphology.program import WITH_ELEMENT, Node, Operation, Program


def simplified(program: Program) -> Program:
    """Return a program that computes the same with fewer nodes."""
    return _Simplifier(program).program()


class _Signed(NamedTuple):
    """A node of the new program, or its complement."""

    number: int
    complement: bool = False


class _Simplifier:
    """Rebuilds a program with complements as late as possible and equal nodes shared."""

    def __init__(self, program: Program) -> None:
        self.source = program
        self.nodes: list[Node] = []
        self.known: dict[tuple[Any, ...], int] = {}

    def program(self) -> Program:
        """Return the simplified program."""
        needed = self.source._last_use()
        found: dict[int, _Signed] = {}
        for number, node in enumerate(self.source.nodes):
            if number in needed:
                found[number] = self._rebuilt(node, [found[argument] for argument in node.arguments])
        outputs = [self._plain(found[number]) for number in self.source.outputs]
        program = Program(self.nodes, outputs, self.source.channels, self.source.spatial_dims)
        return _without_unused(program)

    def _rebuilt(self, node: Node, arguments: Sequence[_Signed]) -> _Signed:
        if node.operation == "input":
            return _Signed(self._add(node))
        first = arguments[0]
        if node.operation == "complement":
            return _Signed(first.number, not first.complement)
        if node.operation in WITH_ELEMENT:
            return self._neighbourhood(node, first)
        if node.operation == "subsample":
            if node.number == 1:
                return first
            return _Signed(self._add(replace(node, arguments=(first.number,))), first.complement)
        return self._combination(node, arguments)

    def _neighbourhood(self, node: Node, first: _Signed) -> _Signed:
        """Return a dilation or erosion; of a complement, the dual of what is complemented."""
        assert node.element is not None
        element = trimmed(node.element)
        anti = node.operation.startswith("anti")
        if element.size == 1 and element.all():
            return _Signed(first.number, first.complement != anti)
        is_dilation = node.operation.endswith("dilation")
        outside = node.outside
        if first.complement:
            is_dilation, outside, anti = not is_dilation, not outside, not anti
            element = element[(slice(None, None, -1),) * element.ndim]
        if not is_dilation and element.sum() == 1:  # one pixel: a shift, written as a dilation
            is_dilation, element = True, element[(slice(None, None, -1),) * element.ndim]
        operation: Operation = "dilation" if is_dilation else "erosion"
        made = Node(operation, (first.number,), element, outside, neuron=node.neuron)
        return _Signed(self._add(made), anti)

    def _combination(self, node: Node, arguments: Sequence[_Signed]) -> _Signed:
        unique = sorted(set(arguments))
        if len(unique) == 1:
            return unique[0]
        union = node.operation == "union"
        if all(argument.complement for argument in unique):
            operation: Operation = "intersection" if union else "union"
            return _Signed(self._add(Node(operation, tuple(argument.number for argument in unique))), True)
        numbers = tuple(self._plain(argument) for argument in unique)
        return _Signed(self._add(Node(node.operation, numbers, neuron=node.neuron)))

    def _plain(self, value: _Signed) -> int:
        """Return a node for a value; the complement of a combination goes inside where that saves complements."""
        if not value.complement:
            return value.number
        node = self.nodes[value.number]
        inside = [self.nodes[argument] for argument in node.arguments]
        complements = sum(argument.operation == "complement" for argument in inside)
        if node.operation in ("union", "intersection") and 2 * complements >= len(inside):
            flipped = [
                argument.arguments[0] if argument.operation == "complement" else self._plain(_Signed(number, True))
                for number, argument in zip(node.arguments, inside, strict=True)
            ]
            dual: Operation = "intersection" if node.operation == "union" else "union"
            return self._add(Node(dual, tuple(sorted(flipped)), neuron=node.neuron))
        return self._add(Node("complement", (value.number,)))

    def _add(self, node: Node) -> int:
        element = None if node.element is None else (node.element.shape, node.element.tobytes())
        key = (node.operation, node.arguments, element, node.outside, node.number)
        if key not in self.known:
            self.known[key] = len(self.nodes)
            self.nodes.append(node)
        return self.known[key]


def _without_unused(program: Program) -> Program:
    needed = sorted(program._last_use())
    place = {number: index for index, number in enumerate(needed)}
    nodes = [
        replace(program.nodes[number], arguments=tuple(place[a] for a in program.nodes[number].arguments))
        for number in needed
    ]
    return Program(nodes, [place[number] for number in program.outputs], program.channels, program.spatial_dims)
