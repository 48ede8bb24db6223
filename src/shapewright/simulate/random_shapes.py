"""What phantoms are made of: a generator per image, ellipsoids at any angle and smooth random fields."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from shapewright.errors import InputError


def generators(count: int, seed: int) -> Iterator[np.random.Generator]:
    """Yield the generator of each image: a function of the seed and the image's number alone.

    Raises
    ------
    InputError
        No image, or a negative seed.
    """
    if count < 1 or seed < 0:
        raise InputError(f"count must be at least 1 and seed at least 0; got count {count}, seed {seed}")
    return (np.random.default_rng([seed, index]) for index in range(count))


def ellipsoid_radius(
    shape: tuple[int, ...], centre: NDArray[np.float64], semi_axes: NDArray[np.float64], rotation: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the radius of every pixel in units of an ellipsoid's surface (1 on it)."""
    offsets = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1) - centre
    radius: NDArray[np.float64] = np.linalg.norm(offsets @ rotation / semi_axes, axis=-1)
    return radius


def random_rotation(rng: np.random.Generator, dims: int) -> NDArray[np.float64]:
    """Return a random orthogonal matrix."""
    matrix, _ = np.linalg.qr(rng.standard_normal((dims, dims)))
    return matrix


def smooth_field(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> NDArray[np.float64]:
    """Return Gaussian noise smoothed to the scale ``sigma``, of mean 0 and standard deviation 1."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape), sigma, mode="wrap")
    normalised: NDArray[np.float64] = (field - field.mean()) / field.std()
    return normalised
