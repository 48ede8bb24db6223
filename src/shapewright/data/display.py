"""Intensities as a screen shows them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def display_levels(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an image ``[C, H, W]`` as RGB ``[H, W, 3]``: colours as they are, one channel stretched to the full range.

    Examples
    --------
    >>> display_levels(np.arange(4.0).reshape(1, 2, 2))[..., 0]
    array([[  0,  85],
           [170, 255]], dtype=uint8)
    """
    if image.shape[0] == 3 and image.dtype == np.uint8:
        return np.ascontiguousarray(np.moveaxis(image, 0, -1))
    grey = image.astype(np.float64).mean(0)
    low, high = np.quantile(grey, [0.005, 0.995]) if grey.size > 100 else (grey.min(), grey.max())
    scaled = ((grey - low) / max(float(high - low), 1e-12)).clip(0, 1) * 255
    return np.repeat(scaled.round().astype(np.uint8)[..., None], 3, axis=-1)
