"""Random fields that phantoms share."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def smooth_field(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> NDArray[np.float64]:
    """Return Gaussian noise smoothed to the scale ``sigma``, of mean 0 and standard deviation 1."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape), sigma, mode="wrap")
    normalised: NDArray[np.float64] = (field - field.mean()) / field.std()
    return normalised
