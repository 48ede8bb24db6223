"""What phantoms are made of: ellipsoids at any angle and smooth random fields."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


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
