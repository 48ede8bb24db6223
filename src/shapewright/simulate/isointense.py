"""A brain of six months in two channels: grey and white matter look almost alike."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from shapewright.errors import InputError
from shapewright.simulate.random_shapes import generators, smooth_field

Image = NDArray[np.float32]
Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class IsointensePhantom:
    """A skull-stripped brain: cerebrospinal fluid around and inside, folded grey matter, white matter in the core.

    Parameters
    ----------
    shape
        Pixels or voxels per axis, 2D or 3D, each at least 24.
    shares
        Shares of fluid, grey and white matter in the brain; those of the iSeg-2017 images.
    separation
        Difference between the means of grey and white matter in standard deviations of the noise, per channel.
    folding
        Depth of the folds relative to the brain's radius.
    jitter
        Chance that a voxel at the border of grey and white matter has the label of a neighbour: raters' disagreement,
        in the labels alone.
    noise
        Standard deviation of the noise; the fluid lies 0.4 above (second channel) or below the tissue.
    blur
        Standard deviation in voxels of the blur that mixes tissues at their borders.

    Raises
    ------
    InputError
        A shape, share or strength that cannot be.

    Examples
    --------
    >>> images, labels = IsointensePhantom().generate(2, seed=0)
    >>> images.shape, labels.shape, (images[:, :, 0, 0] == 0).all(), sorted(set(labels.ravel().tolist()))
    ((2, 2, 64, 64), (2, 64, 64), np.True_, [0, 1, 2, 3])
    """

    shape: tuple[int, ...] = (64, 64)
    shares: tuple[float, float, float] = (0.22, 0.47, 0.31)
    separation: float = 0.5
    folding: float = 0.25
    jitter: float = 0.0
    noise: float = 0.05
    blur: float = 0.6

    def __post_init__(self) -> None:
        if len(self.shape) not in (2, 3) or min(self.shape) < 24:
            raise InputError(f"shape must have 2 or 3 axes of at least 24; got {self.shape}")
        if len(self.shares) != 3 or min(self.shares) <= 0 or abs(sum(self.shares) - 1) > 1e-6:
            raise InputError(f"shares must be three positive numbers that add up to 1; got {self.shares}")
        if not 0 <= self.jitter <= 1:
            raise InputError(f"jitter must be between 0 and 1; got {self.jitter}")
        for name in ("separation", "folding", "noise", "blur"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must not be negative; got {getattr(self, name)}")

    def generate(self, count: int, *, seed: int) -> tuple[Image, Labels]:
        """Return images ``[count, 2, *shape]``, 0 outside the brain, and labels ``[count, *shape]``.

        Labels are 0 outside, 1 fluid, 2 grey matter, 3 white matter.
        """
        cases = [self._case(rng) for rng in generators(count, seed)]
        return np.stack([image for image, _ in cases]), np.stack([labels for _, labels in cases])

    def _case(self, rng: np.random.Generator) -> tuple[Image, Labels]:
        """Return one image and its labels."""
        labels = self._tissues(rng)
        brain = labels > 0
        difference = self.separation * self.noise
        means = np.array([[0.0, 0.35, 0.75, 0.75 + difference], [0.0, 1.0, 0.6, 0.6 - difference]])
        channels = []
        for level in means:
            clean = level[labels]
            # Blurring over the brain alone keeps the border with the outside sharp, as stripping the skull does.
            share = ndimage.gaussian_filter(brain.astype(np.float64), self.blur)
            mixed = ndimage.gaussian_filter(clean, self.blur) / np.maximum(share, 1e-6)
            shading = 1 + 0.03 * smooth_field(rng, self.shape, min(self.shape) / 6)
            channel = mixed * shading + self.noise * rng.standard_normal(self.shape)
            channels.append(np.where(brain, np.maximum(channel, 0.01), 0.0))
        if self.jitter:
            labels = self._jittered(labels, rng)
        return np.stack(channels).astype(np.float32), labels

    def _tissues(self, rng: np.random.Generator) -> Labels:
        """Return true labels whose shares are exact."""
        size = np.asarray(self.shape, dtype=np.float64)
        centre = (size - 1) / 2 + rng.uniform(-1, 1, len(size))
        axes = size * rng.uniform(0.40, 0.46, len(size))
        offsets = np.moveaxis(np.indices(self.shape), 0, -1) - centre
        radius = np.linalg.norm(offsets / axes, axis=-1) * (
            1 + 0.03 * smooth_field(rng, self.shape, min(self.shape) / 8)
        )
        brain = radius < 1
        folded = radius + self.folding * smooth_field(rng, self.shape, min(self.shape) / 18) * (0.3 + 0.7 * radius)
        labels = np.zeros(self.shape, np.uint8)
        # Outer fluid first, then grey matter, white matter inside, a fifth of the fluid in the middle.
        ventricle = brain & (radius <= np.quantile(radius[brain], self.shares[0] / 5))
        rest = brain & ~ventricle
        order = folded[rest]
        whole = brain.sum() / rest.sum()
        white = np.quantile(order, self.shares[2] * whole)
        grey = np.quantile(order, min((self.shares[2] + self.shares[1]) * whole, 1.0))
        labels[rest] = np.where(order <= white, 3, np.where(order <= grey, 2, 1))
        labels[ventricle] = 1
        return labels

    def _jittered(self, labels: Labels, rng: np.random.Generator) -> Labels:
        """Return labels in which grey and white matter trade places at their border."""
        places = np.indices(labels.shape)
        moves = rng.integers(-1, 2, places.shape)
        bounds = np.array(labels.shape).reshape(-1, *[1] * labels.ndim) - 1
        neighbours = labels[tuple(np.clip(places + moves, 0, bounds))]
        trade = (labels >= 2) & (neighbours >= 2) & (rng.random(labels.shape) < self.jitter)
        return np.where(trade, neighbours, labels).astype(np.uint8)
