"""Connected components of binary images in 2D and 3D.

The unit is the run: a maximal row of foreground pixels along x. Runs are found in one scan, runs of neighbouring rows
that touch are joined in a union-find forest whose roots are the first runs, and the labels are painted run by run.
"""

import math

import numba
import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import Array, as_binary, check_spatial_dims, same_kind
from shapewright.errors import InputError

# Along how many axes at once a neighbour may differ, by the number of neighbours of a pixel.
STEPS = {2: {4: 1, 8: 2}, 3: {6: 1, 18: 2, 26: 3}}


def check_connectivity(connectivity: int | None, spatial_dims: int) -> int:
    """Return the number of neighbours of a pixel: 4 or 8 in 2D, 6, 18 or 26 in 3D; ``None`` is the largest.

    Examples
    --------
    >>> check_connectivity(None, 3)
    26
    """
    accepted = STEPS[spatial_dims]
    if connectivity is None:
        return max(accepted)
    if connectivity not in accepted:
        names = ", ".join(map(str, accepted))
        raise InputError(f"connectivity must be one of {names} in {spatial_dims}D; got {connectivity}")
    return connectivity


def dual_connectivity(connectivity: int, spatial_dims: int) -> int:
    """Return the connectivity of the background that goes with one of the foreground.

    A closed curve or surface separates inside from outside only if they differ: 4 with 8, and 26 or 18 with 6.

    Examples
    --------
    >>> dual_connectivity(8, 2), dual_connectivity(6, 3), dual_connectivity(18, 3)
    (4, 26, 6)
    """
    smallest, largest = min(STEPS[spatial_dims]), max(STEPS[spatial_dims])
    return largest if connectivity == smallest else smallest


@numba.njit(cache=True, nogil=True)
def _find_runs(
    volume: NDArray[np.uint8], starts: NDArray[np.int32], stops: NDArray[np.int32], first: NDArray[np.int64]
) -> int:
    """Fill in where the runs of every row start and stop; row r has the runs ``first[r]`` to ``first[r + 1]``."""
    count = 0
    row_number = 0
    for z in range(volume.shape[0]):
        for y in range(volume.shape[1]):
            row = volume[z, y]
            first[row_number] = count
            row_number += 1
            previous = np.uint8(0)
            for x in range(row.size):
                current = row[x]
                if current != previous:
                    if current:
                        starts[count] = x
                    else:
                        stops[count] = x
                        count += 1
                    previous = current
            if previous:
                stops[count] = row.size
                count += 1
    first[row_number] = count
    return count


@numba.njit(cache=True, nogil=True, inline="always")
def _root(parents: NDArray[np.int32], run: int) -> int:
    while parents[run] != run:
        parents[run] = parents[parents[run]]
        run = parents[run]
    return run


@numba.njit(cache=True, nogil=True)
def _join_rows(
    starts: NDArray[np.int32],
    stops: NDArray[np.int32],
    parents: NDArray[np.int32],
    a: int,
    a_end: int,
    b: int,
    b_end: int,
    reach: int,
) -> None:
    """Join the touching runs of two rows; with ``reach`` 1 also those that touch diagonally along x."""
    while a < a_end and b < b_end:
        if starts[a] < stops[b] + reach and starts[b] < stops[a] + reach:
            root_a, root_b = _root(parents, a), _root(parents, b)
            if root_a < root_b:
                parents[root_b] = root_a
            else:
                parents[root_a] = root_b
        if stops[a] < stops[b]:
            a += 1
        else:
            b += 1


@numba.njit(cache=True, nogil=True)
def _label(volume: NDArray[np.uint8], steps: int, labels: NDArray[np.int32]) -> int:
    """Write the labels of one image into ``labels``, zero before, and return their number."""
    depth, height, width = volume.shape
    starts = np.empty(depth * height * ((width + 1) // 2), np.int32)
    stops = np.empty_like(starts)
    first = np.empty(depth * height + 1, np.int64)
    runs = _find_runs(volume, starts, stops, first)
    parents = np.arange(runs).astype(np.int32)

    for z in range(depth):
        for y in range(height):
            row = z * height + y
            if first[row] == first[row + 1]:
                continue
            # The rows before this one that a neighbour can be in: (z, y - 1), (z - 1, y - 1 ... y + 1).
            for dz, dy in ((0, -1), (-1, -1), (-1, 0), (-1, 1)):
                used = abs(dz) + abs(dy)
                if used <= steps and z + dz >= 0 and 0 <= y + dy < height:
                    other = row + dz * height + dy
                    reach = 1 if used < steps else 0
                    _join_rows(
                        starts, stops, parents, first[row], first[row + 1], first[other], first[other + 1], reach
                    )

    count = 0
    for run in range(runs):  # a parent never comes after its run, so it is numbered already
        if parents[run] == run:
            count += 1
            parents[run] = count
        else:
            parents[run] = parents[parents[run]]
    for z in range(depth):
        for y in range(height):
            out = labels[z, y]
            for run in range(first[z * height + y], first[z * height + y + 1]):
                out[starts[run] : stops[run]] = parents[run]
    return count


def label_images(
    images: NDArray[np.bool_], connectivity: int, dims: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the labels of every image ``[*leading, *spatial]`` and how many there are, ``[*leading]``."""
    leading, spatial = images.shape[:-dims], images.shape[-dims:]
    volumes = np.ascontiguousarray(images).view(np.uint8).reshape(math.prod(leading), *(1,) * (3 - dims), *spatial)
    labels = np.zeros(volumes.shape, np.int32)
    steps = STEPS[dims][connectivity]
    counts = [_label(volume, steps, out) for volume, out in zip(volumes, labels, strict=True)]
    return labels.reshape(images.shape), np.array(counts, np.int64).reshape(leading)


def connected_components(
    mask: Array, *, connectivity: int | None = None, spatial_dims: int | None = None
) -> tuple[Array, Array]:
    """Return the connected components of a mask, numbered from 1, and how many there are.

    Convention: components are numbered in the order of their first pixel in memory, as by ``scipy.ndimage.label`` with
    ``structure=generate_binary_structure(n, c)``, c = 1, 2, 3 for 6, 18, 26 (in 2D 1, 2 for 4, 8) and
    ``skimage.measure.label(mask, connectivity=c)``. SciPy's default is the smallest connectivity, ours the largest, as
    in scikit-image. No foreground gives 0 components.

    Parameters
    ----------
    mask
        Binary masks ``[*leading, *spatial]``: bool, or integers 0 and 1. Each image of a batch is labelled by itself.
    connectivity
        Neighbours of a pixel: 4 or 8 in 2D; 6, 18 or 26 in 3D. ``None`` is the largest, so that what touches belongs
        together.
    spatial_dims
        How many trailing axes are space, 2 or 3; ``None`` for one image.

    Returns
    -------
    labels
        int32, the mask's shape and kind.
    count
        int64 ``[*leading]``, the same kind; for one image it has no axes, and ``int(count)`` or ``range(count)`` do.

    Raises
    ------
    InputError
        A mask that is not binary, a connectivity that is not among those of its rank.

    References
    ----------
    L. He, Y. Chao, K. Suzuki, A run-based two-scan labeling algorithm, IEEE Trans. Image Processing 17, 2008.

    Examples
    --------
    >>> mask = np.array([[1, 0, 0, 1], [0, 1, 0, 1]])
    >>> labels, count = connected_components(mask)
    >>> int(count)
    2
    >>> labels
    array([[1, 0, 0, 2],
           [0, 1, 0, 2]], dtype=int32)
    >>> int(connected_components(mask, connectivity=4)[1])
    3
    """
    binary = as_binary(mask, "mask")
    dims = check_spatial_dims(spatial_dims, binary.shape)
    labels, counts = label_images(binary, check_connectivity(connectivity, dims), dims)
    return same_kind(labels, mask), same_kind(counts, mask).reshape(counts.shape)


def largest_component(mask: Array, *, connectivity: int | None = None, spatial_dims: int | None = None) -> Array:
    """Return the mask of the component with the most pixels.

    Convention: of several largest the first in memory; an empty mask stays empty.

    Parameters
    ----------
    mask, connectivity, spatial_dims
        As in :func:`connected_components`.

    Examples
    --------
    >>> largest_component(np.array([[1, 0, 1, 1]])).astype(int)
    array([[0, 0, 1, 1]])
    """
    binary = as_binary(mask, "mask")
    dims = check_spatial_dims(spatial_dims, binary.shape)
    labels, _ = label_images(binary, check_connectivity(connectivity, dims), dims)
    images = labels.reshape(-1, math.prod(binary.shape[-dims:]))
    largest = np.zeros(images.shape, np.bool_)
    for image, out in zip(images, largest, strict=True):
        sizes = np.bincount(image)
        if sizes.size > 1:
            np.equal(image, 1 + np.argmax(sizes[1:]), out=out)
    return same_kind(largest.reshape(binary.shape), mask)


def holes(mask: Array, *, connectivity: int | None = None, spatial_dims: int | None = None) -> Array:
    """Return the background pixels that the foreground encloses: holes in 2D, cavities in 3D.

    Convention: background is connected by the connectivity dual to the foreground's (4 for 8, 6 for 26 and 18, and the
    other way round), and outside the image is background. ``mask | holes(mask)`` is
    ``scipy.ndimage.binary_fill_holes(mask)`` at the default, foreground connectivity 8 or 26.

    Parameters
    ----------
    mask, connectivity, spatial_dims
        As in :func:`connected_components`; the connectivity is the foreground's.

    Examples
    --------
    >>> holes(np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 0]])).astype(int)
    array([[0, 0, 0, 0],
           [0, 1, 0, 0],
           [0, 0, 0, 0]])
    """
    binary = as_binary(mask, "mask")
    dims = check_spatial_dims(spatial_dims, binary.shape)
    background, _ = label_background(binary, check_connectivity(connectivity, dims), dims)
    unpadded = background[..., 1:-1, 1:-1] if dims == 2 else background[..., 1:-1, 1:-1, 1:-1]
    return same_kind(unpadded > 1, mask)


def label_background(
    images: NDArray[np.bool_], connectivity: int, dims: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the background components of images padded by a pixel; 1 is the outside, the others are enclosed."""
    margin: list[tuple[int, int]] = [(0, 0)] * (images.ndim - dims) + [(1, 1)] * dims
    padded = np.pad(~images, margin, constant_values=True)
    return label_images(padded, dual_connectivity(connectivity, dims), dims)
