"""Training batches: a function of the step, and the right voxels."""

import numpy as np
import pytest
import torch

from shapewright.data.augment import BatchAugmentation
from shapewright.data.mining import PatchGuide
from shapewright.data.patches import PatchBatches, TrainingCase, crop
from shapewright.data.preprocess import UNKNOWN
from shapewright.data.supervision import Boxes, Points, Supervision
from shapewright.data.task import Task
from shapewright.errors import InputError


def make_task(patch: tuple[int, ...], image_dims: int = 3, ignore: int | None = None) -> Task:
    return Task(len(patch), image_dims, ("c",), {"a": 1, "b": 2}, patch, (1.0,) * image_dims, ignore_label=ignore)


def make_case(name: str, shape: tuple[int, ...], seed: int) -> TrainingCase:
    """Return a case whose image tells every voxel's flat index and whose target repeats it."""
    random = np.random.default_rng(seed)
    image = np.arange(np.prod(shape), dtype=np.float32).reshape(1, *shape)
    labels = np.zeros(shape, np.uint8)
    labels.flat[random.integers(labels.size, size=3)] = 1
    labels.flat[random.integers(labels.size)] = 2
    return TrainingCase(name, image, labels, (1.0,) * len(shape), {"maps": image.copy()})


@pytest.mark.parametrize(
    ("shape", "patch"),
    [((9, 11, 7), (8, 8, 8)), ((20, 20, 20), (8, 16, 8)), ((13, 40, 31), (8, 8)), ((1, 1, 1), (8, 8, 8))],
)
def test_entries_of_a_patch_lie_on_the_same_voxels(shape: tuple[int, ...], patch: tuple[int, ...]) -> None:
    cases = [make_case(str(index), shape, index) for index in range(2)]
    batches = PatchBatches(cases, make_task(patch), batch_size=3, seed=1)
    for step in range(10):
        batch = batches(step)
        assert batch["image"].shape == (3, 1, *patch)
        assert batch["labels"].shape == (3, *patch)
        inside = batch["image"] > 0  # padding is zero, and so is the first voxel alone
        assert torch.equal(batch["maps"][inside], batch["image"][inside])


def test_labels_match_the_image() -> None:
    case = make_case("x", (12, 14, 10), 5)
    batch = PatchBatches([case], make_task((8, 8, 8)), batch_size=4, seed=0)(3)
    flat = case.labels.ravel()
    positions = batch["image"][:, 0].long()
    assert np.array_equal(flat[positions.numpy()], batch["labels"].numpy())


def test_batches_depend_on_seed_step_and_rank_only() -> None:
    cases = [make_case(str(index), (9, 9, 9), index) for index in range(5)]

    def batches(**changes: int) -> PatchBatches:
        return PatchBatches(cases, make_task((8, 8, 8)), batch_size=2, **{"seed": 1, **changes})

    first = batches()
    for step in (7, 3, 3):
        first(step)
    assert torch.equal(first(5)["image"], batches()(5)["image"])
    assert not torch.equal(first(5)["image"], batches()(6)["image"])
    assert not torch.equal(first(5)["image"], batches(seed=2)(5)["image"])
    assert not torch.equal(first(5)["image"], batches(rank=1, world=2)(5)["image"])


def test_processes_see_every_case_once_per_pass() -> None:
    cases = [
        TrainingCase(str(k), np.full((1, 8, 8, 8), k, np.float32), np.zeros((8, 8, 8), np.uint8), (1.0,) * 3)
        for k in range(8)
    ]
    for lap in range(2):
        seen = []
        for rank in range(2):
            batches = PatchBatches(cases, make_task((8, 8, 8)), batch_size=2, seed=0, rank=rank, world=2)
            for step in range(2 * lap, 2 * lap + 2):
                seen += batches(step)["image"][:, 0, 0, 0, 0].tolist()
        assert sorted(seen) == list(range(8))


def test_foreground_is_seen_as_often_as_asked() -> None:
    """A class of one voxel in 27,000 is in every patch that is centred on it, in almost none drawn at random."""
    labels = np.zeros((30, 30, 30), np.uint8)
    labels[3, 4, 5] = 1
    labels[10:25, 10:25, 10:25] = 2
    case = TrainingCase("x", np.zeros((1, 30, 30, 30), np.float32), labels, (1.0,) * 3)
    share = {}
    for foreground in (0.0, 0.5, 1.0):
        batches = PatchBatches([case], make_task((8, 8, 8)), batch_size=2, seed=0, foreground_share=foreground)
        found = torch.cat([(batches(step)["labels"] == 1).flatten(1).any(1) for step in range(200)])
        share[foreground] = float(found.float().mean())
    assert share[0.0] < 0.05
    assert 0.15 < share[0.5] < 0.35  # half of the patches are centred on foreground, half of those on class 1
    assert 0.4 < share[1.0] < 0.6


def test_unknown_voxels_are_masked() -> None:
    labels = np.full((8, 8, 8), UNKNOWN, np.uint8)
    labels[:4] = 1
    case = TrainingCase("x", np.zeros((1, 8, 8, 8), np.float32), labels, (1.0,) * 3)
    assert set(case.foreground) == {1}
    batch = PatchBatches([case], make_task((8, 8, 8), ignore=9), batch_size=1, seed=0)(0)
    assert batch["mask"].shape == (1, 1, 8, 8, 8)
    assert torch.equal(batch["mask"][0, 0], batch["labels"][0] == 1)
    assert int(batch["labels"].max()) == 1


def test_patches_of_a_sparse_mask_hold_a_known_voxel_whatever_its_class() -> None:
    labels = np.full((90, 90), UNKNOWN, np.uint8)
    labels[5, 7], labels[80, 81] = 0, 2
    case = TrainingCase("x", np.zeros((1, 90, 90), np.float32), labels, (1.0,) * 2, supervision=Supervision("sparse"))
    batches = PatchBatches([case], make_task((8, 8), image_dims=2), batch_size=3, seed=0)
    seen = torch.cat([batches(step)["mask"].sum((1, 2, 3)) for step in range(20)])
    assert (seen == 1).all()
    found = {int(batches(step)["labels"].max()) for step in range(20)}
    assert found == {0, 2}


@pytest.mark.parametrize("kind", ["points", "boxes"])
def test_patches_of_a_case_without_a_mask_are_centred_on_its_objects(kind: str) -> None:
    at, classes = np.array([[70.0, 20.0], [11.0, 12.0]]), np.array([1, 2], np.uint8)
    known = {
        "points": Supervision(points=Points(at, classes)),
        "boxes": Supervision(boxes=Boxes(at - 2, at + 2, classes)),
    }
    labels = np.full((90, 90), UNKNOWN, np.uint8)
    image = np.zeros((1, 90, 90), np.float32)
    image[0, 70, 20], image[0, 11, 12] = 1, 2
    case = TrainingCase("x", image, labels, (1.0,) * 2, supervision=known[kind])
    batches = PatchBatches([case], make_task((8, 8), image_dims=2), batch_size=2, seed=0, foreground_share=1.0)
    found = [float(value) for step in range(20) for value in batches(step)["image"].amax((1, 2, 3))]
    assert set(found) == {1, 2}
    assert not batches(0)["mask"].any()


def test_targets_by_their_type() -> None:
    """Class indices are padded as unknown and moved as labels are; facts about a case stay as they are."""
    labels = np.zeros((5, 9), np.uint8)
    cells = np.arange(45, dtype=np.uint8).reshape(1, 5, 9)
    targets = {"cells": cells, "maps": cells.astype(np.float32), "size": np.array([3, 4], np.float32)}
    case = TrainingCase("x", cells.astype(np.float32), labels, (1.0,) * 2, targets)
    augmentation = BatchAugmentation(spacing=(1.0, 1.0), flip=(0, 1), spatial=1.0, intensity=0.0)
    for change in (None, augmentation):
        batch = PatchBatches([case], make_task((8, 8), 2), batch_size=4, seed=0, augmentation=change)(1)
        assert torch.equal(batch["size"], torch.tensor([[3.0, 4.0]] * 4))
        assert batch["cells"].dtype == torch.uint8
        assert set(batch["cells"].unique().tolist()) <= {*range(45), UNKNOWN}
        assert (batch["cells"] == UNKNOWN).any()
        if change is None:
            known = batch["cells"] != UNKNOWN
            assert torch.equal(batch["cells"][known].float(), batch["maps"][known])


def test_no_cases_and_bad_shares_are_errors() -> None:
    with pytest.raises(InputError, match="no training cases"):
        PatchBatches([], make_task((8, 8)), batch_size=1, seed=0)
    with pytest.raises(InputError, match="foreground_share"):
        PatchBatches([make_case("x", (9, 9, 9), 0)], make_task((8, 8, 8)), batch_size=1, seed=0, foreground_share=1.5)


@pytest.mark.parametrize("mode", ["constant", "edge"])
def test_crop_equals_padding_first(mode: str) -> None:
    random = np.random.default_rng(0)
    array = random.normal(size=(2, 5, 7))
    padded = np.pad(array, [(0, 0), (9, 9), (9, 9)], mode="edge" if mode == "edge" else "constant")
    for _ in range(100):
        size = random.integers(1, 9, 2)
        start = [int(random.integers(-s + 1, n)) for s, n in zip(size, (5, 7), strict=True)]
        expected = padded[:, start[0] + 9 :, start[1] + 9 :][:, : size[0], : size[1]]
        assert np.array_equal(crop(array, start, size.tolist(), mode), expected)


def test_a_guide_takes_patches_from_where_the_network_is_wrong() -> None:
    cases = [make_case(str(index), (32, 40), index) for index in range(3)]
    error = {case.id: np.full(case.labels.shape, 0.001, np.float32) for case in cases}
    error["1"][20:24, 30:34] = 5.0
    known = {**error, "0": error["0"] * 0, "2": error["2"] * 0}
    looks: list[int] = []

    def look() -> dict[str, tuple[np.ndarray, np.ndarray]]:
        looks.append(1)
        return {case.id: (known[case.id], case.labels) for case in cases}

    def guided() -> PatchBatches:
        guide = PatchGuide(steps=10, look=look)
        return PatchBatches(cases, make_task((8, 8), 2), batch_size=4, seed=0, foreground_share=0.0, guide=guide)

    batches = guided()
    plain = PatchBatches(cases, make_task((8, 8), 2), batch_size=4, seed=0, foreground_share=0.0)
    for step in (0, 9):  # nothing is known in the first epoch
        assert torch.equal(batches(step)["image"], plain(step)["image"])
    assert not looks
    taken = torch.cat([batches(step)["image"] for step in range(10, 20)])
    assert len(looks) == 1
    middles = taken[:, 0, 4, 4].long()
    rows, columns = middles // 40, middles % 40
    assert ((rows >= 20) & (rows < 24) & (columns >= 30) & (columns < 34)).float().mean() > 0.9
    assert torch.equal(guided()(15)["image"], batches(15)["image"])  # as after a resumed epoch


def test_guided_patches_stay_inside_the_image() -> None:
    case = make_case("edge", (24, 24), 0)
    density = np.zeros((24, 24), np.float32)
    density[0, 0] = density[-1, -1] = 1.0
    guide = PatchGuide(steps=1, look=lambda: {case.id: (density, case.labels)})
    batches = PatchBatches([case], make_task((16, 16), 2), batch_size=4, seed=0, foreground_share=0.0, guide=guide)
    for step in range(1, 6):
        corners = {int(value) for value in batches(step)["image"][:, 0, 0, 0]}
        assert corners <= {0, 8 * 24 + 8}


def test_guided_patches_of_both_kinds_come_from_slices_too() -> None:
    cases = [make_case(str(index), (6, 20, 20), index) for index in range(2)]
    guide = PatchGuide(steps=1, look=lambda: {c.id: (np.ones(c.labels.shape, np.float32), c.labels) for c in cases})
    batches = PatchBatches(cases, make_task((8, 8)), batch_size=4, seed=0, foreground_share=0.5, guide=guide)
    for step in range(1, 8):
        labels = batches(step)["labels"]
        assert labels.shape == (4, 8, 8)
        assert all(bool((labels[slot] > 0).any()) for slot in range(2))
