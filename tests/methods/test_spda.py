"""SPDA: what a training step sees, and how its study judges results."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from shapewright.data.task import Task
from shapewright.errors import InputError
from shapewright.methods.spda import reproduce as study
from shapewright.methods.spda.config import Config
from shapewright.methods.spda.method import SuperpixelAugmented
from shapewright.methods.spda.reproduce import BOUNDARY, COLUMNS, GAP, HD95, IOU, RARE, Arm
from shapewright.networks import NetworkConfig
from shapewright.training.method import Progress

TASK = Task(2, 2, ("red", "green", "blue"), {"cell": 1}, (32, 32), (1.0, 1.0))
SMALL = NetworkConfig(width=4, depth=2)


def batch() -> dict[str, torch.Tensor]:
    random = np.random.default_rng(0)
    image = torch.from_numpy(random.normal(size=(2, 3, 32, 32))).float()
    return {"image": image, "labels": (image[:, 0] > 0).long()}


def test_a_step_sees_raw_and_smooth_patches_once_each_and_repeats_exactly() -> None:
    torch.manual_seed(3)
    method = SuperpixelAugmented(Config(network=SMALL), TASK)
    assert method.pairs.colour
    seen = []
    method.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    given, progress = batch(), Progress(0, 10, step=4)
    first = method.step(given, progress).loss
    assert torch.equal(seen[0][:2], given["image"])
    assert seen[0].shape[0] == 4
    again = method.step(given, progress).loss
    assert torch.equal(first, again)
    method.step(given, Progress(0, 10, step=5))
    assert not torch.equal(seen[2], seen[0])


def test_consistency_is_added_and_logged() -> None:
    method = SuperpixelAugmented(Config(network=SMALL, consistency=2.0), TASK)
    step = method.step(batch(), Progress(0, 10))
    expected = step.logs["loss/supervised"] + 2 * step.logs["loss/consistency"]
    assert step.loss.item() == pytest.approx(float(expected), rel=1e-5)
    assert float(step.logs["loss/consistency"]) > 0


def test_options_that_cannot_be() -> None:
    with pytest.raises(InputError, match=r"settings\.cell_size must be"):
        Config(cell_size=(9, 4))
    with pytest.raises(InputError, match=r"settings\.consistency must be at least 0"):
        Config(consistency=-1.0)


def scores(iou: float, hd95: float = 8.0, boundary: float = 0.8, gap: float = 0.1, rare: float = 0.5) -> dict:
    return {
        **dict.fromkeys(COLUMNS, 0.5),
        IOU: iou,
        HD95: hd95,
        BOUNDARY: boundary,
        GAP: gap,
        RARE: rare,
        "seconds": 1.0,
    }


def test_relations_follow_the_figures() -> None:
    results = {}
    for seed in (0, 1):
        results[Arm("basic", seed=seed)] = scores(0.6)
        results[Arm("elastic", seed=seed)] = scores(0.68)
        results[Arm("superpixels", seed=seed)] = scores(0.7 + seed / 10, 6.0, 0.9, 0.05, rare=0.8)
        results[Arm("blur", seed=seed)] = scores(0.65, boundary=0.895)
    found = {relation.name: relation.holds for relation in study.summarise(results, (0, 1)).relations}
    assert found == {
        "R1 basic, new textures, 4 images": True,
        "R1 elastic, new textures, 4 images": True,
        "R3 distance, new textures, 4 images": True,
        "gap, new textures, 4 images": True,
        "control: blur, new textures, 4 images": False,
        "R2 rare class": True,
    }


def test_a_pair_is_cut_and_turned_alike() -> None:
    images = torch.rand(2, 1, 110, 100)
    labels = (images[:, 0] > 0.5).long()
    doubled = {"image": torch.cat([images, 1 - images]), "labels": labels.repeat(2, 1, 1)}
    changed = study.crop_and_turn(doubled, np.random.default_rng(0), pairs=True)
    assert changed["image"].shape == (4, 1, 96, 96)
    torch.testing.assert_close(changed["image"][:2], 1 - changed["image"][2:])
    assert torch.equal(changed["labels"][:2], (changed["image"][:2, 0] > 0.5).long())


def test_trains_scores_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = [Arm(name, steps=2) for name in ("basic", "elastic", "superpixels", "blur", "consistent")]
    monkeypatch.setattr(study, "study", lambda **_: short)
    arguments = {"quick": True, "seeds": (0,), "data": None, "out": tmp_path, "progress": lambda *_: None}
    first = study.reproduce(**arguments)
    assert len(first.rows) == 5
    assert np.isfinite([value for row in first.rows for values in row.ours.values() for value in values]).all()
    monkeypatch.setattr(study, "train_arm", None)
    assert study.reproduce(**arguments) == first
    json.dumps(first.to_dict())


def test_real_images_are_split_and_cut() -> None:
    train, test = study.real_images(Arm("basic", "nuclei"), None)
    assert train[0].shape == (4, 3, 256, 256)
    assert test[0].shape == (20, 3, 256, 256)
    assert train[1].shape == (4, 256, 256)
    assert replace(Arm("basic"), data="nuclei").setting == "nuclei (real), 4 images, basic"
