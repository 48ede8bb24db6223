"""Programs of set operations: what a binarised network is.

A program is a list of nodes, each an operation on nodes before it: dilations, erosions and their complements, unions,
intersections, complements, sub-sampling. It runs on packed bits, prints as morphology, is stored as JSON and exports to
plain NumPy source and to ONNX; none of it needs torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import as_binary, same_kind
from shapewright.boolean.packed import PackedImage, pack
from shapewright.errors import InputError, unknown
from shapewright.morphology import elements
from shapewright.morphology.operators import dilation, erosion

Operation = Literal[
    "input",
    "dilation",
    "erosion",
    "anti_dilation",
    "anti_erosion",
    "union",
    "intersection",
    "complement",
    "subsample",
]
Element = NDArray[np.bool_]
_OPERATIONS: tuple[Operation, ...] = get_args(Operation)
_WITH_ELEMENT = ("dilation", "erosion", "anti_dilation", "anti_erosion")
_FORMAT, _VERSION = "shapewright program", 1


@dataclass(frozen=True, eq=False)
class Neuron:
    """The neuron of a network that a node stands for.

    Parameters
    ----------
    name
        Where it is in the network, such as ``layer 1, BiSE 0 to 2``.
    exact
        Whether it is activated: the node is the neuron, not an approximation.
    distance
        How far its bias lies outside the interval of the node's operation; 0 for an exact one.
    weights
        Its effective weights, as the network has them.
    bias, scale
        Its effective bias and its scale.
    """

    name: str
    exact: bool
    distance: float
    weights: NDArray[np.float64]
    bias: float
    scale: float


@dataclass(frozen=True, eq=False)
class Node:
    """One operation.

    Parameters
    ----------
    operation
        ``input``, ``dilation``, ``erosion``, ``anti_dilation``, ``anti_erosion`` (their complements), ``union``,
        ``intersection``, ``complement`` or ``subsample``.
    arguments
        Numbers of the nodes it works on.
    element
        Structuring element of odd size, for the first four operations.
    outside
        Value of pixels outside the image, for the same.
    number
        The channel of an ``input``, the stride of a ``subsample``.
    neuron
        The neuron it was made of.
    """

    operation: Operation
    arguments: tuple[int, ...] = ()
    element: Element | None = None
    outside: bool = False
    number: int = 0
    neuron: Neuron | None = None


@dataclass(frozen=True, eq=False)
class Program:
    """A program of set operations on the channels of a binary image.

    Parameters
    ----------
    nodes
        The operations; the arguments of a node come before it.
    outputs
        Numbers of the nodes that are the result's channels.
    channels
        Channels of the image.
    spatial_dims
        2 or 3.

    Raises
    ------
    InputError
        A node that refers to a later one, lacks its element, or has one of another rank or even size.

    Examples
    --------
    >>> from shapewright.morphology import ball
    >>> nodes = [Node("input"), Node("erosion", (0,), ball(1)), Node("anti_dilation", (1,), ball(1))]
    >>> program = Program([*nodes, Node("intersection", (0, 2))], outputs=[3], channels=1, spatial_dims=2)
    >>> print(program)
    y = x & ~opening(x, ball(1))
    >>> image = np.zeros((5, 5), bool)
    >>> image[1:4, 1:4] = True
    >>> program(image).astype(int)
    array([[0, 0, 0, 0, 0],
           [0, 1, 0, 1, 0],
           [0, 0, 0, 0, 0],
           [0, 1, 0, 1, 0],
           [0, 0, 0, 0, 0]])
    """

    nodes: Sequence[Node]
    outputs: Sequence[int]
    channels: int = 1
    spatial_dims: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(self.nodes))
        object.__setattr__(self, "outputs", tuple(int(number) for number in self.outputs))
        if self.spatial_dims not in (2, 3) or self.channels < 1 or not self.outputs:
            raise InputError(
                "a program needs 2 or 3 spatial_dims, a channel and an output; got "
                f"{self.spatial_dims}, {self.channels} and {len(self.outputs)}"
            )
        for number, node in enumerate(self.nodes):
            self._check(number, node)
        if not all(0 <= number < len(self.nodes) for number in self.outputs):
            raise InputError(f"outputs must be numbers of nodes, 0 to {len(self.nodes) - 1}; got {self.outputs}")

    def _check(self, number: int, node: Node) -> None:
        if node.operation not in _OPERATIONS:
            raise unknown("operation", str(node.operation), _OPERATIONS)
        counts = {"input": (0, 0), "union": (1, None), "intersection": (1, None)}
        fewest, most = counts.get(node.operation, (1, 1))
        arguments = node.arguments
        if len(arguments) < fewest or (most is not None and len(arguments) > most):
            raise InputError(f"node {number}: {node.operation} has {len(arguments)} arguments")
        if not all(0 <= argument < number for argument in arguments):
            raise InputError(f"node {number}: arguments must be nodes before it; got {arguments}")
        if node.operation in _WITH_ELEMENT:
            if node.element is None or node.element.ndim != self.spatial_dims or not node.element.any():
                raise InputError(f"node {number}: {node.operation} needs a {self.spatial_dims}D element that is set")
            if any(size % 2 == 0 for size in node.element.shape):
                raise InputError(f"node {number}: the element must have odd sizes; got {node.element.shape}")
        if node.operation == "input" and not 0 <= node.number < self.channels:
            raise InputError(f"node {number}: the image has {self.channels} channels; got channel {node.number}")
        if node.operation == "subsample" and node.number < 1:
            raise InputError(f"node {number}: the stride must be at least 1; got {node.number}")

    # -- what it says about the network ---------------------------------------------------------------------------

    @property
    def neurons(self) -> tuple[Neuron, ...]:
        """The neurons that the nodes stand for."""
        return tuple(node.neuron for node in self.nodes if node.neuron is not None)

    @property
    def exact(self) -> bool:
        """Whether every node is the neuron it was made of, so that program and network agree on every pixel."""
        return all(neuron.exact for neuron in self.neurons)

    # -- running --------------------------------------------------------------------------------------------------

    def __call__(self, image: Any) -> Any:
        """Run the program.

        Parameters
        ----------
        image
            bool, or integers 0 and 1, ``[..., C, *spatial]``; a program of one channel and one output takes
            ``[..., *spatial]`` as well. NumPy array, torch tensor or packed image (with its channels).

        Returns
        -------
        The result ``[..., K, *spatial]``, of the same kind as ``image``.

        Raises
        ------
        InputError
            Another number of channels, or an image that is not binary.
        """
        if isinstance(image, PackedImage):
            return self._packed(image)
        binary = as_binary(image, "image")
        axis = binary.ndim - self.spatial_dims - 1
        plain = self.channels == len(self.outputs) == 1 and (axis == -1 or (axis >= 0 and binary.shape[axis] != 1))
        if plain:
            binary = np.expand_dims(binary, axis + 1)
        if binary.ndim <= self.spatial_dims:
            raise InputError(
                f"image must have shape [..., {self.channels}, *spatial] with {self.spatial_dims} spatial axes; got "
                f"{binary.shape}"
            )
        result = self._packed(pack(binary, spatial_dims=self.spatial_dims)).unpack()
        return same_kind(result.squeeze(axis + 1) if plain else result, image)

    def _packed(self, image: PackedImage) -> PackedImage:
        axis = len(image.shape) - self.spatial_dims - 1
        if image.spatial_dims != self.spatial_dims or axis < 0 or image.shape[axis] != self.channels:
            raise InputError(
                f"image must have shape [..., {self.channels}, *spatial] with {self.spatial_dims} spatial axes; got "
                f"{image.shape}"
            )
        shape = image.shape[:axis] + image.shape[axis + 1 :]
        values: dict[int, PackedImage] = {}
        last_use = self._last_use()
        for number, node in enumerate(self.nodes):
            if number not in last_use:
                continue
            if node.operation == "input":
                words = np.ascontiguousarray(np.take(image.words, node.number, axis=axis))
                values[number] = PackedImage(words, shape, self.spatial_dims)
            else:
                values[number] = _run(node, [values[argument] for argument in node.arguments])
            for argument in set(node.arguments):
                if last_use[argument] == number:
                    del values[argument]
        results = [values[number] for number in self.outputs]
        words = np.stack([result.words for result in results], axis=axis)
        whole = (*results[0].shape[:axis], len(results), *results[0].shape[axis:])
        return PackedImage(words, whole, self.spatial_dims, image.from_tensor)

    def _last_use(self) -> dict[int, int]:
        """Return, of every node that an output depends on, the last node that reads it."""
        last = dict.fromkeys(self.outputs, len(self.nodes))
        for number in range(len(self.nodes) - 1, -1, -1):
            if number in last:
                for argument in self.nodes[number].arguments:
                    last.setdefault(argument, number)
        return last

    def until_stable(self, image: Any, *, iterations: int | None = None) -> Any:
        """Repeat the program until nothing changes.

        The outputs replace the first channels of the image and the program runs again; channels beyond the outputs
        stay as they are, as the mask of a reconstruction does.

        Parameters
        ----------
        image
            As for a call, ``[..., C, *spatial]``; C at least the number of outputs.
        iterations
            The most repetitions; by default as many as the image has pixels.

        Returns
        -------
        The outputs ``[..., K, *spatial]`` that repeat themselves.

        Raises
        ------
        InputError
            A program with more outputs than channels, or one that has not settled after ``iterations``.

        Examples
        --------
        >>> from shapewright.morphology import box
        >>> step = Program(
        ...     [Node("input"), Node("input", number=1), Node("dilation", (0,), box(1)), Node("intersection", (1, 2))],
        ...     outputs=[3], channels=2, spatial_dims=2)  # marker, mask
        >>> marker, mask = np.zeros((2, 1, 9), bool)
        >>> marker[0, 1], mask[0, :4], mask[0, 6:] = True, True, True
        >>> step.until_stable(np.stack([marker, mask])).astype(int)
        array([[[1, 1, 1, 1, 0, 0, 0, 0, 0]]])
        """
        if len(self.outputs) > self.channels:
            raise InputError(f"the program has {len(self.outputs)} outputs for {self.channels} channels to replace")
        binary = as_binary(image, "image")
        state = pack(binary, spatial_dims=self.spatial_dims)
        axis = binary.ndim - self.spatial_dims - 1
        replaced = (slice(None),) * axis + (slice(len(self.outputs)),)
        limit = int(np.prod(binary.shape[axis + 1 :])) if iterations is None else iterations
        for _ in range(limit + 1):
            result = self._packed(state)
            if result.shape[axis + 1 :] != state.shape[axis + 1 :]:
                raise InputError("a program that sub-samples cannot be repeated: the image would change its size")
            if np.array_equal(result.words, state.words[replaced]):
                return same_kind(result.unpack(), image)
            words = state.words.copy()
            words[replaced] = result.words
            state = state.with_words(words)
        raise InputError(f"the program has not settled after {limit} repetitions; it may go round in circles")

    # -- other forms ----------------------------------------------------------------------------------------------

    def simplified(self) -> Program:
        """Return a program that computes the same on every image, border included, with fewer nodes.

        Copies, double complements, repeated nodes and nodes that no output needs go; complements move to the end,
        which turns two anti-dilations into a dilation and an erosion.
        """
        return _Simplifier(self).program()

    def __str__(self) -> str:
        """Return the program as text, simplified; elements without a name are drawn below."""
        return _Printer(self.simplified()).text()

    def save(self, path: str | Path) -> None:
        """Write the program as JSON; neurons with their weights are kept."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    def to_json(self) -> str:
        """Return the program as JSON text."""
        content = {
            "format": _FORMAT,
            "version": _VERSION,
            "spatial_dims": self.spatial_dims,
            "channels": self.channels,
            "outputs": list(self.outputs),
            "nodes": [_node_to_json(node) for node in self.nodes],
        }
        return json.dumps(content, separators=(",", ":"))

    @classmethod
    def load(cls, path: str | Path) -> Program:
        """Read a program that :meth:`save` wrote.

        Raises
        ------
        InputError
            A file that cannot be read, or that is no program.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read: {error}") from error
        return cls.from_json(text, str(path))

    @classmethod
    def from_json(cls, text: str, name: str = "the text") -> Program:
        """Read the text that :meth:`to_json` wrote; ``name`` is what messages call it."""
        try:
            content = json.loads(text)
            if not isinstance(content, dict) or content.get("format") != _FORMAT:
                raise InputError(f"{name} is not a program: it lacks 'format': '{_FORMAT}'")
            if content["version"] != _VERSION:
                raise InputError(f"{name} has version {content['version']}; this release reads version {_VERSION}")
            nodes = [_node_from_json(entry) for entry in content["nodes"]]
            return cls(nodes, content["outputs"], content["channels"], content["spatial_dims"])
        except InputError:
            raise
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise InputError(f"{name} is not a program: {type(error).__name__} {error}") from error

    def to_numpy_source(self) -> str:
        """Return Python source with a function ``run(image)`` that needs nothing but NumPy.

        ``image`` is a boolean array ``[..., C, *spatial]``, the result ``[..., K, *spatial]``.
        """
        from shapewright.morphology._program_export import numpy_source

        return numpy_source(self)

    def to_onnx(self, path: str | Path) -> None:
        """Write the program as an ONNX model of thresholded convolutions.

        The input ``image`` is boolean ``[B, C, *spatial]``, the output ``result`` boolean ``[B, K, *spatial]``; batch
        and image sizes are free. Needs the package ``onnx`` (``pip install 'shapewright[onnx]'``).

        Raises
        ------
        InputError
            The package ``onnx`` is missing.
        """
        from shapewright.morphology._program_export import write_onnx

        write_onnx(self, Path(path))

    def draw(self, path: str | Path | None = None, *, title: str | None = None) -> Any:
        """Draw the program: nodes from left to right with their elements and, beside them, the neurons' weights.

        Parameters
        ----------
        path
            PNG, PDF or SVG file to write.
        title
            Text above the drawing; by default the program's text where it is one line.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from shapewright.morphology._program_drawing import draw

        return draw(self, None if path is None else Path(path), title)


def _run(node: Node, values: Sequence[PackedImage]) -> PackedImage:
    first = values[0]
    if node.operation in _WITH_ELEMENT:
        assert node.element is not None
        operator = dilation if node.operation.endswith("dilation") else erosion
        result: PackedImage = operator(first, node.element, outside=node.outside)
        return ~result if node.operation.startswith("anti") else result
    if node.operation == "complement":
        return ~first
    if node.operation == "subsample":
        every = (..., *[slice(None, None, node.number)] * first.spatial_dims)
        return pack(first.unpack()[every], spatial_dims=first.spatial_dims)
    for value in values[1:]:
        first = first | value if node.operation == "union" else first & value
    return first


def _node_to_json(node: Node) -> dict[str, Any]:
    entry: dict[str, Any] = {"operation": node.operation}
    if node.arguments:
        entry["arguments"] = list(node.arguments)
    if node.element is not None:
        entry["element"] = {"shape": list(node.element.shape), "pixels": np.flatnonzero(node.element).tolist()}
        entry["outside"] = int(node.outside)
    if node.operation in ("input", "subsample"):
        entry["number"] = node.number
    if node.neuron is not None:
        neuron = node.neuron
        entry["neuron"] = {
            "name": neuron.name,
            "exact": neuron.exact,
            "distance": neuron.distance,
            "bias": neuron.bias,
            "scale": neuron.scale,
            "shape": list(neuron.weights.shape),
            "weights": [float(f"{weight:.6g}") for weight in neuron.weights.reshape(-1).tolist()],
        }
    return entry


def _node_from_json(entry: Mapping[str, Any]) -> Node:
    element = neuron = None
    if "element" in entry:
        shape = tuple(int(size) for size in entry["element"]["shape"])
        flat = np.zeros(int(np.prod(shape)), np.bool_)
        flat[entry["element"]["pixels"]] = True
        element = flat.reshape(shape)
    if "neuron" in entry:
        kept = entry["neuron"]
        weights = np.array(kept["weights"], np.float64).reshape(kept["shape"])
        numbers = {name: float(kept[name]) for name in ("distance", "bias", "scale")}
        neuron = Neuron(str(kept["name"]), bool(kept["exact"]), weights=weights, **numbers)
    return Node(
        entry["operation"],
        tuple(int(number) for number in entry.get("arguments", ())),
        element,
        bool(entry.get("outside", 0)),
        int(entry.get("number", 0)),
        neuron,
    )


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
        if node.operation in _WITH_ELEMENT:
            return self._neighbourhood(node, first)
        if node.operation == "subsample":
            if node.number == 1:
                return first
            return _Signed(self._add(replace(node, arguments=(first.number,))), first.complement)
        return self._combination(node, arguments)

    def _neighbourhood(self, node: Node, first: _Signed) -> _Signed:
        """Return a dilation or erosion; of a complement, the dual of what is complemented."""
        assert node.element is not None
        element = _trimmed(node.element)
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


def _trimmed(element: Element) -> Element:
    """Return an element without the outer layers that are empty on both sides."""
    inside = []
    for axis, size in enumerate(element.shape):
        used = np.flatnonzero(element.any(axis=tuple(other for other in range(element.ndim) if other != axis)))
        reach = int(np.abs(used - size // 2).max())
        inside.append(slice(size // 2 - reach, size // 2 + reach + 1))
    return element[tuple(inside)]


def element_name(element: Element) -> str | None:
    """Return the call that makes an element, such as ``ball(3)``, or None where it has no name.

    Examples
    --------
    >>> element_name(elements.line(7)), element_name(np.eye(5, dtype=bool)), element_name(np.eye(3, 5, dtype=bool))
    ('line(7)', 'line(5, 315)', None)
    """
    trimmed = _trimmed(element)
    for name, make in _named_elements(trimmed):
        candidate = make()
        if candidate.shape == trimmed.shape and np.array_equal(candidate, trimmed):
            return name
    return None


def _named_elements(element: Element) -> Iterable[tuple[str, Callable[[], Element]]]:
    dims = element.ndim
    rank = "" if dims == 2 else ", 3"
    reach = max(element.shape) // 2
    for maker in (elements.ball, elements.box, elements.cross, elements.diamond):
        yield f"{maker.__name__}({reach}{rank})", lambda maker=maker: maker(reach, dims)  # type: ignore[misc]
    for squared in range(reach * reach, (reach + 1) ** 2):
        radius = f"{squared**0.5:.4g}"
        yield f"ball({radius}{rank})", lambda radius=radius: elements.ball(float(radius), dims)  # type: ignore[misc]
    length = max(element.shape)
    if dims == 2:
        for angle in (0, 90, 45, 315):
            argument = f", {angle}" if angle else ""
            yield f"line({length}{argument})", lambda angle=angle: elements.line(length, angle)  # type: ignore[misc]
        diagonals = f"line({length}, 45) | line({length}, 315)"
        yield diagonals, lambda: elements.line(length, 45) | elements.line(length, 315)
    else:
        for axis in range(3):
            vector = tuple(int(other == axis) for other in range(3))
            yield f"line({length}, {vector})", lambda vector=vector: elements.line(length, vector)  # type: ignore[misc]


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
