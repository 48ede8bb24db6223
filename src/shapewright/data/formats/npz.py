"""NumPy files: .npz with an array ``image`` (or ``array``; ``labels`` in label files) and its spacing, and .npy.

Two axes are a flat image; three are a volume, or channels and a flat image where ``spacing`` has two values, or a
colour image where the last of them has 3 or 4 samples; four are channels and a volume.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.data.formats.files import check_file_spacing, reading, writing
from shapewright.data.image import Geometry, Image
from shapewright.errors import InputError

IMAGE_KEYS = ("image", "array")
LABEL_KEYS = ("labels", "label", "mask", "array")


def read(path: Path, *, labels: bool = False) -> Image:
    """Read an array; objects that would need pickle are refused."""
    spacing = affine = None
    with reading(path, "a NumPy file"):
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            array = content
        else:
            with content:
                array = content[_key(path, content.files, LABEL_KEYS if labels else IMAGE_KEYS)]
                spacing = np.atleast_1d(content["spacing"]) if "spacing" in content.files else None
                affine = np.asarray(content["affine"], np.float64) if "affine" in content.files else None
    if array.dtype.kind not in "biuf":
        raise InputError(f"{path}: the array must hold real numbers; got {array.dtype}")
    array = _channels_first(path, array, None if spacing is None else len(spacing))
    checked = (1.0,) * (array.ndim - 1) if spacing is None else check_file_spacing(path, spacing.tolist())
    return Image(np.ascontiguousarray(array), spacing=checked, affine=affine, path=path)


def geometry(path: Path) -> Geometry:
    """Read the array: the format has no header of its own."""
    return read(path).geometry


def write(path: Path, array: NDArray[Any], like: Image) -> None:
    """Write ``array`` (channels first), ``spacing`` and ``affine`` to .npz; the bare array to .npy."""
    stored = array[0] if len(array) == 1 else array
    if path.suffix == ".npy":
        with writing(path) as temporary:
            np.save(temporary, stored)
        return
    spacing, affine = like.spacing, like.affine
    if like.reorientation is not None:
        spacing = tuple(like.spacing[axis] for axis in np.argsort(like.reorientation.axes))
        affine = like.reorientation.affine
    content: dict[str, Any] = {"array": stored, "spacing": np.array(spacing)}
    if affine is not None:
        content["affine"] = affine
    with writing(path) as temporary:
        np.savez_compressed(temporary, **content)


def _key(path: Path, found: list[str], accepted: tuple[str, ...]) -> str:
    key = next((key for key in accepted if key in found), None)
    if key is None:
        raise InputError(
            f"{path}: must hold an array named {' or '.join(accepted)}; it holds {', '.join(found) or 'none'}"
        )
    return key


def _channels_first(path: Path, array: NDArray[Any], spatial_dims: int | None) -> NDArray[Any]:
    coloured = array.ndim == 3 and array.shape[-1] in (3, 4) and spatial_dims != 3
    if spatial_dims is None:
        spatial_dims = 2 if coloured or array.ndim == 2 else 3
    if array.ndim == spatial_dims:
        return array[None]
    if array.ndim != spatial_dims + 1 or spatial_dims not in (2, 3):
        raise InputError(
            f"{path}: the array must have {spatial_dims} spatial axes, (z,) y, x, and at most one of channels before "
            f"them; got shape {array.shape}"
        )
    return np.moveaxis(array, -1, 0) if coloured else array
