"""Sifting: move each variable of a decision diagram through all positions and leave it where the diagram is smallest.

Two neighbouring levels are exchanged in place, so a step costs only the nodes of one level.
"""

Nodes = tuple[tuple[int, int, int], ...]

_MAX_VARIABLES = 32  # beyond, the given order is kept: sifting takes the square of this number of exchanges


def sift(nodes: Nodes, root: int, variables: int) -> tuple[list[int], Nodes, int]:
    """Return (order of the variables, nodes, root) of an equal diagram with at most as many nodes.

    Variables are numbers in the input; ``order[k]`` is the input's number of the new variable ``k``.
    """
    if variables > _MAX_VARIABLES or len(nodes) <= variables:  # every variable needs one node: already smallest
        return list(range(variables)), nodes, root
    levels = _Levels(nodes, root, variables)
    by_size = sorted(range(variables), key=lambda variable: -len(levels.unique[variable]))
    for variable in by_size:
        levels.place_best(variable)
    return levels.result()


class _Levels:
    """A diagram under reordering: nodes by variable, with reference counts."""

    def __init__(self, nodes: Nodes, root: int, variables: int) -> None:
        self.order = list(range(variables))
        self.position = list(range(variables))
        self.root = root
        self.content: dict[int, tuple[int, int, int]] = {index + 2: node for index, node in enumerate(nodes)}
        self.unique: list[dict[tuple[int, int], int]] = [{} for _ in range(variables)]
        self.uses = dict.fromkeys(self.content, 0)
        self.uses[root] = 1
        self._next = len(nodes) + 2
        for reference, (variable, low, high) in self.content.items():
            self.unique[variable][low, high] = reference
            self._use(low)
            self._use(high)

    def place_best(self, variable: int) -> None:
        best_size, best = len(self.content), self.position[variable]
        last = len(self.order) - 1
        nearest_first = (last, 0) if best > last // 2 else (0, last)
        for target in nearest_first:
            while self.position[variable] != target:
                at = self.position[variable]
                self.exchange(at if target > at else at - 1)
                if len(self.content) < best_size:
                    best_size, best = len(self.content), self.position[variable]
        while self.position[variable] != best:
            at = self.position[variable]
            self.exchange(at if best > at else at - 1)

    def exchange(self, upper: int) -> None:
        """Exchange the variables at positions ``upper`` and ``upper + 1``; references from above stay valid."""
        x, y = self.order[upper], self.order[upper + 1]
        moving = [r for (low, high), r in self.unique[x].items() if self._asks(low, y) or self._asks(high, y)]
        for reference in moving:
            _, low, high = self.content[reference]
            del self.unique[x][low, high]
        for reference in moving:
            _, low, high = self.content[reference]
            low_low, low_high = self.content[low][1:] if self._asks(low, y) else (low, low)
            high_low, high_high = self.content[high][1:] if self._asks(high, y) else (high, high)
            new_low, new_high = self._node(x, low_low, high_low), self._node(x, low_high, high_high)
            self._use(new_low)
            self._use(new_high)
            self.content[reference] = (y, new_low, new_high)
            self.unique[y][new_low, new_high] = reference
            self._release(low)
            self._release(high)
        self.order[upper], self.order[upper + 1] = y, x
        self.position[x], self.position[y] = upper + 1, upper

    def result(self) -> tuple[list[int], Nodes, int]:
        number = {0: 0, 1: 1}
        nodes: list[tuple[int, int, int]] = []
        for reference, (variable, low, high) in sorted(
            self.content.items(), key=lambda item: (-self.position[item[1][0]], item[0])
        ):
            nodes.append((self.position[variable], number[low], number[high]))
            number[reference] = len(nodes) + 1
        return self.order, tuple(nodes), number[self.root]

    def _asks(self, reference: int, variable: int) -> bool:
        return reference > 1 and self.content[reference][0] == variable

    def _node(self, variable: int, low: int, high: int) -> int:
        if low == high:
            return low
        reference = self.unique[variable].get((low, high))
        if reference is None:
            reference = self._next
            self._next += 1
            self.content[reference] = (variable, low, high)
            self.unique[variable][low, high] = reference
            self.uses[reference] = 0
            self._use(low)
            self._use(high)
        return reference

    def _use(self, reference: int) -> None:
        if reference > 1:
            self.uses[reference] += 1

    def _release(self, reference: int) -> None:
        if reference < 2:
            return
        self.uses[reference] -= 1
        if self.uses[reference] == 0:
            variable, low, high = self.content.pop(reference)
            del self.unique[variable][low, high]
            self._release(low)
            self._release(high)
