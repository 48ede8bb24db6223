"""The algebra of label sets: what the labels of several data sets mean in one common set of classes.

Readable without torch. A *label* is what a data set wrote; it stands for one class, or for a set of classes that the
data set does not tell apart: the background of a lesion data set is any class but the lesion.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shapewright.errors import InputError

BACKGROUND = "background"

Meaning = Mapping[str, str | Sequence[str]]
"""A data set's labels: name to the class, or classes, that it stands for."""


@dataclass(frozen=True)
class LabelSpace:
    """The classes that data sets distinguish together, and a number for every label of theirs.

    Number k below the number of classes is class k, 0 the background; the numbers after those stand for sets of
    classes. Two labels of one meaning have one number.

    Parameters
    ----------
    classes
        Names of the classes without the background.
    sets
        The classes of each further number, in ascending order.
    numbers
        Data set to its labels, each with its number.

    Examples
    --------
    >>> space = LabelSpace.union({"anatomy": {"grey": "grey", "white": "white"}, "patients": {"lesion": "lesion"}})
    >>> space.classes, space.sets
    (('grey', 'white', 'lesion'), ((0, 3), (0, 1, 2)))
    >>> space.numbers["patients"]  # what is not lesion there is background, grey or white
    {'background': 5, 'lesion': 3}
    """

    classes: tuple[str, ...]
    sets: tuple[tuple[int, ...], ...] = ()
    numbers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @classmethod
    def union(cls, meanings: Mapping[str, Meaning], classes: Sequence[str] | None = None) -> "LabelSpace":
        """Return the space of several data sets.

        Parameters
        ----------
        meanings
            Data set to what its labels stand for. A data set that does not say what its background is means by it the
            background, or any class that none of its labels stands for.
        classes
            The classes in the wanted order; by default as they first occur.

        Raises
        ------
        InputError
            No data set; a class that ``classes`` lacks; a label for no class; or a class that no data set tells from
            the others.
        """
        named = {
            name: {label: _names(name, label, meant) for label, meant in m.items()} for name, m in meanings.items()
        }
        found = [one for labels in named.values() for meant in labels.values() for one in meant]
        order = list(dict.fromkeys(one for one in (found if classes is None else classes) if one != BACKGROUND))
        if not named or not order:
            raise InputError("a label space needs at least one data set with at least one class")
        strange = sorted(set(found) - {BACKGROUND, *order})
        if strange:
            raise InputError(f"the classes {order} lack {strange}, which a data set's labels stand for")
        index = {BACKGROUND: 0} | {one: k for k, one in enumerate(order, start=1)}
        sets: dict[tuple[int, ...], int] = {(k,): k for k in range(len(index))}
        numbers: dict[str, dict[str, int]] = {}
        for name, labels in named.items():
            own = {one for meant in labels.values() for one in meant}
            complete = {BACKGROUND: (BACKGROUND, *(one for one in order if one not in own))} | labels
            numbers[name] = {
                label: sets.setdefault(tuple(sorted({index[one] for one in meant})), len(sets))
                for label, meant in complete.items()
            }
        told = {number for labels in numbers.values() for number in labels.values()}
        for one, k in index.items():
            if k and k not in told:
                raise InputError(f"no data set has a label for {one!r} alone: nothing tells it from the other classes")
        return cls(tuple(order), tuple(sets)[len(index) :], numbers)

    def annotated(self, dataset: str) -> frozenset[int]:
        """Return the classes that a data set tells from all others wherever they are, or knows to be absent.

        Examples
        --------
        >>> LabelSpace.union({"a": {"x": "x", "y": "y"}, "b": {"x or y": ("x", "y"), "z": "z"}}).annotated("b")
        frozenset({3})
        """
        table = admissible_classes(len(self.classes) + 1, self.sets)
        used = table[list(self.numbers[dataset].values())]
        together = used[used.sum(axis=1) > 1].any(axis=0)
        return frozenset(int(k) for k in np.flatnonzero(~together) if k)


def _names(dataset: str, label: str, meant: str | Sequence[str]) -> tuple[str, ...]:
    names = (meant,) if isinstance(meant, str) else tuple(meant)
    if not names:
        raise InputError(f"{dataset}: the label {label!r} must stand for at least one class")
    return names


def admissible_classes(classes: int, sets: Sequence[Sequence[int]] = ()) -> NDArray[np.bool_]:
    """Return which classes [labels, classes] every label may be: each class itself, then the sets.

    Parameters
    ----------
    classes
        Number of classes, the background included.
    sets
        Classes of each further label.

    Raises
    ------
    InputError
        An empty set, or one with a class that there is not.

    Examples
    --------
    >>> admissible_classes(3, [(0, 1)]).astype(int)
    array([[1, 0, 0],
           [0, 1, 0],
           [0, 0, 1],
           [1, 1, 0]])
    """
    table = np.zeros((classes + len(sets), classes), dtype=np.bool_)
    np.fill_diagonal(table, val=True)
    for row, members in enumerate(sets, start=classes):
        if not members or not all(0 <= member < classes for member in members):
            raise InputError(f"a label set must hold classes between 0 and {classes - 1}; got {tuple(members)}")
        table[row, list(members)] = True
    return table
