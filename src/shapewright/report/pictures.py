"""Pictures of a case: contours on the image and errors on the surface.

A picture is an inline SVG in millimetres: the image as a small compressed bitmap, so that the spacing gives the right
aspect, and over it the contours as lines, which stay crisp at any size and can be switched on and off.
"""

import base64
import io
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from shapewright.report.surface_error import SurfaceError, colour_of
from shapewright.report.volumes import AXES, CaseVolumes, Plane, planes_at

LARGE, SMALL = 420, 180


@dataclass(frozen=True)
class Panel:
    """One picture with its caption.

    Attributes
    ----------
    svg
        The picture.
    caption
        What and where.
    aspect
        Width over height, for the layout.
    """

    svg: Markup
    caption: str
    aspect: float


def overlay_panels(case: CaseVolumes, position: tuple[int, ...], *, title: str, size: int = LARGE) -> list[Panel]:
    """Draw the contours of truth and prediction on the planes through a voxel.

    Parameters
    ----------
    case
        The voxels.
    position
        Index per axis, within ``case``.
    title
        The picture's description for screen readers, completed by where the plane lies.
    size
        The bitmap's longest side in pixels; larger planes are scaled down.
    """
    return [_overlay(plane, f"{title}, {plane.caption}", size) for plane in planes_at(case, position)]


def error_panels(case: CaseVolumes, error: SurfaceError, scale: float, *, title: str) -> list[Panel]:
    """Draw the distances of the predicted surface to the true one: along the contour in 2D, projected in 3D.

    Parameters
    ----------
    case, error
        The voxels and the distances on the predicted surface.
    scale
        The distance in mm at which the colours end.
    title
        The picture's description for screen readers.
    """
    if case.spatial_dims == 2:
        return [_coloured_contour(case, error, scale, title)]
    return [_projection(case, error, scale, axis, title) for axis in range(3)]


def _overlay(plane: Plane, title: str, size: int) -> Panel:
    contours = [
        _contours(plane.truth, "truth", size),
        _contours(plane.prediction, "prediction", size),
    ]
    return _panel(plane.image, plane.spacing, Markup("").join(contours), title, plane.caption, size)


def _projection(case: CaseVolumes, error: SurfaceError, scale: float, axis: int, title: str) -> Panel:
    values = error.project(axis)
    spacing = [step for index, step in enumerate(case.spacing) if index != axis]
    silhouette = _contours((case.truth != 0).any(axis=axis), "silhouette", LARGE)
    caption = f"projected along {AXES[axis]}"
    pixels = colour_of(values, scale)
    return _panel(pixels, (spacing[0], spacing[1]), silhouette, f"{title}, {caption}", caption, LARGE)


def _coloured_contour(case: CaseVolumes, error: SurfaceError, scale: float, title: str) -> Panel:
    plane = planes_at(case, (0, 0))[0]
    dimmed = (plane.image * 0.45).astype(np.uint8)
    marks = [_contours(plane.truth, "silhouette", LARGE)]
    values = error.project()
    dots: dict[str, list[str]] = {}
    for row, column in np.argwhere(~np.isnan(values)):
        red, green, blue = (int(part) for part in colour_of(values[row, column], scale)[:3])
        dots.setdefault(f"#{red:02x}{green:02x}{blue:02x}", []).append(f"M{column} {row}h0")
    for colour, places in dots.items():
        marks.append(
            Markup('<path class="error-dots" transform="translate(.5 .5)" stroke="{}" d="{}"/>').format(
                colour, "".join(places)
            )
        )
    return _panel(dimmed, plane.spacing, Markup("").join(marks), title, "along the predicted contour", LARGE)


def _panel(
    pixels: NDArray[np.uint8], spacing: tuple[float, float], marks: Markup, title: str, caption: str, size: int
) -> Panel:
    rows, columns = pixels.shape[:2]
    height, width = rows * spacing[0], columns * spacing[1]
    svg = Markup(
        '<svg class="picture{crisp}" viewBox="0 0 {w:.6g} {h:.6g}" role="img" aria-label="{title}">'
        '<image href="{href}" width="{w:.6g}" height="{h:.6g}" preserveAspectRatio="none"/>'
        '<g transform="scale({sx:.6g} {sy:.6g})">{marks}</g></svg>'
    ).format(
        crisp=" crisp" if pixels.shape[2:] == (4,) else "",
        w=width,
        h=height,
        title=title,
        href=_bitmap(pixels, size),
        sx=spacing[1],
        sy=spacing[0],
        marks=marks,
    )
    return Panel(svg, caption, width / height)


def _bitmap(pixels: NDArray[np.uint8], size: int) -> str:
    """Return pixels (grey, RGB or RGBA) as a data URI: lossless where small or transparent, WebP at quality 80 else."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(pixels))
    longest = max(picture.size)
    transparent = picture.mode == "RGBA"
    if longest > size:
        shape = (max(1, picture.width * size // longest), max(1, picture.height * size // longest))
        picture = picture.resize(shape, Image.Resampling.NEAREST if transparent else Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, "WEBP", lossless=transparent, quality=80, method=4)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _contours(labels: NDArray[Any], kind: str, size: int) -> Markup:
    """Return the outlines of every label as one path, drawn twice: a dark halo, and the line on it."""
    measure: Any = import_module("skimage.measure")  # without types
    step = max(1, max(labels.shape) // size)
    pieces = []
    for value in np.unique(labels[labels != 0]):
        mask = np.pad(labels == value, 1).astype(np.float32)
        for outline in measure.find_contours(mask, 0.5):
            corners = _corners(outline[:-1] - 0.5)[::step]
            pieces.append("M" + "L".join(f"{x:.4g} {y:.4g}" for y, x in corners) + "Z")
    path = "".join(pieces)
    return Markup('<g class="{}"><path class="halo" d="{}"/><path class="line" d="{}"/></g>').format(kind, path, path)


def _corners(outline: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the vertices of a closed polygon ``[n, 2]`` at which its direction changes."""
    before = outline - np.roll(outline, 1, axis=0)
    after = np.roll(outline, -1, axis=0) - outline
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    corners: NDArray[np.float64] = outline[turns]
    return corners
