"""Fit connected regions to a probability map, and to strokes where there are some."""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn
from torch.nn import functional

from shapewright.arrays import Array, as_numpy, check_spatial_dims, same_kind
from shapewright.errors import InputError
from shapewright.networks import BoxFlow, ConnectedRegion
from shapewright.training.connected_config import FitConfig

PART = 0.2  # pieces of at least this share of the largest belong to a broken object; smaller ones are stray
BENDING, BENT = 0.3, 64  # weight of the flow's bending, and at how many points it is taken
FRAME = 0.25  # how far around the objects the flow starts to enlarge the image, as a share of their size
BAND = 0.04  # half the width of the band around the teacher's boundary, as a share of the longest side
ROUNDED, SOFT = 0.1, 2 / 3  # when the paper's loss follows the rounded teacher, and when the teacher itself (of 1)

Floats = NDArray[np.float32]
Progress = Callable[[int, int], None]


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
        region = fit_region(foreground[present], inside[present], settings=settings or FitConfig(), seed=seed)
        masks = region.mask(labels.shape).reshape(len(present), *labels.shape)
        for index, mask in zip(present, masks, strict=True):
            labels[mask] = index + 1
    elif present:
        labels[...] = present[0] + 1
    return same_kind(labels.astype(np.bool_) if single else labels, probabilities)


def fit_region(
    targets: Floats | None,
    strokes: NDArray[np.bool_],
    *,
    known: NDArray[np.bool_] | None = None,
    image: Floats | None = None,
    settings: FitConfig,
    seed: int = 0,
    start: ConnectedRegion | None = None,
    progress: Progress | None = None,
) -> ConnectedRegion:
    """Return a region fitted to probability maps, to strokes, or to both.

    Parameters
    ----------
    targets
        Probabilities ``[objects, *spatial]``; None fits to strokes alone.
    strokes
        bool ``[objects, *spatial]``: where each object is for sure.
    known
        bool ``[*spatial]``: where strokes, of whatever kind, say what is there. None: nowhere.
    image
        ``[C, *spatial]``; what the paper's jointly trained teacher looks at (``settings.teacher`` is ``network``).
    settings
        Flow and training.
    seed
        Seed of weights and points.
    start
        A fitted region to continue from.
    progress
        Called with the number of finished steps and of all.
    """
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
        if isinstance(region.flow, BoxFlow):
            loss = loss + BENDING * region.flow.bending(points[-BENT:])
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
    low, high = np.ones(len(spatial)), np.zeros(len(spatial))
    for index in range(objects):
        shown = strokes[index] if targets is None else _main_parts(targets[index] > 0.5)
        shown = shown if shown.any() else strokes[index]
        places = (np.argwhere(shown) + 0.5) / shape
        depth = ndimage.distance_transform_edt(np.pad(shown, 1))[(slice(1, -1),) * len(spatial)]
        centre = places.mean(0)
        if not shown[tuple((centre * shape).astype(int).clip(0, shape - 1))]:
            centre = (np.array(np.unravel_index(depth.argmax(), shown.shape)) + 0.5) / shape
        anchors.append(centre)
        margin = FRAME * np.ptp(places, axis=0).max()
        low, high = np.minimum(low, places.min(0) - margin), np.maximum(high, places.max(0) + margin)
        offsets = places - centre
        covariances.append(offsets.T @ offsets / len(offsets) + np.diag((0.5 / shape) ** 2))
    frame = torch.tensor(np.array([low, high]).clip(0, 1)).float()
    region.place(torch.tensor(np.array(anchors)).float(), torch.tensor(np.array(covariances)).float(), frame=frame)
    return region, settings.steps


def _main_parts(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask without its stray pieces: a broken object is begun from all its parts."""
    pieces, _ = ndimage.label(mask)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= PART * max(sizes.max(), 1))[pieces] & mask)


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
