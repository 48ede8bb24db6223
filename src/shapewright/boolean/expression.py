"""Boolean expressions over the pixels of a neighbourhood.

An expression is an immutable graph of gates whose leaves are pixels at given offsets. It says what a filter computes;
:class:`~shapewright.boolean.Filter` runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

from shapewright.errors import InputError

Offset = tuple[int, ...]
Gate = Literal["const", "pixel", "not", "and", "or", "xor", "where"]

_SYMBOL = {"and": " & ", "or": " | ", "xor": " ^ "}


class Expression:
    """A Boolean function of pixels, built from :func:`pixel` with ``& | ^ ~`` and :func:`where`.

    Expressions stay as written: :meth:`simplify` returns a shorter one. ``==`` compares what was written; to ask
    whether two expressions are the same *function*, compare filters (``Filter(a) == Filter(b)``).

    Examples
    --------
    >>> north, centre = pixel(-1, 0), pixel(0, 0)
    >>> centre & ~north
    pixel(0, 0) & ~pixel(-1, 0)
    >>> (centre & centre | False).simplify()
    pixel(0, 0)
    """

    __slots__ = ("_hash", "arguments", "gate", "offset", "value")

    gate: Gate
    arguments: tuple[Expression, ...]
    offset: Offset
    value: bool

    def __init__(
        self, gate: Gate, arguments: tuple[Expression, ...] = (), offset: Offset = (), value: bool = False
    ) -> None:
        self.gate = gate
        self.arguments = arguments
        self.offset = offset
        self.value = value
        self._hash = hash((gate, arguments, offset, value))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Expression) or self._hash != other._hash:
            return False
        return (self.gate, self.offset, self.value, self.arguments) == (
            other.gate,
            other.offset,
            other.value,
            other.arguments,
        )

    def __and__(self, other: Expression | bool) -> Expression:
        return _chain("and", (self, other))

    def __or__(self, other: Expression | bool) -> Expression:
        return _chain("or", (self, other))

    def __xor__(self, other: Expression | bool) -> Expression:
        return _chain("xor", (self, other))

    __rand__ = __and__
    __ror__ = __or__
    __rxor__ = __xor__

    def __invert__(self) -> Expression:
        return Expression("not", (self,))

    def __bool__(self) -> bool:
        raise InputError("an Expression has no truth value; combine expressions with & | ~ instead of and, or, not")

    @property
    def offsets(self) -> tuple[Offset, ...]:
        """The offsets of the pixels that are mentioned, in raster order."""
        return tuple(sorted({gate.offset for gate in self.gates() if gate.gate == "pixel"}))

    def gates(self) -> Iterator[Expression]:
        """Yield every distinct sub-expression once, arguments before the gates that use them."""
        done: set[Expression] = set()
        stack = [self]
        while stack:
            top = stack[-1]
            waiting = [argument for argument in top.arguments if argument not in done]
            if waiting and top not in done:
                stack.extend(reversed(waiting))
                continue
            stack.pop()
            if top not in done:
                done.add(top)
                yield top

    def shifted(self, *by: int) -> Expression:
        """Return the same function read at every pixel's neighbour ``by``.

        Examples
        --------
        >>> (pixel(0, 0) & pixel(0, 1)).shifted(1, 0)
        pixel(1, 0) & pixel(1, 1)
        """
        return self.map_offsets(lambda offset: tuple(a + b for a, b in zip(offset, by, strict=True)))

    def rotated(self, quarter_turns: int = 1, axes: tuple[int, int] = (-2, -1)) -> Expression:
        """Return the expression turned by quarter turns in the plane of two axes, as ``numpy.rot90`` turns arrays.

        Examples
        --------
        >>> pixel(-1, 0).rotated()
        pixel(0, -1)
        """

        def turn(offset: Offset) -> Offset:
            turned = list(offset)
            for _ in range(quarter_turns % 4):
                turned[axes[0]], turned[axes[1]] = -turned[axes[1]], turned[axes[0]]
            return tuple(turned)

        return self.map_offsets(turn)

    def map_offsets(self, move: Callable[[Offset], Offset]) -> Expression:
        """Return the expression with every pixel's offset replaced by ``move(offset)``."""
        moved: dict[Expression, Expression] = {}
        for gate in self.gates():
            if gate.gate == "pixel":
                moved[gate] = pixel(*move(gate.offset))
            elif gate.arguments:
                moved[gate] = Expression(gate.gate, tuple(moved[a] for a in gate.arguments))
            else:
                moved[gate] = gate
        return moved[self]

    def simplify(self) -> Expression:
        """Return an equal, usually shorter expression: constants, double negation, repetition and absorption."""
        short: dict[Expression, Expression] = {}
        for gate in self.gates():
            short[gate] = _simplified(gate, tuple(short[a] for a in gate.arguments))
        return short[self]

    def __repr__(self) -> str:
        if self.gate == "const":
            return str(self.value)
        if self.gate == "pixel":
            return f"pixel({', '.join(map(str, self.offset))})"
        if self.gate == "where":
            return f"where({', '.join(map(repr, self.arguments))})"
        if self.gate == "not":
            return "~" + _bracketed(self.arguments[0], outer="not")
        return _SYMBOL[self.gate].join(_bracketed(argument, outer=self.gate) for argument in self.arguments)


FALSE = Expression("const", value=False)
TRUE = Expression("const", value=True)


def pixel(*offset: int) -> Expression:
    """Return the variable of the pixel at an offset: (y, x), or (z, y, x), from the pixel that is computed.

    Raises
    ------
    InputError
        Not 2 or 3 integers.

    Examples
    --------
    >>> pixel(0, 1)
    pixel(0, 1)
    """
    if len(offset) not in (2, 3) or not all(isinstance(step, int) and not isinstance(step, bool) for step in offset):
        raise InputError(f"a pixel's offset is 2 or 3 integers, (y, x) or (z, y, x); got {offset}")
    return Expression("pixel", offset=offset)


def where(condition: Expression, then: Expression | bool, otherwise: Expression | bool) -> Expression:
    """Return the expression that is ``then`` where ``condition`` holds and ``otherwise`` elsewhere.

    Examples
    --------
    >>> where(pixel(0, 0), pixel(0, 1), False)
    where(pixel(0, 0), pixel(0, 1), False)
    """
    return Expression("where", (condition, as_expression(then), as_expression(otherwise)))


def choice(variable: Expression, then: Expression, otherwise: Expression) -> Expression:
    """Return ``where(variable, then, otherwise)`` in the gate that has the same polynomial and fewest terms."""
    if then == otherwise:
        return then
    if then == TRUE:
        return variable if otherwise == FALSE else Expression("or", (variable, otherwise))
    if otherwise == TRUE:
        return ~variable if then == FALSE else Expression("or", (~variable, then))
    if then == FALSE:
        return Expression("and", (~variable, otherwise))
    if otherwise == FALSE:
        return Expression("and", (variable, then))
    return where(variable, then, otherwise)


def all_of(expressions: Iterable[Expression | bool]) -> Expression:
    """Return the conjunction; of nothing, true."""
    return _chain("and", tuple(expressions))


def any_of(expressions: Iterable[Expression | bool]) -> Expression:
    """Return the disjunction; of nothing, false."""
    return _chain("or", tuple(expressions))


def as_expression(value: Expression | bool) -> Expression:
    """Return an expression itself, or the constant for a Python bool."""
    if isinstance(value, Expression):
        return value
    if isinstance(value, bool):
        return TRUE if value else FALSE
    raise InputError(f"expected an Expression or a bool; got {type(value).__name__}")


def at_least(count: int, expressions: Sequence[Expression]) -> Expression:
    """Return the expression that holds where at least ``count`` of the given ones do.

    It counts along the sequence, so it has about ``count * len(expressions)`` gates, and for distinct pixels its
    proxy polynomial is the exact expectation.

    Examples
    --------
    >>> at_least(1, [pixel(0, 0), pixel(0, 1)])
    pixel(0, 0) | pixel(0, 1)
    """
    expressions = list(expressions)
    reached: list[Expression] = [TRUE] + [FALSE] * max(count, 0)  # reached[k]: k more are needed
    for condition in reversed(expressions):
        reached = [TRUE] + [
            choice(condition, reached[needed - 1], reached[needed]) for needed in range(1, len(reached))
        ]
    return reached[max(count, 0)]


def template(pattern: str | Sequence[str]) -> Expression:
    r"""Return the conjunction that a hit-or-miss pattern of ``1`` (set), ``0`` (not set) and ``.`` (any) describes.

    Parameters
    ----------
    pattern
        Lines of equal, odd length, spaces ignored, the centre at the offset 0. A sequence of such patterns is a stack
        along z.

    Raises
    ------
    InputError
        Another character, lines of unequal length, or an even size.

    Examples
    --------
    >>> template("0 0 0  \n . 1 .  \n 1 1 1").offsets[:3]
    ((-1, -1), (-1, 0), (-1, 1))
    >>> template("..0 \n .10 \n ..0")
    ~pixel(-1, 1) & pixel(0, 0) & ~pixel(0, 1) & ~pixel(1, 1)
    """
    planes = [pattern] if isinstance(pattern, str) else list(pattern)
    grid = [
        [[c for c in line if not c.isspace()] for line in plane.strip().splitlines() if line.strip()]
        for plane in planes
    ]
    shape = (len(grid), len(grid[0]) if grid else 0, len(grid[0][0]) if grid and grid[0] else 0)
    if any(len(plane) != shape[1] or any(len(row) != shape[2] for row in plane) for plane in grid):
        raise InputError(f"the rows and planes of a template must have equal sizes; got {pattern!r}")
    if any(size % 2 == 0 for size in shape):
        raise InputError(f"a template needs odd sizes so that it has a centre; got {' x '.join(map(str, shape))}")
    terms: list[Expression] = []
    for z, plane in enumerate(grid):
        for y, row in enumerate(plane):
            for x, character in enumerate(row):
                offset = (z - shape[0] // 2, y - shape[1] // 2, x - shape[2] // 2)
                variable = pixel(*(offset[1:] if isinstance(pattern, str) else offset))
                if character == "1":
                    terms.append(variable)
                elif character == "0":
                    terms.append(~variable)
                elif character != ".":
                    raise InputError(f"a template holds only '1', '0' and '.'; got {character!r}")
    return all_of(terms)


def _chain(gate: Gate, arguments: tuple[Expression | bool, ...]) -> Expression:
    """Join arguments with an associative gate, merging chains of the same gate."""
    flat: list[Expression] = []
    for argument in map(as_expression, arguments):
        flat.extend(argument.arguments if argument.gate == gate else (argument,))
    if not flat:
        return TRUE if gate == "and" else FALSE
    return flat[0] if len(flat) == 1 else Expression(gate, tuple(flat))


def _bracketed(expression: Expression, outer: Gate) -> str:
    simple = expression.gate in ("const", "pixel", "not", "where") or (expression.gate == "and" and outer == "or")
    return repr(expression) if simple else f"({expression!r})"


def _negated(expression: Expression) -> Expression:
    if expression.gate == "const":
        return FALSE if expression.value else TRUE
    return expression.arguments[0] if expression.gate == "not" else ~expression


def _simplified(gate: Expression, arguments: tuple[Expression, ...]) -> Expression:
    """Return one gate over simplified arguments in its shortest form."""
    if not arguments:
        return gate
    if gate.gate == "not":
        return _negated(arguments[0])
    if gate.gate == "where":
        return _simplified_where(*arguments)
    if gate.gate == "xor":
        return _simplified_xor(arguments)
    absorbing, neutral = (FALSE, TRUE) if gate.gate == "and" else (TRUE, FALSE)
    kept: dict[Expression, None] = {}
    for argument in arguments:
        kept.update(dict.fromkeys(argument.arguments if argument.gate == gate.gate else (argument,)))
    if absorbing in kept or any(_negated(argument) in kept for argument in kept):
        return absorbing
    opposite = "or" if gate.gate == "and" else "and"
    terms = [
        argument
        for argument in kept
        if argument != neutral
        and not (argument.gate == opposite and any(part in kept for part in argument.arguments))  # a & (a | b) = a
    ]
    return _chain(gate.gate, tuple(terms))


def _simplified_xor(arguments: tuple[Expression, ...]) -> Expression:
    odd: dict[Expression, None] = {}
    inverted = False
    for argument in _chain("xor", arguments).arguments or arguments:
        if argument.gate == "not":
            inverted, argument = not inverted, argument.arguments[0]
        if argument == TRUE:
            inverted = not inverted
        elif argument in odd:
            del odd[argument]
        elif argument != FALSE:
            odd[argument] = None
    joined = _chain("xor", tuple(odd))
    return _negated(joined) if inverted else joined


def _simplified_where(condition: Expression, then: Expression, otherwise: Expression) -> Expression:
    if condition.gate == "const":
        return then if condition.value else otherwise
    if condition.gate == "not":
        return _simplified_where(condition.arguments[0], otherwise, then)
    if then == otherwise:
        return then
    if then == TRUE:
        return condition if otherwise == FALSE else _chain("or", (condition, otherwise))
    if then == FALSE:
        return _negated(condition) if otherwise == TRUE else _chain("and", (~condition, otherwise))
    if otherwise == FALSE:
        return _chain("and", (condition, then))
    return where(condition, then, otherwise)
