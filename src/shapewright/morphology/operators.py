"""Erosion, dilation and what is made of them: exact on binary images, differentiable on probabilities.

Every operator takes an image with any leading axes; the rank of the structuring element says how many trailing axes
are space. bool, integers 0 and 1, and packed images give the exact binary result. Floating point in [0, 1] gives the
polynomial of the same filter: the erosion is the product over the element, the dilation one minus the product of the
complements (the probability that all pixels, or any, are set if they are independent), and combinations multiply:
``a and not b`` is ``a (1 - b)``. On the values 0 and 1 both agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import AnyArray, as_binary, same_kind, shape_of
from shapewright.boolean.filter import (
    check_iterations,
    check_outside,
    check_probabilities,
    exact_on_gpu,
    is_floating,
    on_gpu,
    repeat,
)
from shapewright.boolean.packed import PackedImage, pack
from shapewright.errors import InputError
from shapewright.morphology._packed import union_of_shifts, union_of_shifts_of_pixels
from shapewright.morphology._product import conjunction, disjunction, soft_dilation, soft_erosion
from shapewright.morphology.elements import Offsets, element_offsets

_GPU_PIXELS = 128  # a kernel of a GPU reads each pixel of an element; larger elements are decomposed, on the CPU

Image = Any  # NumPy array, torch tensor or PackedImage: the same kind out as in


def erosion(
    image: Image,
    footprint: AnyArray,
    *,
    iterations: int | None = 1,
    outside: float = 0,
    origin: Sequence[int] | None = None,
) -> Image:
    """Return where the structuring element, placed on the pixel, fits into the set.

    Parameters
    ----------
    image
        bool, integers 0 and 1, floating point in [0, 1], or a packed image; any leading axes.
    footprint
        Structuring element, 2D or 3D: :func:`ball`, :func:`box`, :func:`line` ... or any binary array.
    iterations
        How many times; ``None`` until nothing changes.
    outside
        Value of pixels outside the image. 0, as in SciPy, erodes from the image's border; 1 does not.
    origin
        Index of the element's origin; by default its centre, which an even size does not have.

    Returns
    -------
    The same kind and shape as ``image``.

    Raises
    ------
    InputError
        Values outside [0, 1] or NaN, integers other than 0 and 1, an element that is empty, of even size without an
        origin, or of higher rank than the image.

    Notes
    -----
    *Convention*: ``scipy.ndimage.binary_erosion(image, footprint, iterations, border_value=outside)``. OpenCV and
    scikit-image count outside as set. On floating point, n pixels give ``p ** n`` on a constant map p.

    References
    ----------
    Guzzi et al., "Differentiable soft morphological filters for medical image segmentation", MICCAI 2024.

    Examples
    --------
    >>> import numpy as np
    >>> erosion(np.array([[0, 1, 1, 1, 0]], bool), np.ones((1, 3), bool)).astype(int)
    array([[0, 0, 1, 0, 0]])
    >>> erosion(np.array([[0.5, 0.5, 1.0]]), np.ones((1, 3), bool), outside=1)
    array([[0.25, 0.25, 0.5 ]])
    """
    offsets = element_offsets(footprint, origin)
    return _on_either(lambda part: _erode(part, offsets, outside), image, offsets, outside, iterations)


def dilation(
    image: Image,
    footprint: AnyArray,
    *,
    iterations: int | None = 1,
    outside: float = 0,
    origin: Sequence[int] | None = None,
) -> Image:
    """Return the pixels that the structuring element covers when it is placed on every pixel of the set.

    Parameters, results and errors are those of :func:`erosion`.

    Notes
    -----
    *Convention*: ``scipy.ndimage.binary_dilation(image, footprint, iterations, border_value=outside)``. The element
    is mirrored, so erosion and dilation are adjoint and :func:`opening` never grows; OpenCV does not mirror it.

    Examples
    --------
    >>> import numpy as np
    >>> dilation(np.array([[0, 0, 1, 0, 0]], bool), np.array([[0, 1, 1]], bool)).astype(int)
    array([[0, 0, 1, 1, 0]])
    >>> dilation(np.array([[0.5, 0.5, 0.0]]), np.ones((1, 3), bool))
    array([[0.75, 0.75, 0.5 ]])
    """
    offsets = element_offsets(footprint, origin)
    return _on_either(lambda part: _dilate(part, offsets, outside), image, offsets, outside, iterations)


def opening(
    image: Image,
    footprint: AnyArray,
    *,
    iterations: int | None = 1,
    outside: float = 0,
    origin: Sequence[int] | None = None,
) -> Image:
    """Return the union of all placements of the element that fit into the set: erosions, then as many dilations.

    Parameters, results and errors are those of :func:`erosion`; ``iterations`` must be a number.

    Notes
    -----
    *Convention*: ``scipy.ndimage.binary_opening``, with ``outside`` for both halves.

    Examples
    --------
    >>> import numpy as np
    >>> opening(np.array([[1, 0, 1, 1, 1]], bool), np.ones((1, 3), bool)).astype(int)
    array([[0, 0, 1, 1, 1]])
    """
    times = _number(iterations)
    if _is_plain_binary(image):
        return _on_packed(opening, image, footprint, iterations=times, outside=outside, origin=origin)
    eroded = erosion(image, footprint, iterations=times, outside=outside, origin=origin)
    return dilation(eroded, footprint, iterations=times, outside=outside, origin=origin)


def closing(
    image: Image,
    footprint: AnyArray,
    *,
    iterations: int | None = 1,
    outside: float = 0,
    origin: Sequence[int] | None = None,
) -> Image:
    """Fill what no mirrored placement of the element outside the set reaches: dilations, then as many erosions.

    Parameters, results and errors are those of :func:`erosion`; ``iterations`` must be a number.

    Notes
    -----
    *Convention*: ``scipy.ndimage.binary_closing``: with ``outside=0`` the second half erodes from the image's border,
    so a closing can lose pixels there. ``outside=1`` counts outside as set throughout.

    Examples
    --------
    >>> import numpy as np
    >>> closing(np.array([[0, 1, 0, 1, 0]], bool), np.ones((1, 3), bool)).astype(int)
    array([[0, 1, 1, 1, 0]])
    """
    times = _number(iterations)
    if _is_plain_binary(image):
        return _on_packed(closing, image, footprint, iterations=times, outside=outside, origin=origin)
    dilated = dilation(image, footprint, iterations=times, outside=outside, origin=origin)
    return erosion(dilated, footprint, iterations=times, outside=outside, origin=origin)


def white_tophat(
    image: Image, footprint: AnyArray, *, outside: float = 0, origin: Sequence[int] | None = None
) -> Image:
    """Return what the opening removes: thin parts and small objects. Parameters are those of :func:`erosion`.

    Examples
    --------
    >>> import numpy as np
    >>> white_tophat(np.array([[1, 0, 1, 1, 1]], bool), np.ones((1, 3), bool)).astype(int)
    array([[1, 0, 0, 0, 0]])
    """
    if _is_plain_binary(image):
        return _on_packed(white_tophat, image, footprint, outside=outside, origin=origin)
    return _and_not(image, opening(image, footprint, outside=outside, origin=origin))


def black_tophat(
    image: Image, footprint: AnyArray, *, outside: float = 0, origin: Sequence[int] | None = None
) -> Image:
    """Return what the closing adds: thin gaps and small holes. Parameters are those of :func:`erosion`.

    Examples
    --------
    >>> import numpy as np
    >>> black_tophat(np.array([[0, 1, 0, 1, 0]], bool), np.ones((1, 3), bool)).astype(int)
    array([[0, 0, 1, 0, 0]])
    """
    if _is_plain_binary(image):
        return _on_packed(black_tophat, image, footprint, outside=outside, origin=origin)
    return _and_not(closing(image, footprint, outside=outside, origin=origin), image)


def gradient(image: Image, footprint: AnyArray, *, outside: float = 0, origin: Sequence[int] | None = None) -> Image:
    """Return the dilation without the erosion: a band along the boundary. Parameters are those of :func:`erosion`.

    Examples
    --------
    >>> import numpy as np
    >>> gradient(np.array([[0, 0, 1, 1, 1]], bool), np.ones((1, 3), bool), outside=1).astype(int)
    array([[1, 1, 1, 0, 0]])
    """
    if _is_plain_binary(image):
        return _on_packed(gradient, image, footprint, outside=outside, origin=origin)
    dilated = dilation(image, footprint, outside=outside, origin=origin)
    return _and_not(dilated, erosion(image, footprint, outside=outside, origin=origin))


def hit_or_miss(
    image: Image,
    foreground: AnyArray,
    background: AnyArray | None = None,
    *,
    outside: float = 0,
    origin: Sequence[int] | None = None,
) -> Image:
    """Return where one element fits into the set and another into its complement.

    Parameters
    ----------
    image, outside, origin
        As in :func:`erosion`.
    foreground, background
        The two elements; ``background`` is by default the complement of ``foreground``, which may then be all set.

    Notes
    -----
    *Convention*: ``scipy.ndimage.binary_hit_or_miss``, which has ``outside=0``.

    Examples
    --------
    >>> import numpy as np
    >>> hit_or_miss(np.array([[0, 1, 0, 1, 1]], bool), np.array([[0, 1, 0]], bool)).astype(int)
    array([[0, 1, 0, 0, 0]])
    """
    if _is_plain_binary(image):
        return _on_packed(hit_or_miss, image, foreground, background=background, outside=outside, origin=origin)
    fits = erosion(image, foreground, outside=outside, origin=origin)
    if background is None:
        background = ~as_binary(foreground, "foreground")
        if not background.any():
            return fits
    offsets = element_offsets(background, origin, "background")
    touches = _on_either(lambda part: _dilate(part, offsets.mirrored, outside), image, offsets, outside, 1)
    return _and_not(fits, touches)


def _erode(image: Image, offsets: Offsets, outside: float) -> Image:
    if isinstance(image, PackedImage):
        return union_of_shifts(image, offsets, outside=bool(outside), complement=True)
    if not is_floating(image):
        if on_gpu(image):
            return exact_on_gpu(conjunction(offsets), image, offsets.spatial_dims, bool(outside), 1)
        return union_of_shifts_of_pixels(image, offsets, outside=bool(outside), complement=True)
    return soft_erosion(image, offsets, float(outside))


def _dilate(image: Image, offsets: Offsets, outside: float) -> Image:
    if isinstance(image, PackedImage):
        return union_of_shifts(image, offsets.mirrored, outside=bool(outside), complement=False)
    if not is_floating(image):
        if on_gpu(image):
            return exact_on_gpu(disjunction(offsets.mirrored), image, offsets.spatial_dims, bool(outside), 1)
        return union_of_shifts_of_pixels(image, offsets.mirrored, outside=bool(outside), complement=False)
    return soft_dilation(image, offsets.mirrored, float(outside))


def _on_either(step: Any, image: Image, offsets: Offsets, outside: float, iterations: int | None) -> Image:
    """Apply a step to a packed or a floating-point image; pack and unpack a binary one."""
    check_outside(outside, image)
    check_iterations(iterations)
    spatial_dims = offsets.spatial_dims
    if len(shape_of(image, "image")) < spatial_dims:
        raise InputError(
            f"image must have at least the footprint's {spatial_dims} axes; got shape {tuple(image.shape)}"
        )
    if isinstance(image, PackedImage):
        if image.spatial_dims != spatial_dims:
            raise InputError(
                f"image is packed with {image.spatial_dims} spatial axes, the footprint has {spatial_dims}"
            )
        return repeat(step, image, iterations)
    if is_floating(image):
        check_probabilities(image, "image")
        return repeat(step, image, iterations)
    if on_gpu(image) and len(offsets.pixels) <= _GPU_PIXELS:
        return repeat(step, image, iterations)
    binary = as_binary(image, "image")
    if iterations == 1:
        return same_kind(step(binary), image)
    return same_kind(repeat(step, _packed(binary, spatial_dims), iterations).unpack(), image)


def _on_packed(operator: Callable[..., Image], image: Image, footprint: AnyArray, **options: Any) -> Image:
    """Pack a binary image once for an operator of several steps, and unpack its result."""
    binary = as_binary(image, "image")
    return same_kind(
        operator(_packed(binary, len(shape_of(footprint, "footprint"))), footprint, **options).unpack(), image
    )


def _packed(binary: NDArray[np.bool_], spatial_dims: int) -> PackedImage:
    if binary.ndim < spatial_dims:
        raise InputError(f"image must have at least the footprint's {spatial_dims} axes; got shape {binary.shape}")
    return pack(binary, spatial_dims=spatial_dims)


def _is_plain_binary(image: Image) -> bool:
    return not isinstance(image, PackedImage) and not is_floating(image) and not on_gpu(image)


def _and_not(a: Image, b: Image) -> Image:
    """Return ``a and not b``: exactly on binary images, ``a (1 - b)`` on probabilities."""
    if isinstance(a, PackedImage):
        return a & ~b
    return a * (1 - b) if is_floating(a) else a.bool() & ~b.bool()


def _number(iterations: int | None) -> int:
    if iterations is None:
        raise InputError("iterations of an opening or closing must be a number; until nothing changes has no meaning")
    return iterations
