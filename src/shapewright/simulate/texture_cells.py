"""Cells whose class is in their brightness and outline, under a texture that may change between training and test."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from shapewright.errors import InputError, unknown
from shapewright.simulate.random_shapes import generators

Image = NDArray[np.float32]
Labels = NDArray[np.uint8]
Texture = Literal["grain", "stripes", "blotches", "checks", "speckle"]
TEXTURES: tuple[Texture, ...] = ("grain", "stripes", "blotches", "checks", "speckle")


@dataclass(frozen=True)
class TextureCellsPhantom:
    """Bright round cells and, more rarely, dark angular ones, under a texture that says nothing about the class.

    A network that sees few images, all with one texture, can lean on it; images with another texture show whether it
    did. Draw training images with some ``textures`` and test images with others.

    Parameters
    ----------
    shape
        Pixels per axis, each at least 48.
    textures
        Families that an image's texture is drawn from: ``grain`` (fine noise), ``stripes`` (of random direction and
        width), ``blotches`` (coarse noise), ``checks`` (a random small grid), ``speckle`` (noise that grows with
        brightness).
    target
        ``cells``: 1 round cell, 2 angular cell; ``membranes``: 1 the dark lines, 2 pixels wide, between touching cells.
        Superpixels wider than a line may remove it.
    cells
        Fewest and most cells per image.
    radius
        Smallest and largest radius of a cell in pixels.
    angular
        Share of angular cells.
    contrast
        Brightness of round cells above, and of angular cells below, the background at 0.5.
    amplitude
        Standard deviation of the texture.

    Raises
    ------
    InputError
        A shape, range or share that cannot be, or an unknown texture or target.

    Examples
    --------
    >>> images, labels = TextureCellsPhantom(textures=("stripes",)).generate(2, seed=0)
    >>> images.shape, images.dtype, labels.shape, sorted(set(labels.ravel().tolist()))
    ((2, 1, 96, 96), dtype('float32'), (2, 96, 96), [0, 1, 2])
    """

    shape: tuple[int, int] = (96, 96)
    textures: Sequence[Texture] = TEXTURES
    target: Literal["cells", "membranes"] = "cells"
    cells: tuple[int, int] = (6, 10)
    radius: tuple[float, float] = (8.0, 16.0)
    angular: float = 0.3
    contrast: float = 0.15
    amplitude: float = 0.07

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or min(self.shape) < 48:
            raise InputError(f"shape must have 2 axes of at least 48; got {self.shape}")
        for texture in self.textures:
            if texture not in TEXTURES:
                raise unknown("texture", texture, TEXTURES)
        if not self.textures:
            raise InputError("textures must name at least one family; got none")
        if self.target not in ("cells", "membranes"):
            raise unknown("target", self.target, ("cells", "membranes"))
        for name in ("cells", "radius"):
            low, high = getattr(self, name)
            if not 1 <= low <= high:
                raise InputError(f"{name} must be (smallest, largest), at least 1; got {(low, high)}")
        if not 0 <= self.angular <= 1:
            raise InputError(f"angular must be between 0 and 1; got {self.angular}")
        for name in ("contrast", "amplitude"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must not be negative; got {getattr(self, name)}")

    def generate(self, count: int, *, seed: int) -> tuple[Image, Labels]:
        """Return images ``[count, 1, *shape]`` and labels ``[count, *shape]``."""
        cases = [self._case(rng) for rng in generators(count, seed)]
        return np.stack([image[None] for image, _ in cases]), np.stack([labels for _, labels in cases])

    def _case(self, rng: np.random.Generator) -> tuple[Image, Labels]:
        """Return one image and its labels."""
        if self.target == "membranes":
            labels = self._membranes(rng)
            clean = 0.5 + self.contrast * (0.5 - labels.astype(np.float64))
        else:
            labels = self._cells(rng)
            clean = 0.5 + self.contrast * (1.0 * (labels == 1) - 1.0 * (labels == 2))
        texture = self.textures[int(rng.integers(len(self.textures)))]
        image = ndimage.gaussian_filter(clean, 0.7) + self.amplitude * make_texture(texture, self.shape, rng, clean)
        return image.astype(np.float32), labels

    def _cells(self, rng: np.random.Generator) -> Labels:
        """Return cells that do not touch: places are tried at random, and those that do are left out."""
        labels = np.zeros(self.shape, np.uint8)
        kinds = [2] + [1 + int(rng.random() < self.angular) for _ in range(int(rng.integers(*self.cells)))]
        for kind in kinds:
            for _ in range(30):
                radius = rng.uniform(*self.radius) * (1.0 if kind == 1 else 0.8)
                centre = rng.uniform(radius / 2, np.array(self.shape) - radius / 2)
                cell = _outline(self.shape, centre, radius, rng, angular=kind == 2)
                if not (ndimage.binary_dilation(cell, iterations=2) & (labels > 0)).any():
                    labels[cell] = kind
                    break
        return labels

    def _membranes(self, rng: np.random.Generator) -> Labels:
        """Return the borders, 2 pixels wide, of a tessellation."""
        count = int(np.prod(self.shape) / (np.pi * np.mean(self.radius) ** 2))
        seeds = rng.uniform(0, 1, (max(count, 2), 2)) * self.shape
        grid = np.moveaxis(np.indices(self.shape), 0, -1).astype(np.float64)
        grid += 1.5 * np.stack([ndimage.gaussian_filter(rng.standard_normal(self.shape), 4) * 8 for _ in range(2)], -1)
        nearest = np.linalg.norm(grid[:, :, None] - seeds, axis=-1).argmin(-1)
        border = np.zeros(self.shape, bool)
        border[:-1] |= nearest[:-1] != nearest[1:]
        border[1:] |= nearest[:-1] != nearest[1:]
        border[:, :-1] |= nearest[:, :-1] != nearest[:, 1:]
        border[:, 1:] |= nearest[:, :-1] != nearest[:, 1:]
        return border.astype(np.uint8)


def make_texture(
    name: str, shape: tuple[int, int], rng: np.random.Generator, brightness: NDArray[np.floating] | float = 1.0
) -> NDArray[np.float64]:
    """Return a texture ``[*shape]`` of mean 0 and standard deviation 1.

    Parameters
    ----------
    name
        One of ``TEXTURES``.
    shape
        Pixels per axis.
    rng
        Source of direction, width and noise.
    brightness
        The image below, for ``speckle``.

    Examples
    --------
    >>> texture = make_texture("stripes", (32, 32), np.random.default_rng(0))
    >>> bool(abs(texture.mean()) < 1e-9), round(float(texture.std()), 6)
    (True, 1.0)
    """
    rows, columns = np.indices(shape)
    noise = rng.standard_normal(shape)
    if name == "grain":
        values = ndimage.gaussian_filter(noise, rng.uniform(0.4, 0.8), mode="wrap")
    elif name == "blotches":
        values = ndimage.gaussian_filter(noise, rng.uniform(1.2, 2.0), mode="wrap")
    elif name == "stripes":
        angle, period, phase = rng.uniform(0, np.pi), rng.uniform(3, 7), rng.uniform(0, 2 * np.pi)
        values = np.sin(2 * np.pi * (rows * np.sin(angle) + columns * np.cos(angle)) / period + phase) + 0.3 * noise
    elif name == "checks":
        size, shift = int(rng.integers(2, 4)), rng.integers(0, 8, 2)
        values = 2.0 * (((rows + shift[0]) // size + (columns + shift[1]) // size) % 2) - 1 + 0.3 * noise
    elif name == "speckle":
        values = noise * np.sqrt(np.abs(brightness))
    else:
        raise unknown("texture", name, TEXTURES)
    result: NDArray[np.float64] = (values - values.mean()) / values.std()
    return result


def _outline(
    shape: tuple[int, int], centre: NDArray[np.float64], radius: float, rng: np.random.Generator, *, angular: bool
) -> NDArray[np.bool_]:
    """Return a filled outline: a wavy circle, or a polygon of 3 to 5 corners."""
    offsets = np.moveaxis(np.indices(shape), 0, -1) - centre
    angles = np.arctan2(offsets[..., 0], offsets[..., 1])
    distance = np.hypot(offsets[..., 0], offsets[..., 1])
    if not angular:
        waves = sum(rng.normal(0, 0.06) * np.cos(k * angles + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4))
        wavy: NDArray[np.bool_] = distance < radius * (1 + waves)
        return wavy
    corners = int(rng.integers(3, 6))
    # Equally spaced sides; a regular polygon is where every side's half-plane contains the point.
    normals = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(corners) / corners
    inside = [offsets[..., 0] * np.sin(a) + offsets[..., 1] * np.cos(a) < 0.75 * radius for a in normals]
    polygon: NDArray[np.bool_] = np.all(inside, axis=0)
    return polygon
