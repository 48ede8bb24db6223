"""Scribbles as a person draws them, from full masks."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from shapewright.errors import InputError, check_number

UNKNOWN, OBJECT, BACKGROUND = 0, 1, 2

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ScribbleSimulator:
    """Strokes along the middle of every object and around it at a distance, on some slices of a volume.

    The object's strokes run between far points of it and keep to its middle; the background's follow its outline at a
    wavering distance, with gaps.

    Parameters
    ----------
    strokes
        Strokes inside each object (per slice of a volume): the first between its far ends, the others branch off.
    thickness
        Width of a stroke in pixels.
    margin
        Distance of the background's strokes from the object, as a share of the square root of its area.
    coverage
        Share of the outline that the background's strokes follow.
    slices
        In a volume: how many slices of each object, evenly spaced, get strokes. The slices before its first and after
        its last get strokes on the background.

    Raises
    ------
    InputError
        A number outside its range.

    Examples
    --------
    >>> labels = np.zeros((64, 64), np.uint8)
    >>> labels[16:48, 20:40] = 1
    >>> scribbles = ScribbleSimulator().draw(labels, seed=0)
    >>> np.unique(scribbles), bool(labels[scribbles == OBJECT].all()), bool(labels[scribbles == BACKGROUND].any())
    (array([0, 1, 2], dtype=uint8), True, False)
    """

    strokes: int = 2
    thickness: int = 3
    margin: float = 0.15
    coverage: float = 0.7
    slices: int = 5

    def __post_init__(self) -> None:
        for name in ("strokes", "thickness", "slices"):
            check_number(name, getattr(self, name), minimum=1)
        check_number("margin", self.margin, above=0)
        check_number("coverage", self.coverage, above=0, maximum=1)

    def draw(self, labels: NDArray[Any], *, seed: int) -> NDArray[np.uint8]:
        """Return scribbles for labels: 0 unknown, 1 the first object, 2 background, 3 and on further objects.

        Parameters
        ----------
        labels
            Integers ``[*spatial]``, 2D or 3D; 0 is background, every other value an object.
        seed
            Seed of every random choice.

        Raises
        ------
        InputError
            Not 2 or 3 axes, or no object.
        """
        if labels.ndim not in (2, 3):
            raise InputError(f"labels must have 2 or 3 axes; got shape {labels.shape}")
        values = np.unique(labels[labels != 0])
        if not len(values):
            raise InputError("labels must show at least one object; got background only")
        rng = np.random.default_rng(seed)
        scribbles = np.zeros(labels.shape, np.uint8)
        codes = [OBJECT, *range(BACKGROUND + 1, BACKGROUND + len(values))]
        for code, value in zip(codes, values, strict=True):
            for index in self._slices(labels == value):
                inside = labels[index] == value
                self._paint(scribbles[index], inside, labels[index] != 0, code, rng)
        return scribbles

    def _slices(self, mask: Mask) -> list[Any]:
        """Return the indices of the slices to draw on; a flat image is one."""
        if mask.ndim == 2:
            return [...]
        filled = np.flatnonzero(mask.any((1, 2)))
        inner = np.unique(np.linspace(0, len(filled) - 1, min(self.slices, len(filled)) + 2)[1:-1].round().astype(int))
        around = [z for z in (filled[0] - 1, filled[-1] + 1) if 0 <= z < len(mask)]
        return [int(z) for z in (*filled[inner], *around)]

    def _paint(self, scribbles: NDArray[np.uint8], inside: Mask, objects: Mask, code: int, rng: Any) -> None:
        """Draw into one slice, in place; strokes of the object win over those of the background."""
        if not inside.any():  # a slice beside the object: one stroke anywhere on the background
            field = _waves(rng, inside.shape)
            scribbles[self._thick(np.abs(field) < np.quantile(np.abs(field), 0.01)) & ~objects & (scribbles == 0)] = (
                BACKGROUND
            )
            return
        distance = ndimage.distance_transform_edt(~inside)
        level = self.margin * np.sqrt(inside.sum()) * (1 + 0.5 * _waves(rng, inside.shape)).clip(0.3, 2)
        outline = (distance > level) ^ ndimage.binary_erosion(distance > level, border_value=1)
        gaps = _waves(rng, inside.shape)
        outline &= gaps <= np.quantile(gaps[outline], self.coverage) if outline.any() else False
        scribbles[self._thick(outline) & ~objects & (scribbles == 0)] = BACKGROUND
        scribbles[self._thick(self._middle(inside, rng)) & inside] = code

    def _middle(self, inside: Mask, rng: Any) -> Mask:
        """Return lines along the middle of a region, between points that lie far apart."""
        from skimage.graph import MCP_Geometric

        depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
        cost = np.where(inside, 1 / depth.clip(1e-3) ** 2, -1.0)
        deep = np.argwhere(depth >= min(0.4 * depth.max(), depth.max() - 1e-6))
        lines = np.zeros(inside.shape, np.bool_)
        start = tuple(deep[rng.integers(len(deep))])
        for stroke in range(self.strokes + 1):
            lengths, _ = MCP_Geometric(np.where(inside, 1.0, -1.0)).find_costs([start])
            far = deep[np.isfinite(lengths[tuple(deep.T)])]
            reach = lengths[tuple(far.T)]
            choices = far[reach >= np.quantile(reach, 0.9 if stroke < 2 else 0.3)]
            end = tuple(choices[rng.integers(len(choices))])
            if stroke:  # the first pass only finds one end
                paths = MCP_Geometric(cost)
                paths.find_costs([start], [end])
                lines[tuple(np.transpose(paths.traceback(end)))] = True
            start = end if stroke < 1 else start
        return lines

    def _thick(self, lines: Mask) -> Mask:
        thick: Mask = ndimage.distance_transform_edt(~lines) < self.thickness / 2 if lines.any() else lines
        return thick


def _waves(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return a smooth random field of mean 0 and deviation 1 that changes over a tenth of the image."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape), max(shape) / 10, mode="wrap")
    return np.asarray((field - field.mean()) / max(float(field.std()), 1e-12))
