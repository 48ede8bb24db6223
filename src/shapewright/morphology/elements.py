"""Structuring elements: boolean arrays of odd size with their origin at the centre.

Radii are physical: with ``spacing`` an element covers the same millimetres along every axis of an anisotropic grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import AnyArray, as_binary, check_spacing
from shapewright.errors import InputError

Element = NDArray[np.bool_]
Spacing = Sequence[float] | float | None


@dataclass(frozen=True, eq=False)
class Offsets:
    """The pixels of a structuring element relative to its origin; compared by identity, so a fast key of caches."""

    pixels: tuple[tuple[int, ...], ...]

    @property
    def spatial_dims(self) -> int:
        """The rank of the element."""
        return len(self.pixels[0])

    @cached_property
    def mirrored(self) -> Offsets:
        """The element mirrored in its origin."""
        return Offsets(tuple(tuple(-step for step in pixel) for pixel in self.pixels))


_TOLERANCE = 1e-9  # so that a radius of 3 * 0.1 reaches the third pixel of 0.1


def ball(radius: float, spatial_dims: int = 2, spacing: Spacing = None) -> Element:
    """Return the pixels whose centres lie within a Euclidean distance of the origin.

    Parameters
    ----------
    radius
        In the unit of ``spacing`` (mm); in pixels without it.
    spatial_dims
        2 or 3.
    spacing
        Pixel size per axis, (z,) y, x.

    Notes
    -----
    *Convention*: ``x**2 + y**2 <= radius**2`` as in ``skimage.morphology.disk`` and ``ball``; ITK's ball is larger.

    Examples
    --------
    >>> ball(1).astype(int)
    array([[0, 1, 0],
           [1, 1, 1],
           [0, 1, 0]])
    >>> ball(3, 3, spacing=(3, 1, 1)).shape
    (3, 7, 7)
    """
    distances = _distances(radius, spatial_dims, spacing)
    squared = sum(d * d for d in distances)
    return np.asarray(squared <= radius * radius * (1 + _TOLERANCE) + _TOLERANCE)


def box(radius: float, spatial_dims: int = 2, spacing: Spacing = None) -> Element:
    """Return the pixels within a chessboard distance of the origin: a square or cube of ``2 radius + 1`` pixels.

    Parameters are those of :func:`ball`.

    Examples
    --------
    >>> box(1, 3).sum()
    np.int64(27)
    """
    return np.ones(np.broadcast_shapes(*(d.shape for d in _distances(radius, spatial_dims, spacing))), bool)


def diamond(radius: float, spatial_dims: int = 2, spacing: Spacing = None) -> Element:
    """Return the pixels within a city-block distance of the origin. Parameters are those of :func:`ball`.

    Examples
    --------
    >>> diamond(2).sum()
    np.int64(13)
    """
    distances = _distances(radius, spatial_dims, spacing)
    total = sum(np.abs(d) for d in distances)
    return np.asarray(total <= radius + _TOLERANCE * max(radius, 1.0))


def cross(radius: float = 1, spatial_dims: int = 2, spacing: Spacing = None) -> Element:
    """Return the pixels on the axes within a distance of the origin. Parameters are those of :func:`ball`.

    Examples
    --------
    >>> cross(1, 3).sum()
    np.int64(7)
    """
    distances = _distances(radius, spatial_dims, spacing)
    off_axis = sum((d != 0).astype(np.int64) for d in distances)
    return np.asarray(off_axis <= 1)


def line(length: int, direction: float | Sequence[float] = 0.0) -> Element:
    """Return a digital line segment through the origin, one pixel for every step along its longest axis.

    Parameters
    ----------
    length
        Number of pixels, odd.
    direction
        An angle in degrees, counter-clockwise from the x axis (2D), or a vector (y, x) or (z, y, x).

    Examples
    --------
    >>> line(3, 45).astype(int)
    array([[0, 0, 1],
           [0, 1, 0],
           [1, 0, 0]])
    >>> line(5).shape, line(5, (1, 0, 0)).shape
    ((1, 5), (5, 1, 1))
    """
    if not isinstance(length, int | np.integer) or length < 1 or length % 2 == 0:
        raise InputError(f"length must be a positive odd number of pixels; got {length}")
    if isinstance(direction, int | float):
        angle = math.radians(direction)
        vector = np.array([-math.sin(angle), math.cos(angle)])
    else:
        vector = np.asarray(direction, dtype=float)
    if vector.shape not in ((2,), (3,)) or not np.isfinite(vector).all() or not np.abs(vector).max() > 0:
        raise InputError(f"direction must be an angle, or a vector (y, x) or (z, y, x) other than 0; got {direction}")
    step = vector / np.abs(vector).max()
    ahead = np.arange(1, length // 2 + 1)[:, None] * step
    points = np.floor(ahead + 0.5 - _TOLERANCE).astype(np.int64)  # one half is mirrored: the line is symmetric
    reach = np.abs(points).max(axis=0, initial=0)
    element = np.zeros(2 * reach + 1, bool)
    for point in (*points, *-points, np.zeros_like(reach)):
        element[tuple(point + reach)] = True
    return element


def connectivity(neighbours: int, spatial_dims: int) -> Element:
    """Return a pixel with its 4 or 8 neighbours in 2D, or 6, 18 or 26 in 3D.

    Examples
    --------
    >>> connectivity(18, 3).sum()
    np.int64(19)
    """
    steps = {(4, 2): 1, (8, 2): 2, (6, 3): 1, (18, 3): 2, (26, 3): 3}
    if (neighbours, spatial_dims) not in steps:
        accepted = "4 or 8" if spatial_dims == 2 else "6, 18 or 26"
        raise InputError(f"connectivity must be {accepted} in {spatial_dims}D; got {neighbours}")
    distances = _distances(1, spatial_dims, None)
    return np.asarray(sum(np.abs(d) for d in distances) <= steps[neighbours, spatial_dims])


def element_offsets(footprint: AnyArray, origin: Sequence[int] | None, name: str = "footprint") -> Offsets:
    """Return the set pixels of a structuring element relative to its origin.

    Parameters
    ----------
    footprint
        Any 2D or 3D binary array.
    origin
        Index of the origin in it; by default the centre, which an even size does not have.

    Raises
    ------
    InputError
        Not 2D or 3D, nothing set, an even size without an origin, or an origin of another rank.
    """
    element = as_binary(footprint, name)
    if element.ndim not in (2, 3):
        raise InputError(f"{name} must have 2 or 3 axes, one per spatial axis; got shape {element.shape}")
    if origin is None:
        if any(size % 2 == 0 for size in element.shape):
            raise InputError(
                f"{name} of even size {element.shape} has no centre; give origin=, the index of its origin"
            )
        origin = tuple(size // 2 for size in element.shape)
    if len(origin) != element.ndim:
        raise InputError(f"origin must have {element.ndim} indices, like the {name}; got {tuple(origin)}")
    offsets = _offsets(element.tobytes(), element.shape, tuple(int(index) for index in origin))
    if not offsets.pixels:
        raise InputError(f"{name} must have at least one set pixel; got an empty element of shape {element.shape}")
    return offsets


@lru_cache(maxsize=256)
def _offsets(pixels: bytes, shape: tuple[int, ...], origin: tuple[int, ...]) -> Offsets:
    """Return the offsets of an element; the same object for the same element, so that plans are found again."""
    element = np.frombuffer(pixels, bool).reshape(shape)
    return Offsets(tuple(tuple(row) for row in (np.argwhere(element) - origin).tolist()))


def _distances(radius: float, spatial_dims: int, spacing: Spacing) -> list[NDArray[np.float64]]:
    """Return the physical coordinates along each axis, up to the radius, ready to broadcast."""
    if spatial_dims not in (2, 3):
        raise InputError(f"spatial_dims must be 2 or 3; got {spatial_dims}")
    if not (isinstance(radius, int | float | np.number) and np.isfinite(radius) and radius >= 0):
        raise InputError(f"radius must be a number of at least 0; got {radius!r}")
    sizes = check_spacing(spacing, spatial_dims)
    axes = []
    for size in sizes:
        reach = math.floor(radius / size * (1 + _TOLERANCE) + _TOLERANCE)
        axes.append(np.arange(-reach, reach + 1) * size)
    return list(np.meshgrid(*axes, indexing="ij", sparse=True))


def trimmed(element: Element) -> Element:
    """Return an element without the outer layers that are empty on both sides."""
    inside = []
    for axis, size in enumerate(element.shape):
        used = np.flatnonzero(element.any(axis=tuple(other for other in range(element.ndim) if other != axis)))
        reach = int(np.abs(used - size // 2).max())
        inside.append(slice(size // 2 - reach, size // 2 + reach + 1))
    return element[tuple(inside)]


def element_name(element: Element) -> str | None:
    """Return the call that makes an element, such as ``ball(3)``, or None where it has no name.

    Examples
    --------
    >>> element_name(line(7)), element_name(np.eye(5, dtype=bool)), element_name(np.eye(3, 5, dtype=bool))
    ('line(7)', 'line(5, 315)', None)
    """
    core = trimmed(element)
    for name, make in _named_elements(core):
        candidate = make()
        if np.array_equal(candidate, core):
            return name
    return None


def _named_elements(element: Element) -> Iterable[tuple[str, Callable[[], Element]]]:
    dims = element.ndim
    rank = "" if dims == 2 else ", 3"
    reach = max(element.shape) // 2
    for maker in (ball, box, cross, diamond):
        yield f"{maker.__name__}({reach}{rank})", lambda maker=maker: maker(reach, dims)  # type: ignore[misc]
    for squared in range(reach * reach, (reach + 1) ** 2):
        radius = f"{squared**0.5:.4g}"
        yield f"ball({radius}{rank})", lambda radius=radius: ball(float(radius), dims)  # type: ignore[misc]
    length = max(element.shape)
    if dims == 2:
        for angle in (0, 90, 45, 315):
            argument = f", {angle}" if angle else ""
            yield f"line({length}{argument})", lambda angle=angle: line(length, angle)  # type: ignore[misc]
        diagonals = f"line({length}, 45) | line({length}, 315)"
        yield diagonals, lambda: line(length, 45) | line(length, 315)
    else:
        for axis in range(3):
            vector = tuple(int(other == axis) for other in range(3))
            yield f"line({length}, {vector})", lambda vector=vector: line(length, vector)  # type: ignore[misc]
