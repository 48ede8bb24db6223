"""Fit connected regions: to strokes on an image, or to a probability map."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn
from torch.nn import functional

from shapewright.arrays import Array, as_numpy, check_spatial_dims, same_kind
from shapewright.errors import InputError
from shapewright.geometry import largest_component
from shapewright.methods.path_connected.config import FitConfig
from shapewright.methods.path_connected.teacher import teach
from shapewright.networks import ConnectedRegion

OBJECT, BACKGROUND = 1, 2
BAND = 0.04  # half the width of the band around the teacher's boundary, as a share of the longest side
ROUNDED, SOFT = 0.1, 2 / 3  # when the paper's loss follows the rounded teacher, and when the teacher itself (of 1)

Floats = NDArray[np.float32]
Progress = Callable[[int, int], None]


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
    >>> scribbles[22:26, 18:30], scribbles[4, 4:40] = 1, 2
    >>> fit = fit_scribbles(image, scribbles, settings=FitConfig(steps=100))
    >>> bool((fit.mask & image).sum() > 0.8 * (fit.mask | image).sum())
    True
    """
    settings = settings or FitConfig()
    codes = check_scribbles(scribbles)
    channels = _channels_first(image, scribbles.shape)
    objects = [code for code in codes if code != BACKGROUND]
    targets = None
    if settings.teacher == "trained":
        maps = [teach(channels, scribbles == code, (scribbles != code) & (scribbles != 0)) for code in objects]
        targets = np.stack(maps) / np.maximum(np.sum(maps, 0), 1)
        for index, code in enumerate(objects):
            targets[index][scribbles != 0] = scribbles[scribbles != 0] == code
    strokes = np.stack([scribbles == code for code in objects])
    region = _fit(channels, targets, strokes, scribbles != 0, settings, seed, start, progress)
    return _result(region, targets, scribbles.shape)


def connect(
    probabilities: Array,
    *,
    spatial_dims: int | None = None,
    seed: int = 0,
    settings: FitConfig | None = None,
) -> Array:
    """Return the connected mask that fits a network's probabilities best: their projection onto connected shapes.

    Parameters
    ----------
    probabilities
        In 0 to 1: of one object, ``[*spatial]``; or of K classes, ``[K, *spatial]``, background first, with
        ``spatial_dims`` given. NumPy array or torch tensor.
    spatial_dims
        2 or 3; by default all axes are space.
    seed
        Seed of weights and points.
    settings
        Flow and training; the teacher is the probabilities.

    Returns
    -------
    array or tensor
        bool ``[*spatial]``, one piece without holes (and tunnels and cavities in 3D); for K classes their numbers,
        uint8 ``[*spatial]``, each class in one piece. A class that is nowhere the most probable (for one object:
        nowhere 0.5) stays absent, and an object that fills the image is returned as it is.

    Raises
    ------
    InputError
        Values outside 0 to 1, or an array that is neither of the two kinds.

    Examples
    --------
    >>> noisy = np.zeros((32, 32), np.float32)
    >>> noisy[8:24, 8:24], noisy[12:14, 12:14], noisy[2, 28:30] = 0.9, 0.2, 0.8  # with a hole and a stray pixel
    >>> mask = connect(noisy, settings=FitConfig(steps=60))
    >>> bool(mask[13, 13]), bool(mask[2, 29])
    (True, False)
    """
    values = as_numpy(probabilities, "probabilities").astype(np.float32)
    dims = check_spatial_dims(spatial_dims, values.shape)
    if values.ndim not in (dims, dims + 1) or (values.ndim == dims + 1 and (len(values) < 2 or spatial_dims is None)):
        raise InputError(
            f"probabilities must be [*spatial], or [K, *spatial] with the background first and spatial_dims given; got "
            f"shape {values.shape} and spatial_dims {spatial_dims}"
        )
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise InputError("probabilities must lie in 0 to 1; apply a sigmoid or softmax to logits first")
    single = values.ndim == dims
    foreground = values[None] if single else values[1:]
    inside = foreground >= 0.5 if single else values.argmax(0) == np.arange(1, len(values)).reshape(-1, *(1,) * dims)
    labels = np.zeros(values.shape[-dims:], np.uint8)
    present = [index for index in range(len(foreground)) if inside[index].any()]
    if present and not inside.all():
        region = _fit(None, foreground[present], inside[present], None, settings or FitConfig(), seed, None, None)
        masks = region.mask(labels.shape).reshape(len(present), *labels.shape)
        for index, mask in zip(present, masks, strict=True):
            labels[mask] = index + 1
    elif present:
        labels[...] = present[0] + 1
    return same_kind(labels.astype(np.bool_) if single else labels, probabilities)


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


def _fit(
    image: Floats | None,
    targets: Floats | None,
    strokes: NDArray[np.bool_],
    known: NDArray[np.bool_] | None,
    settings: FitConfig,
    seed: int,
    start: ConnectedRegion | None,
    progress: Progress | None,
) -> ConnectedRegion:
    """Fit a region to target maps ``[objects, *spatial]``, and to strokes where ``known`` says that there are some."""
    objects, *spatial = strokes.shape
    shape = np.array(spatial)
    rng = np.random.default_rng(seed)
    region, steps = _started(targets, strokes, settings, seed, start)
    joint = settings.teacher == "network" and image is not None
    teacher = _paper_teacher(image, objects, len(spatial), seed) if joint else None
    trained = [*region.parameters(), *(teacher.parameters() if teacher is not None else ())]
    optimizer = torch.optim.Adam(trained, lr=settings.learning_rate)
    marked = np.argwhere(known) if known is not None else np.zeros((0, len(spatial)), np.intp)
    near = _near_boundary(targets)
    for step in range(steps):
        done = step / steps
        if settings.schedule == "cosine":
            rise = min(1.0, (step + 1) / 10)
            optimizer.param_groups[0]["lr"] = settings.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * done))
        share = len(marked) > 0 and (0.25 if targets is not None else 0.55)
        labelled = marked[rng.integers(len(marked), size=max(1, int(share * settings.points)))] if share else marked
        rest = settings.points - len(labelled)
        close = near[rng.integers(len(near), size=rest // 2)] if len(near) else marked[:0]
        free = np.concatenate([close, rng.integers(0, shape, (max(rest - len(close), 1), len(shape)))])
        places = np.concatenate([labelled, free])
        points = torch.from_numpy(((places + 0.5) / shape).astype(np.float32))
        logits = region.logits(points)
        loss = torch.zeros(())
        if len(labelled):
            truth = torch.from_numpy(strokes[:, *labelled.T].T.astype(np.float32))
            loss = loss + functional.binary_cross_entropy_with_logits(logits[: len(labelled)], truth)
        if targets is not None:
            wanted = torch.from_numpy(targets[:, *free.T].T)
            loss = loss + functional.binary_cross_entropy_with_logits(logits[len(labelled) :], wanted)
        if teacher is not None and image is not None:
            said = teacher(torch.cat([points, torch.from_numpy(image[:, *places.T].T)], 1))
            loss = loss + functional.binary_cross_entropy_with_logits(said[: len(labelled)], truth)
            if done >= ROUNDED:
                followed = torch.sigmoid(said.detach()) if done >= SOFT else (said.detach() > 0).float()
                loss = loss + functional.mse_loss(torch.sigmoid(logits), followed)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(trained, 5.0)
        optimizer.step()
        if progress is not None:
            progress(step + 1, steps)
    return region.eval()


def _started(
    targets: Floats | None, strokes: NDArray[np.bool_], settings: FitConfig, seed: int, start: ConnectedRegion | None
) -> tuple[ConnectedRegion, int]:
    """Return the region to start from, and the number of steps to take."""
    objects, *spatial = strokes.shape
    if start is not None:
        if start.objects != objects or start.spatial_dims != len(spatial):
            raise InputError(
                f"start must have {objects} object(s) in {len(spatial)} dimensions; it has {start.objects} in "
                f"{start.spatial_dims}"
            )
        region = start.copy()
        return region, max(1, settings.steps // 3)
    region = ConnectedRegion(
        len(spatial),
        objects=objects,
        flow=settings.flow,
        couplings=settings.couplings,
        convex=settings.convex,
        activation=settings.activation,
        seed=seed,
    )
    shape = np.array(spatial)
    anchors, covariances = [], []
    for index in range(objects):
        shown = strokes[index] if targets is None else largest_component(targets[index] > 0.5)
        shown = shown if shown.any() else strokes[index]
        places = (np.argwhere(shown) + 0.5) / shape
        depth = ndimage.distance_transform_edt(np.pad(shown, 1))[(slice(1, -1),) * len(spatial)]
        centre = places.mean(0)
        if not shown[tuple((centre * shape).astype(int).clip(0, shape - 1))]:
            centre = (np.array(np.unravel_index(depth.argmax(), shown.shape)) + 0.5) / shape
        anchors.append(centre)
        offsets = places - centre
        covariances.append(offsets.T @ offsets / len(offsets) + np.diag((0.5 / shape) ** 2))
    region.place(torch.tensor(np.array(anchors)).float(), torch.tensor(np.array(covariances)).float())
    return region, settings.steps


def _near_boundary(targets: Floats | None) -> NDArray[np.intp]:
    """Return the pixels near the boundaries of target maps."""
    if targets is None:
        return np.zeros((0, 0), np.intp)
    near = np.zeros(targets.shape[1:], np.bool_)
    width = max(2.0, BAND * max(targets.shape[1:]))
    for target in targets:
        inside = target > 0.5
        if inside.any() and not inside.all():
            near |= (ndimage.distance_transform_edt(inside) + ndimage.distance_transform_edt(~inside)) <= width
    return np.argwhere(near)


def _paper_teacher(image: Floats | None, objects: int, dims: int, seed: int) -> nn.Module:
    """Return the paper's teacher: two hidden layers of 130, from position and colour to logits."""
    channels = 0 if image is None else len(image)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(dims + channels, 130), nn.ReLU(), nn.Linear(130, 130), nn.ReLU(), nn.Linear(130, objects)
        )


def _result(region: ConnectedRegion, targets: Floats | None, shape: tuple[int, ...]) -> ConnectedFit:
    logits = region.raster(shape)
    probabilities = 1 / (1 + np.exp(-logits.clip(-60, 60)))
    single = region.objects == 1
    teacher = targets if targets is None or not single else targets[0]
    return ConnectedFit(region.mask(shape), probabilities[0] if single else probabilities, teacher, region)
