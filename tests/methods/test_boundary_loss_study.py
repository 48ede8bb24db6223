"""The boundary-loss study: its arms, its resumption, and how it judges results; a small training as a whole."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shapewright.methods.boundary_loss import reproduce as study
from shapewright.methods.boundary_loss.reproduce import BEST, COLUMNS, DICE, HD95, STD, Arm
from shapewright.training.reproduction import Relation, Reproduction, Row


def scores(dice: float, hd95: float = 5.0, std: float = 0.01) -> dict[str, float]:
    return {**dict.fromkeys(COLUMNS, 0.0), DICE: dice, HD95: hd95, STD: std, BEST: dice, "seconds": 1.0}


def silent(done: int, total: int, message: str) -> None:
    assert 0 <= done <= total
    assert message


def relations(results: dict[Arm, dict[str, float]]) -> dict[str, Relation]:
    return {relation.name: relation for relation in study.summarise(results, (0, 1)).relations}


def test_every_gdl_arm_has_a_partner_with_the_boundary_loss_and_all_seeds() -> None:
    arms = set(study.study(quick=False, seeds=(0, 1, 2)))
    for arm in arms:
        if arm.loss == "gdl":
            assert replace(arm, loss="rebalance") in arms
        assert {replace(arm, seed=seed) for seed in (0, 1, 2)} <= arms
    assert len({arm.setting for arm in arms}) * 3 == len(arms)
    assert len(study.study(quick=True, seeds=(0,))) == 5


def test_relations_follow_the_figures() -> None:
    gdl, both, alone = Arm("gdl"), Arm("rebalance"), Arm("boundary")
    results = {
        gdl: scores(0.60, 8.0, 0.10),
        replace(gdl, seed=1): scores(0.62, 7.0, 0.10),
        both: scores(0.70, 4.0, 0.02),
        replace(both, seed=1): scores(0.65, 5.0, 0.02),
        alone: scores(0.01),
        replace(alone, seed=1): scores(0.02),
    }
    found = relations(results)
    assert found["R1 Dice, constant rate"].holds
    assert found["R1 Dice, constant rate"].evidence == "0.610 to 0.675: +0.065 (+0.100, +0.030)"
    assert found["R1 HD95, constant rate"].holds
    assert found["control: best epoch, constant rate"].holds
    assert found["R2"].holds
    assert found["R3, constant rate"].holds
    worse = {**results, replace(both, seed=1): scores(0.61, 5.0, 0.30)}
    found = relations(worse)
    assert not found["R1 Dice, constant rate"].holds
    assert found["R1 HD95, constant rate"].holds
    assert not found["R3, constant rate"].holds


def test_default_is_judged_by_its_largest_shortfall() -> None:
    figures = {("gdl", "constant"): 0.6, ("gdl", "cosine"): 0.7, ("rebalance", "constant"): 0.69}
    figures["rebalance", "cosine"] = 0.65
    results = {Arm(loss, rate): scores(value) for (loss, rate), value in figures.items()}
    results |= {replace(arm, images=24): scores(1 - value[DICE]) for arm, value in results.items()}
    found = relations(results)
    assert found["control: rate, constant rate"].holds  # 0.70 against 0.69
    assert not found["control: rate, constant rate, 24 images"].holds
    assert not found["default, GDL, cosine rate"].holds
    assert "largest shortfall 0.100, mean 0.050 over 2 contexts" in found["default, GDL, cosine rate"].evidence


@pytest.mark.parametrize("task", ["phantom", "3D phantom", "MRI slices"])
def test_task_data(task: str) -> None:
    for (images, labels), count in zip(study.task_data(Arm("gdl", images=8, task=task), None)[:1], [8], strict=True):
        assert images.shape == (count, 1, *labels.shape[1:])
        assert images.isfinite().all()
        assert set(labels.unique().tolist()) == {0, 1}


def test_trains_scores_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = [Arm(loss, "plateau", images=8, epochs=3) for loss in ("gdl", "rebalance")]
    monkeypatch.setattr(study, "study", lambda **_: short)
    monkeypatch.setattr(study, "STEPS", 2)
    monkeypatch.setattr(study, "TAIL", 2)
    arguments = {"quick": True, "seeds": (0,), "data": None, "out": tmp_path, "progress": silent}
    first = study.reproduce(**arguments)
    assert len(list((tmp_path / "arms").glob("*.json"))) == 2
    for row in first.rows:
        assert set(row.ours) == set(COLUMNS)
        assert np.isfinite([value for values in row.ours.values() for value in values]).all()

    def fail(arm: Arm, data: Path | None) -> dict[str, float]:
        raise AssertionError("a finished arm must not be trained again")

    monkeypatch.setattr(study, "train_arm", fail)
    assert study.reproduce(**arguments) == first
    json.dumps(first.to_dict())


def test_committed_results_are_those_of_the_study() -> None:
    results = json.loads((Path(study.__file__).parent / "results.json").read_text(encoding="utf-8"))
    assert {"command", "machine", "versions", "seeds", "rows", "relations"} <= set(results)
    settings = {arm.setting for arm in study.study(quick=False, seeds=(0,))}
    assert {row["name"] for row in results["rows"]} <= settings
    for row in results["rows"]:
        for cell in row["ours"].values():
            assert len(cell["values"]) == len(results["seeds"])
            assert cell["mean"] == pytest.approx(np.mean(cell["values"]), abs=1e-3)


def test_table_shows_paper_beside_ours_where_it_has_a_value() -> None:
    rows = [Row("a", {"x": [1.0, 3.0], "y": [20.0]}, paper={"x": "2.5"}), Row("b", {"x": [0.5]})]
    table = Reproduction("t", ["x", "y"], rows, [Relation("R", "rises", False, "0 < 1")], ["note"], [0, 1], 1.0)
    lines = table.to_markdown().splitlines()
    assert lines[0] == "| setting | x | x (paper) | y |"
    assert lines[2] == "| a | 2.0 ± 1.4 | 2.5 | 20.0 |"
    assert lines[3] == "| b | 0.500 |  |  |"
    assert "| **R** rises | no | 0 < 1 |" in lines
    assert lines[-1] == "* note"
