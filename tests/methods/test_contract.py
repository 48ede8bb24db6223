"""What every method promises, checked on its preset ``toy``."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from shapewright.data.kinds import KINDS
from shapewright.data.patches import TrainingCase
from shapewright.data.preprocess import UNKNOWN
from shapewright.data.supervision import Boxes, Points, Supervision
from shapewright.data.task import Task
from shapewright.methods import card, config_class, factory, info, methods, presets
from shapewright.training.checkpoint import load_checkpoint, load_weights, save_checkpoint
from shapewright.training.config import from_mapping, to_yaml
from shapewright.training.method import Method, Preparing, Progress

NAMES = list(methods())
OBJECTS = np.array([[[3, 4, 2], [6, 7, 8]], [[3, 8, 2], [6, 11, 8]]], float)  # first and last voxel
SHAPES = {2: (17, 24), 3: (9, 16, 11)}


def make(name: str, dims: int, seed: int = 0) -> tuple[Any, Task]:
    task = Task(dims, dims, ("a", "b"), {"first": 1, "second": 4}, SHAPES[dims], (2.0, 1.0, 0.5)[:dims])
    settings = from_mapping(config_class(name), presets(name)["toy"].get("settings", {}), "toy")
    torch.manual_seed(seed)
    return factory(name)(settings, task), task


def make_batch(method: Any, task: Task, seed: int = 0) -> dict[str, torch.Tensor]:
    random = np.random.default_rng(seed)
    labels = np.zeros((2, *task.patch_size), np.uint8)
    for label, (first, last) in enumerate(OBJECTS.astype(int), start=1):
        box = tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))
        labels[:, *box[: len(task.patch_size)]] = label
    image = labels[:, None] + random.normal(0, 0.1, (2, 2, *task.patch_size))
    batch = {"image": torch.from_numpy(image).float(), "labels": torch.from_numpy(labels).long()}
    known = Supervision(
        mask="dense",
        points=Points(OBJECTS[:, :, : len(task.patch_size)].mean(axis=1), np.array([1, 2], np.uint8)),
        boxes=Boxes(*OBJECTS[:, :, : len(task.patch_size)].swapaxes(0, 1), np.array([1, 2], np.uint8)),
        sizes={1: (10.0, 14.0), 2: (12.0, 12.0)},
        present={1: True, 2: True},
    )
    cases = [
        TrainingCase(str(index), np.float32(picture), one, task.spacing, supervision=known)
        for index, (picture, one) in enumerate(zip(image, labels, strict=True))
    ]
    if isinstance(method, Preparing):
        method.prepare(cases)
    targets = [dict(method.image_targets(case)) for case in cases]
    made = [target.pop("labels", case.labels[None])[0] for target, case in zip(targets, cases, strict=True)]
    batch["labels"] = torch.from_numpy(np.stack(made)).long()
    batch["mask"] = (batch["labels"] != UNKNOWN)[:, None]
    batch["labels"] = batch["labels"] * batch["mask"][:, 0]
    return batch | {key: torch.from_numpy(np.stack([t[key] for t in targets])) for key in targets[0]}


cases = pytest.mark.parametrize(("name", "dims"), [(n, d) for n in NAMES for d in info(n).spatial_dims])


@pytest.mark.parametrize("name", NAMES)
def test_the_card_is_complete(name: str) -> None:
    text = card(name)
    assert text.startswith("# ")
    for heading in ("## When to use it", "## When not to use it", "## Differences from the paper", "## Measured"):
        assert heading in text, f"the card of {name} lacks {heading!r}"
    assert info(name).summary.endswith(".")
    assert {"default", "fast", "toy", "paper"} <= set(presets(name))
    assert info(name).supervision
    assert set(info(name).supervision) <= set(KINDS)


@cases
def test_it_is_a_module_on_the_protocol(name: str, dims: int) -> None:
    method, _ = make(name, dims)
    assert isinstance(method, Method)
    assert isinstance(method, torch.nn.Module)


@cases
def test_loss_is_finite_every_parameter_learns_and_the_loss_falls(name: str, dims: int) -> None:
    method, task = make(name, dims)
    batch, progress = make_batch(method, task), Progress(epoch=0, epochs=10)
    step = method.step(batch, progress)
    assert step.loss.shape == ()
    assert bool(torch.isfinite(step.loss))
    step.loss.backward()
    for key, parameter in method.named_parameters():
        assert parameter.grad is not None, key
        assert bool(torch.isfinite(parameter.grad).all()), key
    optimiser = torch.optim.AdamW(method.parameters(), lr=1e-2)
    first = method.step(batch, progress).loss.item()
    for _ in range(30):
        optimiser.zero_grad()
        method.step(batch, progress).loss.backward()
        optimiser.step()
    assert method.step(batch, progress).loss.item() < 0.8 * first


@cases
def test_unknown_voxels_do_not_count(name: str, dims: int) -> None:
    method, task = make(name, dims)
    batch = make_batch(method, task)
    mask = batch["mask"].clone()
    mask[:, :, :5] = False
    changed = batch["labels"].clone()
    changed[:, :5] = 1
    progress = Progress(epoch=5, epochs=10)
    first = method.step({**batch, "mask": mask}, progress).loss
    second = method.step({**batch, "labels": changed, "mask": mask}, progress).loss
    assert torch.allclose(first, second)


@cases
def test_predictions_are_probabilities_of_the_images_size(name: str, dims: int) -> None:
    method, task = make(name, dims)
    method.eval()
    for shape in (SHAPES[dims], tuple(size + 3 for size in SHAPES[dims]), (1,) * dims):
        probabilities = method.predict(torch.randn(1, 2, *shape))
        assert probabilities.shape == (1, task.classes, *shape)
        assert torch.allclose(probabilities.sum(dim=1), torch.ones(1, *shape), atol=1e-5)


@cases
def test_save_and_load_predict_the_same(name: str, dims: int, tmp_path: Path) -> None:
    method, task = make(name, dims, seed=1)
    image = torch.randn(1, 2, *task.patch_size)
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, {"state_dict": method.state_dict()}, config="", task=to_yaml(task))
    again, _ = make(name, dims, seed=2)
    checkpoint = load_checkpoint(path)
    assert from_mapping(Task, yaml.safe_load(checkpoint.task), "task") == task
    load_weights(again, checkpoint, path)
    assert torch.equal(method.eval().predict(image), again.eval().predict(image))


@pytest.mark.parametrize("name", NAMES)
def test_measured_results_say_how_they_were_made(name: str) -> None:
    path = Path(__file__).parents[2] / "src" / "shapewright" / "methods" / name.replace("-", "_") / "results.json"
    if path.exists():
        results = json.loads(path.read_text())
        assert {"command", "seeds"} <= set(results)
