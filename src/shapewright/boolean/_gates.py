"""The polynomial of each gate and its derivative, on a chunk of pixels, as vector code.

All slots lie in one array, so a compiler has to assume that a gate's result overlaps its arguments and tests for it at
every gate. Slots never overlap; the intrinsics here write the vector loops down instead.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from shapewright.boolean._blocks import CHUNK

_LANES = 16  # one vector register of float32


class _Vectors:
    """Loads, stores and arithmetic of vectors; products and sums are fused where the processor can."""

    def __init__(self, context: Any, builder: Any, array_type: Any) -> None:
        self.context, self.builder, self.array_type = context, builder, array_type
        number = context.get_data_type(array_type.dtype)
        self.bytes = array_type.dtype.bitwidth // 8
        self.kind = ir.VectorType(number, _LANES)
        self.zero, self.one, self.two = (
            ir.Constant(self.kind, [ir.Constant(number, value)] * _LANES) for value in (0.0, 1.0, 2.0)
        )

    def load(self, array: Any, at: Any) -> Any:
        return self.builder.load(self._pointer(array, at), align=self.bytes)

    def store(self, vector: Any, array: Any, at: Any) -> None:
        self.builder.store(vector, self._pointer(array, at), align=self.bytes)

    def times(self, a: Any, b: Any) -> Any:
        return self.builder.fmul(a, b, flags=("contract",))

    def plus(self, a: Any, b: Any) -> Any:
        return self.builder.fadd(a, b, flags=("contract",))

    def minus(self, a: Any, b: Any) -> Any:
        return self.builder.fsub(a, b, flags=("contract",))

    def without(self, a: Any) -> Any:
        return self.minus(self.one, a)

    def without_twice(self, a: Any) -> Any:
        return self.minus(self.one, self.times(self.two, a))

    def _pointer(self, array: Any, at: Any) -> Any:
        data = self.context.make_array(self.array_type)(self.context, self.builder, array).data
        return self.builder.bitcast(self.builder.gep(data, [at]), self.kind.as_pointer())


def _gate(formula: Callable[..., Any], arguments: int) -> Any:
    """Return the intrinsic ``(values, t, a, b, c)`` that fills slot ``t`` from the slots of the gate's arguments."""

    def gate(_: Any, values: Any, t: Any, a: Any, b: Any, c: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            vectors = _Vectors(context, builder, signature.args[0])
            array, target, *slots = given
            with _chunk(builder) as (step, _):
                inputs = [vectors.load(array, builder.add(slot, step)) for slot in slots[:arguments]]
                vectors.store(formula(vectors, *inputs), array, builder.add(target, step))
            return context.get_dummy_value()

        return types.void(values, t, a, b, c), generate

    return intrinsic(gate)


def _adjoint(formula: Callable[..., Any], arguments: int) -> Any:
    """Return the intrinsic ``(values, adjoint, a, b, c, t, to_a, to_b, to_c)`` that hands a gradient to the arguments.

    It reads the values of the arguments in ``a``, ``b`` and ``c``, takes the gradient of the gate from the place ``t``,
    which it leaves at 0, and adds to the places ``to_a`` ... The formula returns the derivatives with respect to the
    arguments.
    """

    def gate(_: Any, values: Any, adjoint: Any, a: Any, b: Any, c: Any, t: Any, to_a: Any, to_b: Any, to_c: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            vectors = _Vectors(context, builder, signature.args[0])
            array, gradients, *slots = given
            read, own, written = slots[:arguments], slots[3], slots[4 : 4 + arguments]
            with _chunk(builder) as (step, _):
                share = vectors.load(gradients, builder.add(own, step))
                vectors.store(vectors.zero, gradients, builder.add(own, step))
                derivatives = formula(vectors, *(vectors.load(array, builder.add(slot, step)) for slot in read))
                for place, derivative in zip([builder.add(slot, step) for slot in written], derivatives, strict=True):
                    before = vectors.load(gradients, place)
                    vectors.store(vectors.plus(before, vectors.times(share, derivative)), gradients, place)
            return context.get_dummy_value()

        return types.void(values, adjoint, a, b, c, t, to_a, to_b, to_c), generate

    return intrinsic(gate)


def _chunk(builder: Any) -> Any:
    word = ir.IntType(64)
    return cgutils.for_range_slice(builder, word(0), word(CHUNK), word(_LANES))


soft_not = _gate(lambda v, a: v.without(a), 1)
soft_and = _gate(lambda v, a, b: v.times(a, b), 2)
soft_or = _gate(lambda v, a, b: v.plus(a, v.times(b, v.without(a))), 2)
soft_xor = _gate(lambda v, a, b: v.plus(a, v.times(b, v.without_twice(a))), 2)
soft_where = _gate(lambda v, a, b, c: v.plus(c, v.times(a, v.minus(b, c))), 3)

not_adjoint = _adjoint(lambda v, _: (v.minus(v.without(v.one), v.one),), 1)
and_adjoint = _adjoint(lambda _, a, b: (b, a), 2)
or_adjoint = _adjoint(lambda v, a, b: (v.without(b), v.without(a)), 2)
xor_adjoint = _adjoint(lambda v, a, b: (v.without_twice(b), v.without_twice(a)), 2)
where_adjoint = _adjoint(lambda v, a, b, c: (v.minus(b, c), a, v.without(a)), 3)
