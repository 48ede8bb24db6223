"""A brain-like phantom with lesions of a few pixels and look-alikes far from them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from shapewright.errors import InputError
from shapewright.simulate.random_shapes import ellipsoid_radius, generators, random_rotation, smooth_field

Range = tuple[float, float]
Image = NDArray[np.float32]
Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class SmallLesionPhantom:
    """Small bright lesions deep in a textured brain; spots of the same brightness near its surface are not lesions.

    What tells a lesion from a look-alike is its depth only, so mistaking one for the other is a false positive far
    from every lesion. About 0.7 % of the pixels (0.07 % of the voxels) are lesion.

    Parameters
    ----------
    shape
        Pixels or voxels per axis, 2D or 3D, each at least 24.
    lesions
        Fewest and most lesions of an image that has any.
    lesion_free
        Share of images without a lesion.
    lesion_axes
        Smallest and largest semi-axis of a lesion or look-alike in pixels.
    depth
        Lesions lie where the normalised radius (0 in the centre, 1 at the brain's surface) is below this.
    distractors
        Fewest and most look-alikes per image.
    cortex
        Normalised radii between which look-alikes lie.
    contrast
        Brightness of lesions and look-alikes above the tissue, whose brightness is 0.45.
    blur
        Standard deviation of the imaging blur in pixels.
    noise
        Standard deviation of the noise.

    Raises
    ------
    InputError
        A shape that is not 2D or 3D or is too small, or a range or share that is not one.

    Examples
    --------
    >>> images, labels = SmallLesionPhantom().generate(4, seed=0)
    >>> images.shape, images.dtype, labels.shape, labels.dtype
    ((4, 1, 48, 48), dtype('float32'), (4, 48, 48), dtype('uint8'))
    >>> images, labels = SmallLesionPhantom(shape=(32, 32, 32)).generate(1, seed=0)
    >>> images.shape
    (1, 1, 32, 32, 32)
    """

    shape: tuple[int, ...] = (48, 48)
    lesions: tuple[int, int] = (1, 3)
    lesion_free: float = 0.2
    lesion_axes: Range = (1.0, 2.6)
    depth: float = 0.6
    distractors: tuple[int, int] = (1, 3)
    cortex: Range = (0.78, 0.97)
    contrast: float = 0.2
    blur: float = 0.6
    noise: float = 0.06

    def __post_init__(self) -> None:
        if len(self.shape) not in (2, 3) or min(self.shape) < 24:
            raise InputError(f"shape must have 2 or 3 axes of at least 24; got {self.shape}")
        for name in ("lesions", "lesion_axes", "distractors", "cortex"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise InputError(f"{name} must be (smallest, largest), neither negative; got {(low, high)}")
        for name in ("lesion_free", "depth"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} must be between 0 and 1; got {getattr(self, name)}")
        for name in ("blur", "noise"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must not be negative; got {getattr(self, name)}")

    def generate(self, count: int, *, seed: int) -> tuple[Image, Labels]:
        """Return images ``[count, 1, *shape]`` and labels ``[count, *shape]`` (0 background, 1 lesion)."""
        cases = [self._case(rng) for rng in generators(count, seed)]
        return np.stack([image[None] for image, _ in cases]), np.stack([labels for _, labels in cases])

    def _case(self, rng: np.random.Generator) -> tuple[Image, Labels]:
        """Return one image and its labels."""
        radius = self._normalised_radius(rng)
        brain, skull = radius < 1, (radius >= 1.06) & (radius < 1.2)
        count = 0 if rng.random() < self.lesion_free else int(rng.integers(self.lesions[0], self.lesions[1] + 1))
        lesion = self._spots(rng, radius < self.depth, count)
        cortex = (radius >= self.cortex[0]) & (radius < self.cortex[1])
        distractor = self._spots(rng, cortex, int(rng.integers(self.distractors[0], self.distractors[1] + 1)))

        tissue = 0.45 + 0.06 * smooth_field(rng, self.shape, sigma=2.0)
        image = np.where(brain, tissue, 0.0) + 0.9 * skull
        image[lesion | (distractor & brain)] += self.contrast
        image = ndimage.gaussian_filter(image, self.blur)
        image += self.noise * rng.standard_normal(self.shape)
        return image.astype(np.float32), lesion.astype(np.uint8)

    def _normalised_radius(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return the distance from the brain's centre relative to its surface, an irregular ellipse or ellipsoid."""
        size = np.asarray(self.shape, dtype=np.float64)
        semi_axes = size * rng.uniform(0.33, 0.39, len(size))
        centre = (size - 1) / 2 + rng.uniform(-1.5, 1.5, len(size))
        warp = 1 + 0.06 * smooth_field(rng, self.shape, sigma=min(self.shape) / 8)
        return ellipsoid_radius(self.shape, centre, semi_axes, random_rotation(rng, len(size))) * warp

    def _spots(self, rng: np.random.Generator, region: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
        """Return ``count`` elliptical spots with centres in ``region``, each of one pixel at least."""
        spots = np.zeros(self.shape, dtype=np.bool_)
        places = np.argwhere(region)
        for _ in range(count if len(places) else 0):
            pixel = places[rng.integers(len(places))]
            centre = pixel + rng.uniform(-0.5, 0.5, len(pixel))
            axes = rng.uniform(*self.lesion_axes, len(pixel))
            spots |= ellipsoid_radius(self.shape, centre, axes, random_rotation(rng, len(pixel))) <= 1
            spots[tuple(pixel)] = True
        return spots
