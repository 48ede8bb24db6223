"""Label arrays in Zarr: opened without being read, written chunk by chunk."""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shapewright.errors import InputError

_MARKS = ("zarr.json", ".zarray", ".zgroup")


class ChunkedImage(NamedTuple):
    """An array that is read when it is computed.

    Parameters
    ----------
    array
        Dask array [*spatial], axis order (z,) y, x, with the chunks of the file.
    spacing
        In mm per axis from the attribute ``spacing``; None where the file does not say.
    """

    array: Any
    spacing: tuple[float, ...] | None


def is_chunked(path: Path) -> bool:
    """Say whether a path is a Zarr array or group, or is named as one.

    Examples
    --------
    >>> is_chunked(Path("masks.zarr")), is_chunked(Path("mask.nii.gz"))
    (True, False)
    """
    return path.suffix.lower() == ".zarr" or any((path / mark).is_file() for mark in _MARKS)


def open_chunked(path: Path) -> ChunkedImage:
    """Open a Zarr array of 2 or 3 axes.

    Raises
    ------
    InputError
        No such array, a group of several arrays, another number of axes, values that are no labels, or Dask or Zarr
        are not installed.
    """
    zarr, dask_array = _libraries()
    if not path.exists():
        raise InputError(f"{path} does not exist")
    try:
        stored = zarr.open(str(path), mode="r")
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be read as Zarr: {error}") from error
    if not hasattr(stored, "shape"):
        inside = ", ".join(sorted(stored.array_keys())) or "none"
        raise InputError(f"{path} is a group of arrays; name one of them, as in {path / '0'}. Arrays: {inside}")
    if stored.ndim not in (2, 3) or not (stored.dtype == bool or np.issubdtype(stored.dtype, np.number)):
        raise InputError(f"{path} must have 2 or 3 axes of numbers; got {stored.dtype} of shape {stored.shape}")
    spacing = stored.attrs.get("spacing")
    return ChunkedImage(dask_array.from_zarr(stored), None if spacing is None else tuple(map(float, spacing)))


def write_chunked(path: Path, array: Any, *, like: ChunkedImage) -> None:
    """Compute a Dask array into a new Zarr array with the chunks and the spacing of ``like``.

    It is written under another name and renamed when it is whole. An existing array is replaced.

    Raises
    ------
    InputError
        The path exists and is no Zarr array.
    """
    zarr, _ = _libraries()
    if path.exists() and not is_chunked(path):
        raise InputError(f"{path} exists and is no Zarr array; it is left alone")
    temporary = path.with_name(f".{path.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    chunks = like.array.chunks
    target = zarr.open_array(
        str(temporary), mode="w", shape=array.shape, chunks=[own[0] for own in chunks], dtype=array.dtype
    )
    if like.spacing is not None:
        target.attrs["spacing"] = list(like.spacing)
    array.rechunk(chunks).store(target, lock=False)
    if path.exists():
        shutil.rmtree(path)
    temporary.rename(path)


def _libraries() -> tuple[Any, Any]:
    try:
        import dask.array
        import zarr
    except ImportError as error:
        raise InputError("Zarr files need the packages dask and zarr: pip install 'shapewright[large]'") from error
    return zarr, dask.array
