"""From strokes to a probability map: what the connected region is fitted to.

The mean of two maps: the probability that a random walk meets the object's strokes first, and how much nearer, along
the image, the object's strokes are than the others. Nothing is trained.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from shapewright.geometry import geodesic_distance

SIZE = 128  # pixels of the frame's longer side, at most: a finer grid takes four times as long and is no better
EDGE = 3000.0  # how much less often a walk crosses an edge (Grady's beta)
IMAGE_WEIGHT = 300.0  # of grey levels in the geodesic distances
CONTRAST = 6.0  # slope from relative distances to probabilities

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


def teach(image: NDArray[Any], inner: Mask, outer: Mask) -> Floats:
    """Return the probability ``[*spatial]`` of "object" from an image ``[C, *spatial]`` and strokes.

    Flat images are looked at on a grid of at most 128 pixels a side around the strokes, volumes as they are.
    """
    grey = grey_levels(image, inner, outer)
    if grey.ndim == 3:
        return _walk_and_distance(grey, inner, outer)
    frame = Frame.around(inner | outer)
    ours = frame.mark(inner)
    theirs = (frame.mark(outer) | frame.border(grey.shape)) & ~ours
    return frame.restore(_walk_and_distance(frame.sample(grey), ours, theirs), grey.shape)


def _walk_and_distance(grey: Floats, inner: Mask, outer: Mask) -> Floats:
    """Return the mean of a random walk and of how much nearer the object's strokes are along the image."""
    smooth = ndimage.gaussian_filter(grey, 1)  # walks are caught by noise
    walk = random_walk(smooth, inner, outer, EDGE)
    if not outer.any():
        return walk
    ours, theirs = (geodesic_distance(smooth, strokes, image_weight=IMAGE_WEIGHT) for strokes in (inner, outer))
    nearer = 1 / (1 + np.exp(-CONTRAST * (theirs - ours) / (theirs + ours + 1e-6)))
    return np.asarray((walk + nearer) / 2, np.float32)


@dataclass(frozen=True)
class Frame:
    """The part of the image around the strokes, on a grid of at most 128 pixels a side."""

    corner: tuple[float, ...]
    extent: tuple[float, ...]
    shape: tuple[int, ...]

    @classmethod
    def around(cls, strokes: Mask) -> "Frame":
        """Return the frame of the strokes: their bounding box, and a quarter of it on every side."""
        places = np.argwhere(strokes)
        low, high = places.min(0), places.max(0) + 1
        margin = max(4, int((high - low).max()) // 4)
        low, high = np.maximum(low - margin, 0), np.minimum(high + margin, strokes.shape)
        scale = min(1.0, SIZE / max(high - low))
        sizes = tuple(max(1, round(side * scale)) for side in high - low)
        return cls(tuple(low.astype(float)), tuple((high - low).astype(float)), sizes)

    def sample(self, image: NDArray[Any]) -> Floats:
        """Return an image ``[*spatial]`` on the frame's grid, smoothed where the grid is coarser."""
        step = np.array(self.extent) / self.shape
        smooth = ndimage.gaussian_filter(image.astype(np.float32), np.maximum(step - 1, 0) / 2)
        axes = [c + (np.arange(n) + 0.5) * s - 0.5 for c, n, s in zip(self.corner, self.shape, step, strict=True)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"))
        return np.asarray(ndimage.map_coordinates(smooth, grid, order=1, mode="nearest"), np.float32)

    def mark(self, strokes: Mask) -> Mask:
        """Return the frame's pixels that a stroke of the image touches."""
        marked = np.zeros(self.shape, np.bool_)
        places = (np.argwhere(strokes) + 0.5 - self.corner) / self.extent * self.shape
        places = places[((places >= 0) & (places < self.shape)).all(1)].astype(int)
        marked[tuple(places.T)] = True
        return marked

    def border(self, shape: tuple[int, ...]) -> Mask:
        """Return the outermost pixels of those sides of the frame that lie inside an image of that shape."""
        border = np.zeros(self.shape, np.bool_)
        for axis, size in enumerate(shape):
            sides = np.moveaxis(border, axis, 0)
            sides[0] |= self.corner[axis] > 0
            sides[-1] |= self.corner[axis] + self.extent[axis] < size
        return border

    def restore(self, values: Floats, shape: tuple[int, ...]) -> Floats:
        """Return values on the frame's grid on the image's grid; outside, the nearest of its values."""
        axes = [
            (np.arange(n) + 0.5 - c) / e * m - 0.5
            for n, c, e, m in zip(shape, self.corner, self.extent, self.shape, strict=True)
        ]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"))
        return np.asarray(ndimage.map_coordinates(values, grid, order=1, mode="nearest"), np.float32)


def grey_levels(image: NDArray[Any], inner: Mask, outer: Mask) -> Floats:
    """Return one channel ``[*spatial]`` in 0 to 1: the mixture of the channels that separates the strokes best."""
    channels = image.astype(np.float64)
    if len(channels) == 1:
        mixed = channels[0]
    else:
        a, b = channels[:, inner], channels[:, outer]
        within = np.cov(a) + np.cov(b) + 1e-3 * np.eye(len(channels)) * (channels.var() + 1e-12)
        mixed = np.tensordot(np.linalg.solve(within, a.mean(1) - b.mean(1)), channels, 1)
    low, high = np.quantile(mixed, [0.005, 0.995])
    return np.asarray(((mixed - low) / max(high - low, 1e-12)).clip(0, 1), np.float32)


def random_walk(grey: Floats, inner: Mask, outer: Mask, edge: float) -> Floats:
    """Return the probability that a random walk from each pixel meets the object's strokes first (Grady, 2006)."""
    from skimage.segmentation import random_walker

    if not outer.any() or not inner.any():
        return np.full(grey.shape, float(inner.any()), np.float32)
    seeds = np.where(inner, 1, np.where(outer, 2, 0))
    if (seeds != 0).all():
        return inner.astype(np.float32)
    if grey.std() < 1e-6:  # no edge anywhere
        grey, edge = np.arange(grey.size, dtype=np.float32).reshape(grey.shape), 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about solvers that are not installed
        probabilities = random_walker(grey, seeds, beta=edge, mode="cg_j", tol=1e-3, return_full_prob=True)
    return np.nan_to_num(np.asarray(probabilities[0], np.float32), nan=0.5)
