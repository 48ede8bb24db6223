"""Hard mining: what trains, where patches come from, and how the study judges results."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shapewright.cli.options import run_config
from shapewright.data.patches import TrainingCase
from shapewright.data.task import Task
from shapewright.errors import InputError
from shapewright.methods import factory
from shapewright.methods.hard_mining import reproduce as study
from shapewright.methods.hard_mining.config import Config
from shapewright.methods.hard_mining.method import build
from shapewright.methods.hard_mining.reproduce import ALARMS, AP, F1, MIMICS, Arm
from shapewright.networks import NetworkConfig
from shapewright.training.checkpoint import load_checkpoint
from shapewright.training.method import Mining, Progress
from shapewright.training.run import RunFolder, train

TASK = Task(2, 2, ("red", "green", "blue"), {"gland": 1}, (32, 32), (1.0, 1.0))
SMALL = NetworkConfig(width=4, depth=2)
START = Progress(0, 10)


def batch() -> dict[str, torch.Tensor]:
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return {"image": image, "labels": (image[:, 0] > 0.5).long()}


def test_the_loss_is_that_of_both_networks_and_the_coarse_one_predicts() -> None:
    torch.manual_seed(0)
    method = build(Config(network=SMALL), TASK)
    step = method.step(batch(), START)
    assert step.loss.item() == pytest.approx(float(step.logs["loss/fine"] + step.logs["loss/coarse"]), rel=1e-6)
    image = batch()["image"]
    expected = torch.softmax(method.network(image)[1], dim=1)
    torch.testing.assert_close(method.predict(image), expected)


def test_the_fine_network_alone_and_without_mining() -> None:
    method = build(Config(network=SMALL, compound=False, mining=False), TASK)
    assert not isinstance(method, Mining)
    assert isinstance(build(Config(network=SMALL), TASK), Mining)
    assert method.predict(batch()["image"]).shape == (2, 2, 32, 32)
    assert method.step(batch(), START).logs == {}


def test_density_is_the_error_with_its_options() -> None:
    labels = np.array([[0, 0, 1]], np.uint8)
    case = TrainingCase("a", np.zeros((3, 1, 3), np.float32), labels, (1.0, 1.0))
    probabilities = np.array([[[0.9, 0.02, 0.5]], [[0.1, 0.98, 0.5]]], np.float32)
    method: Any = build(Config(network=SMALL, floor=0.1), TASK)
    np.testing.assert_allclose(method.patch_density(case, probabilities), [[0.2, 1.08, 0.6]], rtol=1e-5)
    method = build(Config(network=SMALL, floor=0.1, drop_above=0.9), TASK)
    np.testing.assert_allclose(method.patch_density(case, probabilities), [[0.2, 0.1, 0.6]], rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"floor": -1.0}, "floor"),
        ({"scale": 1}, "scale"),
        ({"drop_above": 0.0}, "drop_above"),
        ({"smooth": -1}, "smooth"),
    ],
)
def test_options_that_cannot_be(options, message) -> None:
    with pytest.raises(InputError, match=message):
        Config(**options)


def toy(data: Path, **trainer: Any) -> Any:
    return run_config(
        {
            "method": "hard-mining",
            "data": str(data),
            "settings": {"network": {"width": 4, "depth": 2}},
            "prepare": {"patch_voxels": 2048, "foreground_share": 0.5},
            "trainer": {"epochs": 3, "steps_per_epoch": 2, **trainer},
        }
    )


def weights(out: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = load_checkpoint(RunFolder(out).last).state["state_dict"]
    return state


def test_a_resumed_run_takes_the_patches_of_one_that_was_not_stopped(
    volumes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shapewright.training import adapter
    from shapewright.training.fit import Interrupted

    config = toy(volumes)
    train(config, factory(config.method), tmp_path / "whole")
    original = adapter.LightningAdapter.training_step

    def stopping(self: Any, given: Any, index: int) -> torch.Tensor:
        if self.global_step == 3:
            raise KeyboardInterrupt
        return original(self, given, index)

    monkeypatch.setattr(adapter.LightningAdapter, "training_step", stopping)
    with pytest.raises((Interrupted, KeyboardInterrupt)):
        train(config, factory(config.method), tmp_path / "stopped")
    monkeypatch.setattr(adapter.LightningAdapter, "training_step", original)
    train(config, factory(config.method), tmp_path / "stopped", resume=True)
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_worker_processes_are_refused(volumes: Path, tmp_path: Path) -> None:
    config = toy(volumes, workers=1)
    with pytest.raises(InputError, match=r"trainer\.workers must be 0 for hard-mining"):
        train(config, factory(config.method), tmp_path / "run")


def scores(precision: float, mimics: float = 1.0) -> dict[str, float]:
    return {AP: precision, F1: 0.7, ALARMS: 0.1, MIMICS: mimics, "seconds": 1.0}


def test_relations_follow_the_figures() -> None:
    results = {}
    for seed in (0, 1):
        results |= {Arm("fine", seed=seed): scores(0.6), Arm("coarse", seed=seed): scores(0.68)}
        results |= {Arm("compound", seed=seed): scores(0.7), Arm("joint", seed=seed): scores(0.695)}
        for noise in (0.0, 0.2):
            results[Arm(sampling="uniform", noise=noise, seed=seed)] = scores(0.6)
            results[Arm(sampling="balanced", noise=noise, seed=seed)] = scores(0.65 + seed / 10)
            results[Arm(sampling="mined", noise=noise, seed=seed)] = scores(0.7, 4.0 - 10 * noise)
        results[Arm(sampling="capped", noise=0.2, seed=seed)] = scores(0.72)
    found = {relation.name: relation.holds for relation in study.summarise(results, (0, 1)).relations}
    assert found["R1"]
    assert not found["control: wide view"]
    assert found["both at once"]
    assert found["R4 uniform, 0% mislabelled"]
    assert not found["R4 balanced, 0% mislabelled"]
    assert found["mimics, 0% mislabelled"]
    assert not found["mimics, 20% mislabelled"]
    assert found["errors up to 0.9, 20% mislabelled"]


def test_trains_scores_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = [Arm(view, steps=2) for view in ("fine", "coarse", "compound", "joint")]
    short += [Arm(sampling=name, noise=0.2, steps=2) for name in ("balanced", "mined", "capped")]
    monkeypatch.setattr(study, "study", lambda **_: short)
    monkeypatch.setattr(study, "tiles", lambda count, *, mimics, **how: TILES(count // 6, mimics=mimics // 3, **how))
    arguments = {"quick": True, "seeds": (0,), "data": None, "out": tmp_path, "progress": lambda *_: None}
    first = study.reproduce(**arguments)
    assert len(first.rows) == len(short)
    assert np.isfinite([value for row in first.rows for values in row.ours.values() for value in values]).all()
    monkeypatch.setattr(study, "train_arm", None)
    assert study.reproduce(**arguments) == first
    json.dumps(first.to_dict())
    with pytest.raises(InputError, match="runs on its phantom alone"):
        study.reproduce(**{**arguments, "data": tmp_path})


TILES = study.tiles
