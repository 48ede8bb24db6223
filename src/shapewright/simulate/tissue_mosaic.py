"""A histology-like mosaic of tissues, every pixel of which belongs to one."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from shapewright.errors import InputError
from shapewright.simulate.random_shapes import generators, smooth_field

Image = NDArray[np.float32]
Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class _Tissue:
    """What a tissue looks like."""

    name: str
    colour: tuple[float, float, float]
    period: float = 0.0  # of its stripes in pixels; 0 has none
    nuclei: float = 0.0  # share of pixels that are the centre of a nucleus
    grain: float = 0.03  # strength of its cloudy texture


TISSUES = (
    _Tissue("stroma", (0.88, 0.66, 0.78), period=8.0, nuclei=0.004),
    _Tissue("muscle", (0.83, 0.58, 0.70), period=4.0, nuclei=0.002),  # close in colour to stroma
    _Tissue("tumour", (0.70, 0.50, 0.72), nuclei=0.020),
    _Tissue("lymphocytes", (0.62, 0.45, 0.70), nuclei=0.080),  # close in colour to tumour
    _Tissue("mucus", (0.84, 0.82, 0.90), grain=0.06),
    _Tissue("necrosis", (0.76, 0.52, 0.52), grain=0.09),
)
NUCLEUS = (0.30, 0.22, 0.48)


@dataclass(frozen=True)
class TissueMosaic:
    """Warped regions of six tissues with very unequal shares; two pairs of tissues differ in texture more than colour.

    Parameters
    ----------
    shape
        Pixels per axis, each at least 24.
    prior
        Probability that a region is of each tissue, most frequent first; 2 to 6 values, normalised to sum 1.
    regions
        Fewest and most regions of an image.
    warp
        Standard deviation of the displacement of region borders in pixels.
    stain
        Standard deviation of the colour between images.
    noise
        Standard deviation of the noise.

    Raises
    ------
    InputError
        A shape that is not 2D or too small, too many tissues, or a range that is none.

    Examples
    --------
    >>> images, labels = TissueMosaic().generate(2, seed=0)
    >>> images.shape, images.dtype, labels.shape, int(labels.max()) < 6
    ((2, 3, 48, 48), dtype('float32'), (2, 48, 48), True)
    """

    shape: tuple[int, int] = (48, 48)
    prior: tuple[float, ...] = (0.36, 0.30, 0.18, 0.10, 0.04, 0.02)
    regions: tuple[int, int] = (8, 20)
    warp: float = 2.0
    stain: float = 0.02
    noise: float = 0.03

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or min(self.shape) < 24:
            raise InputError(f"shape must have 2 axes of at least 24; got {self.shape}")
        if not 2 <= len(self.prior) <= len(TISSUES) or min(self.prior) <= 0:
            raise InputError(f"prior must have 2 to {len(TISSUES)} positive values; got {self.prior}")
        if not 1 <= self.regions[0] <= self.regions[1]:
            raise InputError(f"regions must be (fewest, most), at least 1; got {self.regions}")

    def generate(self, count: int, *, seed: int) -> tuple[Image, Labels]:
        """Return images ``[count, 3, *shape]`` in [0, 1] and labels ``[count, *shape]``, tissues from 0."""
        cases = list(self._cases(count, seed))
        return np.stack([image for image, _ in cases]), np.stack([labels for _, labels in cases])

    def _cases(self, count: int, seed: int) -> Iterator[tuple[Image, Labels]]:
        for rng in generators(count, seed):
            labels = self._regions(rng)
            yield self._stained(rng, labels), labels

    def _regions(self, rng: np.random.Generator) -> Labels:
        """Return the cells of random seeds, each with a tissue, after a smooth displacement."""
        count = int(rng.integers(self.regions[0], self.regions[1] + 1))
        seeds = rng.uniform(0, self.shape, (count, 2))
        prior = np.array(self.prior) / sum(self.prior)
        tissues = rng.choice(len(prior), count, p=prior).astype(np.uint8)
        grid = np.indices(self.shape).reshape(2, -1).T.astype(float)
        for axis in range(2):
            grid[:, axis] += self.warp * smooth_field(rng, self.shape, sigma=4.0).ravel()
        nearest = cKDTree(seeds).query(grid)[1]
        labels: Labels = tissues[nearest].reshape(self.shape)
        return labels

    def _stained(self, rng: np.random.Generator, labels: Labels) -> Image:
        """Return the picture of a label map."""
        image = np.empty((3, *self.shape))
        row, column = np.indices(self.shape)
        for number, tissue in enumerate(TISSUES[: len(self.prior)]):
            picture = np.array(tissue.colour)[:, None, None] + tissue.grain * smooth_field(rng, self.shape, sigma=2.0)
            if tissue.period:
                angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
                along = row * np.sin(angle) + column * np.cos(angle) + 1.5 * smooth_field(rng, self.shape, sigma=6.0)
                picture = picture + 0.06 * np.sin(2 * np.pi * along / tissue.period + phase)
            centres = ndimage.gaussian_filter((rng.random(self.shape) < tissue.nuclei).astype(float), 1.2)
            dark = np.clip(centres / 0.07, 0, 1)
            picture = picture * (1 - dark) + np.array(NUCLEUS)[:, None, None] * dark
            image[:, labels == number] = picture[:, labels == number]
        image = image + self.stain * rng.standard_normal((3, 1, 1)) + self.noise * rng.standard_normal(image.shape)
        return np.clip(image, 0, 1).astype(np.float32)
