"""Connected components of binary images in 2D and 3D.

The unit is the run: a maximal row of foreground pixels along x. Runs are found in one scan, runs of neighbouring rows
that touch are joined in a union-find forest whose roots are the first runs, and the labels are painted run by run.
Where all diagonal neighbours belong together, rows are taken two by two (``_block_kernels.py``).
"""

import math
from functools import partial

import numba
import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import Array, as_binary, check_spatial_dims, same_kind
from shapewright.errors import InputError
from shapewright.geometry._block_kernels import find_runs, join_runs, number_components, paint
from shapewright.geometry._threads import in_threads

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
    volume: NDArray[np.uint8],
    first_plane: int,
    last_plane: int,
    edges: NDArray[np.int32],
    parents: NDArray[np.signedinteger],
    rows: NDArray[np.int64],
) -> None:
    """Find the runs of some planes: run i starts at ``edges[2 i]`` and stops before ``edges[2 i + 1]``.

    Row r has the runs ``rows[r, 0]`` to ``rows[r, 1]``. Eight pixels without an edge are passed in one step. Among
    others, a run's edges are written before it is known whether they are ones, so that nothing branches; there is room
    for the most that the rows can have and one edge more.
    """
    height, width = volume.shape[1:]
    change = np.zeros((width + 8) // 8 * 8, np.uint8)  # 1 where a run starts or has stopped
    eights = change.view(np.uint64)
    count = 2 * first_plane * height * _most_runs(width)
    for z in range(first_plane, last_plane):
        for y in range(height):
            row, number = volume[z, y], z * height + y
            rows[number, 0] = count >> 1
            change[0] = row[0]
            for x in range(1, width):
                change[x] = row[x] ^ row[x - 1]
            change[width] = row[width - 1]
            for eight in range(len(eights)):
                if eights[eight] != 0:
                    for x in range(8 * eight, 8 * eight + 8):
                        edges[count] = x
                        count += change[x]
            rows[number, 1] = count >> 1
            for run in range(rows[number, 0], rows[number, 1]):
                parents[run] = run


@numba.njit(cache=True, nogil=True, inline="always")
def _most_runs(width: int) -> int:
    """Return for how many runs a row needs room, the edge written in vain included."""
    return width // 2 + 2


@numba.njit(cache=True, nogil=True, inline="always")
def _root(parents: NDArray[np.signedinteger], run: int) -> int:
    while parents[run] != run:
        parents[run] = parents[parents[run]]
        run = parents[run]
    return run


@numba.njit(cache=True, nogil=True, inline="always")
def _join_rows(
    edges: NDArray[np.int32],
    parents: NDArray[np.signedinteger],
    rows: NDArray[np.int64],
    row: int,
    before: int,
    reach: int,
) -> None:
    """Join the touching runs of a row and one before it; with ``reach`` 1 also those that touch diagonally along x."""
    other, last_other = rows[before, 0], rows[before, 1]
    for run in range(rows[row, 0], rows[row, 1]):
        start, stop = edges[2 * run] - reach, edges[2 * run + 1] + reach
        while other < last_other and edges[2 * other + 1] <= start:
            other += 1
        if other == last_other:
            break
        if edges[2 * other] >= stop:
            continue
        root = _root(parents, run)
        while True:
            other_root = root if parents[other] == root else _root(parents, other)  # mostly the same already
            # The earlier run is the root: a component is numbered by its first pixel.
            if other_root < root:
                parents[root] = other_root
                root = other_root
            elif root < other_root:
                parents[other_root] = root
            if other + 1 == last_other or edges[2 * other + 2] >= stop:
                break  # the last one may touch the next run, too
            other += 1
        parents[run] = root


@numba.njit(cache=True, nogil=True)
def _join_in_plane(
    z: int,
    height: int,
    steps: int,
    edges: NDArray[np.int32],
    parents: NDArray[np.signedinteger],
    rows: NDArray[np.int64],
) -> None:
    for row in range(z * height + 1, (z + 1) * height):
        _join_rows(edges, parents, rows, row, row - 1, min(steps - 1, 1))


@numba.njit(cache=True, nogil=True)
def _join_to_plane_before(
    z: int,
    height: int,
    steps: int,
    edges: NDArray[np.int32],
    parents: NDArray[np.signedinteger],
    rows: NDArray[np.int64],
) -> None:
    for y in range(height):
        row = z * height + y
        if rows[row, 0] == rows[row, 1]:
            continue
        for dy in range(-1, 2):
            left = steps - 1 - abs(dy)
            if left >= 0 and 0 <= y + dy < height:
                _join_rows(edges, parents, rows, row, row - height + dy, min(left, 1))


@numba.njit(cache=True, nogil=True)
def _join_planes(
    first_plane: int,
    last_plane: int,
    height: int,
    steps: int,
    edges: NDArray[np.int32],
    parents: NDArray[np.signedinteger],
    rows: NDArray[np.int64],
) -> None:
    """Join the runs of some planes among each other."""
    for z in range(first_plane, last_plane):
        _join_in_plane(z, height, steps, edges, parents, rows)
        if z > first_plane:
            _join_to_plane_before(z, height, steps, edges, parents, rows)


@numba.njit(cache=True, nogil=True)
def _number_components(parents: NDArray[np.signedinteger], rows: NDArray[np.int64]) -> int:
    """Replace the parent of every run by the number of its component; return how many there are."""
    count = 0
    for row in range(rows.shape[0]):
        for run in range(rows[row, 0], rows[row, 1]):
            if parents[run] == run:
                count += 1
                parents[run] = count
            else:  # a parent comes before its run, so it has its number already
                parents[run] = parents[parents[run]]
    return count


@numba.njit(cache=True, nogil=True)
def _paint(
    first_plane: int,
    last_plane: int,
    labels: NDArray[np.int32],
    edges: NDArray[np.int32],
    numbers: NDArray[np.signedinteger],
    rows: NDArray[np.int64],
) -> None:
    height = labels.shape[1]
    for z in range(first_plane, last_plane):
        for y in range(height):
            row, out = z * height + y, labels[z, y]
            for run in range(rows[row, 0], rows[row, 1]):
                for x in range(edges[2 * run], edges[2 * run + 1]):
                    out[x] = numbers[run]


def _label(volume: NDArray[np.uint8], steps: int, labels: NDArray[np.int32]) -> int:
    """Write the labels of one volume into ``labels`` and return their number.

    Threads label slabs of planes by themselves; then the runs on both sides of the seams are joined.
    """
    depth, height, width = volume.shape
    if volume.size == 0:
        return 0
    if steps == 3 or (steps == 2 and height == 1):
        return _label_blocks(volume, labels)
    labels[:] = 0
    room = depth * height * _most_runs(width)
    edges = np.empty(2 * room, np.int32)
    parents = np.empty(room, np.int32 if room < 2**31 else np.int64)
    rows = np.empty((depth * height, 2), np.int64)
    seams: list[int] = []

    def scan(first_plane: int, last_plane: int) -> None:
        _find_runs(volume, first_plane, last_plane, edges, parents, rows)
        _join_planes(first_plane, last_plane, height, steps, edges, parents, rows)
        seams.append(first_plane)

    in_threads(scan, depth, volume.size)
    for plane in seams:
        if plane > 0:
            _join_to_plane_before(plane, height, steps, edges, parents, rows)
    count = int(_number_components(parents, rows))
    in_threads(lambda first, last: _paint(first, last, labels, edges, parents, rows), depth, volume.size)
    return count


def _label_blocks(volume: NDArray[np.uint8], labels: NDArray[np.int32]) -> int:
    """Do as :func:`_label` where all diagonal neighbours belong together."""
    depth, height, width = volume.shape
    planes, blocks = (depth + 1) // 2, (height + 1) // 2
    runs, rows = np.empty((planes, blocks, width), np.int32), np.empty((planes * blocks, 2), np.int32)
    parents, numbers = np.empty((2, planes * blocks * ((width + 1) // 2) + 1), np.int32)
    seams: list[int] = []

    def scan(first: int, last: int) -> None:
        find_runs(volume, first, last, runs, parents, rows)
        join_runs(volume, first, last, False, runs, parents)
        seams.append(first)

    in_threads(scan, planes, volume.size)
    for plane in seams:
        join_runs(volume, plane, plane + 1, True, runs, parents)
    count = int(number_components(volume, runs, parents, rows, numbers))
    in_threads(partial(paint, volume, runs, numbers, labels), planes, volume.size // 4)
    return count


def label_images(
    images: NDArray[np.bool_], connectivity: int, dims: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the labels of every image ``[*leading, *spatial]`` and how many there are, ``[*leading]``."""
    leading, spatial = images.shape[:-dims], images.shape[-dims:]
    planes = spatial if dims == 3 else (spatial[0], 1, spatial[1])  # an image is a volume whose planes are its rows
    volumes = np.ascontiguousarray(images).view(np.uint8).reshape(math.prod(leading), *planes)
    labels = np.empty(volumes.shape, np.int32)
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
