"""From an image as read to the array a network sees, and back to the image's own grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shapewright.data.image import Image
from shapewright.data.task import Task
from shapewright.errors import InputError, unknown

UNKNOWN = 255  # class index of voxels to ignore
_SAME_SPACING = 0.01  # relative difference below which voxel sizes count as equal


@dataclass(frozen=True)
class PreparedImage:
    """An image ready for a network, and what is needed to bring a result back onto its own grid.

    Parameters
    ----------
    array
        float32 [C, *spatial], canonical orientation, normalised, at the task's spacing.
    spacing
        Voxel size of ``array`` in mm.
    canonical_shape
        Spatial shape before resampling.
    """

    array: NDArray[np.float32]
    spacing: tuple[float, ...]
    canonical_shape: tuple[int, ...]

    def restore(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities [K, *spatial of array] on the canonical grid [K, *canonical_shape]."""
        return resample(probabilities, self.canonical_shape, order=1)


def prepare_image(image: Image, task: Task) -> PreparedImage:
    """Bring an image in canonical orientation to what the network of ``task`` sees.

    Raises
    ------
    InputError
        The number of channels or of axes is not the task's, or a value is not finite.
    """
    name = image.path or "the image"
    if image.array.shape[0] != len(task.channels):
        raise InputError(
            f"{name} has {image.array.shape[0]} channel(s); the network was trained on {len(task.channels)}: "
            f"{', '.join(task.channels)}"
        )
    if image.array.ndim - 1 != task.image_dims:
        raise InputError(
            f"{name} has {image.array.ndim - 1} spatial axes; the network was trained on {task.image_dims}"
        )
    array = np.asarray(image.array, dtype=np.float32)
    missing = missing_channels(array) if task.optional_channels else np.zeros(len(array), np.bool_)
    if missing.all() or not np.isfinite(array[~missing]).all():
        raise InputError(f"{name} holds NaN or infinite values; see shapewright doctor")
    shape = array.shape[1:]
    target = target_shape(shape, image.spacing, task.spacing)
    array = normalise_intensity(array, task.normalise)
    return PreparedImage(
        array=resample(array, target, order=1),
        spacing=task.spacing,
        canonical_shape=shape,
    )


def prepare_labels(labels: Image, task: Task) -> NDArray[np.uint8]:
    """Return class indices [*spatial]: 0 background, 1.. in the order of the task's labels, then its label sets.

    255 is unknown. A label set i is negative, ``-1 - i``, in the labels as read.
    """
    values = labels.array[0]
    classes = np.zeros(values.shape, dtype=np.uint8)
    for number in range(len(task.label_sets)):
        classes[values == -1 - number] = task.classes + number
    for index, value in enumerate(task.labels.values(), start=1):
        classes[values == value] = index
    if task.ignore_label is not None:
        classes[values == task.ignore_label] = UNKNOWN
    return resample_labels(classes, target_shape(classes.shape, labels.spacing, task.spacing))


def missing_channels(array: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which channels of [C, *spatial] are missing: NaN throughout.

    Examples
    --------
    >>> missing_channels(np.array([[1.0, 2.0], [np.nan, np.nan]], np.float32))
    array([False,  True])
    """
    return np.asarray(np.isnan(array).reshape(len(array), -1).all(axis=1))


def normalise_intensity(array: NDArray[np.float32], how: str) -> NDArray[np.float32]:
    """Normalise each channel of [C, *spatial].

    ``volume`` clips at the 0.5th and 99.5th percentiles, then gives mean 0 and standard deviation 1: scanners and
    scales differ, and a few bright voxels must not set the range. A constant channel becomes 0, a missing one stays
    NaN. ``nonzero_mean`` divides by the mean of the voxels that are not 0, and leaves 0, the outside of a
    skull-stripped brain, at 0. ``fundus`` is for photographs of the retina, see :func:`normalise_fundus`. ``none``
    changes nothing.

    Examples
    --------
    >>> normalise_intensity(np.array([[1.0, 2.0, 3.0]], np.float32), "volume").round(2)
    array([[-1.22,  0.  ,  1.22]], dtype=float32)
    """
    if how == "none":
        return array
    if how == "fundus":
        return normalise_fundus(array)
    if how not in ("volume", "nonzero_mean"):
        raise unknown("normalisation", how, ["volume", "nonzero_mean", "fundus", "none"])
    result = np.empty_like(array)
    if how == "nonzero_mean":
        for channel, values in enumerate(array):
            mean = float(np.abs(values[values != 0].mean())) if values.any() else 0.0
            result[channel] = values / mean if mean > 0 else values
        return result
    for channel, values in enumerate(array):
        if np.isnan(values).all():
            result[channel] = np.nan
            continue
        low, high = np.percentile(values, [0.5, 99.5])
        clipped = np.clip(values, low, high)
        deviation = float(clipped.std())
        result[channel] = (clipped - clipped.mean()) / deviation if deviation > 0 else 0.0
    return result


def normalise_fundus(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a photograph of the retina with even contrast and less noise, in [0, 1].

    Contrast-limited adaptive histogram equalisation of the lightness (L of CIE Lab, so that colours stay), then a
    median of 3 x 3 pixels. Photographs of different cameras become more alike.

    Parameters
    ----------
    array
        [3, y, x] red, green and blue; whole numbers up to 255, or fractions up to 1.

    Raises
    ------
    InputError
        Not a flat picture in three colours, or negative values.

    References
    ----------
    Saha et al., "Learning with multitask adversaries using weakly labelled data", MIDL 2019, section 3.1, which does
    not say which channel is equalised.

    Examples
    --------
    >>> normalise_fundus(np.full((3, 16, 16), 128, np.float32)).shape
    (3, 16, 16)
    """
    if array.ndim != 3 or len(array) != 3 or array.size == 0 or array.min() < 0:
        raise InputError(
            "prepare.normalise fundus is for flat pictures in red, green and blue without negative values; got shape "
            f"{array.shape}"
        )
    from scipy import ndimage
    from skimage import color, exposure

    largest = float(array.max())
    scaled = array / (1.0 if largest <= 1 else max(largest, 255.0))
    lab = color.rgb2lab(np.moveaxis(scaled, 0, -1))
    lab[..., 0] = 100 * exposure.equalize_adapthist(lab[..., 0] / 100)
    equalised = np.clip(np.moveaxis(color.lab2rgb(lab), -1, 0), 0, 1)
    return ndimage.median_filter(equalised, size=(1, 3, 3)).astype(np.float32)


def target_shape(shape: Sequence[int], spacing: Sequence[float], target_spacing: Sequence[float]) -> tuple[int, ...]:
    """Return the shape after resampling to ``target_spacing``; voxel sizes within 1 % count as equal.

    Examples
    --------
    >>> target_shape((10, 20), (3.0, 1.0), (1.5, 1.001))
    (20, 20)
    """
    factors = [old / new for old, new in zip(spacing, target_spacing, strict=True)]
    return tuple(
        size if abs(factor - 1) < _SAME_SPACING else max(round(size * factor), 1)
        for size, factor in zip(shape, factors, strict=True)
    )


def resample(array: NDArray[Any], shape: Sequence[int], *, order: Literal[0, 1, 3]) -> NDArray[Any]:
    """Resample [C, *spatial] to [C, *shape] so that the image's outer edges coincide.

    Equivalent to ``scipy.ndimage.zoom(..., grid_mode=True, mode="nearest")`` per channel.
    """
    if tuple(array.shape[1:]) == tuple(shape):
        return array
    from scipy import ndimage

    factors = [new / old for new, old in zip(shape, array.shape[1:], strict=True)]
    zoomed: NDArray[Any] = np.stack(
        [ndimage.zoom(channel, factors, order=order, mode="nearest", grid_mode=True) for channel in array]
    )
    return zoomed


def resample_labels(labels: NDArray[np.uint8], shape: Sequence[int]) -> NDArray[np.uint8]:
    """Resample class indices: every class linearly, then the strongest, so that thin parts survive better."""
    if labels.shape == tuple(shape):
        return labels
    present = np.unique(labels)
    shares = np.stack([resample((labels == value)[None].astype(np.float32), shape, order=1)[0] for value in present])
    result: NDArray[np.uint8] = present[shares.argmax(axis=0)].astype(np.uint8)
    return result
