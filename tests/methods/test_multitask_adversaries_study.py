"""The multitask-adversaries study: its arms, its batches, how it judges results; a small training as a whole."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from shapewright.errors import InputError
from shapewright.methods.multitask_adversaries import reproduce as study
from shapewright.methods.multitask_adversaries.reproduce import ARMS, COLUMNS, CROSS_MEAN, F1, OWN_MEAN, Arm, Eyes
from shapewright.training.reproduction import Relation

SEEDS = (0, 1, 2)


def measured(**scores: tuple[float, float]) -> dict[Arm, Mapping[str, float]]:
    """Return scores on other and own classes, the same for every seed."""
    return {
        Arm(name.replace("_", ", "), seed=seed): {
            **dict.fromkeys(COLUMNS, 0.5),
            CROSS_MEAN: other + 0.01 * seed,
            OWN_MEAN: own,
            "seconds": 1.0,
        }
        for name, (other, own) in scores.items()
        for seed in SEEDS
    }


def judged(results: Mapping[Arm, Mapping[str, float]]) -> dict[str, Relation]:
    return {relation.name: relation for relation in study.summarise(results, SEEDS, {}).relations}


def test_every_arm_has_all_seeds_and_masking_beside_it() -> None:
    arms = study.study(quick=False, seeds=SEEDS)
    assert len(set(arms)) == len(arms)
    for arm in arms:
        assert replace(arm, name="masked") in arms
        assert {replace(arm, seed=seed) for seed in SEEDS} <= set(arms)
    assert {arm.name for arm in arms} == set(ARMS)
    quick = study.study(quick=True, seeds=SEEDS)
    assert {arm.setting for arm in quick} == {"naive", "masked", "all", "masked / chase", "all / chase"}


def test_relations_follow_the_figures() -> None:
    found = judged(measured(naive=(0.1, 0.7), masked=(0.5, 0.7), all=(0.53, 0.695), D1=(0.53, 0.6)))
    assert found["mask"].holds
    assert found["R2: all"].holds
    assert not found["part: D1"].holds
    found = judged(measured(naive=(0.4, 0.7), masked=(0.5, 0.7), all=(0.51, 0.8)))
    assert not found["mask"].holds
    assert not found["R2: all"].holds
    photographs = {
        Arm(name, eyes="chase", seed=seed): {
            **dict.fromkeys(COLUMNS, 0.5),
            F1: f1 - 0.1 * (seed == worse),
            "seconds": 1.0,
        }
        for name, f1, worse in (("masked", 0.6, 9), ("all", 0.65, 9))
        for seed in SEEDS
    }
    assert judged(photographs)["R1 F1, chase"].holds
    photographs[Arm("all", eyes="chase", seed=1)] = {**photographs[Arm("all", eyes="chase")], F1: 0.59}
    found = judged(photographs)["R1 F1, chase"]
    assert not found.holds
    assert found.evidence == "0.600 to 0.630: +0.030 (+0.050, -0.010, +0.050)"


def test_batches_say_what_each_set_knows_and_keep_labels_beside_the_image() -> None:
    numbers = torch.arange(70 * 80).view(70, 80)
    sets = [
        Eyes(
            (numbers + 10_000 * k).expand(2, 3, 70, 80).float(),
            numbers.expand(2, 70, 80),
            torch.full((2, 6), k),
            torch.full((2, 6), k),
        )
        for k in (0.0, 1.0)
    ]
    batch = study.draw_batch(sets, torch.tensor([0, 3, 2, 1]), seed=[0, 0])
    assert batch["annotated"][:, 0].tolist() == [0, 1, 1, 0]
    assert batch["image"].shape == (4, 3, *study.SHAPE)
    offsets = batch["image"] - batch["labels"][:, None]
    assert torch.equal(offsets, 10_000 * batch["annotated"][:, :1, None, None].expand_as(offsets))
    again = study.draw_batch(sets, torch.tensor([0, 3, 2, 1]), seed=[0, 0])
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    assert not torch.equal(study.draw_batch(sets, torch.tensor([0, 3, 2, 1]), seed=[0, 1])["labels"], batch["labels"])


def test_eyes_know_what_they_are_annotated_for() -> None:
    eyes_a, eyes_b, test_a, test_b = study.load_eyes("phantom", 3, None)
    assert set(eyes_a.labels.unique().tolist()) == {0, 1}
    assert set(eyes_b.labels.unique().tolist()) == {0, 2, 3, 4, 5, 6}
    assert eyes_a.annotated.sum(dim=1).tolist() == [1] * 48
    assert eyes_b.annotated.sum(dim=1).tolist() == [5] * 48
    assert test_a.masks.shape == test_b.masks.shape == (16, 6, *study.SHAPE)
    assert test_a.masks[:, 2:].any()


def test_children_are_either_trained_or_tested_on() -> None:
    (images, vessels), test = study.chase(0, None)
    assert images.shape == (6, 3, 240, 249)
    assert test.images.shape[0] == 4
    assert 0.03 < vessels.mean() < 0.15
    assert 0.5 < test.fields.mean() < 0.9
    tested = {mask.tobytes() for mask in test.masks[:, 0]}
    assert not tested & {(one > 0).tobytes() for one in vessels}


def test_a_second_observer_is_measured_where_there_is_one(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for child in range(1, 4):
        for side in "LR":
            name = tmp_path / f"Image_{child:02}{side}"
            Image.fromarray(random.integers(100, 255, (256, 264, 3), np.uint8)).save(f"{name}.jpg")
            vessels = np.zeros((256, 264), np.uint8)
            vessels[8 * child : 8 * child + 60, 40:160] = 255
            Image.fromarray(vessels).save(f"{name}_1stHO.png")
            Image.fromarray(np.roll(vessels, 12, axis=0)).save(f"{name}_2ndHO.png")
    found = study.observer_scores(tmp_path, (0,))
    assert found[F1] == [pytest.approx(48 / 60, abs=1e-4)]
    assert set(found) == {"SE", "SP", "ACC", "F1"}
    assert study.observer_scores(None, (0,)) == {}


def test_photographs_without_labels_are_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "images" / "a.png")
    with pytest.raises(InputError, match="colour photographs with labels"):
        study.chase_eyes(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arm", [Arm("all", steps=10), Arm("naive", "chase", steps=10), Arm("masked, pseudo-labels", steps=10)]
)
def test_an_arm_from_beginning_to_end(arm: Arm) -> None:
    scores = study.train_arm(arm)
    assert set(scores) <= set(COLUMNS)
    assert all(np.isfinite(value) for value in scores.values())
    assert (study.D2_LATE in scores) == (arm.name == "all")
    assert (F1 in scores) == (arm.eyes == "chase")
