"""A program of set operations as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from shapewright.errors import InputError
from shapewright.morphology.program import Neuron, Node, Program

_FORMAT, _VERSION = "shapewright program", 1


def to_json(program: Program) -> str:
    """Return a program as JSON text."""
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "spatial_dims": program.spatial_dims,
        "channels": program.channels,
        "outputs": list(program.outputs),
        "nodes": [_node_to_json(node) for node in program.nodes],
    }
    return json.dumps(content, separators=(",", ":"))


def from_json(text: str, name: str) -> Program:
    """Read the text that :func:`to_json` wrote; ``name`` is what messages call it."""
    try:
        content = json.loads(text)
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise InputError(f"{name} is not a program: it lacks 'format': '{_FORMAT}'")
        if content["version"] != _VERSION:
            raise InputError(f"{name} has version {content['version']}; this release reads version {_VERSION}")
        nodes = [_node_from_json(entry) for entry in content["nodes"]]
        return Program(nodes, content["outputs"], content["channels"], content["spatial_dims"])
    except InputError:
        raise
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(f"{name} is not a program: {type(error).__name__} {error}") from error


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
