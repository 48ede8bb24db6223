"""Reduced ordered decision diagrams: the canonical form of a Boolean function.

For a fixed order of the variables every function has exactly one such diagram (Bryant, "Graph-based algorithms for
Boolean function manipulation", IEEE Transactions on Computers 35(8), 1986), so equality is identity. The order is
improved by sifting (Rudell, "Dynamic variable ordering for ordered binary decision diagrams", ICCAD 1993).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from shapewright.boolean._sifting import sift
from shapewright.boolean.expression import FALSE, TRUE, Expression, Offset, choice, pixel
from shapewright.errors import InputError

MAX_TABLE_PIXELS = 16


@dataclass(frozen=True)
class Diagram:
    """A decision diagram: each node asks one pixel and continues at ``low`` (not set) or ``high`` (set).

    Attributes
    ----------
    order
        The offsets that the function depends on, in the order in which they are asked.
    nodes
        Triples (index into ``order``, low, high), children before parents, the root last. References 0 and 1 are the
        constants; reference ``k + 2`` is ``nodes[k]``.
    root
        Reference of the whole function.
    """

    order: tuple[Offset, ...]
    nodes: tuple[tuple[int, int, int], ...]
    root: int

    @classmethod
    def from_expression(cls, expression: Expression, order: Sequence[Offset] | None = None) -> Diagram:
        """Build the diagram of an expression; the order is found by sifting unless it is given."""
        builder = _Builder(tuple(order) if order is not None else expression.offsets)
        missing = set(expression.offsets) - set(builder.order)
        if missing:
            raise InputError(f"order must hold every offset of the expression; {sorted(missing)} missing")
        diagram = builder.finish(builder.build(expression))
        return diagram if order is not None else diagram.sifted()

    @classmethod
    def from_truth_table(cls, table: NDArray[np.bool_], offsets: Sequence[Offset]) -> Diagram:
        """Build the diagram of a table of ``2 ** n`` values, the first offset being the most significant bit."""
        builder = _Builder(tuple(offsets))
        # References of the sub-functions, halved level by level from the last variable to the first.
        level = np.asarray(table, dtype=np.int64)
        for variable in range(len(offsets) - 1, -1, -1):
            pairs, where_used = np.unique(level.reshape(-1, 2), axis=0, return_inverse=True)
            made = np.array([builder.node(variable, int(low), int(high)) for low, high in pairs], dtype=np.int64)
            level = made[where_used.reshape(-1)]
        return builder.finish(int(level[0])).sifted()

    def sifted(self) -> Diagram:
        """Return the diagram in a better order of its variables, if sifting finds one."""
        permutation, nodes, root = sift(self.nodes, self.root, len(self.order))
        return Diagram(tuple(self.order[variable] for variable in permutation), nodes, root)

    def reordered(self, order: Sequence[Offset]) -> Diagram:
        """Return the diagram of the same function in another order of the variables."""
        return Diagram.from_expression(self.expression, order)

    @cached_property
    def expression(self) -> Expression:
        """The diagram as an expression, one gate a node; its proxy polynomial is the exact expectation."""
        made: list[Expression] = [FALSE, TRUE]
        for variable, low, high in self.nodes:
            made.append(choice(pixel(*self.order[variable]), made[high], made[low]))
        return made[self.root]

    def evaluate(self, values: Mapping[Offset, bool]) -> bool:
        """Return the function's value where the pixels have the given values."""
        reference = self.root
        while reference > 1:
            variable, low, high = self.nodes[reference - 2]
            reference = high if values[self.order[variable]] else low
        return reference == 1

    def count(self, variables: int | None = None) -> int:
        """Return how many of the ``2 ** variables`` configurations satisfy the function.

        Examples
        --------
        >>> Diagram.from_expression(pixel(0, 0) | pixel(0, 1)).count()
        3
        """
        total = len(self.order) if variables is None else variables
        below = [0, 1 << total]  # twice-halved counts stay integers: each node averages its children
        for _, low, high in self.nodes:
            below.append((below[low] + below[high]) >> 1)
        return below[self.root]


class _Builder:
    """The table of unique nodes while a diagram is built."""

    def __init__(self, order: tuple[Offset, ...]) -> None:
        self.order = order
        self._variable = {offset: index for index, offset in enumerate(order)}
        self._nodes: list[tuple[int, int, int]] = []
        self._unique: dict[tuple[int, int, int], int] = {}
        self._chosen: dict[tuple[int, int, int], int] = {}

    def node(self, variable: int, low: int, high: int) -> int:
        if low == high:
            return low
        key = (variable, low, high)
        if key not in self._unique:
            self._nodes.append(key)
            self._unique[key] = len(self._nodes) + 1
        return self._unique[key]

    def build(self, expression: Expression) -> int:
        made: dict[Expression, int] = {}
        for gate in expression.gates():
            inputs = [made[argument] for argument in gate.arguments]
            if gate.gate == "const":
                made[gate] = int(gate.value)
            elif gate.gate == "pixel":
                made[gate] = self.node(self._variable[gate.offset], 0, 1)
            elif gate.gate == "not":
                made[gate] = self.choose(inputs[0], 0, 1)
            elif gate.gate == "where":
                made[gate] = self.choose(*inputs)
            else:
                made[gate] = self._chain(gate.gate, inputs)
        return made[expression]

    def _chain(self, gate: str, inputs: list[int]) -> int:
        """Join references pairwise, which keeps intermediate diagrams small."""
        while len(inputs) > 1:
            joined = [self._pair(gate, a, b) for a, b in zip(inputs[::2], inputs[1::2], strict=False)]
            inputs = joined + inputs[2 * len(joined) :]
        return inputs[0]

    def _pair(self, gate: str, a: int, b: int) -> int:
        if gate == "and":
            return self.choose(a, b, 0)
        if gate == "or":
            return self.choose(a, 1, b)
        return self.choose(a, self.choose(b, 0, 1), b)

    def choose(self, condition: int, then: int, otherwise: int) -> int:
        """Return the reference of: ``then`` where ``condition`` holds, ``otherwise`` elsewhere."""
        if condition < 2:
            return then if condition else otherwise
        if then == otherwise:
            return then
        if (then, otherwise) == (1, 0):
            return condition
        key = (condition, then, otherwise)
        if key not in self._chosen:
            variable = min(self._nodes[reference - 2][0] for reference in key if reference > 1)
            low = self.choose(*(self._child(reference, variable, 1) for reference in key))
            high = self.choose(*(self._child(reference, variable, 2) for reference in key))
            self._chosen[key] = self.node(variable, low, high)
        return self._chosen[key]

    def _child(self, reference: int, variable: int, side: int) -> int:
        if reference < 2 or self._nodes[reference - 2][0] != variable:
            return reference
        return self._nodes[reference - 2][side]

    def finish(self, root: int) -> Diagram:
        """Return the diagram of the nodes below a root, without unused nodes and variables."""
        used: set[int] = set()
        stack = [root]
        while stack:
            reference = stack.pop()
            if reference > 1 and reference not in used:
                used.add(reference)
                stack.extend(self._nodes[reference - 2][1:])
        variables = sorted({self._nodes[reference - 2][0] for reference in used})
        rank = {variable: index for index, variable in enumerate(variables)}
        number = {0: 0, 1: 1}
        nodes: list[tuple[int, int, int]] = []
        for reference in sorted(used, key=lambda r: (-self._nodes[r - 2][0], r)):
            variable, low, high = self._nodes[reference - 2]
            nodes.append((rank[variable], number[low], number[high]))
            number[reference] = len(nodes) + 1
        return Diagram(tuple(self.order[variable] for variable in variables), tuple(nodes), number[root])
