"""Learning a morphological program from pairs of binary images, in one call."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shapewright.arrays import AnyArray, as_binary
from shapewright.errors import InputError, check_number
from shapewright.layers.bise import BiSE
from shapewright.methods.bimonn.objective import activation_penalty, balanced_cross_entropy, interior, reach
from shapewright.morphology.program import Program
from shapewright.networks.bimonn import BiMoNN
from shapewright.networks.binarization import binarize
from shapewright.networks.search import Architecture, Pairs, SetNetwork, search

Masks = NDArray[np.bool_]
Report = Callable[[str], None]

FITS = 0.999  # validation Dice from which an architecture explains the images
_SEARCH_PIXELS = 80_000  # of the images that the search looks at first
_WINDOW = 96  # larger images are searched in windows of at least this size
_STARTS, _DEEP_STARTS = 64, 8
_SKETCHES, _SKETCHES_KEPT = 400, 4
_ROUNDS = 4  # how often images that were got wrong are added


@dataclass(frozen=True)
class Scores:
    """Dice on the validation images, and how many neurons are activated.

    Parameters
    ----------
    real
        Of the network's output above one half.
    binary
        Of the binarised program.
    activated
        Share of neurons that are exactly a set operator.
    """

    real: float
    binary: float
    activated: float


@dataclass(frozen=True)
class FittedMorphology:
    """What :func:`fit_morphology` learned.

    Parameters
    ----------
    network
        The network, every neuron of it activated unless the search was left out.
    program
        The network as set operations.
    channels, kernel_size
        Its architecture.
    trained, final
        Scores after the gradient descent and at the end, on the validation pairs.
    start
        What the search's best result began as: ``trained`` or ``simple``; ``none`` without search.
    before
        The best network of the gradient descent, None without.
    seconds
        Time of the gradient descent and of the search.
    """

    network: BiMoNN
    program: Program
    channels: tuple[int, ...]
    kernel_size: int
    trained: Scores
    final: Scores
    start: str
    before: BiMoNN | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.program}"


def fit_morphology(
    inputs: AnyArray,
    targets: AnyArray,
    architecture: str | Sequence[int] = "auto",
    *,
    kernel_size: int = 7,
    spatial_dims: int = 2,
    validation: float = 0.25,
    steps: int = 200,
    restarts: int = 2,
    kicks: int = 300,
    seed: int = 0,
    report: Report = lambda _: None,
) -> FittedMorphology:
    """Learn the set operations that turn inputs into targets.

    Networks are trained by gradient descent from several random weights; then a search on packed bits starts from them
    and from simple networks, and changes one pixel, branch or operator at a time while the Dice on the training pairs
    rises. The validation pairs choose between its results. The program is the network: the search's result is written
    back into the weights, whose neurons are then activated.

    Parameters
    ----------
    inputs
        Binary images ``[N, C, *spatial]``, or ``[N, *spatial]`` for one channel; two or more.
    targets
        Binary images ``[N, K, *spatial]``, or ``[N, *spatial]`` for one output.
    architecture
        Channels of the network, input and output included, such as ``(1, 2, 1)``; or ``"auto"``: one layer, two in
        series, two with two and with three branches are tried in this order and the first that explains the
        validation pairs (Dice 0.999) is kept, else the best.
    kernel_size
        Width of the structuring elements' support; 7 as in the paper. Larger than the elements costs only time.
    spatial_dims
        2 or 3.
    validation
        Share of the pairs, between 0 and 1, that is kept from training; at least one pair, and not all.
    steps, restarts
        Gradient steps of a training, and trainings; 0 restarts leave the search to itself.
    kicks
        How often the search leaves a local optimum before it gives up; 0 leaves the trained network as it is.
    seed
        Seed of every random choice: which pairs validate, weights, batches, search.
    report
        Called with a line about what was reached.

    Returns
    -------
    FittedMorphology

    Raises
    ------
    InputError
        Images that are not binary or do not fit, an architecture of other channels, a share outside 0 to 1, or neither
        training nor search.

    References
    ----------
    Aouad and Talbot, "Binary multi-channel morphological neural network", DGMM 2022. The search is ours.

    Examples
    --------
    >>> from shapewright.morphology import ball, opening
    >>> from shapewright.simulate import Diskorect
    >>> images = Diskorect().generate(24, seed=0)
    >>> learned = fit_morphology(images, opening(images, ball(2)), (1, 1, 1), kernel_size=5, restarts=0)
    >>> print(learned)
    y = opening(x, ball(2))
    """
    x, y = _with_channels(inputs, "inputs", spatial_dims), _with_channels(targets, "targets", spatial_dims)
    if len(x) < 2 or len(x) != len(y) or x.shape[2:] != y.shape[2:]:
        raise InputError(
            f"inputs and targets must be two or more pairs of images of one size; got {x.shape} and {y.shape}"
        )
    check_number("validation", validation, above=0, below=1)
    if restarts < 1 and kicks < 1:
        raise InputError("restarts and kicks must not both be 0: nothing would be learned")
    order = np.random.default_rng(seed).permutation(len(x))
    held = min(max(1, round(validation * len(x))), len(x) - 1)
    parts = [(x[part], y[part]) for part in (order[held:], order[:held])]
    options = {"kernel_size": kernel_size, "spatial_dims": spatial_dims, "seed": seed}
    if architecture == "auto":
        channels = _simplest(parts[0], parts[1], report=report, **options)
    elif isinstance(architecture, str):
        raise InputError(f"architecture must be 'auto' or channels such as (1, 2, 1); got {architecture!r}")
    else:
        channels = tuple(int(count) for count in architecture)
        if len(channels) < 2 or (channels[0], channels[-1]) != (x.shape[1], y.shape[1]):
            raise InputError(
                f"architecture must begin with {x.shape[1]} and end with {y.shape[1]} channels, those of inputs and "
                f"targets; got {channels}"
            )
    started = time.perf_counter()
    networks = [
        train_network(*parts[0], channels, kernel_size, steps=steps, seed=1000 * seed + restart)
        for restart in range(restarts)
    ]
    border = tuple(size // 2 for size in (kernel_size,) * spatial_dims)
    scored = [(score(network, *parts[1], border), network) for network in networks]
    trained = max(scored, key=lambda pair: pair[0].binary) if scored else None
    if trained:
        report(f"trained {channels}: Dice {trained[0].real:.4f}, binarised {trained[0].binary:.4f}")
    between = time.perf_counter()
    if kicks < 1:
        assert trained is not None
        network, start = trained[1], "none"
    else:
        network = BiMoNN(channels, kernel_size, spatial_dims)
        found, start = discover(networks, parts[0], parts[1], Architecture.of(network), kicks=kicks, seed=seed)
        found.write(network)
    final = score(network, *parts[1], border)
    report(f"found {channels}: Dice {final.binary:.4f}, {final.activated:.0%} of the neurons activated")
    seconds = {"training": between - started, "search": time.perf_counter() - between}
    return FittedMorphology(
        network=network,
        program=binarize(network),
        channels=channels,
        kernel_size=kernel_size,
        trained=trained[0] if trained else Scores(float("nan"), float("nan"), float("nan")),
        final=final,
        start=start,
        before=trained[1] if trained else None,
        seconds=seconds,
    )


def _with_channels(images: AnyArray, name: str, spatial_dims: int) -> Masks:
    binary = as_binary(images, name)
    if binary.ndim == spatial_dims + 1:
        binary = binary[:, None]
    if binary.ndim != spatial_dims + 2:
        raise InputError(
            f"{name} must have shape [N, C, *spatial] or [N, *spatial] with {spatial_dims} spatial axes; got "
            f"{binary.shape}"
        )
    return binary


def _simplest(
    training: tuple[Masks, Masks],
    validation: tuple[Masks, Masks],
    *,
    kernel_size: int,
    spatial_dims: int,
    seed: int,
    report: Report,
) -> tuple[int, ...]:
    """Return the channels of the first architecture that explains the validation pairs, else of the best."""
    inputs, outputs = training[0].shape[1], training[1].shape[1]
    best: tuple[float, tuple[int, ...]] | None = None
    for hidden in ((), (1,), (2,), (3,)):
        channels = (inputs, *(max(count * inputs, count * outputs) for count in hidden), outputs)
        network = BiMoNN(channels, kernel_size, spatial_dims)
        found, _ = discover([], training, validation, Architecture.of(network), kicks=120, seed=seed)
        found.write(network)
        dice = score(network, *validation, (kernel_size // 2,) * spatial_dims).binary
        report(f"tried {channels}: Dice {dice:.4f}")
        if best is None or dice > best[0] + 0.002:  # a richer one must be clearly better
            best = dice, channels
        if dice >= FITS:
            break
    assert best is not None
    return best[1]


def train_network(
    inputs: Masks,
    targets: Masks,
    channels: Sequence[int],
    kernel_size: int | Sequence[int],
    *,
    steps: int = 200,
    batch_size: int | None = None,
    learning_rate: float = 0.1,
    activation: float = 0.1,
    seed: int = 0,
) -> BiMoNN:
    """Train a network by gradient descent: Adam, cosine rate, balanced cross-entropy, pull towards set operators.

    Parameters
    ----------
    inputs, targets
        bool ``[N, C, *spatial]`` and ``[N, K, *spatial]``.
    channels, kernel_size
        The architecture.
    steps, batch_size, learning_rate
        Of Adam. Images larger than 96 pixels are seen in random windows. By default 8 images of 50 x 50 with elements
        of 7 x 7, fewer of larger ones, at least 2.
    activation
        Weight of the penalty at the end; it rises from 0 with the square of the time.
    seed
        Seed of weights, signs and batches.
    """
    generator = torch.Generator().manual_seed(seed)
    random = np.random.default_rng([seed, 1])
    network = BiMoNN(channels, kernel_size, inputs.ndim - 2)
    network.reset(generator)
    if seed % 2:  # every second start begins with the complements of some neurons
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if name.endswith("scale"):
                    parameter.mul_(torch.where(torch.rand(parameter.shape, generator=generator) < 0.5, -1.0, 1.0))
    optimiser: torch.optim.Optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    border = reach(network)
    if batch_size is None:
        widest = max(module.weight[0].numel() for module in network.modules() if isinstance(module, BiSE))
        work = float(np.prod(window_size(inputs.shape[2:], border))) * widest
        batch_size = int(np.clip(8 * 50**2 * 7**2 / work, 2, 8))
    for step in range(steps):
        x, y = _batch(inputs, targets, batch_size, border, random)
        valid = interior(tuple(x.shape[2:]), border, x).expand(len(x), *[-1] * (x.ndim - 1))
        loss = balanced_cross_entropy(network(x), x, y, valid)
        loss = loss + activation * ((step + 1) / steps) ** 2 * activation_penalty(network)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return network


def _batch(
    inputs: Masks, targets: Masks, size: int, border: Sequence[int], random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return random images, or windows of large ones."""
    chosen = random.integers(0, len(inputs), size)
    window = window_size(inputs.shape[2:], border)
    pairs = [_window(inputs[i], targets[i], window, random) for i in chosen]
    return torch.from_numpy(np.stack([x for x, _ in pairs])).float(), torch.from_numpy(
        np.stack([y for _, y in pairs])
    ).float()


def window_size(shape: Sequence[int], border: Sequence[int]) -> tuple[int, ...]:
    """Return the window in which images of a shape are looked at: all of small images, and room beside the border."""
    least = _WINDOW if len(shape) == 2 else 32
    return tuple(min(n, max(least, 4 * b + 16)) for n, b in zip(shape, border, strict=True))


def _window(x: Masks, y: Masks, window: Sequence[int], random: np.random.Generator) -> tuple[Masks, Masks]:
    """Cut a window around a random pixel, two times in three one whose target is set or differs from the input."""
    shape = x.shape[1:]
    if tuple(window) == shape:
        return x, y
    telling = np.flatnonzero(y.any(axis=0) if random.random() < 0.5 else y.any(axis=0) != x.any(axis=0))
    if len(telling) and random.random() < 2 / 3:
        centre = np.array(np.unravel_index(telling[random.integers(len(telling))], shape))
    else:
        centre = random.integers(0, shape)
    corner = np.clip(centre - np.array(window) // 2, 0, np.array(shape) - window)
    inside = (slice(None), *(slice(c, c + w) for c, w in zip(corner, window, strict=True)))
    return x[inside], y[inside]


def fit_cases(
    network: BiMoNN,
    cases: Sequence[tuple[Masks, Masks]],
    validation: Sequence[tuple[Masks, Masks]],
    *,
    kicks: int,
    seed: int = 0,
) -> None:
    """Replace a trained network by the best that a search finds from it and from simple ones.

    Parameters
    ----------
    network
        The network; its weights are changed.
    cases, validation
        Pairs ``[C, *spatial]`` and ``[K, *spatial]`` whose sizes may differ; without validation the cases choose.
    kicks, seed
        As in :func:`fit_morphology`.
    """
    architecture = Architecture.of(network)
    random = np.random.default_rng([seed, 3])
    shape = tuple(int(np.median([x.shape[1 + axis] for x, _ in cases])) for axis in range(cases[0][0].ndim - 1))
    window = window_size(shape, architecture.reach)
    parts = []
    for pairs in (cases, validation or cases):
        count = max(2 * len(pairs), 4 * max(8, _SEARCH_PIXELS // int(np.prod(window))))
        padded = [(_at_least(x, window), _at_least(y, window)) for x, y in pairs]
        windows = [_window(*padded[i % len(padded)], window, random) for i in range(count)]
        parts.append((np.stack([x for x, _ in windows]), np.stack([y for _, y in windows])))
    found, _ = discover([network], parts[0], parts[1], architecture, kicks=kicks, seed=seed)
    found.write(network)


def _at_least(image: Masks, window: Sequence[int]) -> Masks:
    """Return an image padded with background to at least a window."""
    missing = [(0, max(w - n, 0)) for w, n in zip(window, image.shape[1:], strict=True)]
    return np.pad(image, [(0, 0), *missing])


def discover(
    networks: Sequence[BiMoNN],
    training: tuple[Masks, Masks],
    validation: tuple[Masks, Masks],
    architecture: Architecture,
    *,
    kicks: int,
    seed: int,
) -> tuple[SetNetwork, str]:
    """Search from trained networks and from simple ones; return the best, and which of the two it came from.

    The search looks at some training images (windows of large ones) first; those that its result gets wrong are added
    and it goes on. The validation pairs choose between the results, the best of which is completed by the pixels that
    change nothing on any training image.

    A border as wide as the network's reach is left out, because what a target is there depends on what its maker took
    the outside of the image for. Where no program is exact, half a kernel is: the rest counts as well.
    """
    random = np.random.default_rng([seed, 2])
    inputs, targets = training
    window = window_size(inputs.shape[2:], architecture.reach)
    count = max(8, _SEARCH_PIXELS // int(np.prod(window)))
    pool = _pool(inputs, targets, window, max(len(inputs), 4 * count), random)
    held = _pool(*validation, window, max(len(validation[0]), count), random)
    border = architecture.reach
    looked_at = np.arange(len(pool[0])) < count
    pairs = Pairs(pool[0][looked_at], pool[1][looked_at], architecture, border)
    trained = [SetNetwork.nearest(network) for network in networks]
    simple = list(SetNetwork(architecture).starts(_STARTS if len(architecture.kernels) < 3 else _DEEP_STARTS, seed))
    begin = [*trained, *simple, *_best_sketches(pairs, architecture, random)]
    results: list[tuple[SetNetwork, str]] = []
    for _ in range(_ROUNDS):
        network, _, number = search(begin, pairs, seed=seed, kicks=kicks)
        results.append((network, results[0][1] if results else "trained" if number < len(trained) else "simple"))
        wrong = _wrong(_program(network, architecture)(pool[0]), pool[1], border)
        if not wrong.any():
            break
        if window == inputs.shape[2:]:  # windows have no border of their own
            border = tuple(max(kernel[axis] // 2 for kernel in architecture.kernels) for axis in range(len(window)))
        wrong &= ~looked_at
        looked_at |= wrong & (np.cumsum(wrong) <= count)
        begin, kicks = [network], kicks // 3
        pairs = Pairs(pool[0][looked_at], pool[1][looked_at], architecture, border)
    chosen_on = Pairs(*held, architecture, border)
    best, name = min(results, key=lambda result: result[0].cost(chosen_on))
    everything, completed = Pairs(*pool, architecture, border), best.copy()
    completed.complete(everything, seed=seed)
    completed.match(everything)
    completed.centre(everything)
    return (completed if completed.cost(chosen_on) <= best.cost(chosen_on) else best), name


def _best_sketches(pairs: Pairs, architecture: Architecture, random: np.random.Generator) -> list[SetNetwork]:
    """Return the best of many random openings and closings that meet; of one layer there are none."""
    if len(architecture.kernels) < 2:
        return []
    plain = SetNetwork(architecture)
    sketches = [plain.sketch(random) for _ in range(_SKETCHES)]
    return sorted(sketches, key=lambda network: network.cost(pairs))[:_SKETCHES_KEPT]


def _pool(
    inputs: Masks, targets: Masks, window: Sequence[int], count: int, random: np.random.Generator
) -> tuple[Masks, Masks]:
    """Return ``count`` windows, or the images themselves where a window holds them."""
    if tuple(window) == inputs.shape[2:]:
        return inputs, targets
    windows = [_window(inputs[i % len(inputs)], targets[i % len(inputs)], window, random) for i in range(count)]
    return np.stack([x for x, _ in windows]), np.stack([y for _, y in windows])


def _program(network: SetNetwork, architecture: Architecture) -> Program:
    model = architecture.build()
    network.write(model)
    return binarize(model).simplified()


def _wrong(results: Masks, targets: Masks, border: Sequence[int]) -> Masks:
    """Return which images have a wrong pixel inside the border."""
    inner = (slice(None), slice(None), *(slice(b, n - b) for b, n in zip(border, targets.shape[2:], strict=True)))
    different: Masks = (results != targets)[inner].reshape(len(targets), -1).any(axis=1)
    return different


def score(network: BiMoNN, inputs: Masks, targets: Masks, border: Sequence[int]) -> Scores:
    """Return a network's Dice on images, before and after binarisation, a border left out (half a kernel: the paper).

    Dice is that of all images together, so that images with an empty target count by what is wrongly set.
    """
    with torch.no_grad():
        parts = torch.split(torch.from_numpy(inputs), 8)
        real = torch.cat([network(part.float()) > 0.5 for part in parts]).numpy()
    program = binarize(network)
    binary = program.simplified()(inputs)
    inner = (slice(None), slice(None), *(slice(b, n - b) for b, n in zip(border, targets.shape[2:], strict=True)))
    activated = float(np.mean([neuron.exact for neuron in program.neurons]))
    return Scores(_dice(real[inner], targets[inner]), _dice(binary[inner], targets[inner]), activated)


def _dice(found: Masks, wanted: Masks) -> float:
    total = int(found.sum()) + int(wanted.sum())
    return 2 * int((found & wanted).sum()) / total if total else 1.0
