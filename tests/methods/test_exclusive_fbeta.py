"""Exclusive probabilities: which class is left out, what is trained, and how the study judges results."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from shapewright.data import Image, write_image, write_labels
from shapewright.data.patches import TrainingCase
from shapewright.data.preprocess import normalise_intensity
from shapewright.data.task import Task
from shapewright.errors import InputError
from shapewright.methods.exclusive_fbeta import reproduce as study
from shapewright.methods.exclusive_fbeta.config import Config
from shapewright.methods.exclusive_fbeta.method import ExclusiveFBeta
from shapewright.methods.exclusive_fbeta.reproduce import HD, PRECISION, RECALL, Arm
from shapewright.networks import NetworkConfig
from shapewright.simulate import IsointensePhantom
from shapewright.training.method import Progress

SMALL = NetworkConfig(width=4, depth=2)
TASK = Task(2, 2, ("T1", "T2"), {"CSF": 1, "GM": 2, "WM": 3}, (32, 32), (1.0, 1.0), normalise="nonzero_mean")
START = Progress(0, 10)


def brains() -> tuple[list[TrainingCase], dict[str, torch.Tensor]]:
    images, labels = IsointensePhantom(shape=(32, 32)).generate(3, seed=0)
    scaled = np.stack([normalise_intensity(image, "nonzero_mean") for image in images])
    cases = [TrainingCase(str(i), x, y, (1.0, 1.0)) for i, (x, y) in enumerate(zip(scaled, labels, strict=True))]
    return cases, {"image": torch.from_numpy(scaled), "labels": torch.from_numpy(labels).long()}


def build(**options) -> ExclusiveFBeta:
    torch.manual_seed(0)
    return ExclusiveFBeta(Config(network=SMALL, **options), TASK)


def test_the_most_frequent_label_of_a_stripped_brain_is_left_out_and_remembered() -> None:
    cases, batch = brains()
    method = build(region="nonzero")
    method.prepare(cases)
    assert method.names[method.left_out] == "GM"
    assert method.trained == [1, 3]
    step = method.step(batch, START)
    assert set(step.logs) == {"loss/CSF", "loss/WM"}
    assert step.loss.item() == pytest.approx(float(step.logs["loss/CSF"] + step.logs["loss/WM"]))
    again = build(region="nonzero")
    again.load_state_dict(method.state_dict())
    assert again.left_out == 2


def test_the_outside_neither_counts_nor_gets_a_label() -> None:
    cases, batch = brains()
    method = build(region="nonzero")
    method.prepare(cases)
    method.eval()
    outside = (batch["labels"] == 0)[:, None]
    probabilities = method.predict(batch["image"])
    assert torch.equal(probabilities.argmax(1) == 0, outside[:, 0])
    loss = method.step(batch, START).loss
    masked = method.step({**batch, "mask": ~outside}, START).loss
    assert torch.equal(loss, masked)


def test_the_background_is_left_out_of_other_images() -> None:
    method = build()
    assert method.left_out == 0
    assert method.trained == [1, 2, 3]
    assert build(left_out="WM").trained == [0, 1, 2]


@pytest.mark.parametrize("outputs", ["exclusive", "multi", "single"])
@pytest.mark.parametrize("region", ["image", "nonzero"])
def test_every_design_learns_and_predicts_probabilities(outputs, region) -> None:
    cases, batch = brains()
    method = build(outputs=outputs, region=region)
    method.prepare(cases)
    optimizer = torch.optim.Adam(method.parameters(), lr=1e-2)
    losses = []
    for _ in range(25):
        loss = method.step(batch, START).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    probabilities = method.eval().predict(batch["image"])
    torch.testing.assert_close(probabilities.sum(1), torch.ones(3, 32, 32))
    agreement = (probabilities.argmax(1) == batch["labels"])[batch["labels"] > 0].float().mean()
    assert agreement > 0.4


def test_the_penalty_is_the_mean_product_of_the_sigmoids() -> None:
    cases, batch = brains()
    method = build(region="nonzero", exclusion=3.0)
    method.prepare(cases)
    step = method.step(batch, START)
    claimed = torch.sigmoid(method(batch["image"]))
    inside = batch["labels"] > 0
    assert float(step.logs["loss/exclusion"]) == pytest.approx(claimed.prod(1)[inside].mean().item(), rel=1e-4)


def test_options_that_cannot_be() -> None:
    volume = replace(TASK, normalise="volume")
    with pytest.raises(InputError, match=r"needs prepare\.normalise"):
        ExclusiveFBeta(Config(region="nonzero", network=SMALL), volume)
    with pytest.raises(InputError, match="did you mean 'CSF'"):
        build(left_out="CFS")
    with pytest.raises(InputError, match="must be a label"):
        build(left_out="background", region="nonzero")
    with pytest.raises(InputError, match="two labels or more"):
        ExclusiveFBeta(Config(region="nonzero", network=SMALL), replace(TASK, labels={"CSF": 1}))
    with pytest.raises(InputError, match="beta must be more than 0"):
        Config(beta=0.0)


def scores(white: float, recall: float = 0.8, precision: float = 0.8) -> dict[str, float]:
    values = {"Dice CSF": 0.9, "Dice GM": 0.8, "Dice WM": white, RECALL: recall, PRECISION: precision, HD: 4.0}
    return {**values, "seconds": 1.0}


def test_relations_follow_the_figures() -> None:
    results = {}
    for seed in (0, 1):
        results[Arm("ce", seed=seed)] = scores(0.75)
        results[Arm("single", seed=seed)] = scores(0.76)
        results[Arm("multi", seed=seed)] = scores(0.5 if seed else 0.8)
        results[Arm("exclusive", seed=seed)] = scores(0.755, recall=0.9)
        for beta in (0.5, 1.0, 2.0):
            results[Arm("exclusive", beta=beta, seed=seed)] = scores(0.7, 0.6 + beta / 10, 0.9 - beta / 10)
    found = {relation.name: relation.holds for relation in study.summarise(results, (0, 1)).relations}
    assert not found["R1 Dice WM, phantom, U-Net"]
    assert not found["R2 Dice GM, phantom, U-Net"]
    assert found["not worse, phantom, U-Net"]
    assert found["steadier, phantom, U-Net"]
    assert found["R4, phantom, U-Net"]
    assert found["beta"]


def test_given_volumes_are_cut_around_their_labels(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder).mkdir()
    for name in ("a", "b"):
        label = np.zeros((40, 110, 50), np.uint8)
        label[:, 60:72, 10:20] = 1
        image = Image(random.normal(size=(1, 40, 110, 50)).astype(np.float32), (1.0, 1.0, 1.0))
        write_labels(tmp_path / "labelsTr" / f"{name}.nii.gz", label, like=image)
        for channel in ("0000", "0001"):
            write_image(tmp_path / "imagesTr" / f"{name}_{channel}.nii.gz", image.array, like=image)
    about = {"channel_names": {"0": "FLAIR", "1": "T1"}, "labels": {"background": 0, "lesion": 1}}
    (tmp_path / "dataset.json").write_text(json.dumps({**about, "file_ending": ".nii.gz", "numTraining": 2}))
    arm = Arm("exclusive", data="given volumes", steps=1)
    assert replace(arm, steps=400) in study.study(quick=False, seeds=(0,), data=tmp_path)
    assert replace(arm, steps=400) not in study.study(quick=False, seeds=(0,))
    (images, labels), (tests, _), names = study.task_data(arm, tmp_path)
    assert images.shape == tests.shape == (48, 2, 48, 48)
    assert names == ("lesion",)
    assert (labels.flatten(1).sum(1) == 120).all()  # nothing of the label is cut off
    assert set(study.train_arm(arm, tmp_path)) == {"Dice lesion", "recall lesion", "precision lesion"}


def test_trains_scores_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = [Arm(name, steps=2) for name in ("ce", "single", "multi", "exclusive", "penalised")]
    short += [Arm(name, data="hippocampus", network="FC-DenseNet", steps=2) for name in ("single", "exclusive")]
    short += [Arm(name, data="phantom 3D", network="FC-DenseNet", steps=1) for name in ("single", "exclusive")]
    short += [Arm("exclusive", beta=2.0, steps=2)]
    monkeypatch.setattr(study, "study", lambda **_: short)
    arguments = {"quick": True, "seeds": (0,), "data": None, "out": tmp_path, "progress": lambda *_: None}
    first = study.reproduce(**arguments)
    assert len(first.rows) == len(short)
    assert np.isfinite([value for row in first.rows for values in row.ours.values() for value in values]).all()
    monkeypatch.setattr(study, "train_arm", None)
    assert study.reproduce(**arguments) == first
    json.dumps(first.to_dict())
