"""An image with its geometry, and the reorientation that lets networks see one orientation.

Arrays are ``[C, *spatial]`` with spatial axes (z,) y, x; a NIfTI affine speaks of voxel indices x, y, z. The two
orders meet in this file and in the readers, nowhere else.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.errors import InputError


@dataclass(frozen=True, eq=False)
class Geometry:
    """Where an image's samples lie, without its values.

    Parameters
    ----------
    channels
        Number of channels.
    spatial_shape
        Samples per spatial axis, (z,) y, x.
    spacing
        Sample distance in mm per spatial axis, same order; 1 where the file does not say.
    affine
        4 x 4 matrix from voxel index (x, y, z, 1) to world RAS in mm, or None where the file has none.
    """

    channels: int
    spatial_shape: tuple[int, ...]
    spacing: tuple[float, ...]
    affine: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Reorientation:
    """How an array's spatial axes came from those stored in the file: a permutation, then flips.

    Parameters
    ----------
    axes
        For each axis of the array, the axis of the stored array it came from.
    flips
        Whether the axis was reversed after the permutation.
    affine
        The stored affine.
    """

    axes: tuple[int, ...]
    flips: tuple[bool, ...]
    affine: NDArray[np.float64]

    def apply(self, array: NDArray[Any]) -> NDArray[Any]:
        """Reorient the trailing axes of a stored array."""
        return _flip(_permute(array, self.axes), self.flips)

    def undo(self, array: NDArray[Any]) -> NDArray[Any]:
        """Bring the trailing axes back to the stored order."""
        return _permute(_flip(array, self.flips), tuple(int(axis) for axis in np.argsort(self.axes)))


@dataclass(frozen=True, eq=False)
class Image:
    """An image, label map or probability map with its geometry.

    Parameters
    ----------
    array
        Values, ``[C, *spatial]`` with spatial axes (z,) y, x.
    spacing
        Sample distance in mm per spatial axis, same order.
    affine
        4 x 4 matrix from voxel index (x, y, z, 1) to world RAS in mm, as nibabel has it; None for formats without.
    path
        The file or folder it was read from.
    header
        The NIfTI header of that file, so that results are written with the same codes, units and zooms.
    reorientation
        How the axes differ from those in the file; None where they do not. :func:`write_labels` undoes it.

    Examples
    --------
    >>> image = Image(np.zeros((1, 4, 5, 6)), spacing=(3.0, 1.0, 1.0))
    >>> image.spatial_dims, image.spatial_shape, image.channels
    (3, (4, 5, 6), 1)
    """

    array: NDArray[Any]
    spacing: tuple[float, ...]
    affine: NDArray[np.float64] | None = None
    path: Path | None = None
    header: Any = None
    reorientation: Reorientation | None = None

    def __post_init__(self) -> None:
        if self.array.ndim - 1 not in (2, 3) or len(self.spacing) != self.array.ndim - 1:
            raise InputError(
                f"{self.path or 'image'}: array must be [C, *spatial] with 2 or 3 spatial axes and one spacing per "
                f"axis; got shape {self.array.shape} and spacing {self.spacing}"
            )

    def __repr__(self) -> str:
        return f"Image({self.array.dtype} {self.array.shape}, spacing={self.spacing}, path={str(self.path)!r})"

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.array.shape[0])

    @property
    def spatial_dims(self) -> int:
        """Number of spatial axes, 2 or 3."""
        return self.array.ndim - 1

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Samples per spatial axis, (z,) y, x."""
        return tuple(int(size) for size in self.array.shape[1:])

    @property
    def geometry(self) -> Geometry:
        """The geometry alone."""
        return Geometry(self.channels, self.spatial_shape, self.spacing, self.affine)

    def canonical(self) -> "Image":
        """Return the image in the orientation closest to RAS, by permuting and flipping axes only.

        In it x grows to the patient's right, y to the front, z to the head, whatever the scanner or converter
        stored. Values are not resampled. An image without an affine, or with two spatial axes, is returned as it is.
        :meth:`restore` takes an array back, and writing with ``like=`` the returned image does so by itself.

        Examples
        --------
        >>> left_first = np.diag([-2.0, 1.0, 1.0, 1.0])  # x grows to the left
        >>> image = Image(np.arange(3.0).reshape(1, 1, 1, 3), spacing=(1.0, 1.0, 2.0), affine=left_first)
        >>> image.canonical().array.ravel()
        array([2., 1., 0.])
        >>> image.canonical().restore(image.canonical().array).ravel()
        array([0., 1., 2.])
        """
        if self.affine is None or self.spatial_dims != 3 or self.reorientation is not None:
            return self
        orientations = _orientations()
        orientation = orientations.io_orientation(self.affine)  # per voxel axis x, y, z: world axis and direction
        source = np.argsort(orientation[:, 0])  # per world axis: the voxel axis that runs along it
        axes = tuple(2 - int(axis) for axis in source[::-1])
        flips = tuple(bool(orientation[axis, 1] < 0) for axis in source[::-1])
        if axes == (0, 1, 2) and not any(flips):
            return self
        reorientation = Reorientation(axes, flips, self.affine)
        return dataclasses.replace(
            self,
            array=np.ascontiguousarray(reorientation.apply(self.array)),
            spacing=tuple(self.spacing[axis] for axis in axes),
            affine=self.affine @ orientations.inv_ornt_aff(orientation, self.spatial_shape[::-1]),
            reorientation=reorientation,
        )

    def restore(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return an array whose trailing axes are this image's, in the axis order of the file it was read from."""
        if self.reorientation is None:
            return array
        return np.ascontiguousarray(self.reorientation.undo(array))


def _orientations() -> Any:
    """Import nibabel's orientations when they are needed; they have no annotations."""
    from nibabel import orientations

    return orientations


def _permute(array: NDArray[Any], axes: tuple[int, ...]) -> NDArray[Any]:
    leading = array.ndim - len(axes)
    return array.transpose(*range(leading), *(leading + axis for axis in axes))


def _flip(array: NDArray[Any], flips: tuple[bool, ...]) -> NDArray[Any]:
    leading = array.ndim - len(flips)
    return np.flip(array, tuple(leading + axis for axis, flip in enumerate(flips) if flip))
