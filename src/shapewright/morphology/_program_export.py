"""A program of set operations as NumPy source and as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shapewright.errors import InputError

if TYPE_CHECKING:
    from shapewright.morphology.program import Node, Program

_SOURCE_HEAD = '''\
"""Set morphology: {summary}"""

import itertools

import numpy as np


def _dilation(image, offsets, outside):
    """Return the union of the image shifted by all offsets."""
    reach = np.abs(offsets).max(axis=0)
    spatial = image.shape[image.ndim - len(reach) :]
    padding = [(0, 0)] * (image.ndim - len(reach)) + [(r, r) for r in reach]
    padded = np.pad(image, padding, constant_values=outside)
    result = np.zeros(image.shape, bool)
    for offset in offsets:
        window = tuple(slice(r - o, r - o + n) for r, o, n in zip(reach, offset, spatial))
        result |= padded[(..., *window)]
    return result


def _erosion(image, offsets, outside):
    """Return where all pixels at the offsets are set."""
    return ~_dilation(~image, [tuple(-o for o in offset) for offset in offsets], not outside)


def run(image):
    """Return the result [..., {outputs}, *spatial] of a boolean image [..., {channels}, *spatial]."""
    image = np.asarray(image, bool)
    axis = image.ndim - {dims} - 1
    if axis < 0 or image.shape[axis] != {channels}:
        raise ValueError(f"the image must have shape [..., {channels}, *spatial]; got {{image.shape}}")
'''


def numpy_source(program: Program) -> str:
    """Return the source of a module with a function ``run``."""
    program = program.simplified()
    summary = str(program).splitlines()[0].replace("\\", "")
    head = _SOURCE_HEAD.format(
        summary=summary, outputs=len(program.outputs), channels=program.channels, dims=program.spatial_dims
    )
    lines = [head.rstrip("\n")]
    for number, node in enumerate(program.nodes):
        lines.append(f"    n{number} = {_numpy_expression(node, program.spatial_dims)}")
    outputs = ", ".join(f"n{number}" for number in program.outputs)
    lines.append(f"    return np.stack([{outputs}], axis=axis)")
    source = "\n".join(lines) + "\n"
    return source if "itertools." in source else source.replace("import itertools\n\n", "")


def _numpy_expression(node: Node, dims: int) -> str:
    arguments = [f"n{number}" for number in node.arguments]
    if node.operation == "input":
        return f"np.take(image, {node.number}, axis=axis)"
    if node.operation == "complement":
        return f"~{arguments[0]}"
    if node.operation in ("union", "intersection"):
        return (" | " if node.operation == "union" else " & ").join(arguments)
    if node.operation == "subsample":
        every = ", ".join([f"::{node.number}"] * dims)
        return f"{arguments[0]}[..., {every}]"
    assert node.element is not None
    centre = np.array(node.element.shape) // 2
    offsets = [tuple(offset) for offset in (np.argwhere(node.element) - centre).tolist()]
    call = f"{node.operation.removeprefix('anti_')}({arguments[0]}, {offsets}, {int(node.outside)})"
    return f"~_{call}" if node.operation.startswith("anti_") else f"_{call}"


def write_onnx(program: Program, path: Path) -> None:
    """Write a program as an ONNX model."""
    try:
        import onnx
        from onnx import TensorProto, helper, numpy_helper
    except ImportError as error:
        raise InputError("exporting to ONNX needs the package onnx: pip install 'shapewright[onnx]'") from error

    program = program.simplified()
    dims = program.spatial_dims
    nodes: list[Any] = []
    constants: dict[str, NDArray[Any]] = {}

    def constant(name: str, value: Any, dtype: Any) -> str:
        constants[name] = np.asarray(value, dtype)
        return name

    def add(operation: str, inputs: list[str], output: str, **options: Any) -> str:
        nodes.append(helper.make_node(operation, inputs, [output], **options))
        return output

    for number, node in enumerate(program.nodes):
        name = f"n{number}"
        arguments = [f"n{argument}" for argument in node.arguments]
        if node.operation == "input":
            index = constant(f"channel_{number}", [node.number], np.int64)
            add("Gather", ["image", index], name, axis=1)
        elif node.operation == "complement":
            add("Not", arguments, name)
        elif node.operation in ("union", "intersection"):
            operation = "Or" if node.operation == "union" else "And"
            so_far = arguments[0]
            for part, argument in enumerate(arguments[1:], start=2):
                last = part == len(arguments)
                so_far = add(operation, [so_far, argument], name if last else f"{name}_{part}")
            if len(arguments) == 1:
                add("Identity", arguments, name)
        elif node.operation == "subsample":
            starts = constant("starts", [0] * dims, np.int64)
            ends = constant("ends", [2**62] * dims, np.int64)
            axes = constant("axes", list(range(2, dims + 2)), np.int64)
            steps = constant(f"steps_{number}", [node.number] * dims, np.int64)
            add("Slice", [arguments[0], starts, ends, axes, steps], name)
        else:
            _add_convolution(node, name, arguments[0], dims, add, constant)
    if len(program.outputs) == 1:
        add("Identity", [f"n{program.outputs[0]}"], "result")
    else:
        add("Concat", [f"n{number}" for number in program.outputs], "result", axis=1)
    sizes = ["depth", "height", "width"][-dims:]
    results = [f"result_{size}" for size in sizes] if _subsamples(program) else sizes
    graph = helper.make_graph(
        nodes,
        "program",
        [helper.make_tensor_value_info("image", TensorProto.BOOL, ["batch", program.channels, *sizes])],
        [helper.make_tensor_value_info("result", TensorProto.BOOL, ["batch", len(program.outputs), *results])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="shapewright")
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _add_convolution(node: Node, name: str, argument: str, dims: int, add: Any, constant: Any) -> None:
    """Add an operator of a neighbourhood: pad, correlate with the element, compare the sum."""
    element = node.element
    assert element is not None
    anti, is_dilation = node.operation.startswith("anti_"), node.operation.endswith("dilation")
    if is_dilation:  # correlation reads x[i + o]; a dilation by S reads x[i - s]
        element = element[(slice(None, None, -1),) * dims]
    reach = [size // 2 for size in element.shape]
    floating = add("Cast", [argument], f"{name}_float", to=1)
    padding = [0, 0, *reach]
    if node.outside and any(reach):
        pads = constant(f"{name}_pads", padding + padding, np.int64)
        one = constant("one", 1.0, np.float32)
        floating = add("Pad", [floating, pads, one], f"{name}_padded", mode="constant")
        reach = [0] * dims
    kernel = constant(f"{name}_kernel", element[None, None], np.float32)
    add("Conv", [floating, kernel], f"{name}_sum", pads=reach + reach, kernel_shape=list(element.shape))
    level = 0.5 if is_dilation else int(element.sum()) - 0.5
    threshold = constant(f"{name}_level", level, np.float32)
    add("Less" if anti else "Greater", [f"{name}_sum", threshold], name)


def _subsamples(program: Program) -> bool:
    return any(node.operation == "subsample" for node in program.nodes)
