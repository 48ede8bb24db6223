"""Connected components where diagonal neighbours belong together (8 in 2D, 26 in 3D), two rows each way at a time.

Two by two neighbouring rows of a volume form a block. The pixels of one or of two adjoining columns of a block all
touch each other, so that the runs of columns with any foreground are connected: there are a quarter as many rows and
far fewer runs than of single pixels. Two blocks touch where the rows that face each other do, each side's rows taken
together; the few places to look at (:func:`_contacts`) are found without branches.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Mask = NDArray[np.uint8]
Ints = NDArray[np.int32]


@njit(cache=True, nogil=True)
def find_runs(volume: Mask, first: int, last: int, runs: Ints, parents: Ints, rows: Ints) -> None:
    """Write the number of each column's run, from 1, in ``runs`` [blocks along z, blocks along y, X].

    A column without foreground keeps the number of the run before it. The block in row r has the runs ``rows[r, 0]`` to
    ``rows[r, 1]``. The tasks are the planes of blocks.
    """
    _, blocks, width = runs.shape
    columns = np.empty(width, np.uint8)
    run = first * blocks * ((width + 1) // 2)
    for plane in range(first, last):
        for block in range(blocks):
            z, y = 2 * plane, 2 * block
            z_too, y_too = min(z + 1, volume.shape[0] - 1), min(y + 1, volume.shape[1] - 1)
            a, b, c, d = volume[z, y], volume[z, y_too], volume[z_too, y], volume[z_too, y_too]
            for x in range(width):
                columns[x] = a[x] | b[x] | c[x] | d[x]
            numbers, row = runs[plane, block], plane * blocks + block
            rows[row, 0] = run + 1
            before = np.uint8(0)
            for x in range(width):
                run += columns[x] & (before ^ 1)
                before = columns[x]
                numbers[x] = run
            rows[row, 1] = run + 1
            for number in range(rows[row, 0], rows[row, 1]):
                parents[number] = number


@njit(cache=True, nogil=True)
def _contacts(a: Mask, a_too: Mask, b: Mask, b_too: Mask, one: Mask, other: Mask, found: Mask) -> None:
    """Write where two lines, of two rows each taken together, touch.

    Bit 0: at this column of both lines, and not at the one before. Bits 1 and 2: only diagonally, with the column of
    the other line before or after. Other contacts would join the same runs again. ``one`` and ``other`` are scratch for
    the lines between two zeros.
    """
    for x in range(len(a)):
        one[x + 1] = a[x] | a_too[x]
        other[x + 1] = b[x] | b_too[x]
    for x in range(len(a)):
        here, there = one[x + 1], other[x + 1]
        alone = here & (there ^ 1)
        found[x] = (
            (here & there & ((one[x] & other[x]) ^ 1))
            | (alone & other[x] & (one[x] ^ 1)) << 1
            | (alone & other[x + 2] & (one[x + 2] ^ 1)) << 2
        )


@njit(cache=True, nogil=True, inline="always")
def _join(parents: Ints, one: int, other: int) -> None:
    if parents[one] == parents[other]:  # mostly
        return
    while parents[one] != one:
        parents[one] = parents[parents[one]]
        one = parents[one]
    while parents[other] != other:
        parents[other] = parents[parents[other]]
        other = parents[other]
    parents[max(one, other)] = min(one, other)


@njit(cache=True, nogil=True)
def _marked(marks: Mask, places: Ints) -> int:
    """Write where ``marks``, a multiple of eight, are not 0, and return how many there are."""
    eights, count = marks.view(np.uint64), 0
    for eight in range(len(eights)):
        if eights[eight] != 0:
            for x in range(8 * eight, 8 * eight + 8):
                places[count] = x  # written in vain where there is no mark, so that nothing branches
                count += marks[x] != 0
    return count


@njit(cache=True, nogil=True)
def _join_contacts(found: Mask, places: Ints, runs: Ints, other_runs: Ints, parents: Ints) -> None:
    """Join the runs of two blocks that touch."""
    for place in range(_marked(found, places)):
        x = places[place]
        if found[x] & 1:
            _join(parents, runs[x], other_runs[x])
        if found[x] & 2:
            _join(parents, runs[x], other_runs[x - 1])
        if found[x] & 4:
            _join(parents, runs[x], other_runs[x + 1])


@njit(cache=True, nogil=True)
def join_runs(volume: Mask, first: int, last: int, seam: bool, runs: Ints, parents: Ints) -> None:
    """Join the runs of some planes of blocks among each other or, on a ``seam``, with those of the plane before."""
    _, blocks, width = runs.shape
    one, other = np.zeros(width + 2, np.uint8), np.zeros(width + 2, np.uint8)
    found = np.zeros((width + 7) // 8 * 8, np.uint8)
    places = np.empty(len(found) + 1, np.int32)
    for plane in range(first, last):
        here, here_too = volume[2 * plane], volume[min(2 * plane + 1, volume.shape[0] - 1)]
        there = volume[max(2 * plane - 1, 0)]
        for block in range(blocks):
            y, y_too = 2 * block, min(2 * block + 1, volume.shape[1] - 1)
            if block > 0 and not seam:
                _contacts(here[y], here_too[y], here[y - 1], here_too[y - 1], one, other, found)
                _join_contacts(found, places, runs[plane, block], runs[plane, block - 1], parents)
            if plane == 0 or (plane == first and not seam):
                continue
            _contacts(here[y], here[y_too], there[y], there[y_too], one, other, found)
            _join_contacts(found, places, runs[plane, block], runs[plane - 1, block], parents)
            if block > 0:
                _contacts(here[y], here[y], there[y - 1], there[y - 1], one, other, found)
                _join_contacts(found, places, runs[plane, block], runs[plane - 1, block - 1], parents)
            if block + 1 < blocks:
                _contacts(here[y + 1], here[y + 1], there[y + 2], there[y + 2], one, other, found)
                _join_contacts(found, places, runs[plane, block], runs[plane - 1, block + 1], parents)


@njit(cache=True, nogil=True)
def number_components(volume: Mask, runs: Ints, parents: Ints, rows: Ints, numbers: Ints) -> int:
    """Write the number of every run's component, in the order of their first pixels; return how many there are."""
    for row in range(len(rows)):
        for run in range(rows[row, 0], rows[row, 1]):
            parents[run] = parents[parents[run]]  # a parent comes before its run, so that its own is final
            numbers[run] = 0
    _, blocks, width = runs.shape
    count = 0
    begins = np.zeros((width + 7) // 8 * 8, np.uint8)
    places = np.empty(len(begins) + 1, np.int32)
    for z in range(volume.shape[0]):
        for y in range(volume.shape[1]):
            block, fresh = z // 2 * blocks + y // 2, False
            for run in range(rows[block, 0], rows[block, 1]):
                fresh |= numbers[parents[run]] == 0
            if not fresh:
                continue
            row, line = volume[z, y], runs[z // 2, y // 2]
            begins[0] = row[0]
            for x in range(1, width):
                begins[x] = row[x] & (row[x - 1] ^ 1)
            for place in range(_marked(begins, places)):
                root = parents[line[places[place]]]
                fresh = numbers[root] == 0
                count += fresh
                numbers[root] = count if fresh else numbers[root]
    for row in range(len(rows)):
        for run in range(rows[row, 0], rows[row, 1]):
            numbers[run] = numbers[parents[run]]
    return count


@njit(cache=True, nogil=True)
def paint(volume: Mask, runs: Ints, numbers: Ints, labels: Ints, first: int, last: int) -> None:
    """Write the number of the component of every pixel of some planes of blocks."""
    _, blocks, width = runs.shape
    line = np.empty(width, np.int32)
    for plane in range(first, last):
        for block in range(blocks):
            for x in range(width):
                line[x] = numbers[runs[plane, block, x]]
            for z in range(2 * plane, min(2 * plane + 2, volume.shape[0])):
                for y in range(2 * block, min(2 * block + 2, volume.shape[1])):
                    row, out = volume[z, y], labels[z, y]
                    for x in range(width):
                        out[x] = line[x] if row[x] else 0
