"""A small language for chains of operators, as in ``opening(ball(3mm)) | skeletonize``.

The grammar stands in ``_grammar``. Here are the names, what each of them takes, and how a chain is computed. A text is
checked as a whole before any image is read; lengths in millimetres become pixels once the image's grid is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from shapewright.arrays import as_binary, check_spacing, check_spatial_dims, same_kind
from shapewright.boolean.filter import is_floating
from shapewright.boolean.packed import PackedImage, pack
from shapewright.errors import InputError, unknown
from shapewright.morphology import elements, operators
from shapewright.morphology._grammar import Argument, Call, Number, Value, Vector, error_at, has_unit, parse_calls
from shapewright.morphology.connected import area_opening, fill_holes, reconstruction
from shapewright.morphology.skeleton import skeletonize

Reach = tuple[int, ...]
Options = dict[str, Any]


class Grid(NamedTuple):
    """What of an image decides how many pixels a length is."""

    spatial_dims: int
    spacing: tuple[float, ...]


OnGrid = Callable[[Grid], Any]  # makes a value, such as a structuring element, once the grid is known


class Parameter(NamedTuple):
    """An argument of an operator or element: its name, how it is read, and whether it must be given."""

    name: str
    read: Callable[[Value, str], OnGrid]
    required: bool = True


class Operator(NamedTuple):
    """An operator of the language.

    ``apply`` takes the image, the chain's input, the number of spatial axes and the options; ``reach`` says how far a
    pixel's result depends on others, ``None`` where there is no bound; ``packs`` whether packed images are taken.
    """

    parameters: tuple[Parameter, ...]
    apply: Callable[[Any, Any, int, Options], Any]
    reach: Callable[[Options, int], Reach | None]
    packs: bool = True


@dataclass(frozen=True)
class Step:
    """One operator of a chain with its options."""

    name: str
    position: int
    options: Mapping[str, OnGrid]

    @property
    def operator(self) -> Operator:
        """The entry of :data:`OPERATORS`."""
        return OPERATORS[self.name]


@dataclass(frozen=True)
class Pipeline:
    """A chain of operators, made by :func:`parse`.

    Examples
    --------
    >>> image = np.zeros((9, 9), bool)
    >>> image[2:7, 2:7] = image[0, 0] = True
    >>> parse("opening(box(1)) | invert")(image).sum()
    np.int64(56)
    """

    text: str
    steps: tuple[Step, ...]
    in_millimetres: bool  # whether any length is, so that the spacing matters

    def __call__(
        self, image: Any, *, spatial_dims: int | None = None, spacing: Sequence[float] | float | None = None
    ) -> Any:
        """Apply the chain: exactly to bool and to integers 0 and 1, differentiably to probabilities.

        Parameters
        ----------
        image
            NumPy array or torch tensor; any leading axes.
        spatial_dims
            How many trailing axes are space; by default all of an image with 2 or 3 axes.
        spacing
            Pixel size in mm per spatial axis, (z,) y, x; 1 by default.

        Returns
        -------
        The same kind and shape as ``image``.

        Raises
        ------
        InputError
            An image that the operators do not take, or an element that the grid does not allow.
        """
        dims = check_spatial_dims(spatial_dims, tuple(image.shape))
        grid = Grid(dims, check_spacing(spacing, dims))
        resolved = [(step.operator, self._resolve(step, grid)) for step in self.steps]
        if is_floating(image):
            state = image
            for operator, options in resolved:
                state = operator.apply(state, image, dims, options)
            return state
        start = as_binary(image, "image")
        state = start
        for operator, options in resolved:
            state = _packed(state, dims) if operator.packs else _unpacked(state)
            state = operator.apply(state, start, dims, options)
        return same_kind(_unpacked(state), image)

    def reach(self, spatial_dims: int, spacing: Sequence[float] | float | None = None) -> Reach:
        """Return how many pixels along each axis a result depends on, on either side.

        Raises
        ------
        InputError
            An operator without such a bound: its result at one end of an image can depend on the other end.

        Examples
        --------
        >>> parse("opening(ball(3)) | dilation(box(2mm))").reach(2, spacing=(1.0, 0.5))
        (8, 10)
        """
        grid = Grid(spatial_dims, check_spacing(spacing, spatial_dims))
        total = np.zeros(spatial_dims, np.int64)
        for step in self.steps:
            own = step.operator.reach(self._resolve(step, grid), spatial_dims)
            if own is None:
                hint = "; give it a number of layers, as in skeletonize(5)" if step.name == "skeletonize" else ""
                raise error_at(
                    self.text,
                    step.position,
                    f"{step.name} has no finite reach, so it cannot be computed in parts of an image{hint}",
                )
            total += own
        return tuple(total.tolist())

    def _resolve(self, step: Step, grid: Grid) -> Options:
        try:
            return {name: make(grid) for name, make in step.options.items()}
        except InputError as error:
            raise error_at(self.text, step.position, f"{step.name}: {error}") from error


def parse(text: str) -> Pipeline:
    """Read a chain of operators.

    Parameters
    ----------
    text
        Operators joined by ``|``; see :data:`OPERATORS` and :data:`ELEMENTS`. Lengths are in pixels (``ball(3)``) or
        millimetres (``ball(3mm)``).

    Raises
    ------
    InputError
        Text that is not a chain: the message has the position and, for a misspelt name, a suggestion.

    Examples
    --------
    >>> [step.name for step in parse("closing(ball(2mm)) | fill_holes | area_opening(50)").steps]
    ['closing', 'fill_holes', 'area_opening']
    >>> parse("opning(ball(3))")
    Traceback (most recent call last):
    ...
    shapewright.errors.InputError: at position 1: unknown operator 'opning'; did you mean 'opening'? ...
    """
    calls = parse_calls(text)
    return Pipeline(text, tuple(_step(call, text) for call in calls), any(has_unit(call) for call in calls))


def _step(call: Call, text: str) -> Step:
    if call.name in ELEMENTS:
        raise error_at(
            text,
            call.position,
            f"{call.name} is a structuring element; give it to an operator, as in opening({call.name}(...))",
        )
    if call.name not in OPERATORS:
        raise error_at(text, call.position, str(unknown("operator", call.name, OPERATORS)))
    return Step(call.name, call.position, _bind(call, OPERATORS[call.name].parameters, text))


def _bind(call: Call, parameters: Sequence[Parameter], text: str) -> dict[str, OnGrid]:
    """Give each argument of a call to its parameter."""
    by_name = {parameter.name: parameter for parameter in parameters}
    bound: dict[str, OnGrid] = {}
    for number, argument in enumerate(call.arguments):
        name = _parameter_name(call, number, argument, list(by_name), text)
        if name in bound:
            raise error_at(text, argument.position, f"{name} of {call.name} is given twice")
        bound[name] = by_name[name].read(argument.value, text)
    missing = [parameter.name for parameter in parameters if parameter.required and parameter.name not in bound]
    if missing:
        raise error_at(text, call.position, f"{call.name} needs {' and '.join(missing)}")
    return bound


def _parameter_name(call: Call, number: int, argument: Argument, names: list[str], text: str) -> str:
    if argument.name is not None:
        if argument.name not in names:
            raise error_at(text, argument.position, str(unknown(f"option of {call.name}", argument.name, names)))
        return argument.name
    if number >= len(names):
        accepted = f"at most {', '.join(names)}" if names else "no arguments"
        raise error_at(text, argument.position, f"{call.name} takes {accepted}")
    return names[number]


def _element(value: Value, text: str) -> OnGrid:
    if not isinstance(value, Call):
        raise error_at(text, value.position, "expected a structuring element such as ball(3)")
    if value.name not in ELEMENTS:
        raise error_at(text, value.position, str(unknown("structuring element", value.name, ELEMENTS)))
    make, parameters = ELEMENTS[value.name]
    options = _bind(value, parameters, text)

    def on_grid(grid: Grid) -> elements.Element:
        element = make(grid, **{name: read(grid) for name, read in options.items()})
        if element.ndim != grid.spatial_dims:
            raise InputError(
                f"{value.name} has {element.ndim} axes here, the image {grid.spatial_dims}: "
                "give a direction with one number per axis, (z, y, x) or (y, x)"
            )
        return element

    return on_grid


def _number(value: Value, text: str, units: Sequence[str], what: str) -> Number:
    if not isinstance(value, Number) or value.unit not in units or value.value < 0:
        raise error_at(text, value.position, f"expected {what}")
    return value


def _length(value: Value, text: str) -> OnGrid:
    """Read a radius as itself and the spacing that it counts in."""
    number = _number(value, text, ("", "mm"), "a length in pixels, as in 3, or in millimetres, as in 3mm")
    return lambda grid: (number.value, grid.spacing if number.unit else None)


def _size(value: Value, text: str) -> OnGrid:
    """Read an area or a volume as a number of pixels."""
    number = _number(value, text, ("", "mm2", "mm3"), "a number of pixels, as in 50, or a size, as in 50mm2 or 50mm3")

    def on_grid(grid: Grid) -> int:
        if number.unit and number.unit != f"mm{grid.spatial_dims}":
            raise InputError(f"a size in {grid.spatial_dims}D is in mm{grid.spatial_dims}; got {number.unit}")
        pixel = math.prod(grid.spacing) if number.unit else 1.0
        return max(1, math.ceil(number.value / pixel - 1e-9))

    return on_grid


def _count(value: Value, text: str) -> OnGrid:
    number = _number(value, text, ("",), "a whole number of at least 1")
    if number.value < 1 or number.value != int(number.value):
        raise error_at(text, value.position, "expected a whole number of at least 1")
    return lambda _: int(number.value)


def _zero_or_one(value: Value, text: str) -> OnGrid:
    number = _number(value, text, ("",), "0 or 1, the value of pixels outside the image")
    if number.value not in (0, 1):
        raise error_at(text, value.position, "expected 0 or 1, the value of pixels outside the image")
    return lambda _: int(number.value)


def _direction(value: Value, text: str) -> OnGrid:
    if isinstance(value, Vector) and len(value.items) in (2, 3):
        vector = tuple(item.value for item in value.items)
        return lambda _: vector
    if isinstance(value, Number) and not value.unit:
        return lambda _: value.value
    raise error_at(text, value.position, "expected an angle in degrees, or a direction (y, x) or (z, y, x)")


def _kind(value: Value, text: str) -> OnGrid:
    if not isinstance(value, Call) or value.arguments or value.name not in ("curve", "surface"):
        raise error_at(text, value.position, "expected curve or surface")
    return lambda _: value.name


def _round(make: Callable[..., elements.Element]) -> Callable[..., elements.Element]:
    """Return the maker of an element that has a radius."""

    def on_grid(grid: Grid, radius: tuple[float, Any]) -> elements.Element:
        return make(radius[0], grid.spatial_dims, radius[1])

    return on_grid


def _line(grid: Grid, length: int, direction: float | tuple[float, ...] | None = None) -> elements.Element:
    return elements.line(length, (0,) * (grid.spatial_dims - 1) + (1,) if direction is None else direction)


def _neighbours(grid: Grid, neighbours: int) -> elements.Element:
    return elements.connectivity(neighbours, grid.spatial_dims)


_RADIUS = (Parameter("radius", _length),)
ELEMENTS: dict[str, tuple[Callable[..., elements.Element], tuple[Parameter, ...]]] = {
    "ball": (_round(elements.ball), _RADIUS),
    "box": (_round(elements.box), _RADIUS),
    "diamond": (_round(elements.diamond), _RADIUS),
    "cross": (_round(elements.cross), _RADIUS),
    "line": (_line, (Parameter("length", _count), Parameter("direction", _direction, required=False))),
    "connectivity": (_neighbours, (Parameter("neighbours", _count),)),
}


def _times_element(times: int) -> Callable[[Options, int], Reach]:
    """Return the reach of an operator that passes its widest element over the image a number of times."""

    def reach(options: Options, dims: int) -> Reach:
        shapes = [value.shape for value in options.values() if isinstance(value, np.ndarray)]
        passes = times * options.get("iterations", 1)
        return tuple(passes * max(shape[axis] // 2 for shape in shapes) for axis in range(dims))

    return reach


def _of_thinning(options: Options, dims: int) -> Reach | None:
    """Return the reach of a thinning: within a layer each subfield's result depends on that of the one before."""
    layers = options.get("iterations")
    return None if layers is None else ((2**dims + (options.get("kind") == "surface")) * layers,) * dims


def _nowhere(_: Options, dims: int) -> Reach:
    return (0,) * dims


def _everywhere(_: Options, __: int) -> None:
    return None


def _neighbourhood(function: Callable[..., Any]) -> Callable[[Any, Any, int, Options], Any]:
    return lambda image, _, __, options: function(image, **options)


def _global(function: Callable[..., Any]) -> Callable[[Any, Any, int, Options], Any]:
    return lambda image, _, dims, options: function(image, spatial_dims=dims, **options)


def _reconstructed(image: Any, original: Any, dims: int, options: Options) -> Any:
    return reconstruction(image, original, spatial_dims=dims, **options)


def _inverted(image: Any, _: Any, __: int, ___: Options) -> Any:
    return 1 - image if is_floating(image) else ~image


def _packed(image: Any, dims: int) -> PackedImage:
    return image if isinstance(image, PackedImage) else pack(image, spatial_dims=dims)


def _unpacked(image: Any) -> Any:
    return image.unpack() if isinstance(image, PackedImage) else image


_FOOTPRINT = Parameter("footprint", _element)
_OUTSIDE = Parameter("outside", _zero_or_one, required=False)
_ITERATIONS = Parameter("iterations", _count, required=False)
_AREA = Parameter("area", _size)
_CONNECTIVITY = Parameter("connectivity", _count, required=False)
_KIND = Parameter("kind", _kind, required=False)
_REPEATED = (_FOOTPRINT, _ITERATIONS, _OUTSIDE)
_ONCE = (_FOOTPRINT, _OUTSIDE)
_PAIR = (Parameter("foreground", _element), Parameter("background", _element), _OUTSIDE)

OPERATORS: dict[str, Operator] = {
    "erosion": Operator(_REPEATED, _neighbourhood(operators.erosion), _times_element(1)),
    "dilation": Operator(_REPEATED, _neighbourhood(operators.dilation), _times_element(1)),
    "opening": Operator(_REPEATED, _neighbourhood(operators.opening), _times_element(2)),
    "closing": Operator(_REPEATED, _neighbourhood(operators.closing), _times_element(2)),
    "white_tophat": Operator(_ONCE, _neighbourhood(operators.white_tophat), _times_element(2)),
    "black_tophat": Operator(_ONCE, _neighbourhood(operators.black_tophat), _times_element(2)),
    "gradient": Operator(_ONCE, _neighbourhood(operators.gradient), _times_element(1)),
    "hit_or_miss": Operator(_PAIR, _neighbourhood(operators.hit_or_miss), _times_element(1)),
    "skeletonize": Operator((_ITERATIONS, _KIND), _global(skeletonize), _of_thinning, packs=False),
    "thin": Operator((Parameter("iterations", _count), _KIND), _global(skeletonize), _of_thinning, packs=False),
    "fill_holes": Operator((_CONNECTIVITY,), _global(fill_holes), _everywhere, packs=False),
    "area_opening": Operator((_AREA, _CONNECTIVITY), _global(area_opening), _everywhere, packs=False),
    "reconstruction": Operator((_CONNECTIVITY,), _reconstructed, _everywhere, packs=False),
    "invert": Operator((), _inverted, _nowhere),
}
