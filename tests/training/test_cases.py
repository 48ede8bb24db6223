"""Datasets become tasks and prepared cases."""

from pathlib import Path

import numpy as np
import pytest

from shapewright.data.patches import TrainingCase
from shapewright.errors import InputError
from shapewright.training.cases import load_cases, open_data, plan_task, prepare_case, split_dataset, summarise_data
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


def test_a_mixture_of_ranks_is_refused(volumes: Path, pictures: Path) -> None:
    dataset = open_data(str(volumes))
    first = load_cases(dataset, split_dataset(dataset, SplitConfig()), lambda items, _: items)
    flat = open_data(str(pictures))
    second = load_cases(flat, split_dataset(flat, SplitConfig()), lambda items, _: items)
    with pytest.raises(InputError, match="mixes 2D and 3D"):
        plan_task(dataset, first + second, PrepareConfig())
    with pytest.raises(InputError, match="spatial_dims is 3, but the images"):
        plan_task(flat, second, PrepareConfig(spatial_dims=3))


def test_a_folder_without_labels_is_refused(tmp_path: Path, pictures: Path) -> None:
    (tmp_path / "images").symlink_to(pictures / "images")
    (tmp_path / "labels").mkdir()
    with pytest.raises(InputError, match="no labelled case"):
        split_dataset(open_data(str(tmp_path)), SplitConfig())
