"""The one place where NumPy arrays and torch tensors meet: the same kind out as in.

Operators compute on NumPy arrays; :func:`as_numpy` gives the array behind whatever the caller passed, and
:func:`same_kind` turns the result into what the caller uses. torch is looked at only when a tensor was passed, so
nothing here imports it.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from shapewright.errors import InputError

if TYPE_CHECKING:
    import torch

    Array = TypeVar("Array", NDArray[Any], torch.Tensor)
    AnyArray = NDArray[Any] | torch.Tensor
else:
    Array = TypeVar("Array")
    AnyArray = Any


def is_tensor(value: object) -> bool:
    """Say whether ``value`` is a torch tensor, without importing torch."""
    torch_module = sys.modules.get("torch")
    return torch_module is not None and isinstance(value, torch_module.Tensor)


def as_numpy(value: AnyArray, name: str) -> NDArray[Any]:
    """Return the NumPy array behind an array or tensor (detached, on the CPU).

    Parameters
    ----------
    value
        NumPy array or torch tensor.
    name
        The argument's name, for the error message.

    Raises
    ------
    InputError
        ``value`` is neither a NumPy array nor a torch tensor.
    """
    if isinstance(value, np.ndarray):
        return value
    if is_tensor(value):
        array: NDArray[Any] = value.detach().cpu().numpy()
        return array
    raise InputError(f"{name} must be a NumPy array or a torch tensor; got {type(value).__name__}")


def shape_of(value: object, name: str) -> tuple[int, ...]:
    """Return the shape of an array, tensor or packed image.

    Raises
    ------
    InputError
        ``value`` has none: a list, a number, a path.

    Examples
    --------
    >>> shape_of(np.zeros((2, 3)), "image")
    (2, 3)
    """
    shape = getattr(value, "shape", None)
    if shape is None:
        raise InputError(f"{name} must be a NumPy array or a torch tensor; got {type(value).__name__}")
    return tuple(shape)


def same_kind(result: NDArray[Any], like: Array) -> Array:
    """Return ``result`` as the kind of ``like``: a tensor on its device, or the array itself."""
    if isinstance(like, np.ndarray):
        return result
    import torch

    return torch.from_numpy(np.ascontiguousarray(result)).reshape(result.shape).to(like.device)


def as_binary(value: AnyArray, name: str) -> NDArray[np.bool_]:
    """Return a mask as a boolean array.

    Accepts bool, and integers that are all 0 or 1.

    Raises
    ------
    InputError
        Other integers, or floating-point values.

    Examples
    --------
    >>> as_binary(np.array([0, 1, 1], np.uint8), "mask")
    array([False,  True,  True])
    """
    array = as_numpy(value, name)
    if array.dtype == np.bool_:
        return array
    if np.issubdtype(array.dtype, np.integer):
        if array.size and (array.min() < 0 or array.max() > 1):
            raise InputError(
                f"{name} must be a binary mask (bool, or integers 0 and 1); got integers from {array.min()} to "
                f"{array.max()}. Compare with the label first, as in labels == 2"
            )
        return array.astype(np.bool_)
    raise InputError(
        f"{name} must be a binary mask (bool, or integers 0 and 1); got {array.dtype}. Threshold it first, "
        "as in probabilities > 0.5"
    )


def check_spacing(spacing: Sequence[float] | float | None, spatial_dims: int) -> tuple[float, ...]:
    """Return the spacing in mm, one positive value per spatial axis ((z,) y, x); ``None`` means 1 mm everywhere.

    Raises
    ------
    InputError
        The wrong number of values, or one that is not positive and finite.

    Examples
    --------
    >>> check_spacing(None, 2)
    (1.0, 1.0)
    >>> check_spacing((3, 1, 1), 3)
    (3.0, 1.0, 1.0)
    """
    if spacing is None:
        return (1.0,) * spatial_dims
    values = (
        (float(spacing),) * spatial_dims
        if isinstance(spacing, int | float)
        else tuple(float(value) for value in spacing)
    )
    if len(values) != spatial_dims or not all(np.isfinite(v) and v > 0 for v in values):
        axes = "(z, y, x)" if spatial_dims == 3 else "(y, x)"
        raise InputError(f"spacing must have {spatial_dims} positive values, one per spatial axis {axes}; got {values}")
    return values


def check_spatial_dims(spatial_dims: int | None, shape: tuple[int, ...]) -> int:
    """Return how many trailing axes are space: as given, or all axes of an array with 2 or 3.

    Raises
    ------
    InputError
        Not 2 or 3, more than the array has, or not given for an array of more than 3 axes.

    Examples
    --------
    >>> check_spatial_dims(None, (40, 50))
    2
    >>> check_spatial_dims(2, (8, 1, 40, 50))
    2
    """
    if spatial_dims is None:
        if len(shape) in (2, 3):
            return len(shape)
        raise InputError(
            f"spatial_dims must be given (2 or 3 trailing axes) for an array with {len(shape)} axes; shape {shape}"
        )
    if spatial_dims not in (2, 3) or spatial_dims > len(shape):
        raise InputError(
            f"spatial_dims must be 2 or 3 and at most the array's {len(shape)} axes; got {spatial_dims} "
            f"for shape {shape}"
        )
    return spatial_dims
