"""A Boolean filter: written once as an expression, evaluated in three ways."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np

from shapewright.arrays import AnyArray, as_binary, is_tensor, shape_of
from shapewright.boolean._blocks import as_plane_offset, as_planes, cut, flat_distances
from shapewright.boolean._jit import for_each_block
from shapewright.boolean._machine import run_words
from shapewright.boolean._program import program
from shapewright.boolean.diagram import MAX_TABLE_PIXELS, Diagram
from shapewright.boolean.expression import Expression, Offset, as_expression, pixel
from shapewright.boolean.packed import PackedImage, Words, pack
from shapewright.errors import InputError, unknown

Semantics = Literal["exact", "proxy"]

_SEMANTICS = ("exact", "proxy")
_THREADED_GATES = 1 << 20  # words times gates; below, starting threads costs more than the work
_ROUNDING = 1e-5  # how far rounding may carry a probability out of [0, 1]
_ARITY = {"not": 1, "where": 3}


class Filter:
    """A filter that computes every pixel from its neighbourhood by a Boolean expression.

    The dtype of the image says which evaluation runs:

    * bool, integers 0 and 1, or a :class:`PackedImage`: the Boolean filter itself, on 64 pixels a word.
    * floating point: the pixels are probabilities. ``semantics="exact"`` returns the probability that the filter holds
      if pixels are independent, computed on the decision diagram. ``semantics="proxy"`` returns the polynomial of the
      expression as it was written (``~a`` is ``1 - a``, ``a & b`` is ``a b``, ``a | b`` is ``a + b - a b``), which
      costs no more than the expression. Both are differentiable and agree with the Boolean filter on 0 and 1.

    Parameters
    ----------
    expression
        What to compute, an :class:`Expression` over pixels with offsets of 2 or 3 axes.
    spatial_dims
        Needed only for an expression without pixels.

    References
    ----------
    Guzzi et al., "Differentiable soft morphological filters for medical image segmentation", MICCAI 2024.

    Examples
    --------
    >>> import numpy as np
    >>> edge = Filter(pixel(0, 0) & ~(pixel(0, 1) & pixel(0, -1)))
    >>> edge(np.array([[0, 1, 1, 1, 1, 0]], dtype=bool)).astype(int)
    array([[0, 1, 0, 0, 1, 0]])
    >>> edge(np.array([[0.0, 0.5, 0.5]]))
    array([[0. , 0.5, 0.5]])
    """

    def __init__(self, expression: Expression, *, spatial_dims: int | None = None) -> None:
        self.expression = as_expression(expression)
        ranks = {len(offset) for offset in self.expression.offsets} | ({spatial_dims} if spatial_dims else set())
        if len(ranks) != 1:
            raise InputError(
                "a filter needs pixels of one rank, all (y, x) or all (z, y, x), or spatial_dims where it has none; "
                f"got {sorted(ranks)}"
            )
        self.spatial_dims: int = ranks.pop()

    @classmethod
    def from_truth_table(cls, table: AnyArray | Sequence[bool], offsets: Sequence[Offset]) -> Filter:
        """Make a filter of a table of ``2 ** n`` values, the first offset being the most significant bit."""
        return cls(from_truth_table(table, offsets), spatial_dims=len(offsets[0]) if offsets else None)

    @classmethod
    def from_function(cls, predicate: Callable[..., bool], offsets: Sequence[Offset]) -> Filter:
        """Make a filter of a Python predicate that takes one bool per offset (at most 16)."""
        return cls(from_function(predicate, offsets), spatial_dims=len(offsets[0]) if offsets else None)

    @classmethod
    def from_json(cls, text: str) -> Filter:
        """Read a filter that :meth:`to_json` wrote.

        Raises
        ------
        InputError
            Anything else.
        """
        try:
            record = json.loads(text)
            made: list[Expression] = []
            for gate, *content in record["gates"]:
                made.append(_gate_from_json(gate, content, made))
            return cls(made[-1], spatial_dims=record["spatial_dims"])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise InputError(f"not a filter written by Filter.to_json: {error}") from error

    def to_json(self) -> str:
        """Return the filter as JSON: its gates in order, each naming its arguments by number."""
        number: dict[Expression, int] = {}
        gates: list[list[Any]] = []
        for gate in self.expression.gates():
            number[gate] = len(gates)
            if gate.gate == "pixel":
                gates.append(["pixel", *gate.offset])
            elif gate.gate == "const":
                gates.append(["const", int(gate.value)])
            else:
                gates.append([gate.gate, *(number[argument] for argument in gate.arguments)])
        return json.dumps({"spatial_dims": self.spatial_dims, "gates": gates}, separators=(",", ":"))

    @cached_property
    def diagram(self) -> Diagram:
        """The reduced ordered decision diagram, in an order found by sifting."""
        return Diagram.from_expression(self.expression)

    @property
    def offsets(self) -> tuple[Offset, ...]:
        """The offsets of the pixels that the expression mentions, in raster order."""
        return self.expression.offsets

    @property
    def nodes(self) -> int:
        """The number of nodes of the decision diagram, constants not counted."""
        return len(self.diagram.nodes)

    def __eq__(self, other: object) -> bool:
        """Say whether two filters are the same function, whatever their expressions look like."""
        if not isinstance(other, Filter):
            return NotImplemented
        if self.spatial_dims != other.spatial_dims or set(self.diagram.order) != set(other.diagram.order):
            return False
        return other.diagram.reordered(self.diagram.order) == self.diagram.reordered(self.diagram.order)

    def __hash__(self) -> int:
        return hash((self.spatial_dims, frozenset(self.diagram.order), self.diagram.count()))

    def __repr__(self) -> str:
        return f"Filter({self.expression!r})"

    def __call__(
        self,
        image: Any,
        *,
        semantics: Semantics = "exact",
        outside: float = 0,
        iterations: int | None = 1,
    ) -> Any:
        """Apply the filter to an image with any leading axes.

        Parameters
        ----------
        image
            NumPy array or torch tensor, bool, integers 0 and 1, or floating point in [0, 1]; or a packed image.
        semantics
            ``"exact"`` or ``"proxy"``; it makes a difference on floating-point images only.
        outside
            Value of pixels outside the image, 0 or 1 (on floating-point images, anything between).
        iterations
            How many times to apply the filter; ``None`` until nothing changes (on floating-point images: changes by
            less than 1e-6), at most as many times as the image has pixels along its axes together.

        Returns
        -------
        The same kind as ``image``.

        Raises
        ------
        InputError
            Unknown semantics, too few axes, values outside [0, 1] or NaN.
        """
        if semantics not in _SEMANTICS:
            raise unknown("semantics", str(semantics), _SEMANTICS)
        check_outside(outside, image)
        shape = shape_of(image, "image")
        if len(shape) < self.spatial_dims:
            raise InputError(f"image must have at least the filter's {self.spatial_dims} axes; got shape {shape}")
        if isinstance(image, PackedImage):
            if image.spatial_dims != self.spatial_dims:
                raise InputError(
                    f"image is packed with {image.spatial_dims} spatial axes, the filter has {self.spatial_dims}"
                )
            return repeat(lambda packed: self._exact(packed, bool(outside)), image, iterations)
        if is_floating(image):
            from shapewright.boolean import _soft

            check_probabilities(image, "image")
            expression = self.expression if semantics == "proxy" else self.diagram.expression
            return repeat(lambda soft: _soft.evaluate(expression, soft, float(outside)), image, iterations)
        if on_gpu(image):
            return exact_on_gpu(self._shortest, image, self.spatial_dims, bool(outside), iterations)
        packed = pack(image, spatial_dims=self.spatial_dims)
        result = repeat(lambda binary: self._exact(binary, bool(outside)), packed, iterations).unpack()
        return result.to(image.device) if is_tensor(image) else result

    @cached_property
    def _shortest(self) -> Expression:
        """The form with the fewest gates: as written and simplified, or the decision diagram."""
        written = self.expression.simplify()
        gates = sum(1 for _ in written.gates())
        if gates <= 2 * len(self.offsets):
            return written
        from_diagram = self.diagram.expression.simplify()
        return min(written, from_diagram, key=lambda form: sum(1 for _ in form.gates()))

    def _exact(self, image: PackedImage, outside: bool) -> PackedImage:
        if self._shortest.gate == "const":
            constant = image.with_words(np.zeros_like(image.words))
            return ~constant if self._shortest.value else constant
        return image.with_words(_run_exact(self._shortest, image, outside))


def from_truth_table(table: AnyArray | Sequence[bool], offsets: Sequence[Offset]) -> Expression:
    """Return the expression of a table of ``2 ** n`` values, the first offset being the most significant bit.

    Raises
    ------
    InputError
        Another number of values, or more than 16 pixels: compose larger functions of smaller ones.

    Examples
    --------
    >>> from_truth_table([0, 0, 0, 1], [(0, 0), (0, 1)])
    pixel(0, 0) & pixel(0, 1)
    """
    values = np.asarray(table).astype(bool).reshape(-1)
    if len(offsets) > MAX_TABLE_PIXELS or len(set(offsets)) != len(offsets):
        raise InputError(f"offsets must be at most {MAX_TABLE_PIXELS} different pixels; got {len(offsets)}")
    if values.size != 2 ** len(offsets):
        raise InputError(f"table must have 2 ** {len(offsets)} = {2 ** len(offsets)} values; got {values.size}")
    for offset in offsets:
        pixel(*offset)
    return Diagram.from_truth_table(values, [tuple(offset) for offset in offsets]).expression


def from_function(predicate: Callable[..., bool], offsets: Sequence[Offset]) -> Expression:
    """Return the expression of a Python predicate that takes one bool per offset.

    The predicate is called once for each of the ``2 ** n`` configurations, so at most 16 pixels are accepted.

    Examples
    --------
    >>> from_function(lambda a, b: a and not b, [(0, 0), (0, 1)])
    pixel(0, 0) & ~pixel(0, 1)
    """
    if len(offsets) > MAX_TABLE_PIXELS:
        raise InputError(
            f"from_function tries all configurations of at most {MAX_TABLE_PIXELS} pixels; got {len(offsets)}. "
            "Combine smaller functions with & | ^ ~"
        )
    configurations = itertools.product((False, True), repeat=len(offsets))
    return from_truth_table([bool(predicate(*values)) for values in configurations], offsets)


def check_outside(outside: float, image: Any) -> None:
    """Raise unless the value outside the image is 0 or 1, or for probabilities a number between."""
    is_number = isinstance(outside, int | float | np.number | np.bool_)
    if not is_number or not (0 <= outside <= 1 if is_floating(image) else outside in (0, 1)):
        raise InputError(f"outside must be 0 or 1, or for probabilities a number between; got {outside!r}")


def check_probabilities(image: Any, name: str) -> None:
    """Raise unless all values of a floating-point image lie in [0, 1]; NaN does not.

    Nothing is looked at while ``torch.compile`` traces, where values do not exist yet.
    """
    if is_tensor(image):
        import torch

        if torch.compiler.is_compiling() or image.numel() == 0:
            return
        low, high = (float(bound) for bound in torch.aminmax(image.detach()))
    elif image.size:
        low, high = float(image.min()), float(image.max())
    else:
        return
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):
        raise InputError(
            f"{name} must hold probabilities in [0, 1]; got values from {low:g} to {high:g}. "
            "Apply a sigmoid to logits, or compare with a threshold to get a binary image"
        )


def is_floating(image: Any) -> bool:
    """Say whether an array or tensor is of floating point."""
    if is_tensor(image):
        return bool(image.is_floating_point())
    return isinstance(image, np.ndarray) and image.dtype.kind == "f"


def on_gpu(image: Any) -> bool:
    """Say whether an image lies on an NVIDIA GPU for which Triton can make kernels; Triton is not imported yet."""
    return is_tensor(image) and image.device.type == "cuda" and find_spec("triton") is not None


def exact_on_gpu(expression: Expression, image: Any, spatial_dims: int, outside: bool, iterations: int | None) -> Any:
    """Return a filter's result on a binary tensor of a GPU, computed there on words of 64 pixels."""
    import torch

    from shapewright.boolean import _triton

    if image.dtype != torch.bool:
        as_binary(image, "image")
    return _triton.run_exact(expression, image.bool(), spatial_dims, outside, iterations)


def check_iterations(iterations: int | None) -> None:
    """Raise unless a number of repetitions is a positive integer or None; True and False are none."""
    if iterations is None:
        return
    if isinstance(iterations, bool | np.bool_) or not isinstance(iterations, int | np.integer) or iterations < 1:
        raise InputError(
            f"iterations must be a positive integer, or None for until nothing changes; got {iterations!r}"
        )


def repeat(step: Callable[[Any], Any], image: Any, iterations: int | None) -> Any:
    """Apply a step ``iterations`` times, or until nothing changes."""
    check_iterations(iterations)
    if iterations is None:
        for _ in range(max(1, sum(image.shape))):
            before, image = image, step(image)
            if _unchanged(before, image):
                break
        return image
    for _ in range(iterations):
        image = step(image)
    return image


def _unchanged(before: Any, after: Any) -> bool:
    if isinstance(before, PackedImage):
        return bool(np.array_equal(before.words, after.words))
    return (
        before.size == 0 or float(abs(after - before).max()) < 1e-6 if not is_tensor(before) else _close(before, after)
    )


def _close(before: Any, after: Any) -> bool:
    if not before.is_floating_point():
        return bool(before.equal(after))
    return before.numel() == 0 or float((after - before).detach().abs().max()) < 1e-6


def _gate_from_json(gate: str, content: list[int], made: list[Expression]) -> Expression:
    if gate == "pixel":
        return pixel(*content)
    if gate == "const":
        return as_expression(bool(content[0]))
    if gate not in ("not", "and", "or", "xor", "where"):
        raise unknown("gate", str(gate), ["pixel", "const", "not", "and", "or", "xor", "where"])
    if len(content) != _ARITY.get(gate, len(content)) or not content or min(content) < 0:
        raise InputError(f"gate {gate!r} has the arguments {content}")
    return Expression(gate, tuple(made[number] for number in content))  # type: ignore[arg-type]


def _run_exact(expression: Expression, image: PackedImage, outside: bool) -> Words:
    out = np.empty_like(image.words)
    if not image.words.size:
        return out
    gates = program(expression, reuse_slots=True)
    planes = as_planes(image.shape, image.spatial_dims)
    offsets = [as_plane_offset(offset) for offset in gates.offsets]
    sizes = cut(planes, offsets, 64)
    distances = flat_distances(sizes, offsets, 64)
    words = image.words.reshape(*planes[:3], -1)
    target = out.reshape(words.shape)
    threads = None if words.size * len(gates.gates) > _THREADED_GATES else 1
    for_each_block(
        lambda *units: run_words(words, target, gates.gates, gates.slots, distances, sizes, outside, *units),
        planes[0] * sizes.blocks,
        threads,
    )
    return out
