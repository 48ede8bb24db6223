"""Stained tissue with glands, some of them suspicious, and the noise of labels that a program made."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from shapewright.errors import InputError
from shapewright.simulate.random_shapes import generators, smooth_field

Image = NDArray[np.float32]
Labels = NDArray[np.uint8]

STROMA, BENIGN, SUSPICIOUS, ISOLATED, MIMIC = range(5)
_COLOURS = {
    "stroma": (0.90, 0.70, 0.80),
    "epithelium": (0.68, 0.50, 0.74),
    "rim": (0.35, 0.25, 0.50),
    "lumen": (0.97, 0.95, 0.97),
    "secretion": (0.93, 0.78, 0.86),
}


@dataclass(frozen=True)
class GlandPhantom:
    """Pink stroma with glands: a ring of epithelium around a lumen.

    Benign glands are large and have a thin dark rim (basal cells). Suspicious glands are small, have no rim and lie in
    clusters; they are the target. Single small glands without a rim are benign: telling them apart takes a view wider
    than the gland. Rare mimics lie in clusters too, but their lumen holds secretion.

    Parameters
    ----------
    shape
        Pixels per axis, each at least 64.
    benign, clusters, isolated, mimics
        Fewest and most benign glands, clusters of suspicious glands, single small glands, and clusters of mimics.
    radius
        Smallest and largest radius of a small gland in pixels; benign ones are twice as large.
    texture
        Standard deviation of the colour noise.
    label_noise
        Chance that a gland's label is wrong as a whole, and that its outline is a pixel too large or too small, as in
        labels derived by a program. Images do not change.

    Raises
    ------
    InputError
        A shape, range or chance that cannot be.

    Examples
    --------
    >>> images, labels = GlandPhantom().generate(2, seed=0)
    >>> images.shape, images.dtype, labels.shape, sorted(set(labels.ravel().tolist()))
    ((2, 3, 128, 128), dtype('float32'), (2, 128, 128), [0, 1])
    """

    shape: tuple[int, int] = (128, 128)
    benign: tuple[int, int] = (2, 4)
    clusters: tuple[int, int] = (1, 2)
    isolated: tuple[int, int] = (2, 4)
    mimics: tuple[int, int] = (0, 0)
    radius: tuple[float, float] = (4.5, 6.5)
    texture: float = 0.06
    label_noise: float = 0.0

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or min(self.shape) < 64:
            raise InputError(f"shape must have 2 axes of at least 64; got {self.shape}")
        for name in ("benign", "clusters", "isolated", "mimics"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise InputError(f"{name} must be (fewest, most), neither negative; got {(low, high)}")
        if not 2 <= self.radius[0] <= self.radius[1]:
            raise InputError(f"radius must be (smallest, largest), at least 2; got {self.radius}")
        if not 0 <= self.label_noise <= 1:
            raise InputError(f"label_noise must be between 0 and 1; got {self.label_noise}")
        if self.texture < 0:
            raise InputError(f"texture must not be negative; got {self.texture}")

    def generate(self, count: int, *, seed: int) -> tuple[Image, Labels]:
        """Return images ``[count, 3, *shape]`` (red, green, blue from 0 to 1) and labels ``[count, *shape]``."""
        images, labels, _ = self.generate_kinds(count, seed=seed)
        return images, labels

    def generate_kinds(self, count: int, *, seed: int) -> tuple[Image, Labels, Labels]:
        """Return images, labels and the kind of tissue ``[count, *shape]``.

        Kinds are 0 stroma, 1 benign, 2 suspicious, 3 isolated (benign), 4 mimic (benign).
        """
        cases = [self._case(rng) for rng in generators(count, seed)]
        images, labels, kinds = (np.stack(part) for part in zip(*cases, strict=True))
        return images, labels, kinds

    def _case(self, rng: np.random.Generator) -> tuple[Image, Labels, Labels]:
        glands = self._place(rng)
        image = np.empty((3, *self.shape))
        image[:] = np.array(_COLOURS["stroma"])[:, None, None]
        image += 0.03 * smooth_field(rng, self.shape, 6.0)
        kinds, numbers = np.zeros(self.shape, np.uint8), np.zeros(self.shape, np.int32)
        for number, (kind, centre, radius) in enumerate(glands, start=1):
            distance = self._wavy_distance(rng, centre, radius)
            whole, lumen = distance < 1, distance < 0.45
            kinds[whole], numbers[whole] = kind, number
            parts = [("epithelium", whole), ("secretion" if kind == MIMIC else "lumen", lumen)]
            if kind == BENIGN:
                parts.append(("rim", whole & (distance > 1 - 1.6 / radius)))
            for colour, where in parts:
                image[:, where] = np.array(_COLOURS[colour])[:, None]
        image = ndimage.gaussian_filter(image, (0, 0.6, 0.6))
        image += self.texture * ndimage.gaussian_filter(rng.standard_normal(image.shape), (0, 0.5, 0.5)) * 1.5
        labels = (kinds == SUSPICIOUS).astype(np.uint8)
        if self.label_noise:
            labels = self._mislabelled(labels, numbers, rng)
        return image.clip(0, 1).astype(np.float32), labels, kinds

    def _place(self, rng: np.random.Generator) -> list[tuple[int, NDArray[np.float64], float]]:
        """Return kind, centre and radius of glands that do not touch."""
        size = np.array(self.shape)
        wanted: list[tuple[int, NDArray[np.float64], float]] = []
        for kind, counts in ((SUSPICIOUS, self.clusters), (MIMIC, self.mimics)):
            for _ in range(int(rng.integers(counts[0], counts[1] + 1))):
                middle = rng.uniform(0.15, 0.85, 2) * size
                for _ in range(int(rng.integers(5, 9))):
                    wanted.append((kind, middle + rng.normal(0, 2.4 * self.radius[1], 2), rng.uniform(*self.radius)))
        for _ in range(int(rng.integers(self.benign[0], self.benign[1] + 1))):
            wanted.append((BENIGN, rng.uniform(0, 1, 2) * size, 2 * rng.uniform(*self.radius)))
        for _ in range(int(rng.integers(self.isolated[0], self.isolated[1] + 1))):
            wanted.append((ISOLATED, rng.uniform(0, 1, 2) * size, rng.uniform(*self.radius)))
        placed: list[tuple[int, NDArray[np.float64], float]] = []
        for kind, first, radius in wanted:
            for attempt in range(20):
                centre = first if attempt == 0 else first + rng.normal(0, (2 + attempt) * radius / 3, 2)
                if kind in (BENIGN, ISOLATED) and attempt:
                    centre = rng.uniform(0, 1, 2) * size
                inside = (centre >= 0).all() and (centre < size).all()
                # A single gland is only single where there is room around it.
                room = [(4.0 * radius if ISOLATED in (kind, other) else 2.5) for other, _, _ in placed]
                gaps = [np.linalg.norm(centre - c) - radius - r for _, c, r in placed]
                if inside and all(gap > free for gap, free in zip(gaps, room, strict=True)):
                    placed.append((kind, centre, radius))
                    break
        return placed

    def _wavy_distance(
        self, rng: np.random.Generator, centre: NDArray[np.float64], radius: float
    ) -> NDArray[np.float64]:
        """Return the distance from a gland's centre relative to its wavy outline."""
        offsets = np.moveaxis(np.indices(self.shape), 0, -1) - centre
        angles = np.arctan2(offsets[..., 0], offsets[..., 1])
        waves = np.ones(self.shape)
        for order in (2, 3):
            waves += rng.normal(0, 0.07) * np.cos(order * angles + rng.uniform(0, 2 * np.pi))
        distance: NDArray[np.float64] = np.hypot(offsets[..., 0], offsets[..., 1]) / (radius * waves)
        return distance

    def _mislabelled(self, labels: Labels, numbers: NDArray[np.int32], rng: np.random.Generator) -> Labels:
        """Return labels in which some glands are wrong as a whole and some outlines a pixel off."""
        noisy = labels.copy()
        for number in range(1, int(numbers.max()) + 1):
            gland = numbers == number
            if not gland.any():
                continue
            wrong, off, outward = rng.random(3)
            value = int(labels[gland].max())
            value = 1 - value if wrong < self.label_noise else value
            noisy[gland] = value
            if value and off < self.label_noise:
                noisy[ndimage.binary_dilation(gland) if outward < 0.5 else gland & ~ndimage.binary_erosion(gland)] = (
                    int(outward < 0.5)
                )
        return noisy
