"""Glomeruli among tubules of nearly the same colour, as in a kidney section."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from shapewright.errors import InputError
from shapewright.simulate.random_shapes import generators, smooth_field

Image = NDArray[np.float32]
Instances = NDArray[np.int32]

TISSUE, TUFT, LUMEN = (0.80, 0.58, 0.74), (0.68, 0.45, 0.66), (0.93, 0.88, 0.93)


@dataclass(frozen=True)
class KidneyPhantom:
    """Roundish grainy glomeruli in a bright thin gap, on a ground of ring-like tubules.

    Parameters
    ----------
    shape
        Pixels per axis, each at least 48.
    glomeruli
        Fewest and most per image; fewer fit where it is small.
    radius
        Median radius in pixels; areas are log-normal.
    stain_shift
        Standard deviation of colour and brightness between images.
    noise
        Standard deviation of the noise.

    Raises
    ------
    InputError
        A shape that is not 2D or too small, or a range that is none.

    Examples
    --------
    >>> images, instances = KidneyPhantom().generate(2, seed=0)
    >>> images.shape, images.dtype, instances.shape
    ((2, 3, 96, 96), dtype('float32'), (2, 96, 96))
    """

    shape: tuple[int, int] = (96, 96)
    glomeruli: tuple[int, int] = (3, 6)
    radius: float = 8.5
    stain_shift: float = 0.03
    noise: float = 0.04

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or min(self.shape) < 48:
            raise InputError(f"shape must have 2 axes of at least 48; got {self.shape}")
        if not 0 < self.glomeruli[0] <= self.glomeruli[1]:
            raise InputError(f"glomeruli must be (fewest, most), at least 1; got {self.glomeruli}")
        if not 2 <= self.radius <= min(self.shape) / 4:
            raise InputError(f"radius must be between 2 and a quarter of the image; got {self.radius}")

    def generate(self, count: int, *, seed: int) -> tuple[Image, Instances]:
        """Return images ``[count, 3, *shape]`` in [0, 1] and glomeruli numbered from 1, ``[count, *shape]``."""
        cases = [self._case(rng) for rng in generators(count, seed)]
        return np.stack([image for image, _ in cases]), np.stack([instances for _, instances in cases])

    def _case(self, rng: np.random.Generator) -> tuple[Image, Instances]:
        instances = np.zeros(self.shape, np.int32)
        tissue, wall = self._tubules(rng)
        gap = np.zeros(self.shape, np.bool_)
        for _ in range(int(rng.integers(self.glomeruli[0], self.glomeruli[1] + 1))):
            for _ in range(30):
                outline = self._outline(rng)
                if not ((outline < 1.45) & ((instances > 0) | gap)).any():
                    instances[outline < 1] = int(instances.max()) + 1
                    gap |= (outline >= 1) & (outline < 1.18)
                    break
        inside = instances > 0
        image = np.array(TISSUE)[:, None, None] + 0.03 * smooth_field(rng, self.shape, 3.0)
        image = image - 0.10 * wall + (np.array(LUMEN)[:, None, None] - image) * tissue
        grain = 0.07 * smooth_field(rng, self.shape, 0.9) - 0.10 * (rng.random(self.shape) < 0.10)
        image = np.where(inside, np.array(TUFT)[:, None, None] + grain, image)
        image = np.where(gap, np.array(LUMEN)[:, None, None], image)
        image = ndimage.gaussian_filter(image, (0, 0.6, 0.6))
        image = image * (1 + self.stain_shift * rng.standard_normal()) + self.stain_shift * rng.standard_normal(
            (3, 1, 1)
        )
        image = image + self.noise * rng.standard_normal(image.shape)
        return np.clip(image, 0, 1).astype(np.float32), instances

    def _tubules(self, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the lumens and the dark walls of tubules, both 0 to 1."""
        lumen, wall = np.zeros(self.shape), np.zeros(self.shape)
        for _ in range(int(np.prod(self.shape) / 130)):
            centre, radius = rng.uniform(0, self.shape), rng.uniform(3.0, 7.5)
            row, column = np.indices(self.shape)
            turn = rng.uniform(0, np.pi)
            along = (row - centre[0]) * np.cos(turn) + (column - centre[1]) * np.sin(turn)
            across = (column - centre[1]) * np.cos(turn) - (row - centre[0]) * np.sin(turn)
            distance = np.hypot(along, across / rng.uniform(0.6, 1.0)) / radius
            wall = np.where(distance < 1, 1.0 * (distance > 0.35), wall)
            lumen = np.where(distance < 1, 0.8 * (distance < 0.35), lumen)
        return lumen, wall

    def _outline(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return the distance of every pixel from a glomerulus's middle, relative to its irregular outline."""
        centre = rng.uniform(2, np.array(self.shape) - 3)
        radius = self.radius * np.exp(rng.normal(0, 0.12))
        squeeze = rng.uniform(0.75, 1.0)
        row, column = np.indices(self.shape)
        turn = rng.uniform(0, np.pi)
        along = (row - centre[0]) * np.cos(turn) + (column - centre[1]) * np.sin(turn)
        across = ((column - centre[1]) * np.cos(turn) - (row - centre[0]) * np.sin(turn)) / squeeze
        angle = np.arctan2(across, along)
        waves = sum(0.05 * rng.normal() * np.cos(order * angle + rng.uniform(0, 2 * np.pi)) for order in (2, 3, 4))
        outline: NDArray[np.float64] = np.hypot(along, across) / (radius * (1 + waves))
        return outline
