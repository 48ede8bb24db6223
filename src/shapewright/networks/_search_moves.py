"""Changes of whole elements: what a search that turns one pixel at a time does not find by itself."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Element = NDArray[np.bool_]


def moved(element: Element, step: NDArray[np.int64]) -> Element:
    """Return an element moved by whole pixels; what leaves the array is lost.

    Examples
    --------
    >>> moved(np.array([[True, True, False]]), np.array([0, 1]))
    array([[False,  True,  True]])
    """
    result = np.zeros_like(element)
    places = np.argwhere(element) + step
    places = places[((places >= 0) & (places < element.shape)).all(axis=1)]
    result[tuple(places.T)] = True
    return result


def mirrored(element: Element) -> Element:
    """Return an element mirrored in its centre: neurons in series, as of an opening, have mirrored sets."""
    return element[(slice(None, None, -1),) * element.ndim]


def directions_of(spatial_dims: int) -> list[tuple[int, ...]]:
    """Return the steps to a pixel's neighbours, one of each pair of opposite ones.

    Examples
    --------
    >>> directions_of(2)
    [(0, 1), (1, -1), (1, 0), (1, 1)]
    """
    return [step for step in itertools.product((-1, 0, 1), repeat=spatial_dims) if step > (0,) * spatial_dims]


def in_a_row(shape: Sequence[int], step: Sequence[int]) -> Element:
    """Return the element of the centre and its neighbours on both sides; in arrays too small for those, without.

    Examples
    --------
    >>> in_a_row((3, 3), (0, 1)).astype(int)
    array([[0, 0, 0],
           [1, 1, 1],
           [0, 0, 0]])
    """
    element = np.zeros(shape, np.bool_)
    element[tuple(size // 2 for size in shape)] = True
    return element | moved(element, np.array(step)) | moved(element, -np.array(step))


def without_line(element: Element, axis: int, place: int) -> Element:
    """Return an element without one row or column (in 3D, one plane)."""
    result = element.copy()
    result[(slice(None),) * axis + (place,)] = False
    return result


def kicked(elements: Sequence[Element], random: np.random.Generator) -> list[Element]:
    """Return elements that all have undergone the same large change, drawn at random."""
    shape = elements[0].shape
    which = int(random.integers(4))
    place, axis = random.integers(0, shape), int(random.integers(len(shape)))
    step = np.eye(len(shape), dtype=np.int64)[axis] * random.choice([-1, 1])
    noise = random.random(shape) < random.choice([0.05, 0.1, 0.2])
    if which == 0:
        return [element ^ noise for element in elements]
    if which == 1:
        return [moved(element, step) for element in elements]
    if which == 2:
        return [without_line(element, axis, int(place[axis])) for element in elements]
    return [element | moved(element, step) for element in elements]


def leaps(elements: Sequence[Element]) -> Iterator[list[Element]]:
    """Yield what becomes of elements by every large change that makes sense; all are seen in the first one's direction.

    A line of pixels less, a layer of pixels more or less along an axis, in the first or in all; in series, the first
    the same as one of the others, and the others the same as it.
    """
    first, others = elements[0], list(elements[1:])
    for group in ([first], list(elements)) if others else ([first],):
        rest = list(elements[len(group) :])
        for axis in range(first.ndim):
            for place in range(first.shape[axis]):
                if any(element.take(place, axis).any() for element in group):
                    yield [*(without_line(element, axis, place) for element in group), *rest]
            for sign in (-1, 1):
                step = np.eye(first.ndim, dtype=np.int64)[axis] * sign
                yield [*(element | moved(element, step) for element in group), *rest]
                yield [*(element & moved(element, step) for element in group), *rest]
    yield from matches(elements)


def matches(elements: Sequence[Element]) -> Iterator[list[Element]]:
    """Yield elements of neurons in series made the same: the first as each of the others, the others as the first."""
    for other in elements[1:]:
        yield [other, *elements[1:]]
    if len(elements) > 1:
        yield [elements[0]] * len(elements)
