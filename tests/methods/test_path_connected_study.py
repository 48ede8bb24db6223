"""The study of the paper's table: which arms, what is remembered, and what counts as holding."""

import pytest

from shapewright.methods.path_connected import census
from shapewright.methods.path_connected import reproduce as study
from shapewright.methods.path_connected.census import Census, censuses, take


def scores(human: float, pieces: float = 1.0) -> dict[str, float]:
    return {study.HUMAN: human, study.SIMULATED: human - 0.05, study.PIECES: pieces, "seconds": 1.0}


def finished(better: float = 0.05) -> dict[study.Arm, dict[str, float]]:
    return {
        arm: scores(0.7 + better * ((arm.flow != "none") + (arm.teacher != "none")) + 0.01 * arm.seed)
        for arm in study.study(quick=False, seeds=[0, 1])
    }


def counted(box: float = 0.0, affine: float = 9.0) -> dict[Census, dict[str, float]]:
    return {
        part: {
            "broken": box if part.flow == "box" else affine,
            "most": 4.0,
            "finer": 0.0,
            "count": 50.0,
            "seconds": 1.0,
        }
        for part in censuses(quick=False)
    }


COUNTS = counted()


def test_the_table_has_the_papers_figures_and_every_relation_holds_where_all_is_better() -> None:
    result = study.summarise(finished(), COUNTS, [0, 1])
    assert {row.paper.get(study.HUMAN) for row in result.rows} == {"0.9152", "0.9345", "0.9422", "0.9592", None}
    assert len(result.rows) == 8
    assert result.rows[0].ours[study.HUMAN] == [0.7, 0.71]
    assert all(relation.holds for relation in result.relations)
    assert result.seconds == 16.0 + len(COUNTS)


def test_relations_fail_where_they_do_not_hold() -> None:
    worse = study.summarise(finished(-0.05), COUNTS, [0, 1])
    assert not any(relation.holds for relation in worse.relations if relation.name.startswith(("flow", "teacher")))
    broken = finished()
    broken[study.Arm("box", "walks", 0)] = scores(0.8, pieces=0.75)
    names = {relation.name: relation.holds for relation in study.summarise(broken, COUNTS, [0, 1]).relations}
    assert not names["one piece, fits"]
    names = {r.name: r.holds for r in study.summarise(finished(), counted(1.0, 0.0), [0, 1]).relations}
    assert not names["one piece, random weights"]
    assert not names["one piece, fits on a fine grid"]
    assert not names["the paper's construction"]


def test_random_regions_of_the_box_are_whole_and_the_papers_are_not() -> None:
    assert take(Census("random", "box", 2, 64, 0, 4)) == {"broken": 0, "most": 1, "finer": 0, "count": 4}
    assert take(Census("random", "box", 3, 16, 0, 2))["broken"] == 0
    affine = take(Census("random", "affine", 2, 64, 0, 10))
    assert affine["broken"] > 0
    assert affine["most"] > 1


@pytest.mark.parametrize(("dims", "grid"), [(2, 96), (3, 24)])
def test_fitted_regions_are_counted(dims: int, grid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(census, "FIT_STEPS", 5)
    counts = take(Census("fitted", "box", dims, grid, 0, 1))
    assert counts["broken"] == 0
    assert counts["count"] == 1


def test_five_hundred_random_and_fifty_fitted_regions() -> None:
    plan = [c for c in censuses(quick=False) if c.flow == "box"]
    assert sum(c.count for c in plan if c.kind == "random") == 500
    assert sum(c.count for c in plan if c.kind == "fitted") == 50
    seeds = [(c.kind, c.dims, seed) for c in plan for seed in range(c.first, c.first + c.count)]
    assert len(set(seeds)) == len(seeds)
