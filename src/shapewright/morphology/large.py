"""Chains of operators on arrays larger than memory, part by part, with the result of the whole array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shapewright.errors import InputError
from shapewright.morphology.language import Pipeline


def apply_in_parts(pipeline: Pipeline, array: Any, *, spacing: Sequence[float] | float | None = None) -> Any:
    """Return the result of a chain on a Dask array, computed when the returned array is.

    Every chunk is extended by the chain's reach, computed, and cut back, so that the result is that of the whole array.
    Chunks and overlaps are even, because a thinning visits pixels by the parity of their coordinates.

    Parameters
    ----------
    pipeline
        Of operators with a finite reach.
    array
        Dask array of bool with 2 or 3 axes, all of them space.
    spacing
        Pixel size in mm per axis, (z,) y, x.

    Returns
    -------
    Dask array of bool, same shape; its chunks can be larger than those of ``array``.

    Raises
    ------
    InputError
        Dask is missing, or an operator has no finite reach (``fill_holes``, ``skeletonize`` until nothing changes ...).

    Examples
    --------
    >>> import dask.array, numpy
    >>> from shapewright.morphology.language import parse
    >>> image = numpy.random.default_rng(0).random((60, 70)) < 0.7
    >>> chain = parse("opening(cross(1)) | dilation(ball(2))")
    >>> parts = apply_in_parts(chain, dask.array.from_array(image, chunks=16))
    >>> bool((parts.compute() == chain(image)).all())
    True
    """
    import_dask()
    reach = pipeline.reach(array.ndim, spacing)
    depth = [pixels + pixels % 2 for pixels in reach]
    chunks = tuple(
        _even_chunks(size, own[0], least) for size, own, least in zip(array.shape, array.chunks, depth, strict=True)
    )
    return array.rechunk(chunks).map_overlap(
        lambda part: pipeline(part, spacing=spacing),
        depth={axis: 0 if len(chunks[axis]) == 1 else pixels for axis, pixels in enumerate(depth)},
        boundary="none",
        allow_rechunk=False,
        dtype=bool,
        meta=array._meta,
    )


def import_dask() -> Any:
    """Return ``dask.array``, or say how to install it."""
    try:
        import dask.array
    except ImportError as error:
        raise InputError("arrays larger than memory need Dask and Zarr: pip install 'shapewright[large]'") from error
    return dask.array


def _even_chunks(size: int, preferred: int, least: int) -> tuple[int, ...]:
    """Return chunks of an even size, none shorter than ``least`` unless it is the only one.

    Examples
    --------
    >>> _even_chunks(25, 7, 4), _even_chunks(25, 7, 2), _even_chunks(3, 7, 4)
    ((8, 8, 9), (8, 8, 9), (3,))
    """
    length = max(preferred + preferred % 2, least, 2)
    chunks = [length] * (size // length)
    if not chunks:
        return (size,)
    rest = size % length
    if rest >= least and rest:
        chunks.append(rest)
    else:
        chunks[-1] += rest
    return tuple(chunks)
