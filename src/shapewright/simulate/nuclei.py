"""Stained nuclei, some of them touching, among look-alikes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from shapewright.errors import InputError
from shapewright.simulate.random_shapes import ellipsoid_radius, generators, random_rotation, smooth_field

Image = NDArray[np.float32]
Instances = NDArray[np.int32]

HAEMATOXYLIN, EOSIN, DEBRIS = (0.42, 0.32, 0.62), (0.90, 0.70, 0.82), (0.52, 0.38, 0.62)


@dataclass(frozen=True)
class NucleiPhantom:
    """Dark elliptical nuclei on a fibrous ground, as in tissue stained with haematoxylin and eosin.

    Parameters
    ----------
    shape
        Pixels per axis, each at least 32.
    nuclei
        Fewest and most nuclei of an image; fewer fit where it is small.
    radius
        Smallest and largest semi-axis in pixels.
    touching
        Share of nuclei that are placed against another one.
    debris
        Elongated dark look-alikes per nucleus.
    noise
        Standard deviation of the noise.

    Raises
    ------
    InputError
        A shape that is not 2D or too small, or a range or share that is none.

    Examples
    --------
    >>> images, instances = NucleiPhantom().generate(2, seed=0)
    >>> images.shape, images.dtype, instances.shape, instances.dtype
    ((2, 3, 96, 96), dtype('float32'), (2, 96, 96), dtype('int32'))
    """

    shape: tuple[int, int] = (96, 96)
    nuclei: tuple[int, int] = (18, 26)
    radius: tuple[float, float] = (4.5, 7.5)
    touching: float = 0.35
    debris: float = 0.15
    noise: float = 0.05

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or min(self.shape) < 32:
            raise InputError(f"shape must have 2 axes of at least 32; got {self.shape}")
        for name in ("nuclei", "radius"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise InputError(f"{name} must be (smallest, largest), both positive; got {(low, high)}")
        for name in ("touching", "debris"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} must be between 0 and 1; got {getattr(self, name)}")

    def generate(self, count: int, *, seed: int) -> tuple[Image, Instances]:
        """Return images ``[count, 3, *shape]`` in [0, 1] and nuclei numbered from 1, ``[count, *shape]``."""
        cases = [self._case(rng) for rng in generators(count, seed)]
        return np.stack([image for image, _ in cases]), np.stack([instances for _, instances in cases])

    def _case(self, rng: np.random.Generator) -> tuple[Image, Instances]:
        instances = np.zeros(self.shape, np.int32)
        for _ in range(int(rng.integers(self.nuclei[0], self.nuclei[1] + 1))):
            self._place(rng, instances)
        debris = np.zeros(self.shape, np.bool_)
        for _ in range(round(self.debris * int(instances.max()))):
            thin = np.array([rng.uniform(0.8, 1.4), rng.uniform(*self.radius)])
            debris |= self._ellipse(rng, rng.uniform(0, self.shape), thin) <= 1
        return self._stained(rng, instances, debris & (instances == 0)), instances

    def _place(self, rng: np.random.Generator, instances: Instances) -> None:
        """Add one nucleus, against another where it is to touch one, where there is room."""
        occupied = instances > 0
        touch = bool(rng.random() < self.touching) and bool(occupied.any())
        for _ in range(30):
            radius = self._ellipse(rng, rng.uniform(2, np.array(self.shape) - 3), rng.uniform(*self.radius, 2))
            mask = radius <= 1
            near = (radius <= 1.5) & occupied
            overlap = (mask & occupied).sum() / max(int(mask.sum()), 1)
            if (0.02 < overlap < 0.15) if touch else not near.any():
                instances[mask & ~occupied] = int(instances.max()) + 1
                return

    def _ellipse(
        self, rng: np.random.Generator, centre: NDArray[np.float64], axes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return ellipsoid_radius(self.shape, centre, axes, random_rotation(rng, 2))

    def _stained(self, rng: np.random.Generator, instances: Instances, debris: NDArray[np.bool_]) -> Image:
        fibres = 0.05 * np.sin(np.cumsum(1 + 0.3 * smooth_field(rng, self.shape, 6.0), axis=int(rng.integers(2))) * 0.9)
        ground = fibres + 0.04 * smooth_field(rng, self.shape, 3.0)
        image = np.array(EOSIN)[:, None, None] + ground
        inside = ndimage.gaussian_filter((instances > 0).astype(float), 0.7)
        depth = ndimage.distance_transform_edt(instances > 0)
        rim = 0.12 * np.exp(-depth) * (instances > 0)  # nuclei fade towards their border
        tone = rng.uniform(-0.06, 0.06, int(instances.max()) + 1)[instances]
        chromatin = 0.08 * smooth_field(rng, self.shape, 1.2) + rim + tone
        nucleus = np.array(HAEMATOXYLIN)[:, None, None] + chromatin
        image = image * (1 - inside) + nucleus * inside
        dark = ndimage.gaussian_filter(debris.astype(float), 0.6)
        image = image * (1 - dark) + np.array(DEBRIS)[:, None, None] * dark
        image = image + 0.02 * rng.standard_normal((3, 1, 1)) + self.noise * rng.standard_normal(image.shape)
        picture: Image = np.clip(image, 0, 1).astype(np.float32)
        return picture
