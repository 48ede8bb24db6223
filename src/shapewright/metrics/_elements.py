"""The size of a surface element by the 2 x 2 x 2 voxels around it.

The surface of a voxel mask is cut into one element per grid corner: the piece that marching cubes draws between the
eight voxel centres around that corner. Its shape follows from which of the eight are foreground, so there are 256
elements; this module derives them all instead of listing them.
"""

from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float, float]

# Voxel i of a neighbourhood is bit i of its code: bit 0 steps along y, bit 1 along z, bit 2 along x.
VOXELS: list[Point] = [(float(i >> 1 & 1), float(i & 1), float(i >> 2 & 1)) for i in range(8)]
MAX_TRIANGLES = 12


def _faces() -> list[list[int]]:
    """Return the six faces of the neighbourhood, each as its four voxels in order around the face."""
    faces = []
    for axis_bit, side in product((1, 2, 4), (0, 1)):
        first, second = (bit for bit in (1, 2, 4) if bit != axis_bit)
        base = side * axis_bit
        faces.append([base, base | first, base | first | second, base | second])
    return faces


def _midpoint(a: int, b: int) -> Point:
    (az, ay, ax), (bz, by, bx) = VOXELS[a], VOXELS[b]
    return ((az + bz) / 2, (ay + by) / 2, (ax + bx) / 2)


def _segments(code: int) -> list[tuple[Point, Point]]:
    """Return where the surface meets the faces: segments between midpoints of edges.

    Around a face the crossed edges enter and leave runs of foreground voxels. The two ends of one run are joined,
    which cuts diagonal foreground voxels apart.
    """
    segments = []
    for face in _faces():
        inside = [bool(code >> voxel & 1) for voxel in face]
        for k in range(4):
            if inside[k] and not inside[k - 1]:  # a run starts at voxel k
                end = k
                while inside[(end + 1) % 4]:
                    end += 1
                start_edge = _midpoint(face[k - 1], face[k])
                end_edge = _midpoint(face[end % 4], face[(end + 1) % 4])
                segments.append((start_edge, end_edge))
    return segments


def _loops(segments: list[tuple[Point, Point]]) -> list[list[Point]]:
    """Join the segments to closed loops: every crossed edge belongs to two faces, so it ends two segments."""
    remaining = list(segments)
    loops = []
    while remaining:
        first, current = remaining.pop()
        loop = [first]
        while current != first:
            loop.append(current)
            index = next(i for i, segment in enumerate(remaining) if current in segment)
            a, b = remaining.pop(index)
            current = b if a == current else a
        loops.append(loop)
    return loops


@lru_cache(maxsize=1)
def element_triangles() -> NDArray[np.float64]:
    """Return the triangles of every element, ``[256, 12, 3 corners, 3 axes]``; the unused ones have no area.

    A loop is spanned by a fan from its centroid, which is exact where it is flat and treats all its edges alike where
    it is not.
    """
    triangles = np.zeros((256, MAX_TRIANGLES, 3, 3))
    for code in range(256):
        count = 0
        for loop in _loops(_segments(code)):
            points = np.array(loop)
            for start, end in zip(points, np.roll(points, -1, axis=0), strict=True):
                triangles[code, count] = points.mean(axis=0), start, end
                count += 1
    return triangles


@lru_cache(maxsize=64)
def element_areas(spacing: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return the area in mm² of each of the 256 elements for voxels of ``spacing`` mm.

    Examples
    --------
    >>> areas = element_areas((1.0, 1.0, 1.0))
    >>> float(areas[0b00001111]), float(areas[0])  # a flat wall between x and x + 1; nothing
    (1.0, 0.0)
    """
    corners = element_triangles() * np.array(spacing)
    edges = corners[:, :, 1:] - corners[:, :, :1]
    areas: NDArray[np.float64] = np.linalg.norm(np.cross(edges[:, :, 0], edges[:, :, 1]), axis=-1).sum(axis=-1) / 2
    areas.setflags(write=False)
    return areas
