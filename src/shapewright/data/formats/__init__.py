"""Reading and writing images, label maps and probability maps, whatever the file format.

One module per format offers ``read``, ``geometry`` and ``write``; this one chooses by the path.
"""

import dataclasses
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shapewright.data.formats import dicom, nifti, npz, raster, tiff
from shapewright.data.formats.files import existing
from shapewright.data.image import Geometry, Image
from shapewright.errors import InputError


class Format(Protocol):
    """What the module of a file format offers."""

    def read(self, path: Path, *, labels: bool = False) -> Image:
        """Read values and geometry."""

    def geometry(self, path: Path) -> Geometry:
        """Read the geometry, without the values where the format allows."""

    def write(self, path: Path, array: NDArray[Any], like: Image) -> None:
        """Write ``[C, *spatial]``, in the stored orientation, with the geometry of ``like``."""


FORMATS: dict[str, Format] = {
    ".nii": nifti,
    ".nii.gz": nifti,
    ".png": raster,
    ".jpg": raster,
    ".jpeg": raster,
    ".bmp": raster,
    ".gif": raster,
    ".tif": tiff,
    ".tiff": tiff,
    ".npz": npz,
    ".npy": npz,
    ".dcm": dicom,
}


def suffix_of(path: str | os.PathLike[str]) -> str | None:
    """Return the file ending that names a readable format, in lower case, or None.

    Examples
    --------
    >>> suffix_of("case.NII.GZ"), suffix_of("notes.txt")
    ('.nii.gz', None)
    """
    name = Path(path).name.lower()
    return next((suffix for suffix in sorted(FORMATS, key=len, reverse=True) if name.endswith(suffix)), None)


def stem_of(path: str | os.PathLike[str]) -> str:
    """Return the name of a file without the ending of its format.

    Examples
    --------
    >>> stem_of("imagesTr/case.01.nii.gz")
    'case.01'
    """
    name = Path(path).name
    return name[: -len(suffix_of(path) or "") or None]


def read_image(path: str | os.PathLike[str]) -> Image:
    """Read an image.

    Parameters
    ----------
    path
        NIfTI (.nii, .nii.gz), PNG, JPEG, BMP, GIF, TIFF (several pages are a volume), NumPy (.npz, .npy), a DICOM
        file, or a folder with one DICOM series.

    Returns
    -------
    Image
        ``array`` is [C, *spatial], axis order (z,) y, x, in the orientation of the file; see
        :meth:`Image.canonical`. The dtype is the stored one, or float32 where a NIfTI slope applies.

    Raises
    ------
    InputError
        The file is missing, damaged, of another format, or has a spacing that is not positive.

    Examples
    --------
    >>> from shapewright.data import samples
    >>> image = read_image(samples.load("hippocampus").cases[0].images[0])
    >>> image.spatial_dims, image.spacing
    (3, (1.0, 1.0, 1.0))
    """
    return _read(existing(path), labels=False)


def read_labels(path: str | os.PathLike[str]) -> Image:
    """Read a label map: one integer per sample, ``array`` [1, *spatial] of uint8, int16 or int32, as fits.

    Floating-point files are accepted where every value is whole.

    Raises
    ------
    InputError
        As :func:`read_image`; and for several channels (colours) or values that are not whole.

    Examples
    --------
    >>> from shapewright.data import samples
    >>> labels = read_labels(samples.load("hippocampus").cases[0].label)
    >>> labels.array.dtype, np.unique(labels.array)
    (dtype('uint8'), array([0, 1, 2], dtype=uint8))
    """
    image = _read(existing(path), labels=True)
    if image.channels != 1:
        raise InputError(
            f"{path}: a label file must have one channel with the label's number at every sample; got "
            f"{image.channels} channels (a colour picture?). Save one number per class instead of colours"
        )
    return dataclasses.replace(image, array=_whole(image.array, f"{path}: labels"))


def read_geometry(path: str | os.PathLike[str]) -> Geometry:
    """Read shape, spacing and affine, without the values where the format allows (NIfTI, PNG, TIFF).

    Raises
    ------
    InputError
        As :func:`read_image`.

    Examples
    --------
    >>> from shapewright.data import samples
    >>> geometry = read_geometry(samples.load("vessels").cases[0].images[0])
    >>> geometry.channels, geometry.spatial_shape
    (3, (960, 999))
    """
    found = existing(path)
    return _format(found).geometry(found)


def write_labels(path: str | os.PathLike[str], labels: NDArray[Any], *, like: Image) -> None:
    """Write a label map that overlays the image it belongs to.

    The file appears whole or not at all.

    Parameters
    ----------
    path
        Name of the new file; its ending chooses the format (.nii.gz, .nii, .png, .tif, .npz, .npy).
    labels
        Integers or bool, [*spatial] or [1, *spatial], in the orientation of ``like.array``.
    like
        The image, as read or after :meth:`Image.canonical`: the file gets the orientation, shape, affine, codes and
        units of the file that ``like`` was read from.

    Raises
    ------
    InputError
        Another shape than the image, values that are not whole, a format that cannot hold them, or a disk that is
        full or not writable.

    Examples
    --------
    >>> import tempfile
    >>> from shapewright.data import samples
    >>> image = read_image(samples.load("hippocampus").cases[0].images[0]).canonical()
    >>> path = Path(tempfile.mkdtemp()) / "bright.nii.gz"
    >>> write_labels(path, image.array[0] > image.array.mean(), like=image)
    >>> bool((read_labels(path).affine == image.affine).all())
    True
    """
    array = _with_channel(labels, like, "labels")
    if len(array) != 1:
        raise InputError(f"labels must have one channel; got shape {labels.shape}")
    array = _whole(array, "labels")
    if suffix_of(path) in (".png", ".tif", ".tiff") and array.dtype != np.uint8:
        if array.min() < 0 or array.max() > np.iinfo(np.uint16).max:
            raise InputError(
                f"{path}: labels must lie in 0 to 65535 for this format; got {array.min()} to {array.max()}"
            )
        array = array.astype(np.uint16)
    _write(Path(path), array, like)


def write_image(path: str | os.PathLike[str], array: NDArray[Any], *, like: Image) -> None:
    """Write an image or a probability map that overlays ``like``; see :func:`write_labels`.

    Parameters
    ----------
    path
        Name of the new file; fractions need .nii.gz, .nii, .tif, .npz or .npy.
    array
        [C, *spatial] or [*spatial] in the orientation of ``like.array``; written as float32 where floating.
    like
        The image whose geometry the file gets.

    Raises
    ------
    InputError
        As :func:`write_labels`.
    """
    stored = _with_channel(array, like, "array")
    if stored.dtype == np.bool_:
        stored = stored.astype(np.uint8)
    elif np.issubdtype(stored.dtype, np.floating):
        stored = stored.astype(np.float32)
    elif stored.dtype in (np.int64, np.uint64):
        stored = _whole(stored, "array")
    _write(Path(path), stored, like)


def _format(path: Path) -> Format:
    suffix = suffix_of(path)
    if path.is_dir():
        return dicom
    if suffix is None:
        raise InputError(
            f"{path}: not a readable image format; accepted: {', '.join(FORMATS)}, or a folder with a DICOM series"
        )
    return FORMATS[suffix]


def _read(path: Path, *, labels: bool) -> Image:
    return _format(path).read(path, labels=labels)


def _write(path: Path, array: NDArray[Any], like: Image) -> None:
    _format(path).write(path, np.ascontiguousarray(like.restore(array)), like)


def _with_channel(array: NDArray[Any], like: Image, name: str) -> NDArray[Any]:
    result = array[None] if array.ndim == like.spatial_dims else array
    if result.ndim != like.spatial_dims + 1 or result.shape[1:] != like.spatial_shape:
        raise InputError(
            f"{name} must have the image's shape {like.spatial_shape}, channels first where there are several; "
            f"got {array.shape}"
        )
    return result


def _whole(array: NDArray[Any], what: str) -> NDArray[Any]:
    """Return whole numbers in the smallest of uint8, int16, int32, int64 that holds them."""
    if np.issubdtype(array.dtype, np.floating):
        whole = np.isfinite(array) & (array == np.round(array))
        if not whole.all():
            first = array[~whole].flat[0]
            raise InputError(
                f"{what} must be whole numbers, one per class; found {first:g}. Is this a probability map?"
            )
    elif not (np.issubdtype(array.dtype, np.integer) or array.dtype == np.bool_):
        raise InputError(f"{what} must be whole numbers; got {array.dtype}")
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    fitting = (
        kind for kind in (np.uint8, np.int16, np.int32) if np.iinfo(kind).min <= low <= high <= np.iinfo(kind).max
    )
    return array.astype(next(fitting, np.int64), copy=False)
