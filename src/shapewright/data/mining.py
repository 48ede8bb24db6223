"""Hard-example mining: patches are taken where the network is wrong.

An error map of an image says how wrong the present network is at every voxel; :class:`ErrorMapSampler` draws patch
centres in proportion to it, class by class; :class:`HardMiningPool` mixes the patches of several images so that the
patches of a batch have little in common.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from shapewright.data.preprocess import UNKNOWN
from shapewright.errors import InputError, check_number

T = TypeVar("T")


def error_map(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    floor: float = 0.01,
    smooth: int = 0,
    drop_above: float | None = None,
    temperature: float = 1.0,
) -> NDArray[np.float32]:
    """Return how wrong a prediction is at every voxel, as a density for patch centres (not normalised).

    Parameters
    ----------
    probabilities
        Class probabilities ``[K, *spatial]``.
    labels
        True classes ``[*spatial]``; 255 is unknown and gets 0.
    floor
        Added to the error, 1 - p(true class), so that every voxel stays reachable and a perfect network samples
        uniformly. 0.01; the paper does not say.
    smooth
        Width in voxels of a box that averages the map, such as the patch's; 0 leaves it.
    drop_above
        Voxels whose error is larger get the floor alone: with wrong labels, the largest errors of a network that has
        learned may be the labels' own. None keeps all.
    temperature
        The error is raised to ``1 / temperature``; larger values sample more evenly.

    Raises
    ------
    InputError
        Shapes that do not fit, labels beyond the classes, or an option outside its range.

    References
    ----------
    Burlutskiy et al., "Segmenting potentially cancerous areas in prostate biopsies using semi-automatically annotated
    data", MIDL 2019, appendix A. The error's form is not stated there.

    Examples
    --------
    >>> probabilities = np.array([[[0.9, 0.2]], [[0.1, 0.8]]])
    >>> print(error_map(probabilities, np.array([[0, 0]])))
    [[0.11 0.81]]
    """
    check_number("floor", floor, minimum=0)
    check_number("smooth", smooth, minimum=0)
    check_number("temperature", temperature, above=0)
    if probabilities.shape[1:] != labels.shape:
        raise InputError(f"labels must have shape {probabilities.shape[1:]}; got {labels.shape}")
    known = labels != UNKNOWN
    if known.any() and not 0 <= int(labels[known].min()) <= int(labels[known].max()) < len(probabilities):
        raise InputError(f"labels must be between 0 and {len(probabilities) - 1}, or 255; got {labels[known].max()}")
    indices = np.where(known, labels, 0)[None].astype(np.intp)
    error = 1 - np.take_along_axis(probabilities, indices, axis=0)[0].astype(np.float64).clip(0, 1)
    if drop_above is not None:
        check_number("drop_above", drop_above, above=0)
        error = np.where(error > drop_above, 0.0, error)
    error = np.where(known, error ** (1 / temperature), 0.0)
    if smooth > 1:
        from scipy import ndimage

        error = ndimage.uniform_filter(error, smooth, mode="nearest")
    return np.where(known, error + floor, 0.0).astype(np.float32)


@dataclass(frozen=True)
class ErrorMapSampler:
    """Draws patch centres in proportion to a density, each class its share.

    Parameters
    ----------
    density
        Not negative, ``[*spatial]``. Where it is 0 everywhere, all voxels are equally likely.
    labels
        Classes ``[*spatial]`` for ``shares``.
    shares
        Class to the share of centres that lie on it; classes that are not named, or not in the image, have no share.
        None draws from the density alone. The paper draws the two classes apart, in a ratio it does not state.

    Raises
    ------
    InputError
        A negative or infinite density, labels of another shape, or shares that are not positive.

    Examples
    --------
    >>> sampler = ErrorMapSampler(np.array([[0.0, 1.0], [3.0, 0.0]]))
    >>> centres, chances = sampler.draw(1000, np.random.default_rng(0))
    >>> centres.shape, bool(set(map(tuple, centres.tolist())) == {(0, 1), (1, 0)}), sorted(set(chances.tolist()))
    ((1000, 2), True, [0.25, 0.75])
    """

    density: NDArray[np.floating]
    labels: NDArray[np.integer] | None = None
    shares: Mapping[int, float] | None = None
    _groups: list[tuple[float, NDArray[np.intp], NDArray[np.float64]]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        density = np.asarray(self.density, dtype=np.float64)
        if density.size == 0 or not np.isfinite(density).all() or density.min() < 0:
            raise InputError("density must be finite, not negative and have at least one voxel")
        if not density.any():
            density = np.ones_like(density)
        if self.shares is not None and (self.labels is None or self.labels.shape != density.shape):
            got = None if self.labels is None else self.labels.shape
            raise InputError(f"labels must have the density's shape {density.shape} where shares are given; got {got}")
        groups = []
        shares = self.shares or {}
        for number, share in shares.items():
            check_number(f"the share of class {number}", share, above=0)
            assert self.labels is not None
            places = np.flatnonzero(self.labels == number)
            if len(places):
                groups.append((share, places, _cumulative(density.ravel()[places])))
        if not groups:
            places = np.arange(density.size)
            groups.append((1.0, places, _cumulative(density.ravel())))
        object.__setattr__(self, "_groups", groups)

    def draw(self, count: int, random: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return centres ``[count, dims]`` and the probability of each.

        Weighting a patch by the inverse of its probability undoes the bias of the draw, which calibrated
        probabilities need.
        """
        check_number("count", count, minimum=0)
        shares = np.array([share for share, _, _ in self._groups])
        chosen = random.choice(len(shares), size=count, p=shares / shares.sum())
        flat, chances = np.zeros(count, np.intp), np.zeros(count)
        for number, (share, places, cumulative) in enumerate(self._groups):
            mine = np.flatnonzero(chosen == number)
            drawn = np.searchsorted(cumulative, random.random(len(mine)), side="right").clip(max=len(places) - 1)
            flat[mine] = places[drawn]
            steps = np.diff(cumulative, prepend=0.0)
            chances[mine] = steps[drawn] * share / shares.sum()
        centres: NDArray[np.intp] = np.stack(np.unravel_index(flat, self.density.shape), axis=-1)
        return centres, chances


def _cumulative(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cumulative distribution of weights; uniform where all are 0."""
    total = weights.sum()
    result: NDArray[np.float64] = np.cumsum(weights / total if total > 0 else np.full(len(weights), 1 / len(weights)))
    return result


@dataclass
class HardMiningPool(Generic[T]):
    """A pool of patches from several images: batches are drawn from it, the oldest patches leave first.

    Parameters
    ----------
    minimum
        Patches that the pool must hold before anything is drawn, so that a batch is not all from one image.
    capacity
        Most patches; further ones push the oldest out.

    Raises
    ------
    InputError
        A capacity below the minimum.

    Examples
    --------
    >>> pool = HardMiningPool(minimum=3, capacity=4)
    >>> pool.add(["a", "b"])
    >>> pool.ready
    False
    >>> pool.add(["c", "d", "e"])
    >>> sorted(pool.patches)
    ['b', 'c', 'd', 'e']
    """

    minimum: int
    capacity: int
    patches: "deque[T]" = field(init=False)

    def __post_init__(self) -> None:
        check_number("minimum", self.minimum, minimum=1)
        if self.capacity < self.minimum:
            raise InputError(f"capacity must be at least the minimum of {self.minimum}; got {self.capacity}")
        self.patches = deque(maxlen=self.capacity)

    @property
    def ready(self) -> bool:
        """Whether batches may be drawn."""
        return len(self.patches) >= self.minimum

    def add(self, patches: Sequence[T]) -> None:
        """Put patches in, the oldest out where there is no room."""
        self.patches.extend(patches)

    def draw(self, count: int, random: np.random.Generator) -> list[T]:
        """Return ``count`` patches, each at most once where the pool holds as many.

        Raises
        ------
        InputError
            The pool is not ready.
        """
        if not self.ready:
            raise InputError(f"the pool holds {len(self.patches)} patches and waits for {self.minimum}; add more first")
        chosen = random.choice(len(self.patches), size=count, replace=count > len(self.patches))
        return [self.patches[int(index)] for index in chosen]


def image_chances(scores: Sequence[float | None]) -> NDArray[np.float64]:
    """Return how likely each image is chosen: in proportion to its mean error.

    Parameters
    ----------
    scores
        Mean error per image, not negative; None for an image not seen yet, which counts like the worst of the others.

    Examples
    --------
    >>> image_chances([0.1, None, 0.3]).round(3).tolist()
    [0.143, 0.429, 0.429]
    """
    known = [score for score in scores if score is not None]
    if not scores or (known and min(known) < 0):
        raise InputError(f"scores must be one number per image, not negative; got {list(scores)}")
    worst = max(known, default=1.0)
    values = np.array([worst if score is None else score for score in scores], dtype=np.float64)
    total = values.sum()
    result: NDArray[np.float64] = values / total if total > 0 else np.full(len(values), 1 / len(values))
    return result


@dataclass
class PatchGuide:
    """Which image and which of its voxels the next patches of a run are taken from, renewed once per epoch.

    Parameters
    ----------
    steps
        Steps of an epoch. Nothing is known during the first, whose patches are taken as always. Maps are renewed
        before the first patch of every later one, from the weights that the epoch begins with, so that a resumed run
        sees the patches of one that was never interrupted.
    look
        Returns the density of every case, by name, and its classes; called once per epoch.
    """

    steps: int
    look: "Callable[[], Mapping[str, tuple[NDArray[np.float32], NDArray[np.uint8]]]]"
    epoch: int = field(default=0, init=False)
    _samplers: dict[str, dict[int, ErrorMapSampler]] = field(default_factory=dict, init=False, repr=False)
    _chances: dict[str, float] = field(default_factory=dict, init=False, repr=False)

    def follow(self, step: int) -> None:
        """Renew the maps if ``step`` lies in another epoch than the one before."""
        epoch = step // self.steps
        if epoch == self.epoch:
            return
        self.epoch = epoch
        seen = self.look() if epoch > 0 else {}
        self._samplers = {
            name: {int(k): ErrorMapSampler(density, labels, {int(k): 1.0}) for k in np.unique(labels) if k != UNKNOWN}
            for name, (density, labels) in seen.items()
        }
        # A case without a known voxel teaches nothing.
        scores = [float(density.mean()) if self._samplers[name] else 0.0 for name, (density, _) in seen.items()]
        self._chances = dict(zip(seen, image_chances(scores), strict=True)) if seen else {}

    def case(self, names: Sequence[str], random: np.random.Generator) -> int | None:
        """Draw the position of a case in proportion to its mean error; None while nothing is known."""
        if not self._chances:
            return None
        chances = np.array([self._chances[name] for name in names])
        return int(random.choice(len(names), p=chances / chances.sum()))

    def centre(self, name: str, foreground: bool, random: np.random.Generator) -> NDArray[np.intp] | None:
        """Draw a centre in a case, on a class drawn evenly or on the background; None while nothing is known."""
        samplers = self._samplers.get(name)
        if not samplers:
            return None
        wanted = [k for k in samplers if (k > 0) == foreground] or list(samplers)
        sampler = samplers[wanted[int(random.integers(len(wanted)))]]
        centre: NDArray[np.intp] = sampler.draw(1, random)[0][0]
        return centre
