"""NIfTI files (.nii, .nii.gz), read and written with nibabel.

Stored axes are x, y, z (, channel); arrays here are [C, (z,) y, x].
"""

import copy
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.data.formats.files import check_file_spacing, reading, writing
from shapewright.data.image import Geometry, Image
from shapewright.errors import InputError

MM_PER_UNIT = {"meter": 1e3, "mm": 1.0, "micron": 1e-3, "unknown": 1.0}


def read(path: Path, *, labels: bool = False) -> Image:
    """Read a NIfTI file; slope and intercept are applied, a fourth (or fifth) axis becomes the channels."""
    del labels  # one reading serves both
    with reading(path, "NIfTI"):
        file, geometry = _open(path)
        array = _values(file)
    if array.dtype.fields is not None:  # RGB24
        array = np.stack([array[name] for name in array.dtype.fields], axis=-1)
    spatial_dims = len(geometry.spatial_shape)
    array = array.reshape(*array.shape[:spatial_dims], -1)
    return Image(
        array=np.ascontiguousarray(array.transpose()),
        spacing=geometry.spacing,
        affine=geometry.affine,
        path=path,
        header=file.header,
    )


def geometry(path: Path) -> Geometry:
    """Read the header only."""
    with reading(path, "NIfTI"):
        return _open(path)[1]


def write(path: Path, array: NDArray[Any], like: Image) -> None:
    """Write ``[C, *spatial]`` with the header of ``like`` where it has one.

    Several channels of a flat image become a volume of one slice: a fourth axis needs a third.
    """
    nibabel = _nibabel()

    stored = array[0] if len(array) == 1 else array
    if array.ndim == 3 and len(array) > 1:
        stored = array[:, None]
    data = stored.transpose()
    if like.header is None:
        file = _new_file(data, like)
    else:
        header = copy.deepcopy(like.header)
        header.set_data_dtype(data.dtype)
        header.set_slope_inter(1.0, 0.0)
        header["cal_min"] = header["cal_max"] = 0
        kind = nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else nibabel.Nifti1Image
        file = kind(data, None, header)  # no affine: sform and qform stay byte for byte
    with writing(path) as temporary:
        nibabel.save(file, temporary)


def _nibabel() -> Any:
    """Import nibabel when it is needed; its annotations are partial, so it counts as untyped."""
    import nibabel

    return nibabel


def _open(path: Path) -> tuple[Any, Geometry]:
    nibabel = _nibabel()

    _check_stored_spacing(path)
    file = nibabel.load(path)
    shape = file.shape
    if len(shape) not in (2, 3, 4, 5) or (len(shape) == 5 and shape[3] != 1) or 0 in shape:
        raise InputError(f"{path}: an image must have 2 or 3 spatial axes and at most one of channels; shape {shape}")
    spatial_dims = min(len(shape), 3)
    affine = np.asarray(file.affine, dtype=np.float64)
    unit = MM_PER_UNIT.get(file.header.get_xyzt_units()[0], 1.0)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)[:spatial_dims] * unit
    colours = len(file.get_data_dtype().fields or "1")
    return file, Geometry(
        channels=int(np.prod(shape[3:], dtype=int)) * colours,
        spatial_shape=tuple(int(size) for size in shape[:spatial_dims][::-1]),
        spacing=check_file_spacing(path, sizes[::-1]),
        affine=affine,
    )


def _check_stored_spacing(path: Path) -> None:
    """Look at the zooms before nibabel does, which replaces zeros by ones."""
    nibabel = _nibabel()

    with nibabel.openers.ImageOpener(path) as stream:
        start = stream.read(540)
    kind: Any = nibabel.Nifti1Header
    if len(start) >= 540 and start[4:7] in (b"n+2", b"ni2"):
        kind, start = nibabel.Nifti2Header, start[:540]
    else:
        start = start[:348]
    header = kind(start, check=False)
    spatial_dims = min(int(header["dim"][0]), 3)
    check_file_spacing(path, np.abs(header["pixdim"][1 : spatial_dims + 1])[::-1])


def _values(file: Any) -> NDArray[Any]:
    """Return stored values where slope and intercept change nothing, scaled ones in float32 otherwise."""
    slope, intercept = file.dataobj.slope, file.dataobj.inter
    unscaled = (slope, intercept) == (1.0, 0.0)
    array = np.asanyarray(file.dataobj) if unscaled else np.asarray(file.dataobj, np.float32)
    return np.asarray(array, dtype=array.dtype.newbyteorder("="))


def _new_file(data: NDArray[Any], like: Image) -> Any:
    nibabel = _nibabel()

    stored = like.reorientation.affine if like.reorientation else like.affine
    spacing = (*like.spacing[::-1], 1.0)[:3]
    file = nibabel.Nifti1Image(data, np.diag([*spacing, 1.0]) if stored is None else stored)
    file.header.set_xyzt_units("mm")
    if stored is not None:
        file.set_sform(stored, "scanner")
        file.set_qform(stored, "scanner")
    return file
