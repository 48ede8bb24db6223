"""Discrete search over the programs of an architecture: thousands of exact evaluations per second on packed bits.

Training leaves a network near set operators, rarely on them. The search starts from such a network, or from simple
ones, and changes one pixel of an element, one branch, one operator at a time as long as the Dice of the resulting
program on pairs of images rises. It sees inputs and targets, nothing else, and its result is written back into the
network, whose neurons are then activated.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from shapewright.arrays import AnyArray, as_binary
from shapewright.boolean.packed import pack
from shapewright.errors import InputError
from shapewright.layers.activation import closest_operator
from shapewright.layers.bise import LUI, BiSE, BiSEL
from shapewright.networks import _search_kernels as kernels
from shapewright.networks._search_moves import Element, directions_of, in_a_row, kicked, leaps, matches, mirrored, moved
from shapewright.networks.bimonn import BiMoNN

Kernel = tuple[int, ...]


@dataclass(frozen=True)
class Architecture:
    """What of a BiMoNN the search needs to know.

    Parameters
    ----------
    channels
        Channels of the input and of every layer's output.
    kernels
        The support of every layer's elements, odd sizes.
    """

    channels: tuple[int, ...]
    kernels: tuple[Kernel, ...]

    @classmethod
    def of(cls, model: BiMoNN) -> Architecture:
        """Return a network's architecture.

        Raises
        ------
        InputError
            A network that sub-samples.
        """
        layers = [layer.bise for layer in model.layers if isinstance(layer, BiSEL)]
        if any(bise.stride > 1 for bise in layers):
            raise InputError("model must not sub-sample: the search compares images of one size")
        return cls(model.channels, tuple(bise.kernel for bise in layers))

    def build(self) -> BiMoNN:
        """Return a network of this architecture."""
        return BiMoNN(self.channels, self.kernels, len(self.kernels[0]))

    @property
    def reach(self) -> Kernel:
        """How far a pixel's result depends on others, along each axis: half the kernels together."""
        return tuple(sum(size // 2 for size in axis) for axis in zip(*self.kernels, strict=True))


class Pairs:
    """Binary inputs and targets, packed for the search.

    Parameters
    ----------
    inputs, targets
        bool ``[B, C, *spatial]`` and ``[B, K, *spatial]``.
    architecture
        Of the networks that will be compared on them.
    border
        Pixels along the image's border that do not count; by default the reach.
    """

    def __init__(
        self,
        inputs: AnyArray,
        targets: AnyArray,
        architecture: Architecture,
        border: Sequence[int] | None = None,
    ) -> None:
        images, wanted = as_binary(inputs, "inputs"), as_binary(targets, "targets")
        dims = len(architecture.kernels[0])
        shape = images.shape[2:]
        expected = (len(images), architecture.channels[-1], *shape)
        if images.ndim != dims + 2 or images.shape[1] != architecture.channels[0] or wanted.shape != expected:
            raise InputError(
                f"inputs and targets must be [B, {architecture.channels[0]}, *spatial] and "
                f"[B, {architecture.channels[-1]}, *spatial] with {dims} spatial axes; got {images.shape} and "
                f"{wanted.shape}"
            )
        border = architecture.reach if border is None else tuple(border)
        inner = np.zeros(shape, np.bool_)
        inner[tuple(slice(b, max(n - b, 0)) for b, n in zip(border, shape, strict=True))] = True
        reach = [max(kernel[axis] // 2 for kernel in architecture.kernels) for axis in range(dims)]
        self.dims, self.count = dims, len(images)
        self.gaps = [*reach[:-1], -(-(shape[-1] + reach[-1]) // 64) * 64 - shape[-1]]
        sizes = [n + gap for n, gap in zip(shape, self.gaps, strict=True)]
        self.strides = [int(np.prod(sizes[axis + 1 :])) for axis in range(dims)]  # in bits
        farthest = sum(r * stride for r, stride in zip(reach, self.strides, strict=True))
        self.margin = farthest // 64 + 2
        self.inputs = [self._flat(images[:, c]) for c in range(images.shape[1])]
        self.targets = np.stack([self._flat(wanted[:, k]) for k in range(wanted.shape[1])])
        everywhere = np.ones((self.count, *shape), np.bool_)
        self.interior, self.valid = self._flat(everywhere), self._flat(everywhere & inner)

    def _flat(self, images: NDArray[np.bool_]) -> NDArray[np.uint64]:
        padded = np.pad(images, [(0, 0), *((0, gap) for gap in self.gaps)])
        return np.pad(pack(padded, spatial_dims=self.dims).words.reshape(-1), self.margin)


class SetNetwork:
    """The discrete twin of a BiMoNN: its neurons as sets, erosion or dilation, complemented or not.

    Parameters
    ----------
    architecture
        Channels and kernels.

    Notes
    -----
    It starts as the identity: elements of one pixel, each channel passed on to the one of its number where a layer has
    as many outputs as inputs, all channels united where not.
    """

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture
        self.units: list[tuple[int, str, int]] = []  # (layer, "bise" or "lui", unit), in the order of computation
        sizes, chosen = [], []
        for layer, (inputs, outputs) in enumerate(itertools.pairwise(architecture.channels)):
            kernel = architecture.kernels[layer]
            origin = np.zeros(kernel, np.bool_)
            origin[tuple(size // 2 for size in kernel)] = True
            for unit in range(inputs * outputs):
                self.units.append((layer, "bise", unit))
                chosen.append(origin.reshape(-1))
            for unit in range(outputs):
                self.units.append((layer, "lui", unit))
                straight = inputs == outputs and layer < len(architecture.kernels) - 1
                chosen.append(np.arange(inputs) == unit if straight else np.ones(inputs, np.bool_))
        sizes = [len(part) for part in chosen]
        self.ends = np.cumsum([0, *sizes])
        count = len(self.units)
        self.state = kernels.State(np.concatenate(chosen), np.zeros(count, np.bool_), np.zeros(count, np.bool_))

    # -- from and to the network ----------------------------------------------------------------------------------

    @classmethod
    def nearest(cls, model: BiMoNN) -> SetNetwork:
        """Return the sets that a network's neurons are, or are nearest to on binary inputs."""
        network = cls(Architecture.of(model))
        for i, (layer, kind, unit) in enumerate(network.units):
            module = getattr(model.layers[layer], kind)
            assert isinstance(module, BiSE | LUI)
            weights = module.positive_weight()[unit].detach().double().cpu().numpy()
            found = closest_operator(weights, float(module.positive_bias()[unit].detach()))
            network.chosen(i)[:] = found.element.reshape(-1)
            network.state.meet[i] = found.operator == "erosion"
            network.state.negate[i] = bool(module.scale[unit] < 0)
        return network

    def write(self, model: BiMoNN, *, sharpness: float = 4.0) -> None:
        """Set a network's weights so that every neuron is the operator here, activated."""
        for i, (layer, kind, unit) in enumerate(self.units):
            module = getattr(model.layers[layer], kind)
            assert isinstance(module, BiSE | LUI)
            element = torch.from_numpy(self.chosen(i).copy()).reshape(module.weight.shape[1:])
            module._set(unit, element, bool(self.state.meet[i]), bool(self.state.negate[i]), sharpness)

    def chosen(self, neuron: int) -> NDArray[np.bool_]:
        """Return the set of a neuron, flat; changes to it are changes of the network."""
        return self.state.chosen[self.ends[neuron] : self.ends[neuron + 1]]

    def copy(self) -> SetNetwork:
        """Return a network of its own with the same sets."""
        other = SetNetwork(self.architecture)
        for mine, theirs in zip(self.state, other.state, strict=True):
            theirs[:] = mine
        return other

    # -- search ---------------------------------------------------------------------------------------------------

    def cost(self, pairs: Pairs) -> float:
        """Return 1 - Dice over all pairs."""
        wiring, images = self._prepared(pairs)
        return float(kernels.evaluate(wiring, self.state, images, pairs.margin))

    def climb(self, pairs: Pairs, *, seed: int = 0, free: bool = True, passes: int = 30) -> float:
        """Change one thing or two pixels at a time while the cost falls; return the cost.

        Parameters
        ----------
        pairs
            What to explain.
        seed
            Seed of the order in which changes are tried.
        free
            Whether operators, complements and branches may change, too, or the elements only.
        passes
            The most rounds.
        """
        wiring, images = self._prepared(pairs)
        moves, random = self._mirrored_moves(), np.random.default_rng(seed)
        cost = float(kernels.evaluate(wiring, self.state, images, pairs.margin))
        for _ in range(passes):
            before = cost
            if len(moves):
                cost = kernels.climb_pairs(wiring, self.state, images, pairs.margin, random.permutation(moves))
            order = int(random.integers(2**31))
            cost = kernels.climb(wiring, self.state, images, pairs.margin, passes, order, free, False)
            if cost >= before or cost <= 0:
                break
        return float(cost)

    def kick(self, random: np.random.Generator) -> None:
        """Change one element a lot, and mostly those after it alike, to leave a local optimum."""
        i = int(random.choice(self._bises))
        series = self._series(i) if random.random() < 0.8 else [i]
        self._put(series, kicked(self._elements(series), random))

    def sketch(self, random: np.random.Generator) -> SetNetwork:
        """Return a network of openings, or of closings, by three pixels in a row, drawn at random.

        Each branch has a direction of its own, or passes the image on; the last of its neurons may be complemented. The
        network has two layers or more.
        """
        other, last = SetNetwork(self.architecture), len(self.architecture.kernels) - 1
        opens, join, complements = random.random() < 0.5, random.random() < 0.5, random.choice([0.0, 0.3])
        directions = random.permutation(directions_of(len(self.architecture.kernels[0])))
        for branch, i in enumerate(i for i in self._bises if self.units[i][0] == 0):
            for _ in range(random.integers(last)):
                i = int(random.choice(self._readers(i)))
            series = [i, *(j for j in self._series(i)[1:] if j in self._readers(i))]
            if len(series) > 1 and random.random() < 0.8:
                element = in_a_row(self.architecture.kernels[self.units[i][0]], directions[branch % len(directions)])
                other._put(series, [element] * len(series))
                other.state.meet[series] = [opens, *[not opens] * (len(series) - 1)]
        for i, (layer, kind, _) in enumerate(self.units):
            if kind == "lui":
                other.state.meet[i] = join
            elif layer == last:
                other.state.negate[i] = random.random() < complements
        return other

    def leap(self, pairs: Pairs) -> float:
        """Make the best of all changes of whole elements while one lowers the cost; return the cost."""
        wiring, images = self._prepared(pairs)
        cost = float(kernels.evaluate(wiring, self.state, images, pairs.margin))
        while cost > 0:
            best: tuple[float, list[int], list[Element]] = cost, [], []
            for series in map(self._series, self._bises):
                before = self._elements(series)
                for after in leaps(before):
                    self._put(series, after)
                    reached = float(kernels.evaluate(wiring, self.state, images, pairs.margin))
                    if reached < best[0]:
                        best = reached, series, after
                    self._put(series, before)
            if not best[1]:
                break
            cost = best[0]
            self._put(best[1], best[2])
        return cost

    def complete(self, pairs: Pairs, *, seed: int = 0) -> float:
        """Add the pixels that change nothing on these pairs: the largest elements that explain them."""
        wiring, images = self._prepared(pairs)
        return float(kernels.climb(wiring, self.state, images, pairs.margin, 1, seed, False, True))

    def match(self, pairs: Pairs) -> None:
        """Make elements of neurons in series the same where that costs nothing: an opening has one element."""
        cost = self.cost(pairs)
        for series in map(self._series, self._bises):
            for after in matches(self._elements(series)):
                cost = self._put_if_no_worse(series, after, pairs, cost)

    def centre(self, pairs: Pairs) -> None:
        """Move elements of neurons in series to the middle where that changes nothing.

        An opening is the same for an element and the same element moved; of all of them the centred one is kept.
        """
        cost = self.cost(pairs)
        for i in self._bises:
            layer, _, unit = self.units[i]
            series = self._series(i)
            if len(series) - 1 != len(self._successors(layer, unit)) or len(series) < 2 or not self._alone(layer, unit):
                continue
            elements = self._elements(series)
            places = np.argwhere(elements[0]) - np.array(elements[0].shape) // 2
            step = -((places.min(axis=0) + places.max(axis=0)) // 2)
            after = [moved(element, step) for element in elements]
            if step.any() and all(new.sum() == old.sum() for new, old in zip(after, elements, strict=True)):
                cost = self._put_if_no_worse(series, after, pairs, cost)

    @property
    def _bises(self) -> list[int]:
        return [i for i, (_, kind, _) in enumerate(self.units) if kind == "bise"]

    def _series(self, neuron: int) -> list[int]:
        """Return a BiSE and those after it that have the same kernel."""
        layer, _, unit = self.units[neuron]
        kernels = self.architecture.kernels
        same = layer + 1 < len(kernels) and kernels[layer + 1] == kernels[layer]
        return [neuron, *(self._successors(layer, unit) if same else [])]

    def _elements(self, series: Sequence[int]) -> list[Element]:
        """Return the elements of neurons in series, those after the first mirrored: they are the same in an opening."""
        kernel = self.architecture.kernels[self.units[series[0]][0]]
        elements = [self.chosen(neuron).reshape(kernel).copy() for neuron in series]
        return [elements[0], *map(mirrored, elements[1:])]

    def _put(self, series: Sequence[int], elements: Sequence[Element]) -> None:
        """Set the elements of neurons in series, as :meth:`_elements` returns them; empty ones change nothing."""
        for place, (neuron, element) in enumerate(zip(series, elements, strict=True)):
            if element.any():
                self.chosen(neuron)[:] = (mirrored(element) if place else element).reshape(-1)

    def _put_if_no_worse(self, series: Sequence[int], after: Sequence[Element], pairs: Pairs, cost: float) -> float:
        """Set elements if the cost does not rise; return the cost."""
        before = self._elements(series)
        self._put(series, after)
        reached = self.cost(pairs)
        if reached > cost:
            self._put(series, before)
            return cost
        return reached

    def _alone(self, layer: int, unit: int) -> bool:
        """Say whether a BiSE is the only branch of its LUI."""
        outputs = self.architecture.channels[layer + 1]
        branches = self.chosen(self.units.index((layer, "lui", unit % outputs)))
        return bool(branches[unit // outputs] and branches.sum() == 1)

    def starts(self, count: int, seed: int = 0) -> Iterator[SetNetwork]:
        """Yield up to ``count`` simple networks: the identity with every choice of operators and joins.

        Complements are tried at the last layer only: before it, one is the same as the dual operators after it. Where
        there are more choices than ``count``, some are drawn at random.
        """
        last = len(self.architecture.kernels) - 1
        bises = self._bises
        joins = [i for i, (_, kind, _) in enumerate(self.units) if kind == "lui" and self.chosen(i).sum() > 1]
        ends = [i for i in bises if self.units[i][0] == last]
        flags = [(self.state.meet, i) for i in (*joins, *bises)] + [(self.state.negate, i) for i in ends]
        if 2 ** len(flags) <= count:
            choices: list[tuple[bool, ...]] = list(itertools.product((False, True), repeat=len(flags)))
        else:
            random = np.random.default_rng(seed)
            layers = [self.units[i][0] % 2 for i in bises]
            rows = [[False] * len(bises), [n == 0 for n in layers], [n == 1 for n in layers], [True] * len(bises)]
            choices = [
                (*[join] * len(joins), *row, *[end] * len(ends))
                for end in (False, True)
                for row in rows
                for join in (False, True)
            ]
            while len(choices) < count:
                choices.append(tuple(bool(value) for value in random.integers(0, 2, len(flags))))
            choices = list(dict.fromkeys(choices))
        for choice in choices[:count]:
            other = self.copy()
            for (_, i), value, kind in zip(flags, choice, [a is self.state.meet for a, _ in flags], strict=True):
                (other.state.meet if kind else other.state.negate)[i] = value
            yield other

    def _mirrored_moves(self) -> NDArray[np.int64]:
        """Return pairs of mirrored pixels of neurons in series: what an opening or closing by one pixel more needs."""
        moves = []
        for i, (layer, kind, unit) in enumerate(self.units):
            if kind != "bise" or layer + 1 >= len(self.architecture.kernels):
                continue
            if self.architecture.kernels[layer] != self.architecture.kernels[layer + 1]:
                continue
            size = int(np.prod(self.architecture.kernels[layer]))
            for j in self._successors(layer, unit):
                moves += [(i, pixel, j, size - 1 - pixel) for pixel in range(size)]
                moves += [(i, pixel, j, pixel) for pixel in range(size) if size - 1 - pixel != pixel]
        return np.array(moves, np.int64).reshape(-1, 4)

    def _successors(self, layer: int, unit: int) -> list[int]:
        """Return the BiSE neurons that read the output channel of a BiSE."""
        if layer + 1 >= len(self.architecture.kernels):
            return []
        outputs, after = self.architecture.channels[layer + 1], self.architecture.channels[layer + 2]
        return [self.units.index((layer + 1, "bise", (unit % outputs) * after + target)) for target in range(after)]

    def _readers(self, neuron: int) -> list[int]:
        """Return those of a BiSE's successors that pass something on: their LUI takes them."""
        layer, _, unit = self.units[neuron]
        outputs = self.architecture.channels[min(layer + 2, len(self.architecture.channels) - 1)]
        places = {j: divmod(self.units[j][2], outputs) for j in self._successors(layer, unit)}
        taken = {j: self.chosen(self.units.index((layer + 1, "lui", target))) for j, (_, target) in places.items()}
        return [j for j, (source, _) in places.items() if taken[j][source]]

    def _prepared(self, pairs: Pairs) -> tuple[kernels.Wiring, kernels.Images]:
        """Return the wiring for the layout of these images, and empty planes with the inputs."""
        channels = self.architecture.channels
        kinds: list[int] = []
        planes: list[int] = []
        sources: list[int] = []
        first: list[int] = []
        last: list[int] = []
        offsets: list[NDArray[np.int64]] = []
        plane, before = channels[0], list(range(channels[0]))
        branches: list[int] = []
        for i, (layer, kind, unit) in enumerate(self.units):
            outputs = channels[layer + 1]
            if kind == "bise" and unit == 0:
                branches = []
            first.append(len(sources))
            if kind == "bise":
                sources.append(before[unit // outputs])
                branches.append(plane)
                offsets.append(self._distances(self.architecture.kernels[layer], pairs))
            else:
                sources += branches[unit::outputs]
                offsets.append(np.zeros(self.ends[i + 1] - self.ends[i], np.int64))
            last.append(len(sources))
            kinds.append(kernels.BISE if kind == "bise" else kernels.LUI)
            planes.append(plane)
            plane += 1
            if kind == "lui" and unit == outputs - 1:
                before = planes[-outputs:]
        wiring = kernels.Wiring(
            kind=np.array(kinds, np.int64),
            plane=np.array(planes, np.int64),
            sources=np.array(sources, np.int64),
            first=np.array(first, np.int64),
            last=np.array(last, np.int64),
            start=self.ends[:-1].copy(),
            stop=self.ends[1:].copy(),
            offsets=np.concatenate(offsets),
        )
        words = np.zeros((plane, pairs.interior.size), np.uint64)
        words[: channels[0]] = pairs.inputs
        return wiring, kernels.Images(words, pairs.interior, pairs.valid, pairs.targets)

    @staticmethod
    def _distances(kernel: Kernel, pairs: Pairs) -> NDArray[np.int64]:
        steps = np.indices(kernel).reshape(len(kernel), -1).T - np.array(kernel) // 2
        distances: NDArray[np.int64] = (steps @ np.array(pairs.strides)).astype(np.int64)
        return distances


def search(
    begin: Sequence[SetNetwork], pairs: Pairs, *, seed: int = 0, kicks: int = 100, finalists: int = 6
) -> tuple[SetNetwork, float, int]:
    """Return the best network found from several beginnings, its cost, and the number of its beginning.

    Parameters
    ----------
    begin
        Networks to start from; they are not changed.
    pairs
        What to explain.
    seed
        Seed of every random choice.
    kicks
        How often a finalist is perturbed and climbs again.
    finalists
        How many beginnings are followed up.
    """
    random = np.random.default_rng(seed)
    found: list[tuple[float, int, SetNetwork]] = []
    for number, start in enumerate(begin):
        network = start.copy()
        cost = network.climb(pairs, seed=seed + number, free=False)
        if cost <= 0:
            return network, cost, number
        found.append((cost, number, network))
    found.sort(key=lambda entry: entry[:2])
    best = [(_settle(network, pairs, seed, free=True), number, network) for _, number, network in found[:finalists]]
    for _, _, network in best:
        network.centre(pairs)
    for turn in range(kicks):
        best.sort(key=lambda entry: entry[:2])
        if best[0][0] <= 0:
            break
        place = 0 if turn % 2 == 0 else int(random.integers(len(best)))
        cost, number, network = best[place]
        trial = network.copy()
        for _ in range(1 + turn % 2):
            trial.kick(random)
        after = _settle(trial, pairs, turn, free=turn % 4 == 3)
        trial.centre(pairs)
        if after <= cost:
            best[place] = (after, number, trial)
    cost, number, network = min(best, key=lambda entry: entry[:2])
    return network, cost, number


def _settle(network: SetNetwork, pairs: Pairs, seed: int, *, free: bool) -> float:
    """Climb, and leap where that leads on, until neither does; return the cost."""
    cost = network.climb(pairs, seed=seed, free=free)
    while cost > 0 and network.leap(pairs) < cost:
        cost = network.climb(pairs, seed=seed, free=free)
    return cost
