"""The moves of the discrete search, on packed bits.

All images of one channel are one flat run of words: rows one after the other with room for the elements' reach between
rows, planes and images, so that the shift by a pixel's offset is the same distance everywhere. A network is a list of
neurons in the order of computation. A BiSE is a union of shifts of its input (of the complemented input, complemented,
for an erosion); a LUI is a union or an intersection of planes.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shapewright.boolean._jit import kernel

BISE, LUI = 0, 1
Words = NDArray[np.uint64]
_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)


class Wiring(NamedTuple):
    """What of a network does not change: for neuron i, ``sources[first[i]:last[i]]`` are the planes that it reads.

    ``offsets`` holds, beside every pixel of a BiSE's support, the distance of its shift in bits.
    """

    kind: NDArray[np.int64]
    plane: NDArray[np.int64]
    sources: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    offsets: NDArray[np.int64]


class State(NamedTuple):
    """What the search changes: which pixels (or channels) are chosen, which neurons are erosions, which complement."""

    chosen: NDArray[np.bool_]
    meet: NDArray[np.bool_]
    negate: NDArray[np.bool_]


class Images(NamedTuple):
    """Planes of all neurons, and where and what the result should be."""

    planes: Words
    interior: Words
    valid: Words
    targets: Words


@kernel
def popcount(word: Any) -> Any:
    """Return the number of set bits."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@kernel
def shift_into(source: Any, distance: int, flip: Any, first: int, last: int, result: Any) -> None:
    """Write the source (combined with ``flip``) shifted by a distance in bits to a range of the result."""
    step = (-distance) >> 6  # the word in which bit 0 of result word i lies is i + step
    shift = np.uint64((-distance) & 63)
    back = np.uint64(63) - shift
    one = np.uint64(1)
    n = last - first
    low, high = source[first + step : last + step], source[first + step + 1 : last + step + 1]
    target = result[first:last]
    for i in range(n):
        target[i] = ((low[i] ^ flip) >> shift) | (((high[i] ^ flip) << one) << back)


@kernel
def count_shifts(
    source: Any, chosen: Any, offsets: Any, flip: Any, first: int, last: int, shifted: Any, ones: Any, twos: Any
) -> None:
    """Write where at least one, and at least two, of the chosen shifts are set."""
    ones[:] = 0
    twos[:] = 0
    for k in range(chosen.size):
        if chosen[k]:
            shift_into(source, offsets[k], flip, first, last, shifted)
            for i in range(first, last):
                twos[i] |= ones[i] & shifted[i]
                ones[i] |= shifted[i]


@kernel
def compute(
    i: int, wiring: Wiring, state: State, planes: Any, dirty: Any, trial: Any, images: Images, margin: int, work: Any
) -> None:
    """Write the output of neuron i to its trial plane, reading trial planes where they are dirty."""
    out = trial[wiring.plane[i]]
    n = out.size
    flip = _ONES if state.negate[i] else np.uint64(0)
    if wiring.kind[i] == BISE:
        p = wiring.sources[wiring.first[i]]
        source = trial[p] if dirty[p] else planes[p]
        inner = _ONES if state.meet[i] else np.uint64(0)
        out[:] = 0
        for k in range(wiring.start[i], wiring.stop[i]):
            if state.chosen[k]:
                shift_into(source, wiring.offsets[k], inner, margin, n - margin, work)
                for w in range(margin, n - margin):
                    out[w] |= work[w]
        for w in range(n):
            out[w] = (out[w] ^ inner ^ flip) & images.interior[w]
        return
    out[:] = _ONES if state.meet[i] else np.uint64(0)
    for k in range(wiring.last[i] - wiring.first[i]):
        if state.chosen[wiring.start[i] + k]:
            p = wiring.sources[wiring.first[i] + k]
            source = trial[p] if dirty[p] else planes[p]
            if state.meet[i]:
                for w in range(n):
                    out[w] &= source[w]
            else:
                for w in range(n):
                    out[w] |= source[w]
    for w in range(n):
        out[w] = (out[w] ^ flip) & images.interior[w]


@kernel
def cost_of(planes: Any, dirty: Any, trial: Any, images: Images) -> float:
    """Return 1 - Dice of the last planes against the targets, inside the valid region."""
    outputs = images.targets.shape[0]
    wrong, total = 0, 0
    for k in range(outputs):
        p = planes.shape[0] - outputs + k
        result = trial[p] if dirty[p] else planes[p]
        target = images.targets[k]
        for w in range(result.size):
            valid = images.valid[w]
            wrong += popcount((result[w] ^ target[w]) & valid)
            total += popcount(result[w] & valid) + popcount(target[w] & valid)
    return wrong / total if total else 0.0


@kernel
def propagate(
    changed: int, wiring: Wiring, state: State, dirty: Any, trial: Any, images: Images, margin: int, work: Any
) -> float:
    """Compute what depends on dirty planes, from the neuron after ``changed`` on; return the cost."""
    planes = images.planes
    for i in range(changed + 1, wiring.kind.size):
        touched = False
        for k in range(wiring.first[i], wiring.last[i]):
            if dirty[wiring.sources[k]]:
                touched = True
        if touched:
            compute(i, wiring, state, planes, dirty, trial, images, margin, work)
            p = wiring.plane[i]
            for w in range(work.size):
                if trial[p, w] != planes[p, w]:
                    dirty[p] = True
                    break
    return cost_of(planes, dirty, trial, images)


@kernel
def accept(dirty: Any, trial: Any, planes: Any) -> None:
    """Make the trial planes the current ones."""
    for p in range(dirty.size):
        if dirty[p]:
            planes[p, :] = trial[p, :]
            dirty[p] = False


@kernel
def evaluate(wiring: Wiring, state: State, images: Images, margin: int) -> float:
    """Compute every neuron and return the cost."""
    dirty = np.zeros(images.planes.shape[0], np.bool_)
    work = np.zeros(images.planes.shape[1], np.uint64)
    for i in range(wiring.kind.size):
        compute(i, wiring, state, images.planes, dirty, images.planes, images, margin, work)
    return cost_of(images.planes, dirty, images.planes, images)


@kernel
def climb(
    wiring: Wiring, state: State, images: Images, margin: int, passes: int, seed: int, free: bool, ties: bool
) -> float:
    """Change one pixel at a time while that lowers the cost; return the cost.

    With ``free``, operators, complements and channels change as well. With ``ties``, pixels are added that change
    nothing: the largest elements that explain the images.
    """
    np.random.seed(seed)  # noqa: NPY002 - the generator that kernels have
    planes = images.planes
    count, n = planes.shape
    trial = np.zeros((count, n), np.uint64)
    dirty = np.zeros(count, np.bool_)
    work = np.zeros(n, np.uint64)
    ones, twos = np.zeros(n, np.uint64), np.zeros(n, np.uint64)
    best = evaluate(wiring, state, images, margin)
    for _ in range(passes):
        improved = False
        for i in np.random.permutation(wiring.kind.size):  # noqa: NPY002
            if best <= 0 and not ties:
                return best
            p = wiring.plane[i]
            for flag in range(3 if free else 0):
                state.meet[i] ^= flag != 1
                state.negate[i] ^= flag != 0
                dirty[:] = False
                dirty[p] = True
                compute(i, wiring, state, planes, np.zeros(count, np.bool_), trial, images, margin, work)
                cost = propagate(i, wiring, state, dirty, trial, images, margin, work)
                if cost < best:
                    best, improved = cost, True
                    accept(dirty, trial, planes)
                else:
                    state.meet[i] ^= flag != 1
                    state.negate[i] ^= flag != 0
            size = wiring.stop[i] - wiring.start[i]
            if wiring.kind[i] == BISE:
                source = planes[wiring.sources[wiring.first[i]]]
                inner = _ONES if state.meet[i] else np.uint64(0)
                flip = inner ^ (_ONES if state.negate[i] else np.uint64(0))
                chosen = state.chosen[wiring.start[i] : wiring.stop[i]]
                offsets = wiring.offsets[wiring.start[i] : wiring.stop[i]]
                count_shifts(source, chosen, offsets, inner, margin, n - margin, work, ones, twos)
                total = chosen.sum()
                for k in np.random.permutation(size):  # noqa: NPY002
                    if chosen[k] and (total == 1 or ties):
                        continue
                    shift_into(source, offsets[k], inner, margin, n - margin, work)
                    out = trial[p]
                    different = False
                    for w in range(n):
                        raw = (ones[w] & ~(work[w] & ~twos[w])) if chosen[k] else (ones[w] | work[w])
                        out[w] = (raw ^ flip) & images.interior[w]
                        different |= out[w] != planes[p, w]
                    dirty[:] = False
                    cost = best
                    if different:
                        dirty[p] = True
                        cost = propagate(i, wiring, state, dirty, trial, images, margin, work)
                    if cost < best or (ties and cost <= best):
                        improved |= cost < best
                        best = cost
                        total += -1 if chosen[k] else 1
                        chosen[k] = not chosen[k]
                        accept(dirty, trial, planes)
                        count_shifts(source, chosen, offsets, inner, margin, n - margin, work, ones, twos)
            elif free:
                for k in np.random.permutation(size):  # noqa: NPY002
                    here = wiring.start[i] + k
                    if state.chosen[here] and state.chosen[wiring.start[i] : wiring.stop[i]].sum() == 1:
                        continue
                    state.chosen[here] = not state.chosen[here]
                    dirty[:] = False
                    dirty[p] = True
                    compute(i, wiring, state, planes, np.zeros(count, np.bool_), trial, images, margin, work)
                    cost = propagate(i, wiring, state, dirty, trial, images, margin, work)
                    if cost < best:
                        best, improved = cost, True
                        accept(dirty, trial, planes)
                    else:
                        state.chosen[here] = not state.chosen[here]
        if not improved:
            break
    return best


@kernel
def climb_pairs(
    wiring: Wiring,
    state: State,
    images: Images,
    margin: int,
    moves: NDArray[np.int64],
) -> float:
    """Change two pixels at once while that lowers the cost; return the cost.

    A move is (neuron, pixel, neuron, pixel), the earlier neuron first.
    """
    planes = images.planes
    count, n = planes.shape
    trial = np.zeros((count, n), np.uint64)
    dirty = np.zeros(count, np.bool_)
    clean = np.zeros(count, np.bool_)
    work = np.zeros(n, np.uint64)
    best = evaluate(wiring, state, images, margin)
    for m in range(moves.shape[0]):
        if best <= 0:
            break
        i, j = moves[m, 0], moves[m, 2]
        a, b = wiring.start[i] + moves[m, 1], wiring.start[j] + moves[m, 3]
        if a == b:
            continue
        state.chosen[a] = not state.chosen[a]
        state.chosen[b] = not state.chosen[b]
        allowed = (
            state.chosen[wiring.start[i] : wiring.stop[i]].any()
            and state.chosen[wiring.start[j] : wiring.stop[j]].any()
        )
        cost = best
        dirty[:] = False
        if allowed:
            compute(i, wiring, state, planes, clean, trial, images, margin, work)
            dirty[wiring.plane[i]] = True
            for between in range(i + 1, wiring.kind.size):
                touched = between == j
                for k in range(wiring.first[between], wiring.last[between]):
                    if dirty[wiring.sources[k]]:
                        touched = True
                if touched:
                    compute(between, wiring, state, planes, dirty, trial, images, margin, work)
                    dirty[wiring.plane[between]] = True
            cost = cost_of(planes, dirty, trial, images)
        if cost < best:
            best = cost
            accept(dirty, trial, planes)
        else:
            state.chosen[a] = not state.chosen[a]
            state.chosen[b] = not state.chosen[b]
    return best
