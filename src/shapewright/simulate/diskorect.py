"""Random binary images with many kinds of boundaries: discs, rectangles, holes, single pixels, both polarities."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shapewright.errors import InputError
from shapewright.simulate.random_shapes import generators

Masks = NDArray[np.bool_]


@dataclass(frozen=True)
class Diskorect:
    """Ellipses and rotated rectangles, holes of the same kinds, noise; foreground and background exchanged at random.

    Parameters
    ----------
    shape
        Pixels per axis, 2D, each at least 8.
    shapes, holes
        How many shapes are drawn, and how many holes into them.
    shape_size, hole_size
        Largest width of a shape and of a hole in pixels.
    noise
        Probability that a pixel is set afterwards.
    invert
        Probability that foreground and background are exchanged; with one half an image and its complement are equally
        likely, apart from the noise.

    Raises
    ------
    InputError
        A shape that is too small, or a probability that is none.

    References
    ----------
    Aouad and Talbot, "Binary multi-channel morphological neural network", DGMM 2022, section 3.1.

    Examples
    --------
    >>> images = Diskorect().generate(4, seed=0)
    >>> images.shape, images.dtype
    ((4, 50, 50), dtype('bool'))
    """

    shape: tuple[int, int] = (50, 50)
    shapes: int = 20
    holes: int = 10
    shape_size: int = 20
    hole_size: int = 10
    noise: float = 0.02
    invert: float = 0.5

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or min(self.shape) < 8:
            raise InputError(f"shape must have 2 axes of at least 8; got {self.shape}")
        if min(self.shapes, self.holes) < 0 or min(self.shape_size, self.hole_size) < 2:
            raise InputError(
                f"shapes and holes must not be negative and their sizes at least 2; got {self.shapes}, {self.holes}, "
                f"{self.shape_size}, {self.hole_size}"
            )
        for name in ("noise", "invert"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} must be between 0 and 1; got {getattr(self, name)}")

    def generate(self, count: int, *, seed: int) -> Masks:
        """Return images ``[count, *shape]``."""
        return np.stack([self._image(rng) for rng in generators(count, seed)])

    def _image(self, rng: np.random.Generator) -> Masks:
        image = np.zeros(self.shape, np.bool_)
        for _ in range(self.shapes):
            image |= self._form(rng, self.shape_size)
        for _ in range(self.holes):
            image &= ~self._form(rng, self.hole_size)
        image |= rng.random(self.shape) < self.noise
        return ~image if rng.random() < self.invert else image

    def _form(self, rng: np.random.Generator, largest: int) -> Masks:
        """Return an axis-parallel ellipse or a rotated rectangle around a random place."""
        y, x = np.ogrid[: self.shape[0], : self.shape[1]]
        centre = rng.uniform(0, self.shape)
        half = rng.uniform(0.5, largest / 2, 2)
        if rng.random() < 0.5:
            return np.asarray(((y - centre[0]) / half[0]) ** 2 + ((x - centre[1]) / half[1]) ** 2 <= 1)
        angle = rng.uniform(0, np.pi / 2)
        along = np.cos(angle) * (x - centre[1]) + np.sin(angle) * (y - centre[0])
        across = np.cos(angle) * (y - centre[0]) - np.sin(angle) * (x - centre[1])
        return np.asarray((np.abs(along) <= half[1]) & (np.abs(across) <= half[0]))


@dataclass(frozen=True)
class JointPhantom:
    """Two smooth bones that face each other across a gap, and the region of the joint between them.

    A stand-in for the sacrum and iliac bones of the paper: images have two channels, the target is where both bones,
    dilated by a stick along x, meet.

    Parameters
    ----------
    shape
        Pixels per axis.
    reach
        Half the stick's length: it has ``2 reach + 1`` pixels.
    gap
        Smallest and largest width of the gap in pixels.

    Examples
    --------
    >>> images, targets = JointPhantom(shape=(128, 128)).generate(2, seed=0)
    >>> images.shape, targets.shape
    ((2, 2, 128, 128), (2, 128, 128))
    """

    shape: tuple[int, int] = (512, 512)
    reach: int = 20
    gap: tuple[float, float] = (4.0, 14.0)

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or min(self.shape) < 4 * self.reach or self.reach < 1:
            raise InputError(f"shape must have 2 axes of at least 4 times reach; got {self.shape}, reach {self.reach}")
        if not 0 < self.gap[0] <= self.gap[1]:
            raise InputError(f"gap must be (smallest, largest), both positive; got {self.gap}")

    def generate(self, count: int, *, seed: int) -> tuple[Masks, Masks]:
        """Return images ``[count, 2, *shape]`` and targets ``[count, *shape]``."""
        from shapewright.morphology import dilation, line

        images = np.stack([self._bones(rng) for rng in generators(count, seed)])
        grown = dilation(images, line(2 * self.reach + 1))
        return images, grown[:, 0] & grown[:, 1]

    def _bones(self, rng: np.random.Generator) -> Masks:
        height, width = self.shape
        x = np.arange(width)
        rows = np.arange(height)

        def wave(scale: float) -> NDArray[np.float64]:
            phases, lengths = rng.uniform(0, 2 * np.pi, 4), rng.uniform(0.15, 1.0, 4) * height
            parts = [np.sin(2 * np.pi * rows / n + p) * n / height for n, p in zip(lengths, phases, strict=True)]
            total: NDArray[np.float64] = scale * np.sum(parts, axis=0)
            return total

        middle = width * rng.uniform(0.4, 0.6) + rng.uniform(-0.2, 0.2) * (rows - height / 2) + wave(0.05 * width)
        gap = np.clip(rng.uniform(*self.gap) + wave(3.0), *self.gap)
        left, right = middle - gap / 2, middle + gap / 2
        depths = rng.uniform(0.12, 0.3, 2) * width
        bones = np.zeros((2, height, width), np.bool_)
        for bone, (inner, sign) in enumerate(((left, -1.0), (right, 1.0))):
            centre, half = height * rng.uniform(0.42, 0.58), height * rng.uniform(0.25, 0.38)
            bulge = np.sqrt(np.clip(1 - ((rows - centre) / half) ** 2, 0, None))
            outer = inner + sign * depths[bone] * bulge + sign * wave(0.01 * width)
            low, high = np.minimum(inner, outer), np.maximum(inner, outer)
            bones[bone] = (x >= low[:, None]) & (x <= high[:, None]) & (bulge > 0)[:, None]
        return bones


def noisy_sticks(
    count: int,
    *,
    seed: int,
    shape: tuple[int, int] = (50, 50),
    sticks: int = 6,
    length: tuple[int, int] = (12, 24),
    noise: float = 0.02,
) -> tuple[Masks, Masks]:
    """Return images of sticks in three directions with Bernoulli noise, and the same without.

    Parameters
    ----------
    count, seed
        How many, and which.
    shape
        Pixels per axis.
    sticks
        How many sticks an image has; they lie along x, along y, or diagonally.
    length
        Fewest and most pixels of a stick.
    noise
        Probability that a pixel is exchanged; isolated foreground pixels and gaps are both noise.

    Returns
    -------
    tuple
        Noisy and clean images, ``[count, *shape]`` each.

    References
    ----------
    Aouad and Talbot, DGMM 2022, figures 6 to 8.

    Examples
    --------
    >>> noisy, clean = noisy_sticks(3, seed=0)
    >>> float((noisy != clean).mean().round(2))
    0.02
    """
    if not 1 <= length[0] <= length[1] or not 0 <= noise <= 1:
        raise InputError(f"length must be (fewest, most) and noise a probability; got {length} and {noise}")
    images = generators(count, seed)
    clean = np.zeros((count, *shape), np.bool_)
    noisy = np.zeros_like(clean)
    for index, rng in enumerate(images):
        for _ in range(sticks):
            step = ((0, 1), (1, 0), (1, 1))[rng.integers(3)]
            pixels = rng.integers(0, shape) + np.arange(rng.integers(length[0], length[1] + 1))[:, None] * step
            pixels = pixels[(pixels < shape).all(axis=1)]
            clean[index, pixels[:, 0], pixels[:, 1]] = True
        noisy[index] = clean[index] ^ (rng.random(shape) < noise)
    return noisy, clean
