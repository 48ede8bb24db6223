"""From strokes to a probability map: what the connected region is fitted to.

In 2D a small network, trained once on simulated and human strokes, looks at the image around the strokes, at how their
intensities differ, at random walks from them and at the distances to them. In 3D the random walks themselves, and
geodesic distances, are the teacher.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from shapewright.geometry import geodesic_distance

SIZE = 128  # pixels of the frame's longer side, as in training
FEATURES = 8
WEIGHTS = "teacher.safetensors"

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


class StrokeTeacher(nn.Module):
    """A small U-Net from the features of :func:`frame_features` to logits of "object".

    Parameters
    ----------
    width
        Channels of the first of three levels.
    """

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.first = _convolutions(FEATURES, width)
        self.second = _convolutions(width, 2 * width)
        self.third = _convolutions(2 * width, 4 * width)
        self.up_second = _convolutions(6 * width, 2 * width)
        self.up_first = _convolutions(3 * width, width)
        self.last = nn.Conv2d(width, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits ``[B, 1, H, W]`` of features ``[B, 8, H, W]``, sides divisible by 4."""
        first = self.first(features)
        second = self.second(functional.avg_pool2d(first, 2))
        third = self.third(functional.avg_pool2d(second, 2))
        second = self.up_second(torch.cat([functional.interpolate(third, scale_factor=2.0), second], 1))
        logits: Tensor = self.last(
            self.up_first(torch.cat([functional.interpolate(second, scale_factor=2.0), first], 1))
        )
        return logits


def _convolutions(inputs: int, outputs: int) -> nn.Sequential:
    """Return two convolutions with normalisation over groups of channels."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.GroupNorm(4, outputs), nn.SiLU()]
    return nn.Sequential(*layers)


@dataclass(frozen=True)
class Frame:
    """The part of the image around the strokes, on a grid of at most 128 pixels a side."""

    corner: tuple[float, ...]
    extent: tuple[float, ...]
    shape: tuple[int, ...]

    @classmethod
    def around(cls, strokes: Mask, shape: tuple[int, ...]) -> "Frame":
        """Return the frame of the object's strokes: their bounding box and as much again on every side."""
        places = np.argwhere(strokes)
        low, high = places.min(0), places.max(0) + 1
        margin = max(int((high - low).max()), max(shape) // 4)
        low, high = np.maximum(low - margin, 0), np.minimum(high + margin, shape)
        scale = SIZE / max(high - low)
        sizes = tuple(int(max(8, 4 * round(side * scale / 4))) for side in high - low)
        return cls(tuple(low.astype(float)), tuple((high - low).astype(float)), sizes)

    def sample(self, image: NDArray[Any]) -> Floats:
        """Return an image ``[*spatial]`` on the frame's grid, smoothed where the grid is coarser."""
        step = np.array(self.extent) / self.shape
        smooth = ndimage.gaussian_filter(image.astype(np.float32), np.maximum(step - 1, 0) / 2)
        axes = [c + (np.arange(n) + 0.5) * s - 0.5 for c, n, s in zip(self.corner, self.shape, step, strict=True)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"))
        return np.asarray(ndimage.map_coordinates(smooth, grid, order=1, mode="nearest"), np.float32)

    def mark(self, strokes: Mask) -> Mask:
        """Return the frame's pixels that a stroke of the image touches."""
        marked = np.zeros(self.shape, np.bool_)
        places = (np.argwhere(strokes) + 0.5 - self.corner) / self.extent * self.shape
        places = places[((places >= 0) & (places < self.shape)).all(1)].astype(int)
        marked[tuple(places.T)] = True
        return marked

    def restore(self, values: Floats, shape: tuple[int, ...], outside: float) -> Floats:
        """Return values on the frame's grid on the image's grid."""
        axes = [
            (np.arange(n) + 0.5 - c) / e * m - 0.5
            for n, c, e, m in zip(shape, self.corner, self.extent, self.shape, strict=True)
        ]
        inside = [np.flatnonzero((a >= -0.5) & (a <= m - 0.5)) for a, m in zip(axes, self.shape, strict=True)]
        grid = np.stack(np.meshgrid(*(a[i] for a, i in zip(axes, inside, strict=True)), indexing="ij"))
        full = np.full(shape, outside, np.float32)
        full[np.ix_(*inside)] = ndimage.map_coordinates(values, grid, order=1, mode="nearest")
        return full


def grey_levels(image: NDArray[Any], inner: Mask, outer: Mask) -> Floats:
    """Return one channel ``[*spatial]`` in 0 to 1: the mixture of the channels that separates the strokes best."""
    channels = image.astype(np.float64)
    if len(channels) == 1:
        mixed = channels[0]
    else:
        a, b = channels[:, inner], channels[:, outer]
        within = np.cov(a) + np.cov(b) + 1e-3 * np.eye(len(channels)) * (channels.var() + 1e-12)
        mixed = np.tensordot(np.linalg.solve(within, a.mean(1) - b.mean(1)), channels, 1)
    low, high = np.quantile(mixed, [0.005, 0.995])
    return np.asarray(((mixed - low) / max(high - low, 1e-12)).clip(0, 1), np.float32)


def frame_features(grey: Floats, inner: Mask, outer: Mask) -> Floats:
    """Return the network's input ``[8, H, W]`` from grey levels and strokes on a frame's grid."""
    low, high = np.quantile(grey, [0.01, 0.99])
    grey = ((grey - low) / max(high - low, 1e-6)).clip(0, 1).astype(np.float32)
    near = [
        np.exp(-ndimage.distance_transform_edt(~strokes) / 16) if strokes.any() else 0 * grey
        for strokes in (inner, outer)
    ]
    walks = [random_walk(grey, inner, outer, edge) for edge in (1000.0, 10000.0)]
    return np.stack([grey - 0.5, _likelihood(grey, inner, outer), *walks, inner, outer, *near]).astype(np.float32)


def _likelihood(grey: Floats, inner: Mask, outer: Mask) -> Floats:
    """Return the log ratio of the strokes' smoothed histograms at every pixel's grey level, within -1 and 1."""
    smooth = ndimage.gaussian_filter(grey, 1)
    counts = []
    for strokes in (inner, outer):
        histogram = np.histogram(smooth[strokes], 32, (0, 1))[0].astype(np.float64)
        histogram = ndimage.gaussian_filter1d(histogram / max(histogram.sum(), 1), 1.5)
        counts.append(histogram + 0.01)
    ratio = np.log(counts[0] / counts[1])
    return np.asarray(np.interp(smooth, (np.arange(32) + 0.5) / 32, ratio).clip(-3, 3) / 3, np.float32)


def random_walk(grey: Floats, inner: Mask, outer: Mask, edge: float) -> Floats:
    """Return the probability that a random walk from each pixel meets the object's strokes first (Grady, 2006)."""
    import warnings

    from skimage.segmentation import random_walker

    if not outer.any() or not inner.any():
        return np.full(grey.shape, float(inner.any()), np.float32)
    seeds = np.where(inner, 1, np.where(outer, 2, 0))
    if (seeds != 0).all():
        return inner.astype(np.float32)
    if grey.std() < 1e-6:  # no edge anywhere
        grey, edge = np.arange(grey.size, dtype=np.float32).reshape(grey.shape), 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about solvers that are not installed
        probabilities = random_walker(grey, seeds, beta=edge, mode="cg_j", tol=1e-3, return_full_prob=True)
    return np.nan_to_num(np.asarray(probabilities[0], np.float32), nan=0.5)


@lru_cache(maxsize=1)
def trained_teacher() -> StrokeTeacher:
    """Return the network with the weights that come with the package."""
    from safetensors.torch import load

    path = resources.files("shapewright.methods.path_connected").joinpath(WEIGHTS)
    network = StrokeTeacher()
    network.load_state_dict({name: value.float() for name, value in load(path.read_bytes()).items()})
    return network.eval()


@torch.no_grad()
def teach(image: NDArray[Any], inner: Mask, outer: Mask) -> Floats:
    """Return the probability ``[*spatial]`` of "object" from an image ``[C, *spatial]`` and strokes."""
    grey = grey_levels(image, inner, outer)
    if grey.ndim == 3:
        return _teach_volume(grey, inner, outer)
    frame = Frame.around(inner, grey.shape)
    marks = frame.mark(inner), frame.mark(outer)
    features = frame_features(frame.sample(grey), marks[0], marks[1] & ~marks[0])
    batch = torch.from_numpy(features)[None]
    mirrored = [torch.sigmoid(trained_teacher()(batch.flip(axes))).flip(axes) for axes in ([], [2], [3], [2, 3])]
    return frame.restore(torch.stack(mirrored).mean(0)[0, 0].numpy(), grey.shape, outside=0.02)


def _teach_volume(grey: Floats, inner: Mask, outer: Mask) -> Floats:
    """Return the mean of a random walk and of how much nearer the object's strokes are along the image."""
    walk = random_walk(grey, inner, outer, 3000.0)
    smooth = ndimage.gaussian_filter(grey, 1)
    ours, theirs = (geodesic_distance(smooth, strokes, image_weight=300.0) for strokes in (inner, outer))
    nearer = 1 / (1 + np.exp(-6 * (theirs - ours) / (theirs + ours + 1e-6)))
    return np.asarray((walk + nearer) / 2, np.float32)
