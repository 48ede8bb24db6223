"""A folder with one DICOM series, or a single DICOM file, read with SimpleITK.

SimpleITK's world is LPS (x to the left, y to the back); ours, like NIfTI's, is RAS, so two rows change sign.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.data.formats.files import check_file_spacing, reading
from shapewright.data.image import Geometry, Image
from shapewright.errors import InputError

POSITION = "0020|0032"  # Image Position (Patient)
DESCRIPTION = "0008|103e"  # Series Description
GAP_TOLERANCE = 0.1  # of the slice distance; rounding in headers stays far below, a missing slice far above
SAME_PLACE = 1e-3  # mm between slices below which they show the same place
STRAIGHT = np.cos(np.deg2rad(0.5))  # least cosine between slice steps and slice normal


def read(path: Path, *, labels: bool = False) -> Image:
    """Read a series as a volume ordered along the slice normal; a single flat file as a flat image."""
    del labels  # one reading serves both
    with reading(path, "DICOM"):
        image = _read_series(path) if path.is_dir() else _itk().ReadImage(str(path))
        array = _itk().GetArrayFromImage(image)
    array = np.moveaxis(array, -1, 0) if image.GetNumberOfComponentsPerPixel() > 1 else array[None]
    spacing = check_file_spacing(path, image.GetSpacing()[::-1])
    if array.ndim == 4 and array.shape[1] == 1 and not path.is_dir():
        return Image(np.ascontiguousarray(array[:, 0]), spacing=spacing[1:], affine=_affine(image), path=path)
    return Image(np.ascontiguousarray(array), spacing=spacing, affine=_affine(image), path=path)


def geometry(path: Path) -> Geometry:
    """Read the series: where its slices lie is spread over all its files."""
    return read(path).geometry


def write(path: Path, array: NDArray[Any], like: Image) -> None:
    """Refuse: a segmentation of a DICOM series is written as NIfTI, which keeps its place in the world."""
    del array, like
    raise InputError(f"{path}: DICOM is read, not written; use a name ending in .nii.gz")


def series_in(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the DICOM series of a folder: identifier to files, ordered along the slice normal."""
    identifiers = _itk().ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    return {name: _itk().ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), name) for name in identifiers}


def _itk() -> Any:
    """Import SimpleITK when it is needed; it has no annotations. Its warnings would repeat our errors."""
    import SimpleITK

    library: Any = SimpleITK
    library.ProcessObject.SetGlobalWarningDisplay(False)
    return library


def _read_series(folder: Path) -> Any:
    found = series_in(folder)
    if not found:
        raise InputError(f"{folder}: the folder holds no DICOM series and no other image that could be read as one")
    if len(found) > 1:
        listed = "; ".join(f"{_describe(files)} ({len(files)} files, {name})" for name, files in found.items())
        raise InputError(f"{folder}: a folder must hold one DICOM series; found {len(found)}: {listed}. Separate them")
    reader = _itk().ImageSeriesReader()
    (files,) = found.values()
    reader.SetFileNames(files)
    reader.MetaDataDictionaryArrayUpdateOn()
    image = reader.Execute()
    _check_grid(folder, reader, files, np.array(image.GetDirection()).reshape(3, 3)[:, 2])
    return image


def _check_grid(folder: Path, reader: Any, files: tuple[str, ...], normal: NDArray[np.float64]) -> None:
    """Refuse a series whose slices are not one regular grid: its volume would be deformed without a word."""
    if len(files) < 2 or not all(reader.HasMetaDataKey(index, POSITION) for index in range(len(files))):
        return
    positions = np.array([reader.GetMetaData(index, POSITION).split("\\") for index in range(len(files))], dtype=float)
    steps = np.diff(positions, axis=0)
    gaps = np.linalg.norm(steps, axis=1)
    usual = float(np.median(gaps))
    worst = int(np.argmax(np.abs(gaps - usual)))
    pair = f"{Path(files[worst]).name} and {Path(files[worst + 1]).name}"
    if gaps.min() < SAME_PLACE:
        raise InputError(
            f"{folder}: every slice must be stored once; the series holds several images per place (time points or "
            "echoes). Separate them"
        )
    if abs(gaps[worst] - usual) > GAP_TOLERANCE * usual:
        raise InputError(
            f"{folder}: slices must lie {usual:g} mm apart like most of the series, but {pair} lie {gaps[worst]:g} mm "
            "apart; a slice is missing"
        )
    if np.abs(steps @ normal / gaps).min() < STRAIGHT:
        raise InputError(
            f"{folder}: slices must be stacked along their normal; these are sheared (a tilted gantry). Resample the "
            "series first, for example with dcm2niix"
        )


def _describe(files: tuple[str, ...]) -> str:
    reader = _itk().ImageFileReader()
    reader.SetFileName(files[0])
    reader.ReadImageInformation()
    return str(reader.GetMetaData(DESCRIPTION)).strip() if reader.HasMetaDataKey(DESCRIPTION) else "no description"


def _affine(image: Any) -> NDArray[np.float64]:
    dims = image.GetDimension()
    affine = np.eye(4)
    affine[:dims, :dims] = np.array(image.GetDirection()).reshape(dims, dims) * np.array(image.GetSpacing())
    affine[:dims, 3] = image.GetOrigin()
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
