"""From a trained BiMoNN to a program of set operations."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from shapewright.errors import InputError
from shapewright.layers.activation import ClosestOperator, Range, closest_operator, output_range
from shapewright.layers.bise import BiSEL
from shapewright.morphology.program import Neuron, Node, Operation, Program
from shapewright.networks.bimonn import BiMoNN

_BINARY = Range()


@torch.no_grad()
def binarize(model: BiMoNN | BiSEL, input_range: Range = _BINARY) -> Program:
    """Turn a network into the set operations that its neurons are, or are nearest to.

    Layer by layer: a neuron whose bias lies in the interval of an operator is that operator, exactly, and its output is
    almost binary within a range that the next layer's intervals take into account. Another neuron is replaced by the
    nearest operator; what depends on it sees binary values.

    Parameters
    ----------
    model
        The network.
    input_range
        The range that the network's inputs avoid; binary images by default.

    Returns
    -------
    Program
        One node for every neuron that the result depends on; ``program.exact`` says whether the program equals the
        thresholded network on every binary image.

    References
    ----------
    Aouad and Talbot, "Binary multi-channel morphological neural network", DGMM 2022, sections 2.2 and 2.4.

    Examples
    --------
    >>> from shapewright.morphology import ball
    >>> network = BiMoNN((1, 1, 1), kernel_size=5)
    >>> network.layers[0].bise.set_operator(0, "erosion", ball(2))
    >>> network.layers[1].bise.set_operator(0, "dilation", ball(2))
    >>> for layer in network.layers:
    ...     layer.lui.set_operator(0, "union")
    >>> program = binarize(network)
    >>> print(program, program.exact)
    y = opening(x, ball(2)) True
    """
    layers = list(model.layers) if isinstance(model, BiMoNN) else [model]
    if not layers or not all(isinstance(layer, BiSEL) for layer in layers):
        raise InputError(f"model must be a BiMoNN or a BiSEL; got {type(model).__name__}")
    first = layers[0]
    assert isinstance(first, BiSEL)
    channels, dims = first.bise.in_channels, len(first.bise.kernel)
    nodes = [Node("input", number=channel) for channel in range(channels)]
    state = [(channel, input_range) for channel in range(channels)]
    for number, layer in enumerate(layers, start=1):
        assert isinstance(layer, BiSEL)
        state = _layer(layer, f"layer {number}", nodes, state)
    return Program(nodes, [node for node, _ in state], channels, dims)


def _layer(layer: BiSEL, name: str, nodes: list[Node], state: Sequence[tuple[int, Range]]) -> list[tuple[int, Range]]:
    """Add a layer's nodes; return, for each output channel, its node and range."""
    bise, lui = layer.bise, layer.lui
    bise_weights, bise_biases = _numbers(bise.positive_weight()), _numbers(bise.positive_bias())
    lui_weights, lui_biases = _numbers(lui.positive_weight()), _numbers(lui.positive_bias())
    bise_scales, lui_scales = _numbers(bise.scale), _numbers(lui.scale)
    outputs = []
    for k in range(lui.out_channels):
        branches = []
        for n, (source, known) in enumerate(state):
            unit = n * lui.out_channels + k
            weights, bias, scale = bise_weights[unit, 0], float(bise_biases[unit]), float(bise_scales[unit])
            found = closest_operator(weights, bias, known.low, known.high)
            neuron = _neuron(f"{name}, BiSE {n} to {k}", found, weights, scale)
            element = found.element
            if found.operator == "erosion":
                element = element[(slice(None, None, -1),) * element.ndim]
            operation: Operation = found.operator
            if scale < 0:
                operation = "anti_dilation" if operation == "dilation" else "anti_erosion"
            branches.append((_add(nodes, Node(operation, (source,), element, neuron=neuron)), _after(found, scale)))
        bounds = [np.array([getattr(known, end) for _, known in branches]) for end in ("low", "high")]
        scale = float(lui_scales[k])
        found = closest_operator(lui_weights[k], float(lui_biases[k]), *bounds)
        neuron = _neuron(f"{name}, LUI {k}", found, lui_weights[k], scale)
        chosen = tuple(node for (node, _), used in zip(branches, found.element, strict=True) if used)
        combination: Operation = "union" if found.operator == "dilation" else "intersection"
        node = _add(nodes, Node(combination, chosen, neuron=neuron))
        if scale < 0:
            node = _add(nodes, Node("complement", (node,)))
        if bise.stride > 1:
            node = _add(nodes, Node("subsample", (node,), number=bise.stride))
        outputs.append((node, _after(found, scale)))
    return outputs


def _numbers(values: torch.Tensor) -> NDArray[np.float64]:
    return values.double().cpu().numpy()


def _neuron(name: str, found: ClosestOperator, weights: NDArray[np.float64], scale: float) -> Neuron:
    return Neuron(name, found.activated and scale != 0, found.distance, weights, found.bias, scale)


def _after(found: ClosestOperator, scale: float) -> Range:
    """Return the range of a neuron's output; of an approximated one that of the binary node in its place."""
    if not found.activated or scale == 0:
        return _BINARY
    return output_range(found, scale)


def _add(nodes: list[Node], node: Node) -> int:
    nodes.append(node)
    return len(nodes) - 1
