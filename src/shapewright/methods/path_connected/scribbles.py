"""From strokes on an image to an object in one piece."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapewright.arrays import as_numpy
from shapewright.errors import InputError
from shapewright.methods.path_connected.teacher import teach
from shapewright.networks import ConnectedRegion
from shapewright.training.connected import Progress, fit_region
from shapewright.training.connected_config import FitConfig

OBJECT, BACKGROUND = 1, 2

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ConnectedFit:
    """The result of a fit; ``np.asarray`` of it is the mask.

    Attributes
    ----------
    mask
        bool ``[*spatial]``, one piece without holes; ``[objects, *spatial]`` for several objects.
    probabilities
        float32 of the same shape: how sure the region is that a pixel's centre lies inside.
    teacher
        float32 of the same shape: what the region was fitted to; None without a teacher.
    region
        The region as a function of position, to be evaluated on any grid or to start another fit from.
    """

    mask: NDArray[np.bool_]
    probabilities: Floats
    teacher: Floats | None
    region: ConnectedRegion

    @property
    def labels(self) -> NDArray[np.uint8]:
        """uint8 ``[*spatial]``: 0 background, 1 the first object, 2 the second ..."""
        masks = self.mask[None] if self.region.objects == 1 else self.mask
        return np.asarray(sum(np.uint8(index + 1) * mask for index, mask in enumerate(masks)), np.uint8)

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        return np.array(self.mask, dtype=dtype) if copy else np.asarray(self.mask, dtype=dtype)


def fit_scribbles(
    image: NDArray[Any],
    scribbles: NDArray[Any],
    *,
    seed: int = 0,
    settings: FitConfig | None = None,
    start: ConnectedRegion | None = None,
    progress: Progress | None = None,
) -> ConnectedFit:
    """Return the connected object that strokes mark on an image.

    Parameters
    ----------
    image
        2D or 3D, ``[*spatial]``, ``[C, *spatial]`` or ``[*spatial, C]``; any intensities.
    scribbles
        Integers ``[*spatial]``: 0 unknown, 1 object, 2 background, 3 and on further objects. Every object needs a
        stroke, and so does the background (or another object).
    seed
        Seed of weights and points; the same one gives the same result.
    settings
        Teacher, flow and training; None takes ``FitConfig()``.
    start
        Continue from a fitted region: the strokes before one was added, the slice or the frame before. Its flow and
        sizes are kept, and a third of the steps is taken.
    progress
        Called with the number of finished steps and of all.

    Returns
    -------
    ConnectedFit
        Mask, probabilities and the region itself.

    Raises
    ------
    InputError
        Shapes that do not fit (strokes outside the image), strokes of one kind only, numbers that are not whole, or an
        image that is not finite.

    Examples
    --------
    >>> image = np.hypot(*np.mgrid[-1:1:48j, -1:1:48j]) < 0.5
    >>> scribbles = np.zeros((48, 48), np.uint8)
    >>> scribbles[22:26, 18:30], scribbles[4, 4:40], scribbles[44, 4:40] = 1, 2, 2
    >>> fit = fit_scribbles(image, scribbles, settings=FitConfig(steps=50))
    >>> fit.mask.shape, bool(fit.mask[24, 24]), bool(fit.mask[4, 20])
    ((48, 48), True, False)
    """
    settings = settings or FitConfig()
    codes = check_scribbles(scribbles)
    channels = _channels_first(image, scribbles.shape)
    objects = [code for code in codes if code != BACKGROUND]
    targets = None
    if settings.teacher == "walks":
        maps = [teach(channels, scribbles == code, (scribbles != code) & (scribbles != 0)) for code in objects]
        targets = np.stack(maps) / np.maximum(np.sum(maps, 0), 1)
        for index, code in enumerate(objects):
            targets[index][scribbles != 0] = scribbles[scribbles != 0] == code
    strokes = np.stack([scribbles == code for code in objects])
    region = fit_region(
        targets,
        strokes,
        known=scribbles != 0,
        image=channels,
        settings=settings,
        seed=seed,
        start=start,
        progress=progress,
    )
    return _result(region, targets, scribbles.shape)


def check_scribbles(scribbles: NDArray[Any]) -> list[int]:
    """Return the kinds of strokes that occur, in order.

    Raises
    ------
    InputError
        Not whole numbers from 0 to 255, not 2D or 3D, or fewer than two kinds.
    """
    if not isinstance(scribbles, np.ndarray) or scribbles.ndim not in (2, 3):
        shape = getattr(scribbles, "shape", type(scribbles).__name__)
        raise InputError(f"scribbles must be an array of integers [*spatial], 2D or 3D; got {shape}")
    if not np.issubdtype(scribbles.dtype, np.integer):
        raise InputError(f"scribbles must be integers: 0 unknown, 1 object, 2 background; got {scribbles.dtype}")
    codes = [int(code) for code in np.unique(scribbles) if code != 0]
    if codes and (codes[0] < 0 or codes[-1] > 255):
        raise InputError(f"scribbles must lie in 0 to 255; got {codes[0]} to {codes[-1]}")
    if not codes:
        raise InputError("scribbles hold no stroke: mark the object with 1 and the background with 2")
    if len(codes) == 1:
        missing = "the object (1)" if codes == [BACKGROUND] else "the background (2)"
        raise InputError(f"scribbles hold strokes of one kind only, {codes[0]}; draw on {missing} as well")
    return codes


def _channels_first(image: NDArray[Any], spatial: tuple[int, ...]) -> Floats:
    """Return the image as ``[C, *spatial]``."""
    values = as_numpy(image, "image")
    if values.shape == spatial:
        values = values[None]
    elif values.shape[:-1] == spatial:
        values = np.moveaxis(values, -1, 0)
    elif values.shape[1:] != spatial:
        raise InputError(
            f"scribbles must have the image's spatial shape, or strokes lie outside it; got scribbles {spatial} and "
            f"image {values.shape}"
        )
    values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise InputError("image must be finite; it has NaN or infinite values")
    return values


def _result(region: ConnectedRegion, targets: Floats | None, shape: tuple[int, ...]) -> ConnectedFit:
    logits = region.raster(shape)
    probabilities = 1 / (1 + np.exp(-logits.clip(-60, 60)))
    single = region.objects == 1
    teacher = targets if targets is None or not single else targets[0]
    return ConnectedFit(region.mask(shape), probabilities[0] if single else probabilities, teacher, region)
