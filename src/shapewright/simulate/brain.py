"""A brain with tissues and lesions in several MR contrasts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from shapewright.errors import InputError, check_number, unknown
from shapewright.simulate.random_shapes import ellipsoid_radius, generators, random_rotation, smooth_field

Image = NDArray[np.float32]
Labels = NDArray[np.uint8]

TISSUES = ("csf", "grey", "white")
LESIONS: Mapping[str, tuple[str, ...]] = {"spots": ("lesion",), "tumour": ("edema", "core")}

CONTRASTS: Mapping[str, Mapping[str, float]] = {
    "T1": {"air": 0.05, "csf": 0.25, "grey": 0.55, "white": 0.80, "lesion": 0.60, "edema": 0.62, "core": 0.48},
    "FLAIR": {"air": 0.05, "csf": 0.20, "grey": 0.62, "white": 0.48, "lesion": 0.92, "edema": 0.85, "core": 0.70},
    "T2": {"air": 0.05, "csf": 0.95, "grey": 0.62, "white": 0.45, "lesion": 0.78, "edema": 0.82, "core": 0.72},
}
"""Mean brightness of every class in every contrast: a lesion in T1 is as bright as grey matter, in FLAIR brightest."""


@dataclass(frozen=True)
class BrainPhantom:
    """Fluid around and inside, folded grey matter with two deep nuclei, white matter, and lesions in it.

    Every contrast is the class means in its own order, blurred, shaded by a smooth bias field, with noise. A lesion in
    T1 looks like grey matter in the wrong place; FLAIR shows it brightest.

    Parameters
    ----------
    shape
        Pixels or voxels per axis, 2D or 3D, each at least 32.
    modalities
        Contrasts in the order of the channels: ``T1``, ``FLAIR``, ``T2``.
    lesion
        ``spots``: bright spots in the white matter (class ``lesion``); ``tumour``: one core (class ``core``) with
        swelling around it (class ``edema``), which also covers grey matter.
    lesions
        Fewest and most spots of an image with lesions.
    lesion_axes
        Smallest and largest semi-axis of a spot in pixels of a 64-pixel axis.
    lesion_free
        Share of images without lesion.
    gamma, gain
        The site: brightness v becomes ``gain * v ** gamma`` before the noise.
    bias
        Strength of the bias field.
    blur
        Standard deviation of the imaging blur in pixels.
    noise
        Standard deviation of the noise.

    Raises
    ------
    InputError
        A shape, contrast, kind of lesion, range or strength that cannot be.

    Examples
    --------
    >>> phantom = BrainPhantom(modalities=("T1", "FLAIR"))
    >>> phantom.classes
    ('csf', 'grey', 'white', 'lesion')
    >>> images, labels = phantom.generate(2, seed=0)
    >>> images.shape, labels.shape, np.unique(labels)
    ((2, 2, 64, 64), (2, 64, 64), array([0, 1, 2, 3, 4], dtype=uint8))
    """

    shape: tuple[int, ...] = (64, 64)
    modalities: tuple[str, ...] = ("T1", "FLAIR")
    lesion: Literal["spots", "tumour"] = "spots"
    lesions: tuple[int, int] = (1, 5)
    lesion_axes: tuple[float, float] = (1.5, 4.0)
    lesion_free: float = 0.0
    gamma: float = 1.0
    gain: float = 1.0
    bias: float = 0.08
    blur: float = 0.6
    noise: float = 0.06

    def __post_init__(self) -> None:
        if len(self.shape) not in (2, 3) or min(self.shape) < 32:
            raise InputError(f"shape must have 2 or 3 axes of at least 32; got {self.shape}")
        for name in self.modalities:
            if name not in CONTRASTS:
                raise unknown("modality", name, CONTRASTS)
        if not self.modalities:
            raise InputError(f"modalities must name at least one of {', '.join(CONTRASTS)}")
        if self.lesion not in LESIONS:
            raise unknown("kind of lesion", self.lesion, LESIONS)
        for name in ("lesions", "lesion_axes"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise InputError(f"{name} must be (smallest, largest), neither negative; got {(low, high)}")
        check_number("lesion_free", self.lesion_free, minimum=0, maximum=1)
        check_number("gamma", self.gamma, above=0)
        check_number("gain", self.gain, above=0)
        for name in ("bias", "blur", "noise"):
            check_number(name, getattr(self, name), minimum=0)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes 1, 2, ..."""
        return (*TISSUES, *LESIONS[self.lesion])

    def generate(self, count: int, *, seed: int) -> tuple[Image, Labels]:
        """Return images ``[count, modalities, *shape]`` and labels ``[count, *shape]``.

        The anatomy of an image depends on the seed, its number, the shape and the options of the lesions alone: other
        contrasts or another site show the same brain.
        """
        labels = [self._anatomy(rng) for rng in generators(count, seed)]
        images = [
            np.stack([self._contrast(one, name, [seed, index]) for name in self.modalities])
            for index, one in enumerate(labels)
        ]
        return np.stack(images), np.stack(labels)

    def _anatomy(self, rng: np.random.Generator) -> Labels:
        """Return the classes of every voxel."""
        dims, scale = len(self.shape), min(self.shape) / 64
        size = np.asarray(self.shape, dtype=np.float64)
        centre = (size - 1) / 2 + rng.uniform(-1.5, 1.5, dims) * scale
        semi_axes = size * rng.uniform(0.36, 0.44, dims)
        upright = np.eye(dims)
        warp = 1 + 0.04 * smooth_field(rng, self.shape, sigma=min(self.shape) / 8)
        radius = ellipsoid_radius(self.shape, centre, semi_axes, upright) * warp
        folds = 0.045 * smooth_field(rng, self.shape, sigma=min(self.shape) / 24)
        white = radius + folds < rng.uniform(0.68, 0.74)
        grey = radius + 0.5 * folds < rng.uniform(0.87, 0.91)
        fluid = radius < 1
        labels = np.select([white, grey, fluid], [3, 2, 1], 0).astype(np.uint8)
        for side in (-1, 1):
            offset = np.zeros(dims)
            offset[-1] = side * semi_axes[-1]
            nucleus = ellipsoid_radius(self.shape, centre + 0.30 * offset, semi_axes * 0.13, upright) * warp < 1
            labels[nucleus] = 2
            horn = ellipsoid_radius(
                self.shape, centre + 0.13 * offset, semi_axes * [*[0.26] * (dims - 1), 0.08], upright
            )
            labels[horn * warp < 1] = 1
        if rng.random() >= self.lesion_free:
            self._add_lesions(labels, radius, rng)
        return labels

    def _add_lesions(self, labels: Labels, radius: NDArray[np.float64], rng: np.random.Generator) -> None:
        dims, scale = len(self.shape), min(self.shape) / 64
        white = labels == 3
        if self.lesion == "tumour":
            places = np.argwhere(white & (radius > 0.25) & (radius < 0.62))
            centre = places[rng.integers(len(places))] + rng.uniform(-0.5, 0.5, dims)
            axes = rng.uniform(3.0, 5.5, dims) * scale
            rotation = random_rotation(rng, dims)
            warp = 1 + 0.1 * smooth_field(rng, self.shape, sigma=3 * scale)
            near = ellipsoid_radius(self.shape, centre, axes, rotation) * warp
            labels[(near < rng.uniform(1.5, 2.0)) & np.isin(labels, (2, 3))] = 4
            labels[near < 1] = 5
            return
        places = np.argwhere(ndimage.binary_erosion(white, iterations=2))
        for _ in range(int(rng.integers(self.lesions[0], self.lesions[1] + 1)) if len(places) else 0):
            centre = places[rng.integers(len(places))] + rng.uniform(-0.5, 0.5, dims)
            axes = rng.uniform(*self.lesion_axes, dims) * scale
            spot = ellipsoid_radius(self.shape, centre, axes, random_rotation(rng, dims)) <= 1
            labels[spot & white] = 4

    def _contrast(self, labels: Labels, modality: str, seed: list[int]) -> Image:
        """Return the image of an anatomy in one contrast, which has random numbers of its own."""
        rng = np.random.default_rng([*seed, 1 + list(CONTRASTS).index(modality)])
        means = CONTRASTS[modality]
        values = np.array([means["air"], *(means[name] for name in self.classes)])
        values[1:] *= 1 + 0.04 * rng.standard_normal(len(self.classes))  # patients differ
        image = ndimage.gaussian_filter(values[labels], self.blur)
        image *= np.exp(self.bias * smooth_field(rng, self.shape, sigma=min(self.shape) / 3))
        image = self.gain * image**self.gamma
        return (image + self.noise * rng.standard_normal(self.shape)).astype(np.float32)
