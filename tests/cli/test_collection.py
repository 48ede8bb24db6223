"""Training on several data sets with different labels, from the command line."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from shapewright.cli.main import OK, USAGE, main
from shapewright.data import read_image, read_labels, write_image
from shapewright.methods import config_class, factory
from shapewright.metrics import read_csv
from shapewright.training.predict import Predictor
from tests.data.brains import write_brains


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_brains(tmp_path_factory.mktemp("brains"), cases=8)


@pytest.fixture(scope="module")
def run(declared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "run"
    arguments = ["train", "adaptive-cross-entropy", "--data", str(declared), "--out", str(out), "--preset", "toy"]
    assert main([*arguments, "--split.validation", "0.2", "--settings.dice", "1"]) == OK
    return out


def test_classes_are_measured_where_they_are_annotated(run: Path) -> None:
    rows = {(row["case"].split("-")[0], row["label"]) for row in read_csv(run / "evaluation" / "cases.csv")}
    rows = {(member, label) for member, label in rows if label in ("csf", "grey", "white", "lesion")}
    assert rows == {("anatomy", name) for name in ("csf", "grey", "white", "lesion")} | {("patients", "lesion")}
    history = (run / "history.csv").read_text().splitlines()
    assert {"val/dice/csf", "val/dice/lesion", "loss/entropy", "loss/dice"} <= set(history[0].split(","))
    assert (run / "report.html").stat().st_size > 10_000


def test_predictions_and_truths_have_the_collections_values(run: Path) -> None:
    files = json.loads((run / "evaluation" / "summary.json").read_text())["files"]
    for case, paths in files.items():
        truth = set(np.unique(read_labels(run / paths["truth"]).array))
        assert truth <= ({0, 1, 2, 3} if case.startswith("anatomy") else {0, 4})
        assert set(np.unique(read_labels(run / paths["prediction"]).array)) <= {0, 1, 2, 3, 4}


def test_images_of_the_common_channel_are_predicted(run: Path, declared: Path, tmp_path: Path) -> None:
    image = declared.parent / "anatomy" / "images" / "case0.npz"
    assert main(["predict", str(run), str(image), "--out", str(tmp_path)]) == OK
    assert read_labels(tmp_path / "case0.npz").array.shape == (1, 32, 32)


@pytest.fixture(scope="module")
def joint(declared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "joint"
    arguments = ["train", "hetero-modal-joint", "--data", str(declared), "--out", str(out), "--preset", "toy"]
    assert main([*arguments, "--split.validation", "0.2", "--trainer.epochs", "3"]) == OK
    return out


def test_a_method_of_missing_channels_trains_and_is_measured_on_every_data_set(joint: Path) -> None:
    assert "loss/consistency" in (joint / "history.csv").read_text().splitlines()[0]
    rows = {(row["case"].split("-")[0], row["label"]) for row in read_csv(joint / "evaluation" / "cases.csv")}
    assert {("anatomy", "grey"), ("anatomy", "lesion"), ("patients", "lesion")} <= rows
    assert ("patients", "grey") not in rows


def test_images_with_any_of_the_channels_are_predicted(joint: Path, declared: Path, tmp_path: Path) -> None:
    whole = read_image(declared.parent / "patients" / "images" / "case0.npz")  # FLAIR, T1
    folder = tmp_path / "images"
    folder.mkdir()
    for name, channels in {"both": (1, 0), "t1": (1, None), "flair": (None, 0)}.items():
        for number, channel in enumerate(channels):
            if channel is not None:
                write_image(folder / f"{name}_{number:04d}.npz", whole.array[channel : channel + 1], like=whole)
    assert main(["predict", str(joint), str(folder), "--out", str(tmp_path / "out"), "--probabilities"]) == OK
    found = {name: read_image(tmp_path / "out" / f"{name}_probabilities.npz").array for name in ("both", "t1", "flair")}
    predictor = Predictor.load(joint, config_class, factory)
    for name, missing in {"both": [], "t1": [1], "flair": [0]}.items():
        image = whole.array[::-1].copy()
        image[missing] = np.nan
        expected = predictor.probabilities(dataclasses.replace(whole, array=image))
        np.testing.assert_allclose(found[name], expected, atol=1e-5)
        assert read_labels(tmp_path / "out" / f"{name}.npz").array.shape == (1, 32, 32)
    assert np.abs(found["t1"] - found["flair"]).max() > 1e-3


def test_channel_files_without_a_number_of_the_task_are_refused(
    joint: Path, declared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = declared.parent / "anatomy" / "images" / "case0.npz"
    for name, message in {
        "a_0002": "some of a_0000 (T1), a_0001 (FLAIR); got 0002",
        "a": "1 channel(s); expected are 2 (T1, FLAIR)",
    }.items():
        copy = tmp_path / f"{name}.npz"
        shutil.copy(image, copy)
        assert main(["predict", str(joint), str(copy), "--out", str(tmp_path / "out")]) == USAGE
        assert message in capsys.readouterr().err


def test_doctor_names_the_data_sets_and_the_methods_that_fit(
    declared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", str(declared)]) == OK
    output = capsys.readouterr().out
    assert "anatomy" in output
    assert "not annotated: csf, grey, white" in output
    assert "adaptive-cross-entropy" in output.split("methods that do not")[0]
    assert "hetero-modal-joint" in output.split("methods that do not")[0]


def test_a_method_of_full_masks_says_what_is_missing(
    declared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = declared.read_text().replace("    background: background\n", "")
    changed = declared.with_name("partial.yaml")
    changed.write_text(text)
    assert main(["train", "boundary-loss", "--data", str(changed), "--out", str(tmp_path / "r")]) == USAGE
    assert "the cases to train on have partial" in capsys.readouterr().err
