"""Programs of set operations: what a binarised network is.

A program is a list of nodes, each an operation on nodes before it: dilations, erosions and their complements, unions,
intersections, complements, sub-sampling. It runs on packed bits, prints as morphology, is stored as JSON and exports to
plain NumPy source and to ONNX; none of it needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import as_binary, same_kind
from shapewright.boolean.packed import PackedImage, pack
from shapewright.errors import InputError, unknown
from shapewright.morphology._fused import Fused, fuse, run
from shapewright.morphology.elements import Element as Element
from shapewright.morphology.elements import element_name as element_name
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
_OPERATIONS: tuple[Operation, ...] = get_args(Operation)
_SIZES_KEPT = 64  # image sizes that a program keeps its preparations for
WITH_ELEMENT = ("dilation", "erosion", "anti_dilation", "anti_erosion")


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
        if node.operation in WITH_ELEMENT:
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
        result = self._on_pixels(binary)
        return same_kind(result.squeeze(axis + 1) if plain else result, image)

    def _on_pixels(self, image: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Run on ``[..., C, *spatial]``: small images in one call, others operation by operation."""
        axis = image.ndim - self.spatial_dims - 1
        shape = image.shape[axis:]
        if shape not in self._fused:
            if len(self._fused) >= _SIZES_KEPT:
                self._fused.clear()
            self._fused[shape] = fuse(self, shape) if shape[0] == self.channels else None
        fused = self._fused[shape]
        if fused is None:
            result: NDArray[np.bool_] = self._packed(pack(image, spatial_dims=self.spatial_dims)).unpack()
            return result
        found = run(fused, image.reshape(-1, *shape), self.channels, len(self.outputs))
        return found.reshape(*image.shape[:axis], *found.shape[1:])

    @cached_property
    def _fused(self) -> dict[tuple[int, ...], Fused | None]:
        """The program for small images of the sizes it has met."""
        return {}

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
        from shapewright.morphology._program_simplify import simplified

        return simplified(self)

    def __str__(self) -> str:
        """Return the program as text, simplified; elements without a name are drawn below."""
        from shapewright.morphology._program_text import text

        return text(self.simplified())

    def save(self, path: str | Path) -> None:
        """Write the program as JSON; neurons with their weights are kept."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    def to_json(self) -> str:
        """Return the program as JSON text."""
        from shapewright.morphology._program_json import to_json

        return to_json(self)

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
        from shapewright.morphology._program_json import from_json

        return from_json(text, name)

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
    if node.operation in WITH_ELEMENT:
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
