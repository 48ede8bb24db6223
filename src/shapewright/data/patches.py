"""Training batches as a function of the step.

Everything random about a batch is drawn from (seed, step, rank). A run that was killed and resumed sees the same
batches as one that was not, with no state of a generator to save.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shapewright.data.augment import BatchAugmentation
from shapewright.data.mining import PatchGuide
from shapewright.data.preprocess import UNKNOWN
from shapewright.data.supervision import Points, Supervision
from shapewright.data.task import Task
from shapewright.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TrainingCase:
    """One prepared case.

    Parameters
    ----------
    id
        The case's name.
    image
        float32 [C, *spatial].
    labels
        uint8 class indices [*spatial]; 255 is unknown.
    spacing
        Voxel size in mm.
    targets
        What the method made of the whole image, see :meth:`shapewright.training.method.Method.image_targets`.
    supervision
        What is known about the case, positions on this array's grid.
    member
        Data set that the case comes from, in a collection of several.
    """

    id: str
    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    spacing: tuple[float, ...]
    targets: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    supervision: Supervision = field(default=Supervision("dense"))
    member: str = ""
    partly_known: bool = field(init=False)
    foreground: Mapping[int, NDArray[np.int32]] = field(init=False)

    def __post_init__(self) -> None:
        flat = self.labels.ravel()
        present = [int(k) for k in np.unique(flat)]
        object.__setattr__(self, "partly_known", UNKNOWN in present)
        unlabelled = set(present) == {UNKNOWN}
        leave_out = (UNKNOWN,) if self.supervision.mask in ("sparse", "scribbles") else (0, UNKNOWN)
        positions = {k: np.flatnonzero(flat == k).astype(np.int32) for k in present if k not in leave_out}
        object.__setattr__(self, "foreground", self._objects() if unlabelled else positions)

    @property
    def weak(self) -> bool:
        """Whether the case has less than a full mask."""
        return self.supervision.mask != "dense"

    def _objects(self) -> dict[int, NDArray[np.int32]]:
        """Return the voxels of points and the middles of boxes, by class, of a case without a mask."""
        shape, known = self.labels.shape, self.supervision
        if known.points is not None:
            voxels, classes = known.points.voxels(shape), known.points.classes
        elif known.boxes is not None:
            middle = (known.boxes.first + known.boxes.last) / 2
            voxels, classes = Points(middle, known.boxes.classes).voxels(shape), known.boxes.classes
        else:
            return {}
        flat = np.ravel_multi_index(tuple(voxels.T), shape).astype(np.int32)
        return {int(k): flat[classes == k] for k in np.unique(classes)}


@dataclass(frozen=True)
class PatchBatches:
    """Batches of patches, addressed by step. Of a collection every data set fills as many places as every other.

    Parameters
    ----------
    cases
        Prepared training cases.
    task
        Patch size and ranks.
    batch_size
        Patches per batch and process.
    seed
        Seed of the run.
    foreground_share
        Share of a batch's patches that are centred on a voxel of a class drawn uniformly among the case's classes;
        the others lie anywhere (in a sparse mask: on any known voxel, background included). At least one patch of a
        batch is of each kind where the share is neither 0 nor 1 and the batch has two or more.
    weak_share
        Share of the patches that come from cases without a full mask, where there are cases of both kinds; None takes
        every case equally often.
    augmentation
        Applied to every batch; None leaves patches as they are.
    rank, world
        This process and the number of processes; together they see every case once per pass.
    guide
        Says where the network is wrong; cases and centres are then drawn in proportion to that.
    """

    cases: Sequence[TrainingCase]
    task: Task
    batch_size: int
    seed: int
    foreground_share: float = 0.67
    weak_share: float | None = None
    augmentation: BatchAugmentation | None = None
    rank: int = 0
    world: int = 1
    guide: PatchGuide | None = None

    def __post_init__(self) -> None:
        if not self.cases:
            raise InputError("no training cases")
        if not 0 <= self.foreground_share <= 1:
            raise InputError(f"prepare.foreground_share must be between 0 and 1; got {self.foreground_share}")

    def __call__(self, step: int) -> "dict[str, Tensor]":
        """Return the batch of optimiser step ``step``, counted from 0.

        Returns
        -------
        dict
            ``image`` [B, C, *patch] float32, ``labels`` [B, *patch] int64, ``mask`` [B, 1, *patch] bool where voxels
            are unknown, and one entry [B, N, *patch], or [B, N], for each of the method's targets.
        """
        import torch

        random = np.random.default_rng([self.seed, step, self.rank])
        if self.guide is not None:
            self.guide.follow(step)
        patches = [self._patch(self._case(step, slot, random), slot, random) for slot in range(self.batch_size)]
        batch = {name: torch.from_numpy(np.stack([patch[name] for patch in patches])) for name in patches[0]}
        if self.masked:
            known = batch["labels"] != UNKNOWN
            batch["mask"] = known[:, None]
            batch["labels"] = batch["labels"] * known
        if self.augmentation is not None:
            batch = self.augmentation(batch, random)
        return batch

    @property
    def masked(self) -> bool:
        """Whether batches say which voxels are known."""
        return self.task.ignore_label is not None or any(case.partly_known for case in self.cases)

    def _case(self, step: int, slot: int, random: np.random.Generator) -> TrainingCase:
        """Return the case of one slot: a new random order for every pass over the cases.

        The data sets of a collection take turns, as do cases with and without a mask, so that a few masks among many
        weaker labels are not lost.
        """
        if self.weak_share is not None:
            kinds = [case for case in self.cases if case.weak], [case for case in self.cases if not case.weak]
            if all(kinds):
                kind = kinds[0] if random.random() < self.weak_share else kinds[1]
                return kind[random.integers(len(kind))]
        position = (step * self.world + self.rank) * self.batch_size + slot
        if self.guide is not None:
            hard = self.guide.case(
                [case.id for case in self.cases], np.random.default_rng([self.seed, 1_000_033, position])
            )
            if hard is not None:
                return self.cases[hard]
        groups, chosen = self._groups, 0
        if len(groups) > 1:  # in random order, so that no group always has the same place of a batch
            position, place = divmod(position, len(groups))
            order = np.random.default_rng([self.seed, 1_000_037, position]).permutation(len(groups))
            chosen = int(order[place])
        cases = groups[chosen]
        lap, place = divmod(position, len(cases))
        order = np.random.default_rng([self.seed, 1_000_003 + 100 * chosen, lap]).permutation(len(cases))
        return self.cases[cases[int(order[place])]]

    @functools.cached_property
    def _groups(self) -> list[list[int]]:
        """The numbers of the cases that take turns: those of each data set, with and without a mask.

        Numbers, not cases: training in rounds replaces the cases themselves.
        """
        groups: dict[tuple[str, bool], list[int]] = {}
        for number, case in enumerate(self.cases):
            groups.setdefault((case.member, case.supervision.mask is None), []).append(number)
        return [groups[key] for key in sorted(groups)]

    def _patch(self, case: TrainingCase, slot: int, random: np.random.Generator) -> dict[str, NDArray[Any]]:
        centre = self._centre(case, slot, random)
        size = np.array(self.task.patch_size)
        if self.task.spatial_dims < self.task.image_dims:
            size = np.array([1, *size])
        start = [_start(c, s, n) for c, s, n in zip(centre, size, case.labels.shape, strict=True)]
        arrays: dict[str, tuple[NDArray[Any], str]] = {
            "image": (case.image, "constant"),
            "labels": (case.labels[None], "unknown" if case.partly_known else "constant"),
        }
        for name, target in case.targets.items():
            if target.ndim > 1:
                arrays[name] = (target, "edge" if np.issubdtype(target.dtype, np.floating) else "unknown")
        patch = {name: crop(array, start, size.tolist(), mode) for name, (array, mode) in arrays.items()}
        if self.task.spatial_dims < self.task.image_dims:
            patch = {name: array[:, 0] for name, array in patch.items()}
        patch["labels"] = patch["labels"][0].astype(np.int64)
        return patch | {name: target for name, target in case.targets.items() if target.ndim == 1}

    def _centre(self, case: TrainingCase, slot: int, random: np.random.Generator) -> NDArray[np.int64]:
        """Return the voxel in the patch's middle."""
        shape = np.array(case.labels.shape)
        if self.guide is not None:
            hard = self.guide.centre(case.id, slot < self._foreground_slots(random), random)
            if hard is not None:
                return hard
        if case.foreground and slot < self._foreground_slots(random):
            positions = case.foreground[random.choice(list(case.foreground))]
            return np.array(np.unravel_index(positions[random.integers(len(positions))], tuple(shape)))
        if case.weak and case.supervision.mask is not None and case.foreground:  # an unknown patch teaches nothing
            positions = np.concatenate(list(case.foreground.values()))
            return np.array(np.unravel_index(positions[random.integers(len(positions))], tuple(shape)))
        return random.integers(0, shape)

    def _foreground_slots(self, random: np.random.Generator) -> int:
        """Return how many leading slots of this batch are centred on foreground."""
        if self.foreground_share in (0.0, 1.0):
            return round(self.foreground_share * self.batch_size)
        if self.batch_size == 1:
            return int(random.random() < self.foreground_share)
        return int(np.clip(round(self.foreground_share * self.batch_size), 1, self.batch_size - 1))


def _start(centre: int, size: int, length: int) -> int:
    """Return where a patch starts: inside the image where it fits, centred on the image where it does not."""
    if size >= length:
        return (length - size) // 2
    return int(np.clip(centre - size // 2, 0, length - size))


def crop(array: NDArray[Any], start: Sequence[int], size: Sequence[int], mode: str) -> NDArray[Any]:
    """Cut [N, *size] out of [N, *spatial], padding where the box leaves the array.

    Parameters
    ----------
    mode
        ``constant`` pads with 0, ``unknown`` with 255, ``edge`` repeats the border.

    Examples
    --------
    >>> crop(np.arange(4)[None], [-1], [4], "constant")
    array([[0, 0, 1, 2]])
    """
    inside, padding = [slice(None)], [(0, 0)]
    for first, width, length in zip(start, size, array.shape[1:], strict=True):
        last = first + width
        inside.append(slice(max(first, 0), min(last, length)))
        padding.append((max(-first, 0), max(last - length, 0)))
    part = array[tuple(inside)]
    if any(before or after for before, after in padding):
        if mode == "edge":
            return np.pad(part, padding, mode="edge")
        return np.pad(part, padding, constant_values=UNKNOWN if mode == "unknown" else 0)
    return np.ascontiguousarray(part)
