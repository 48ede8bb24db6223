"""Regenerate the decision diagrams of the simple-point predicates, 2D (8,4) and 3D (26,6).

A pixel is simple if changing it keeps the topology: its set neighbours form one component (8- or 26-connected), and
its unset neighbours that touch it by a side are in one component (4- or 6-connected within the 8 or 18 neighbours).
Every configuration is tried by flood fill on bit masks; the table is reduced level by level. In 3D this takes about
a minute and 2 GB.

    python scripts/simple_points.py src/shapewright/morphology/_simple_points.json
"""

import itertools
import json
import sys

import numba
import numpy as np

Offset = tuple[int, ...]


def neighbours(dims: int) -> list[Offset]:
    """Return the offsets of all neighbours in raster order."""
    return [offset for offset in itertools.product((-1, 0, 1), repeat=dims) if any(offset)]


def adjacency(offsets: list[Offset], sides_only: bool) -> np.ndarray:
    """Return for every neighbour the mask of the neighbours adjacent to it, by sides only or also by corners."""
    masks = np.zeros(len(offsets), np.int64)
    for i, a in enumerate(offsets):
        for j, b in enumerate(offsets):
            steps = [abs(u - v) for u, v in zip(a, b, strict=True)]
            if i != j and (sum(steps) == 1 if sides_only else max(steps) == 1):
                masks[i] |= 1 << (len(offsets) - 1 - j)
    return masks


@numba.njit
def flood(seed: int, allowed: int, masks: np.ndarray, count: int) -> int:
    """Return the mask of everything that is connected to a seed within the allowed mask."""
    reached, fresh = seed, seed
    while fresh:
        grown = 0
        for i in range(count):
            if fresh >> (count - 1 - i) & 1:
                grown |= masks[i]
        fresh = grown & allowed & ~reached
        reached |= fresh
    return reached


@numba.njit(parallel=True)
def simple_table(count: int, full: np.ndarray, sides: np.ndarray, near: int, faces: int) -> np.ndarray:
    """Return for every configuration, first neighbour in the highest bit, whether the centre is simple."""
    table = np.zeros(1 << count, np.uint8)
    everything = (1 << count) - 1
    for number in numba.prange(1 << count):
        configuration = np.int64(number)
        touching = ~configuration & faces
        if configuration == 0 or touching == 0:
            continue
        if flood(configuration & -configuration, configuration, full, count) != configuration:
            continue
        background = ~configuration & near & everything
        table[configuration] = touching & ~flood(touching & -touching, background, sides, count) == 0
    return table


def reduced(table: np.ndarray, count: int) -> tuple[list[list[int]], int]:
    """Return (nodes, root) of the diagram: nodes are (variable, low, high), references 0 and 1 are constants."""
    nodes: list[list[int]] = []
    level = table.astype(np.int32)
    for variable in range(count - 1, -1, -1):
        size = len(nodes) + 2
        pairs = level[0::2].astype(np.int64) * size + level[1::2]
        used = np.zeros(size * size, bool)
        used[pairs] = True
        reference = np.zeros(size * size, np.int32)
        for code in np.flatnonzero(used):
            low, high = divmod(int(code), size)
            if low == high:
                reference[code] = low
            else:
                nodes.append([variable, low, high])
                reference[code] = len(nodes) + 1
        level = reference[pairs]
    return nodes, int(level[0])


def main(path: str) -> None:
    record = {}
    for dims in (2, 3):
        offsets = neighbours(dims)
        count = len(offsets)
        near = sum(1 << (count - 1 - i) for i, o in enumerate(offsets) if sum(map(abs, o)) <= 2)
        faces = sum(1 << (count - 1 - i) for i, o in enumerate(offsets) if sum(map(abs, o)) == 1)
        table = simple_table(count, adjacency(offsets, False), adjacency(offsets, True), near, faces)
        nodes, root = reduced(table, count)
        record[f"{dims}d"] = {"order": offsets, "nodes": nodes, "root": root}
        print(f"{dims}D: {int(table.sum()):,} of {table.size:,} configurations are simple; {len(nodes)} nodes")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(record, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
