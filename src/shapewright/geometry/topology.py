"""Euler number and Betti numbers of binary images."""

import math
from functools import lru_cache
from itertools import product

import numba
import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import Array, as_binary, check_spatial_dims, same_kind
from shapewright.errors import InputError
from shapewright.geometry.components import check_connectivity, label_background, label_images

# Pixels of the 2 x 2 x 2 neighbourhood after a grid corner, in the order of the code's bits: (z, y, x).
PIXELS = list(product((0, 1), repeat=3))


@lru_cache(maxsize=2)
def euler_contributions(pixels_touch: bool) -> NDArray[np.int64]:
    """Return what each 2 x 2 x 2 neighbourhood adds to the Euler number: 256 integers.

    The Euler number of a complex of cubes is vertices - edges + faces - solids, and each cell is counted in one
    neighbourhood. With ``pixels_touch`` (connectivity 8 or 26) pixels are closed cubes: a vertex, edge or face around
    the neighbourhood's middle belongs to the complex if **any** pixel around it does. Without (4 or 6) pixels are the
    vertices: an edge, face or solid between pixels belongs to it if **all** of them do.
    """
    table = np.zeros(256, np.int64)
    for code in range(256):
        foreground = {pixel for bit, pixel in enumerate(PIXELS) if code >> bit & 1}
        for axes in product((0, 1), repeat=3):
            # The cell that extends along ``axes``; closed cubes: its pixels are those ahead along these axes.
            if pixels_touch:
                around = [pixel for pixel in PIXELS if all(p >= a for p, a in zip(pixel, axes, strict=True))]
                present = any(pixel in foreground for pixel in around)
            else:
                around = [pixel for pixel in PIXELS if all(p <= a for p, a in zip(pixel, axes, strict=True))]
                present = all(pixel in foreground for pixel in around)
            table[code] += (-1) ** sum(axes) * present
    table.setflags(write=False)
    return table


@numba.njit(cache=True, nogil=True)
def _sum_over_neighbourhoods(padded: NDArray[np.uint8], table: NDArray[np.int64]) -> int:
    total = 0
    for z in range(padded.shape[0] - 1):
        for y in range(padded.shape[1] - 1):
            a, b = padded[z, y], padded[z, y + 1]
            c, d = padded[z + 1, y], padded[z + 1, y + 1]
            for x in range(a.size - 1):
                code = a[x] | a[x + 1] << 1 | b[x] << 2 | b[x + 1] << 3
                code |= c[x] << 4 | c[x + 1] << 5 | d[x] << 6 | d[x + 1] << 7
                total += table[code]
    return total


def _euler_numbers(images: NDArray[np.bool_], connectivity: int, dims: int) -> NDArray[np.int64]:
    """Return the Euler numbers ``[*leading]`` of images; an image (y, x) is a volume of one slice."""
    if connectivity == 18:
        raise InputError("connectivity must be 6 or 26 for the Euler and Betti numbers in 3D; got 18")
    leading, spatial = images.shape[:-dims], images.shape[-dims:]
    volumes = images.view(np.uint8).reshape(math.prod(leading), *(1,) * (3 - dims), *spatial)
    table = euler_contributions(connectivity in (8, 26))
    sums = [_sum_over_neighbourhoods(np.pad(volume, 1), table) for volume in volumes]
    return np.array(sums, np.int64).reshape(leading)


def euler_number(mask: Array, *, connectivity: int | None = None, spatial_dims: int | None = None) -> Array:
    """Return the Euler number: components - holes in 2D, components - tunnels + cavities in 3D.

    Convention: ``skimage.measure.euler_number(mask, connectivity)`` with 1 for 4 and 6, 2 for 8, 3 for 26. Outside the
    image is background. An empty mask has 0, a full one 1.

    Parameters
    ----------
    mask
        Binary masks ``[*leading, *spatial]``: bool, or integers 0 and 1.
    connectivity
        Neighbours of a foreground pixel: 4 or 8 in 2D, 6 or 26 in 3D; ``None`` is the largest. The background has the
        dual one.
    spatial_dims
        How many trailing axes are space, 2 or 3; ``None`` for one image.

    Returns
    -------
    array or tensor
        int64 ``[*leading]``; for one image it has no axes.

    References
    ----------
    S. B. Gray, Local properties of binary images in two dimensions, IEEE Trans. Computers C-20, 1971.

    Examples
    --------
    >>> ring = np.ones((3, 3), bool)
    >>> ring[1, 1] = False
    >>> int(euler_number(ring)), int(euler_number(~ring))
    (0, 1)
    """
    binary = as_binary(mask, "mask")
    dims = check_spatial_dims(spatial_dims, binary.shape)
    numbers = _euler_numbers(binary, check_connectivity(connectivity, dims), dims)
    return same_kind(numbers, mask).reshape(numbers.shape)


def betti_numbers(mask: Array, *, connectivity: int | None = None, spatial_dims: int | None = None) -> Array:
    """Return the Betti numbers: components and holes in 2D; components, tunnels and cavities in 3D.

    Components and cavities are counted by labelling foreground and background, tunnels follow from the Euler number
    (Euler-Poincaré): b1 = b0 + b2 - Euler number.

    Convention: outside the image is background; the background has the dual connectivity (4 for 8, 6 for 26, and the
    other way round). An empty mask has all 0. With the default connectivity these are the Betti numbers of the union of
    the closed pixels, as in cubical homology.

    Parameters
    ----------
    mask
        Binary masks ``[*leading, *spatial]``: bool, or integers 0 and 1.
    connectivity
        Neighbours of a foreground pixel: 4 or 8 in 2D, 6 or 26 in 3D; ``None`` is the largest.
    spatial_dims
        How many trailing axes are space, 2 or 3; ``None`` for one image.

    Returns
    -------
    array or tensor
        int64 ``[*leading, spatial_dims]``: (b0, b1) or (b0, b1, b2).

    Examples
    --------
    >>> ring = np.ones((3, 3), bool)
    >>> ring[1, 1] = False
    >>> betti_numbers(ring)
    array([1, 1])
    >>> betti_numbers(np.stack([ring, ring, ring]))  # a tube: one tunnel
    array([1, 1, 0])
    """
    binary = as_binary(mask, "mask")
    dims = check_spatial_dims(spatial_dims, binary.shape)
    neighbours = check_connectivity(connectivity, dims)
    euler = _euler_numbers(binary, neighbours, dims)
    _, components = label_images(binary, neighbours, dims)
    _, backgrounds = label_background(binary, neighbours, dims)
    enclosed = backgrounds - 1
    numbers = [components, enclosed] if dims == 2 else [components, components + enclosed - euler, enclosed]
    return same_kind(np.stack(numbers, axis=-1), mask)
