"""Training on several data sets with different labels, from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest

from shapewright.cli.main import OK, USAGE, main
from shapewright.data import read_labels
from shapewright.metrics import read_csv
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


def test_doctor_names_the_data_sets_and_the_methods_that_fit(
    declared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", str(declared)]) == OK
    output = capsys.readouterr().out
    assert "anatomy" in output
    assert "not annotated: csf, grey, white" in output
    assert "adaptive-cross-entropy" in output.split("methods that do not")[0]


def test_a_method_of_full_masks_says_what_is_missing(
    declared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = declared.read_text().replace("    background: background\n", "")
    changed = declared.with_name("partial.yaml")
    changed.write_text(text)
    assert main(["train", "boundary-loss", "--data", str(changed), "--out", str(tmp_path / "r")]) == USAGE
    assert "the cases to train on have partial" in capsys.readouterr().err
