"""From strokes on an image to an object in one piece."""

from collections.abc import Mapping, Sequence
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
MISSED = 0.1  # share of a kind's pixels on the wrong side of the fit from which on the person is told

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
    missed
        Per kind of stroke (1 object, 2 background, 3 ...), the share of its pixels that the masks put elsewhere.
    warning
        What is to be said about them: empty where less than a tenth of every kind is missed. More is missed where no
        single piece without holes fits the strokes: a background stroke inside a ring of object strokes, an object in
        two parts.
    """

    mask: NDArray[np.bool_]
    probabilities: Floats
    teacher: Floats | None
    region: ConnectedRegion
    missed: Mapping[int, float]
    warning: str

    @property
    def labels(self) -> NDArray[np.uint8]:
        """uint8 ``[*spatial]``: 0 background, 1 the first object, 2 the second ..."""
        return _labels(self.mask if self.region.objects > 1 else self.mask[None])

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
    return _result(region, targets, scribbles, objects)


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


def _result(
    region: ConnectedRegion, targets: Floats | None, scribbles: NDArray[Any], objects: Sequence[int]
) -> ConnectedFit:
    logits = region.raster(scribbles.shape)
    probabilities = 1 / (1 + np.exp(-logits.clip(-60, 60)))
    mask = region.mask(scribbles.shape)
    single = region.objects == 1
    teacher = targets if targets is None or not single else targets[0]
    found = np.array([BACKGROUND, *objects])[_labels(mask[None] if single else mask)]
    missed, warning = _unsatisfied(scribbles, found)
    return ConnectedFit(mask, probabilities[0] if single else probabilities, teacher, region, missed, warning)


def _labels(masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.asarray(sum(np.uint8(index + 1) * mask for index, mask in enumerate(masks)), np.uint8)


def _unsatisfied(scribbles: NDArray[Any], found: NDArray[Any]) -> tuple[dict[int, float], str]:
    """Return the share of every kind of stroke that the fit puts elsewhere, and what to say about it."""
    missed, parts = {}, []
    for code in np.unique(scribbles[scribbles != 0]):
        places = np.argwhere((scribbles == code) & (found != code))
        missed[int(code)] = len(places) / int((scribbles == code).sum())
        if missed[int(code)] >= MISSED:
            kind = {OBJECT: "object", BACKGROUND: "background"}.get(int(code), f"object {int(code)}")
            middle = places[np.square(places - places.mean(0)).sum(1).argmin()]
            where = ", ".join(str(int(place)) for place in middle)
            parts.append(f"{100 * missed[int(code)]:.0f} % of the {kind} strokes (about pixel {where})")
    if not parts:
        return missed, ""
    return missed, (
        f"the mask goes against {' and '.join(parts)}: strokes that enclose others, or lie apart, may fit no single "
        "piece without holes; check them, or draw more"
    )
