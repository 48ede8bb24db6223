"""Datasets become tasks and prepared cases."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from shapewright.data import Image, write_image, write_labels
from shapewright.data.patches import TrainingCase
from shapewright.data.preprocess import UNKNOWN
from shapewright.errors import InputError
from shapewright.training.cases import (
    load_cases,
    open_data,
    plan_task,
    prepare_case,
    split_dataset,
    summarise_data,
    usable_cases,
)
from shapewright.training.config import PrepareConfig, SplitConfig


def prepared(source: str, prepare: PrepareConfig | None = None) -> tuple[list[TrainingCase], dict[str, object]]:
    prepare = prepare or PrepareConfig()
    dataset = open_data(source, binary=prepare.binary)
    split = split_dataset(dataset, SplitConfig(validation=0.2, test=0.2))
    loaded = load_cases(dataset, split, lambda items, _: items)
    task = plan_task(dataset, loaded, prepare)
    cases = [prepare_case(case, task, lambda *_: {}) for case in loaded]
    return cases, summarise_data(dataset, source, task, loaded) | {"task": task}


def test_volumes(volumes: Path) -> None:
    cases, facts = prepared(str(volumes))
    assert all(case.image.shape[1:] == case.labels.shape for case in cases)
    assert facts["spatial_dims"] == 3
    assert facts["cases"][0]["spacing"] == [2.0, 1.0, 1.0]  # type: ignore[index]
    for case, described in zip(cases, facts["cases"], strict=True):  # type: ignore[call-overload]
        assert described["volumes_ml"]["1"] == pytest.approx((case.labels == 1).sum() * 2e-3)


def test_resampling_to_a_given_spacing(volumes: Path) -> None:
    cases, _ = prepared(str(volumes), PrepareConfig(spacing=(1.0, 1.0, 1.0)))
    assert {case.labels.shape[0] for case in cases} == {24}


@pytest.mark.parametrize("name", ["nuclei", "vessels", "hippocampus"])
def test_bundled_samples_have_a_task(name: str) -> None:
    dataset = open_data(f"sample:{name}")
    split = split_dataset(dataset, SplitConfig())
    few = {key: cases[:1] for key, cases in split.items()}
    loaded = load_cases(dataset, few, lambda items, _: items)
    task = plan_task(dataset, loaded, PrepareConfig())
    case = prepare_case(loaded[0], task, lambda *_: {})
    assert set(np.unique(case.labels)) == set(range(task.classes))
    assert np.prod(task.patch_size) <= 160_000


def test_volumes_of_a_single_slice_are_flat_images(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    for name in "abcde":
        label = np.zeros((1, 24, 20), np.uint8)
        label[:, 5:12, 6:15] = 1
        image = Image((label + random.normal(size=label.shape))[None].astype(np.float32), (3.0, 1.0, 1.0))
        write_image(tmp_path / "images" / f"{name}.nii.gz", image.array, like=image)
        write_labels(tmp_path / "labels" / f"{name}.nii.gz", label, like=image)
    task = prepared(str(tmp_path))[1]["task"]
    assert (task.spatial_dims, task.image_dims, task.patch_size) == (2, 3, (24, 24))  # type: ignore[attr-defined]
    task = prepared(str(tmp_path), PrepareConfig(spatial_dims=3))[1]["task"]
    assert task.spatial_dims == 3  # type: ignore[attr-defined]


def test_a_mixture_of_ranks_is_refused(volumes: Path, pictures: Path) -> None:
    dataset = open_data(str(volumes))
    first = load_cases(dataset, split_dataset(dataset, SplitConfig()), lambda items, _: items)
    flat = open_data(str(pictures))
    second = load_cases(flat, split_dataset(flat, SplitConfig()), lambda items, _: items)
    with pytest.raises(InputError, match="mixes 2D and 3D"):
        plan_task(dataset, first + second, PrepareConfig())
    with pytest.raises(InputError, match="spatial_dims is 3, but the images"):
        plan_task(flat, second, PrepareConfig(spatial_dims=3))


@pytest.fixture
def dotted(tmp_path: Path, pictures: Path) -> Path:
    """Return the pictures with points instead of most masks."""
    shutil.copytree(pictures, tmp_path / "dotted")
    folder = tmp_path / "dotted"
    (folder / "points").mkdir()
    for index in range(8):
        (folder / "points" / f"p{index}.csv").write_text("y,x\n20,18\n")
        if index >= 3:
            (folder / "masks" / f"p{index}.png").unlink()
    return folder


def test_cases_without_a_mask_train_where_the_method_can_use_them(dotted: Path) -> None:
    dataset, config = open_data(str(dotted)), SplitConfig(validation=0.3, test=0.3)
    dense, points = split_dataset(dataset, config), split_dataset(dataset, config, ("points",))
    assert [len(dense[name]) for name in ("train", "val", "test")] == [1, 1, 1]
    assert [len(points[name]) for name in ("train", "val", "test")] == [6, 1, 1]
    assert all(case.has_mask for name in ("val", "test") for case in points[name])
    assert points["test"] == dense["test"]  # what a run is measured on does not depend on the method
    loaded = load_cases(dataset, points, lambda items, _: items)
    task = plan_task(dataset, loaded, PrepareConfig())
    case = prepare_case(next(case for case in loaded if case.labels is None), task, lambda _: {})
    assert (case.labels == UNKNOWN).all()
    assert case.supervision.points is not None
    np.testing.assert_array_equal(case.supervision.points.positions, [[20, 18]])
    assert [len(usable_cases(loaded, kinds, "m")) for kinds in (("dense",), ("points",))] == [3, 8]
    for case in usable_cases(loaded, ("points",), "m"):
        assert (case.labels is None) == (case.split == "train")  # nothing of a mask reaches a method for points
    with pytest.raises(InputError, match="m learns from boxes labels; the cases to train on have dense, points"):
        usable_cases(loaded, ("boxes",), "m")


def test_a_split_file_measures_on_masks_only(dotted: Path, tmp_path: Path) -> None:
    file = tmp_path / "split.json"
    file.write_text('{"train": ["p0", "p3"], "val": ["p1", "p2"], "test": ["p7"]}')
    with pytest.raises(InputError, match="p7 has no mask to measure against"):
        split_dataset(open_data(str(dotted)), SplitConfig(file=str(file)), ("points",))
    file.write_text('{"train": ["p0", "p3"], "val": ["p1"], "test": ["p2"]}')
    split = split_dataset(open_data(str(dotted)), SplitConfig(file=str(file)), ("points",))
    assert [case.id for case in split["train"]] == ["p0", "p3"]


def test_what_a_method_makes_of_the_whole_image(dotted: Path) -> None:
    dataset = open_data(str(dotted))
    split = split_dataset(dataset, SplitConfig(), ("points",))
    loaded = load_cases(dataset, {**split, "val": (), "test": ()}, lambda items, _: items)
    task = plan_task(dataset, loaded, PrepareConfig())

    def boxes(case: TrainingCase) -> dict[str, np.ndarray]:
        assert case.supervision.points is not None
        labels = np.zeros_like(case.labels)
        labels[tuple(case.supervision.points.voxels(labels.shape)[0])] = 1
        return {"labels": labels[None], "size": np.array([7.0])}

    case = prepare_case(loaded[-1], task, boxes)
    assert case.labels.sum() == 1
    assert set(case.foreground) == {1}
    assert list(case.targets) == ["size"]


def test_a_folder_without_labels_is_refused(tmp_path: Path, pictures: Path) -> None:
    (tmp_path / "images").symlink_to(pictures / "images")
    (tmp_path / "labels").mkdir()
    with pytest.raises(InputError, match="no labelled case"):
        split_dataset(open_data(str(tmp_path)), SplitConfig())
