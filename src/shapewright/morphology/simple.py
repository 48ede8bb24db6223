"""Simple points: pixels whose removal or addition changes no component, hole, tunnel or cavity.

The predicate is a decision diagram over the neighbours, shipped as data that ``scripts/simple_points.py`` regenerates.
One diagram gives the test of 64 pixels at once, the lookup of single pixels, and the probability that a pixel is
simple with its gradient.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import check_spatial_dims, shape_of
from shapewright.boolean import Diagram, Expression, Filter, pixel


@lru_cache(maxsize=2)
def simple_diagram(spatial_dims: int) -> Diagram:
    """Return the diagram of "the neighbours make the centre simple", in raster order of the neighbours.

    2D with 8-connected sets and 4-connected complements, 3D with 26 and 6.

    Examples
    --------
    >>> simple_diagram(2).count(8), simple_diagram(3).count(26)
    (116, 25985144)
    """
    text = resources.files("shapewright.morphology").joinpath("_simple_points.json").read_text(encoding="utf-8")
    record = json.loads(text)[f"{spatial_dims}d"]
    order = tuple(tuple(offset) for offset in record["order"])
    return Diagram(order, tuple((v, low, high) for v, low, high in record["nodes"]), record["root"])


@lru_cache(maxsize=2)
def simple_expression(spatial_dims: int) -> Expression:
    """Return the diagram as an expression in the order of the fewest gates."""
    return simple_diagram(spatial_dims).sifted().expression


def simple_points(image: Any, *, spatial_dims: int | None = None, outside: float = 0) -> Any:
    """Return the set pixels that are simple: removing any one of them keeps the topology.

    Parameters
    ----------
    image
        bool, integers 0 and 1, floating point in [0, 1], or a packed image; any leading axes.
    spatial_dims
        How many trailing axes are space; by default all of an image with 2 or 3 axes.
    outside
        Value of pixels outside the image.

    Returns
    -------
    The same kind. On floating point the probability that the pixel is set and simple, if pixels are independent.

    Notes
    -----
    *Convention*: sets are 8-connected (26 in 3D), their complements 4-connected (6 in 3D). An isolated pixel and an
    interior pixel are not simple.

    References
    ----------
    Bertrand and Malandain, "A new characterization of three-dimensional simple points", Pattern Recognition Letters
    15(2), 1994.

    Examples
    --------
    >>> simple_points(np.array([[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]], bool)).astype(int)[1]
    array([0, 1, 0, 1, 0])
    """
    dims = check_spatial_dims(getattr(image, "spatial_dims", spatial_dims), shape_of(image, "image"))
    return _filter(dims)(image, semantics="proxy", outside=outside)


@lru_cache(maxsize=2)
def _filter(spatial_dims: int) -> Filter:
    # Every pixel occurs once on a path, so the proxy polynomial of this expression is the exact expectation.
    return Filter(Expression("and", (pixel(*(0,) * spatial_dims), simple_expression(spatial_dims))))


@lru_cache(maxsize=2)
def lookup_tables(spatial_dims: int) -> tuple[NDArray[np.uint16], NDArray[np.uint16], NDArray[np.uint8]]:
    """Return the diagram as an automaton that reads the neighbours in three portions.

    The portions are the lines of the 3 x 3 neighbourhood, or the planes of 3 x 3 x 3, in raster order, first neighbour
    in the highest bit. The first table gives a state for the first portion, the second, ``[state, portion]``, the
    next state, the third whether the centre is simple. Together they fit into the second-level cache.
    """
    diagram = simple_diagram(spatial_dims)
    side = 3 ** (spatial_dims - 1)
    variable = np.array([-1, -1, *(node[0] for node in diagram.nodes)])
    low = np.array([0, 1, *(node[1] for node in diagram.nodes)])
    high = np.array([0, 1, *(node[2] for node in diagram.nodes)])
    references = np.array([diagram.root])
    tables = []
    first = 0
    for count in (side, side - 1, side):
        reached = np.repeat(references[:, None], 1 << count, axis=1)
        codes = np.arange(1 << count)
        for step in range(count):
            is_set = (codes >> (count - 1 - step)) & 1 == 1
            asks = variable[reached] == first + step
            reached = np.where(asks, np.where(is_set, high[reached], low[reached]), reached)
        references, states = np.unique(reached, return_inverse=True)
        tables.append(states.reshape(reached.shape))
        first += count
    # After the last portion only the constants are left; a diagram that is never or always true does not occur here.
    return tables[0][0].astype(np.uint16), tables[1].astype(np.uint16), tables[2].astype(np.uint8)
