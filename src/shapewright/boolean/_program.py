"""From an expression to a program: a table of gates in order, which the kernels of ``_machine`` run.

A program is data, so a new filter needs no compilation, and one table drives the evaluation on words, the polynomial
and its gradient.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shapewright.boolean._machine import AND, CONSTANT, LOAD, NOT, OR, WHERE, XOR
from shapewright.boolean.expression import Expression, Offset

_CODE = {"not": NOT, "and": AND, "or": OR, "xor": XOR, "where": WHERE}


class Program(NamedTuple):
    """A table of gates.

    Attributes
    ----------
    gates
        int64 [gates, 5]: code, target slot, up to three argument slots. A ``LOAD`` has the number of its offset as
        its argument, a ``CONSTANT`` its value. The last gate is the result.
    slots
        How many slots are in use.
    offsets
        The pixels that are loaded.
    gradients
        int64 [gates, 4]: where the gradient is gathered, of the gate and of its arguments. A place serves again once
        the gradient has been handed on, so that the places in use stay in the fastest cache.
    places
        How many such places are in use.
    """

    gates: NDArray[np.int64]
    slots: int
    offsets: tuple[Offset, ...]
    gradients: NDArray[np.int64]
    places: int


@lru_cache(maxsize=256)
def program(expression: Expression, reuse_slots: bool) -> Program:
    """Return the program of an expression.

    With ``reuse_slots`` a slot is used again after the last gate that reads it, so the values in flight stay in the
    fastest cache; the gradient needs every gate's value and therefore one slot each.
    """
    gates = binary_gates(expression)
    offsets = expression.offsets
    last_use = {argument: number for number, gate in enumerate(gates) for argument in gate.arguments}
    slot: dict[Expression, int] = {}
    free: list[int] = []
    used = 0
    table = np.zeros((len(gates), 5), np.int64)
    for number, gate in enumerate(gates):
        arguments = [slot[argument] for argument in gate.arguments]
        if free:
            target = free.pop()
        else:
            target, used = used, used + 1
        slot[gate] = target
        if reuse_slots:
            free.extend({slot[a] for a in gate.arguments if last_use[a] == number})
        if gate.gate == "pixel":
            table[number, :3] = LOAD, target, offsets.index(gate.offset)
        elif gate.gate == "const":
            table[number, :3] = CONSTANT, target, int(gate.value)
        else:
            table[number, : 2 + len(arguments)] = [_CODE[gate.gate], target, *arguments]
    return Program(table, used, offsets, *_gradient_places(gates))


def _gradient_places(gates: list[Expression]) -> tuple[NDArray[np.int64], int]:
    """Return the places of the gradients, found by walking the gates backwards, and how many there are."""
    table = np.zeros((len(gates), 4), np.int64)
    place = {gates[-1]: 0}
    free: list[int] = []
    used = 1
    for number in range(len(gates) - 1, -1, -1):
        gate = gates[number]
        for argument in gate.arguments:
            if argument not in place:
                if not free:
                    free, used = [used], used + 1
                place[argument] = free.pop()
        table[number, : 1 + len(gate.arguments)] = [place[gate], *(place[argument] for argument in gate.arguments)]
        free.append(place.pop(gate))
    return table, used


def binary_gates(expression: Expression) -> list[Expression]:
    """Return the gates of an expression in order, chains of more than two arguments split in pairs."""
    made: dict[Expression, Expression] = {}
    for gate in expression.gates():
        arguments = tuple(made[argument] for argument in gate.arguments)
        if gate.gate in ("and", "or", "xor"):
            joined = arguments[0]
            for argument in arguments[1:]:
                joined = Expression(gate.gate, (joined, argument))
            made[gate] = joined
        else:
            made[gate] = Expression(gate.gate, arguments, gate.offset, gate.value) if arguments else gate
    return list(made[expression].gates())
