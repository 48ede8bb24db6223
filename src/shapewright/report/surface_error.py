"""Distances from the predicted surface to the true one, placed on the predicted surface, and their colours."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shapewright.report.volumes import CaseVolumes, bounding_box

# From too small (blue) over no error (dark grey) to too large (orange), on a dark ground: the larger the error, the
# brighter. Blue and orange are told apart by every kind of colour vision.
STOPS = np.array([[122, 196, 255], [38, 120, 208], [74, 78, 84], [206, 98, 8], [255, 193, 92]], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class SurfaceError:
    """Signed distances on the predicted surface.

    Attributes
    ----------
    positions
        ``[n, spatial_dims]``: the voxels of the predicted surface.
    distances
        ``[n]``: mm to the true surface, positive where the prediction reaches beyond the truth, negative where it
        falls short of it.
    shape
        The shape of the case.
    """

    positions: NDArray[np.intp]
    distances: NDArray[np.float64]
    shape: tuple[int, ...]

    @property
    def worst(self) -> tuple[int, ...] | None:
        """The voxel with the largest distance; ``None`` where there is no surface to measure."""
        if not self.distances.size:
            return None
        return tuple(int(index) for index in self.positions[np.argmax(np.abs(self.distances))])

    @property
    def largest(self) -> float:
        """The largest distance in mm; 0 where there is none."""
        return float(np.abs(self.distances).max(initial=0.0))

    def project(self, axis: int | None = None) -> NDArray[np.float64]:
        """Return an image of the distances: along ``axis``, the one of largest magnitude; NaN off the surface.

        Without an axis nothing is projected: the result has the case's shape.
        """
        kept = [other for other in range(len(self.shape)) if other != axis]
        image = np.full([self.shape[other] for other in kept], np.nan)
        order = np.argsort(np.abs(self.distances), kind="stable")  # of several on one pixel the last one stays
        image[tuple(self.positions[order][:, kept].T)] = self.distances[order]
        return image


def surface_error(case: CaseVolumes) -> SurfaceError:
    """Measure every label's predicted surface voxels against the true surface voxels of the same label.

    A label that only one of truth and prediction has gives no distance.
    """
    from shapewright.geometry import distance_transform

    positions, distances = [np.empty((0, case.spatial_dims), np.intp)], [np.empty(0)]
    for label in case.labels():
        truth, prediction = case.truth == label, case.prediction == label
        if not (truth.any() and prediction.any()):
            continue
        box = bounding_box(truth | prediction)
        truth, surface = truth[box], _surface(prediction[box])
        to_truth = distance_transform(~_surface(truth), spacing=case.spacing)[surface]
        positions.append(np.argwhere(surface) + [part.start for part in box])
        distances.append(np.where(truth[surface], -to_truth, to_truth))
    return SurfaceError(np.concatenate(positions), np.concatenate(distances), case.truth.shape)


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the voxels of a mask with a face neighbour outside of it; outside the image counts as outside."""
    padded = np.pad(mask, 1)
    inner = mask.copy()
    for axis, size in enumerate(mask.shape):
        for start in (0, 2):
            window = tuple(slice(start, start + size) if other == axis else slice(1, -1) for other in range(mask.ndim))
            inner &= padded[window]
    return mask & ~inner


def common_scale(errors: Iterable[SurfaceError]) -> float:
    """Return the round distance in mm at which the colours of several pictures end: at least 1, 99 % lie within."""
    magnitudes = np.concatenate([np.zeros(1), *(np.abs(error.distances) for error in errors)])
    return max(1.0, float(math.ceil(np.percentile(magnitudes, 99))))


def colour_of(distances: NDArray[np.float64], scale: float) -> NDArray[np.uint8]:
    """Return RGBA colours ``[..., 4]`` of distances in mm; transparent where NaN."""
    place = np.clip(np.nan_to_num(distances) / scale, -1, 1)
    steps = np.rint(place * 16) / 16  # few colours compress well and read as contour bands
    grid = np.linspace(-1, 1, len(STOPS))
    channels = [np.interp(steps, grid, STOPS[:, channel]) for channel in range(3)]
    alpha = np.where(np.isnan(distances), 0.0, 255.0)
    colours: NDArray[np.uint8] = np.rint(np.stack([*channels, alpha], axis=-1)).astype(np.uint8)
    return colours


def colour_stops() -> list[str]:
    """Return the colours from the most negative to the most positive distance, for a legend."""
    return ["#" + "".join(f"{int(part):02x}" for part in stop) for stop in STOPS]
