"""The study of the paper's table: which arms, what is remembered, and what counts as holding."""

from pathlib import Path

import pytest

from shapewright.errors import InputError
from shapewright.methods.path_connected import reproduce as study


def scores(human: float, pieces: float = 1.0) -> dict[str, float]:
    return {study.HUMAN: human, study.SIMULATED: human - 0.05, study.PIECES: pieces, "seconds": 1.0}


def finished(better: float = 0.05) -> dict[study.Arm, dict[str, float]]:
    return {
        arm: scores(0.7 + better * ((arm.flow != "none") + (arm.teacher != "none")) + 0.01 * arm.seed)
        for arm in study.study(quick=False, seeds=[0, 1])
    }


COUNTS = {"affine broken": 90.0, "affine most": 4.0, "box broken": 0.0, "box most": 1.0, "count": 200.0, "seconds": 2.0}


def test_the_table_has_the_papers_figures_and_every_relation_holds_where_all_is_better() -> None:
    result = study.summarise(finished(), COUNTS, [0, 1])
    assert {row.paper.get(study.HUMAN) for row in result.rows} == {"0.9152", "0.9345", "0.9422", "0.9592", None}
    assert len(result.rows) == 8
    assert result.rows[0].ours[study.HUMAN] == [0.7, 0.71]
    assert all(relation.holds for relation in result.relations)
    assert result.seconds == 18.0


def test_relations_fail_where_they_do_not_hold() -> None:
    worse = study.summarise(finished(-0.05), COUNTS, [0, 1])
    assert not any(relation.holds for relation in worse.relations if relation.name.startswith(("flow", "teacher")))
    broken = finished()
    broken[study.Arm("box", "walks", 0)] = scores(0.8, pieces=0.75)
    names = {relation.name: relation.holds for relation in study.summarise(broken, COUNTS, [0, 1]).relations}
    assert not names["one piece, fits"]
    counts = COUNTS | {"box broken": 1.0, "affine broken": 0.0}
    names = {relation.name: relation.holds for relation in study.summarise(finished(), counts, [0, 1]).relations}
    assert not names["one piece, random weights"]
    assert not names["the paper's construction"]


def test_finished_arms_are_remembered_and_those_of_another_study_refused(tmp_path: Path) -> None:
    file, calls = tmp_path / "arm.json", []

    def compute() -> dict[str, float]:
        calls.append(1)
        return {"value": 0.5}

    for _ in range(2):
        assert study._remembered(file, {"seed": 0}, compute)["value"] == 0.5
    assert len(calls) == 1
    with pytest.raises(InputError, match="belongs to other images or settings"):
        study._remembered(file, {"seed": 1}, compute)


def test_random_regions_of_the_box_are_whole() -> None:
    counts = study.random_regions(6)
    assert counts["box broken"] == 0
    assert counts["box most"] == 1
