"""A photograph of the retina: vessels, optic disc and four kinds of lesion."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from shapewright.errors import InputError, check_number, unknown
from shapewright.simulate.random_shapes import generators, smooth_field

FUNDUS_CLASSES = ("vessels", "disc", "microaneurysms", "haemorrhages", "hard_exudates", "soft_exudates")
"""The channels of the phantom's masks, in order."""

STYLES = ("orange", "dark")

_Mask = NDArray[np.bool_]
_Map = NDArray[np.float64]


@dataclass(frozen=True)
class FundusPhantom:
    """A round field with a bright disc, vessels that branch from it, and lesions, in red, green and blue.

    Classes overlap: vessels cross the disc and lesions lie on vessels, so every class has a mask of its own. Vessels
    taper from 3 to 1 pixels; microaneurysms are dark red dots of 1 or 2 pixels, haemorrhages dark blots of 3 to 8, hard
    exudates clusters of bright yellow dots, soft exudates pale patches without an edge.

    Parameters
    ----------
    shape
        Pixels, each axis at least 48; sizes of vessels and lesions are in pixels and do not grow with it.
    style
        ``orange``: evenly lit, as from one camera; ``dark``: redder, another gamma, uneven light, more noise, as from
        another.
    lesions
        Probability of each kind of lesion in an image; 0 makes healthy eyes.
    noise
        Standard deviation of the noise.

    Raises
    ------
    InputError
        A shape that is not 2D or too small, an unknown style, a probability or noise that is none.

    Examples
    --------
    >>> images, masks = FundusPhantom().generate(2, seed=0)
    >>> images.shape, images.dtype, masks.shape, masks.dtype
    ((2, 3, 96, 96), dtype('float32'), (2, 6, 96, 96), dtype('bool'))
    """

    shape: tuple[int, int] = (96, 96)
    style: Literal["orange", "dark"] = "orange"
    lesions: float = 0.6
    noise: float = 0.02

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or min(self.shape) < 48:
            raise InputError(f"shape must have 2 axes of at least 48; got {self.shape}")
        if self.style not in STYLES:
            raise unknown("style", self.style, STYLES)
        check_number("lesions", self.lesions, minimum=0, maximum=1)
        check_number("noise", self.noise, minimum=0)

    def generate(self, count: int, *, seed: int) -> tuple[NDArray[np.float32], _Mask]:
        """Return images ``[count, 3, *shape]`` in [0, 1] and masks ``[count, 6, *shape]``, one per class."""
        cases = [self._case(rng) for rng in generators(count, seed)]
        return np.stack([image for image, _ in cases]), np.stack([masks for _, masks in cases])

    def field(self) -> _Mask:
        """Return the round field of view ``[*shape]``."""
        centre = (np.array(self.shape) - 1) / 2
        return _distance(self.shape, centre) <= 0.48 * min(self.shape)

    def _case(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], _Mask]:
        field = self.field()
        size, middle = min(self.shape), (np.array(self.shape) - 1) / 2
        side = rng.choice([-1.0, 1.0])
        disc_centre = middle + size * np.array([rng.uniform(-0.06, 0.06), side * rng.uniform(0.2, 0.28)])
        radii = size * rng.uniform(0.065, 0.09) * np.array([1.0, rng.uniform(0.85, 1.0)])
        disc_distance = _distance(self.shape, disc_centre, radii)
        disc = disc_distance <= 1
        width = self._vessels(rng, disc_centre, -side)
        vessels = (width > 0.35) & field
        free = field & ~disc & (disc_distance > 1.5)
        lesions = [self._lesions(rng, kind, free) for kind in range(4)]
        masks = np.stack([vessels, disc & field, *(lesion > 0.35 for lesion in lesions)])
        image = self._paint(rng, disc_distance, width, lesions)
        image = image * ndimage.gaussian_filter(field.astype(float), 0.7)
        image = self._photograph(rng, image)
        return np.clip(image * field, 0, 1).astype(np.float32), masks

    def _vessels(self, rng: np.random.Generator, start: _Map, direction: float) -> _Map:
        """Return coverage by vessels in [0, 1]: arcades above and below, and smaller trunks, each a branching walk."""
        ink = np.zeros(self.shape)
        facing = 0.0 if direction > 0 else np.pi
        for angle in (0.75, -0.75, 2.2, -2.2, *rng.uniform(-3.0, 3.0, 2)):
            main = abs(angle) < 1
            turn = -np.sign(angle) * (0.016 if main else 0.0) * 96 / min(self.shape)
            heading = facing + (angle if direction > 0 else -angle)
            self._walk(rng, ink, start, heading + rng.normal(0, 0.1), 1.5 if main else 1.0, turn * direction)
        return ink

    def _walk(
        self, rng: np.random.Generator, ink: _Map, place: _Map, heading: float, radius: float, turn: float
    ) -> None:
        """Draw a vessel and its branches until it is too thin or outside."""
        place = np.array(place)
        steps = int(rng.uniform(0.45, 0.75) * min(self.shape) * (radius / 1.5) ** 0.5)
        for step in range(steps):
            heading += turn + rng.normal(0, 0.07)
            place = place + np.array([np.sin(heading), np.cos(heading)])
            if not all(2 <= p < n - 2 for p, n in zip(place, self.shape, strict=True)):
                return
            now = radius * (1 - 0.5 * step / steps)
            _stamp(ink, place, max(now, 0.5))
            if now > 0.65 and step > 5 and rng.random() < 0.06:
                side = rng.choice([-1.0, 1.0])
                self._walk(rng, ink, place, heading + side * rng.uniform(0.5, 0.9), now * 0.75, 0.0)

    def _lesions(self, rng: np.random.Generator, kind: int, free: _Mask) -> _Map:
        """Return coverage in [0, 1] by one kind of lesion (0 microaneurysms ... 3 soft exudates)."""
        ink = np.zeros(self.shape)
        places = np.argwhere(ndimage.binary_erosion(free, iterations=3))
        if rng.random() >= self.lesions:
            return ink
        for _ in range(int(rng.integers(*((3, 9), (1, 4), (1, 4), (1, 3))[kind]))):
            place = places[rng.integers(len(places))] + rng.uniform(-0.5, 0.5, 2)
            if kind == 0:
                _stamp(ink, place, rng.uniform(0.6, 1.1))
            elif kind == 1:
                spread = rng.uniform(1.0, 2.6)
                for offset in rng.normal(0, 0.6 * spread, (4, 2)):
                    _stamp(ink, place + offset, spread * rng.uniform(0.5, 0.9))
            elif kind == 2:
                for offset in rng.normal(0, 2.5, (int(rng.integers(4, 10)), 2)):
                    _stamp(ink, place + offset, rng.uniform(0.6, 1.2))
            else:
                axes = rng.uniform(2.5, 4.5, 2)
                ink = np.maximum(ink, np.exp(-0.7 * _distance(self.shape, place, axes) ** 2))
        return ink * free

    def _paint(self, rng: np.random.Generator, disc: _Map, vessels: _Map, lesions: list[_Map]) -> _Map:
        """Return colours [3, *shape] of an evenly lit retina."""
        texture = 1 + 0.05 * smooth_field(rng, self.shape, 6.0) + 0.03 * smooth_field(rng, self.shape, 1.5)
        image = np.array([0.78, 0.42, 0.2])[:, None, None] * texture
        micro, blots, hard, soft = lesions
        layers = [
            (np.clip(4 * (1 - disc), 0, 1), (0.98, 0.82, 0.5), 0.85),
            (soft, (0.92, 0.75, 0.52), 0.55),
            (vessels, (0.5, 0.16, 0.1), 0.75),
            (blots, (0.42, 0.1, 0.07), 0.8),
            (micro, (0.45, 0.12, 0.08), 0.85),
            (hard, (1.0, 0.85, 0.4), 0.8),
        ]
        for coverage, colour, strength in layers:
            cover = np.clip(coverage, 0, 1) * strength
            image = image * (1 - cover) + np.array(colour)[:, None, None] * cover
        return image

    def _photograph(self, rng: np.random.Generator, image: _Map) -> _Map:
        """Return the image as a camera of this style sees it."""
        image = ndimage.gaussian_filter(image, (0, 0.5, 0.5))
        if self.style == "orange":
            gains, gamma, uneven, noise = rng.normal(1, 0.04, 3), rng.uniform(0.9, 1.1), 0.05, self.noise
        else:
            gains = np.array([1.0, 0.8, 0.7]) * rng.normal(1, 0.08, 3)
            gamma, uneven, noise = rng.uniform(1.2, 1.7), 0.25, 1.5 * self.noise
        slope = rng.normal(0, 1, 2)
        slope /= np.linalg.norm(slope)
        rows, columns = np.meshgrid(*(np.linspace(-1, 1, n) for n in self.shape), indexing="ij")
        light = 1 + uneven * (slope[0] * rows + slope[1] * columns)
        lit = np.clip(image * gains[:, None, None], 0, 1) ** gamma * light
        photograph: _Map = lit + noise * rng.standard_normal(image.shape)
        return photograph


def _distance(shape: tuple[int, ...], centre: _Map, radii: _Map | float = 1.0) -> _Map:
    """Return the distance of every pixel from a centre, in units of ``radii``."""
    offsets = np.moveaxis(np.indices(shape), 0, -1) - centre
    distance: _Map = np.linalg.norm(offsets / radii, axis=-1)
    return distance


def _stamp(ink: _Map, place: _Map, radius: float) -> None:
    """Draw a soft-edged dot into ``ink``, in place."""
    reach = int(np.ceil(radius)) + 1
    middle = np.rint(place).astype(int)
    window = tuple(slice(max(m - reach, 0), max(m + reach + 1, 0)) for m in middle)
    rows, columns = (np.arange(part.start, min(part.stop, n)) for part, n in zip(window, ink.shape, strict=True))
    distance = np.hypot(rows[:, None] - place[0], columns[None, :] - place[1])
    ink[window] = np.maximum(ink[window], np.clip(radius + 0.5 - distance, 0, 1))
