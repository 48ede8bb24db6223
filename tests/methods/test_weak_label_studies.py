"""The studies of methods for weak labels: their arms, how they judge, and a small training as a whole."""

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from shapewright.methods.iterative_boxes import reproduce as boxes
from shapewright.methods.point_nuclei import reproduce as points
from shapewright.methods.sparse_annotation import reproduce as sparse

STUDIES: dict[str, ModuleType] = {"sparse": sparse, "points": points, "boxes": boxes}


def silent(done: int, total: int, message: str) -> None:
    assert 0 <= done <= total
    assert message


@pytest.fixture(params=STUDIES.values(), ids=STUDIES)
def study(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_every_setting_has_all_seeds_and_quick_is_part_of_the_whole(study: Any) -> None:
    whole = study.study(quick=False, seeds=(0, 1, 2))
    assert len(set(whole)) == len(whole)
    for arm in whole:
        assert {replace(arm, seed=seed) for seed in (0, 1, 2)} <= set(whole)
    steps = {arm.steps for arm in whole}
    quick = study.study(quick=True, seeds=(0,))
    assert {replace(arm, steps=max(steps)) for arm in quick} <= set(whole)
    assert len({arm.steps for arm in quick}) == 1  # all arms are trained equally


@pytest.mark.slow
def test_trains_scores_and_resumes(study: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = [replace(arm, steps=2) for arm in study.study(quick=True, seeds=(0,))]
    monkeypatch.setattr(study, "study", lambda **_: short)
    arguments = {"quick": True, "seeds": (0,), "data": None, "out": tmp_path, "progress": silent}
    first = study.reproduce(**arguments)
    for row in first.rows:
        assert set(row.ours) == set(study.COLUMNS)
        values = [value for cell in row.ours.values() for value in cell]
        assert np.isfinite(values).all()
        assert min(values) >= 0
        assert max(values) <= 1

    def fail(*arguments: object) -> dict[str, float]:
        raise AssertionError("a finished arm must not be trained again")

    monkeypatch.setattr(study, "train_arm", fail)
    assert study.reproduce(**arguments) == first
    json.dumps(first.to_dict())


def test_committed_results_are_those_of_the_study(study: Any) -> None:
    path = Path(study.__file__).parent / "results.json"
    results = json.loads(path.read_text(encoding="utf-8"))
    assert {"command", "machine", "versions", "seeds", "rows", "relations"} <= set(results)
    assert len(results["seeds"]) >= 3
    for row in results["rows"]:
        for cell in row["ours"].values():
            assert len(cell["values"]) == len(results["seeds"])


def scores(columns: tuple[str, ...], value: float) -> dict[str, float]:
    return {**dict.fromkeys(columns, value), "seconds": 1.0}


def test_relations_of_sparse_annotations_follow_the_figures() -> None:
    figures = {"mask": 0.55, "instance": 0.56, "batch": 0.70, "dataset": 0.71, "class": 0.02}
    results = {sparse.Arm("sparse", name): scores(sparse.COLUMNS, value) for name, value in figures.items()}
    results |= {sparse.Arm("dense", name): scores(sparse.COLUMNS, 0.8) for name in ("mask", "batch")}
    results |= {
        sparse.Arm("mixed", n): scores(sparse.COLUMNS, v)
        for n, v in (("mask", 0.6), ("instance", 0.7), ("batch", 0.73))
    }
    found = {relation.name: relation for relation in sparse.summarise(results, (0,)).relations}
    held = {name: relation.holds for name, relation in found.items()}
    assert held == {
        "R1": True,
        "R1 batch": True,
        "R1 instance": True,
        "R2": True,
        "R3": False,
        "R3 unbalanced": True,
        "R4": False,
        "control: unknown as a class": True,
        "control: constant weights": False,
        "control: constant weights, sign": False,
    }
    assert found["R1 batch"].evidence == "0.560 to 0.700: +0.140 (+0.140)"


def test_relations_of_points_follow_the_figures() -> None:
    values = {"full": 0.4, "voronoi": 0.42, "cluster": 0.3, "both": 0.5, "Otsu": 0.2}
    results = {points.Arm(name): scores(points.COLUMNS, value) for name, value in values.items()}
    results[points.Arm("both", crf=points.CRF_SHARE)] = scores(points.COLUMNS, 0.502)
    results[points.Arm("both", missing=0.2)] = scores(points.COLUMNS, 0.44)
    held = {relation.name: relation.holds for relation in points.summarise(results, (0,)).relations}
    assert held == {
        "R1 voronoi": True,
        "R1 cluster": True,
        "R2 F1": False,
        "R2 AJI": True,
        "R3": False,
        "R3 sign": True,
        "R3 boundary": True,
        "R4 AJI": True,
        "R4 F1": True,
        "control": True,
        "20% of the points missing": False,
    }


def test_objects_of_a_prediction_are_matched_by_half_their_union() -> None:
    class Given:
        def __call__(self, images: np.ndarray) -> list[np.ndarray]:
            return list(images)

    truth = np.zeros((1, 20, 20), np.int32)
    truth[0, 2:8, 2:8], truth[0, 12:18, 12:18] = 1, 2
    predicted = (truth > 0).astype(np.uint8)
    perfect = boxes.evaluate(Given(), (predicted, truth))  # type: ignore[arg-type]
    assert set(perfect.values()) == {1.0}
    predicted[0, 2:8, 4:8] = 0  # a third is left of the first object
    part = boxes.evaluate(Given(), (predicted, truth))  # type: ignore[arg-type]
    assert part[boxes.OBJECTS] == pytest.approx(0.5)
    assert part[boxes.PRECISION] == 1
    assert part[boxes.RECALL] == pytest.approx(48 / 72)
    nothing = boxes.evaluate(Given(), (predicted * 0, truth))  # type: ignore[arg-type]
    assert nothing[boxes.F] == nothing[boxes.OBJECTS] == nothing[boxes.RECALL] == 0


def test_real_nuclei_are_numbered_without_gaps_and_never_in_both_sets() -> None:
    training, test = points.real_tiles(None, seed=0)
    assert training.images.shape == (points.TRAIN, 3, points.SIZE, points.SIZE)
    for tiles in (training, test):
        for numbers in tiles.instances:
            found = np.unique(numbers)
            np.testing.assert_array_equal(found, np.arange(len(found)))
    seen = {image.tobytes() for image in training.images}
    assert not seen & {image.tobytes() for image in test.images}
    tiles = points.Tiles(test.images[:2], test.instances[:2])
    targets = points.make_targets(points.Arm("both"), tiles)
    assert [target.dtype for target in targets] == [torch.int64] * 2
    fewer = points.make_targets(points.Arm("voronoi", missing=0.5), tiles)[0]
    assert points.usual_radius(np.repeat(np.arange(3, dtype=np.int32), 12)[None]) == pytest.approx((12 / np.pi) ** 0.5)
    assert 0 < ndimage.label(fewer == 1)[1] < ndimage.label(targets[0] == 1)[1]
