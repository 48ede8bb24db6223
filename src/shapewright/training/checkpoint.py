"""Checkpoints without pickle: one safetensors file, written atomically.

Tensors are stored as tensors; everything else (counters, optimiser settings, the run's configuration) as JSON and
YAML text in the file's header. A reader executes nothing.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from shapewright._version import __version__
from shapewright.data.formats.files import writing
from shapewright.errors import InputError

WEIGHTS = "state_dict"
_FORMAT = "1"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's content.

    Parameters
    ----------
    state
        Nested dictionary; ``state["state_dict"]`` holds the weights.
    config
        The run's configuration as YAML text.
    task
        The segmentation task as YAML text.
    """

    state: dict[str, Any]
    config: str
    task: str


def save_checkpoint(path: Path, state: Mapping[str, Any], *, config: str, task: str) -> None:
    """Write a checkpoint under a temporary name, then rename it: a killed run leaves the previous one.

    Parameters
    ----------
    path
        Target, by convention ``*.safetensors``.
    state
        Nested dictionaries, lists and tuples of tensors, numbers, strings and None.
    config, task
        YAML texts stored beside the tensors.
    """
    tensors: dict[str, Tensor] = {}
    skeleton = json.dumps(_flatten(state, "", tensors))
    header = {"format": _FORMAT, "shapewright": __version__, "state": skeleton, "config": config, "task": task}
    write_atomically(path, save(tensors, header))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU.

    Raises
    ------
    InputError
        The file is missing, truncated, or not a checkpoint of this library.
    """
    if not path.is_file():
        raise InputError(f"checkpoint {path} does not exist")
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise InputError(f"checkpoint {path} cannot be read: {error}") from error
    if header.get("format") != _FORMAT or "state" not in header:
        raise InputError(f"{path} is a safetensors file, but not a checkpoint of shapewright")
    state = _rebuild(json.loads(header["state"]), tensors)
    return Checkpoint(state=state, config=header["config"], task=header["task"])


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file or nothing: to a temporary name in the same folder, which is made, synced, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flatten(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Move the tensors of a nested value into ``tensors``; return a JSON skeleton that refers to them by name."""
    if isinstance(value, Tensor):
        # Tensors may share memory (tied weights); safetensors wants each to own its own.
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"dict": [[_key(k), _flatten(v, f"{name}/{k}" if name else str(k), tensors)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_flatten(item, f"{name}/{index}", tensors) for index, item in enumerate(value)]}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    if isinstance(value, Path):
        return {"value": str(value)}
    raise TypeError(f"a checkpoint cannot hold {type(value).__name__} at {name!r}")


def _key(key: Any) -> Any:
    if isinstance(key, bool | int | str):
        return key
    raise TypeError(f"a checkpoint cannot hold a dictionary key of type {type(key).__name__}")


def _rebuild(skeleton: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Undo :func:`_flatten`."""
    ((kind, content),) = skeleton.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _rebuild(item, tensors) for key, item in content}
    if kind in ("list", "tuple"):
        items = [_rebuild(item, tensors) for item in content]
        return tuple(items) if kind == "tuple" else items
    return content


def load_weights(module: torch.nn.Module, checkpoint: Checkpoint, path: Path) -> None:
    """Load a checkpoint's weights into a method.

    Raises
    ------
    InputError
        The weights belong to another architecture.
    """
    weights = checkpoint.state[WEIGHTS]
    own = module.state_dict()
    missing = sorted(set(own) - set(weights))
    surplus = sorted(set(weights) - set(own))
    reshaped = sorted(name for name in set(own) & set(weights) if own[name].shape != weights[name].shape)
    if missing or surplus or reshaped:
        example = (missing + surplus + reshaped)[0]
        raise InputError(
            f"checkpoint {path} is from another architecture: {len(missing)} weights missing, {len(surplus)} unknown, "
            f"{len(reshaped)} of another shape (for example {example!r})"
        )
    module.load_state_dict(weights)
